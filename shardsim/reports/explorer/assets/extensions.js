// Readings of tools of other people, as they come.

function toolBlock(s, tool) {
  return el(
    "div",
    { class: "block", "data-tool": tool.kind },
    sideTitle(s, words(tool.kind)),
    el("p", { class: "note" }, tool.about),
    tool.problem
      ? el("p", { class: "warning" }, tool.problem)
      : readingsTable(s, tool.readings),
  );
}

PANELS.extensions = (root) => {
  const sides = sidesWith("extensions");
  onChange(() =>
    fill(
      root,
      el(
        "div",
        { class: "blocks" },
        sides.flatMap((s) =>
          panel(s, "extensions").tools.map((tool) => toolBlock(s, tool)),
        ),
      ),
    ),
  );
};
