// Units of a head without shards, in groups that rise and fall together.

function clustersBlock(s) {
  const data = panel(s, "clusters");
  const n = seedOf(s);
  const sizes = range(data.num_clusters).map((k) => at(data.sizes, n, k));
  const text = sizes.some((size) => size < 0) ? "\u2013" : sizes.join(", ");
  return el(
    "div",
    { class: "block", "data-clusters": LETTERS[s] },
    sideTitle(s, `seed ${n}, last checkpoint: groups of ${text} units`),
    readingsTable(s, data.readings),
  );
}

PANELS.clusters = (root) => {
  const sides = sidesWith("clusters");
  onChange(() => fill(root, el("div", { class: "blocks" }, sides.map(clustersBlock))));
};
