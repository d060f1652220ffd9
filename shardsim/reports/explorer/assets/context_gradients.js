// Directions of V in E's features, context by context.

function contextGradientsBlock(s) {
  const data = panel(s, "context_gradients");
  return el(
    "div",
    { class: "block", "data-gradients": LETTERS[s] },
    sideTitle(s, `seed ${seedOf(s)}, last checkpoint, ${data.num_contexts} contexts`),
    readingsTable(s, data.readings),
  );
}

PANELS.context_gradients = (root) => {
  const sides = sidesWith("context_gradients");
  onChange(() =>
    fill(root, el("div", { class: "blocks" }, sides.map(contextGradientsBlock))),
  );
};
