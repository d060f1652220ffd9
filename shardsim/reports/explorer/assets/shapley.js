// How much each object of the maze adds to V at the start.

function shapleyBlock(s) {
  const data = panel(s, "shapley").mazes[STATE.maze];
  if (!data) return null;
  const shards = SIDES[s].num_shards > 1 ? range(SIDES[s].num_shards) : [];
  const all = [...data.value, ...data.shards].map(Math.abs);
  const limit = Math.max(...all);
  const cell = (x) => el("td", {}, tinted(x, limit, signed(x)));
  const row = (name, value, alone, own) => [
    rowHead(
      SPRITES[name] ? el("img", { src: SPRITES[name].src, alt: "" }) : null,
      name,
    ),
    cell(value),
    alone === null ? el("td") : cell(alone),
    ...own.map(cell),
  ];
  const ends = (name, list) =>
    row(
      name,
      list[0],
      null,
      shards.map((k) => list[1 + k]),
    );
  return el(
    "div",
    { class: "block", "data-shapley": LETTERS[s] },
    sideTitle(s, "share of each object in V at the start"),
    table(
      "numbers",
      ["object", "V", "removed alone", ...shards.map((k) => `shard ${k}`)],
      [
        ...data.names.map((name, i) =>
          row(
            name,
            data.value[i],
            data.alone[i],
            shards.map((k) => at(data.shards, i, k)),
          ),
        ),
        ends("no object", data.empty),
      ],
      [ends("all objects", data.full)],
    ),
    el(
      "p",
      { class: "note" },
      `Exact Shapley values over all ${2 ** data.names.length} boards with some objects removed; each column but the second adds up to its last row within ${number(data.residual)}. Removed alone: V less V without this object, with all others there; 0 if V does not see it, or if another object makes up for it. The agent may never have seen a board without objects. Seed 0, last checkpoint.`,
    ),
  );
}

PANELS.shapley = (root) => {
  const sides = sidesWith("shapley");
  onChange(() => fill(root, el("div", { class: "blocks" }, sides.map(shapleyBlock))));
};
