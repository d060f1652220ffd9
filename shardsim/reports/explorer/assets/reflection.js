// How well the hidden units of one shard predict the value of another.

function reflectionBlock(s) {
  const data = panel(s, "reflection");
  const n = seedOf(s);
  const shards = range(data.r2.shape[1]);
  const cell = (i, j) => {
    const [r2, control] = [at(data.r2, n, i, j), at(data.control, n, i, j)];
    return el("td", {}, tinted(r2 - control, 1, `${fixed(r2)} (${fixed(control)})`));
  };
  return el(
    "div",
    { class: "block", "data-reflection": LETTERS[s] },
    sideTitle(s, `seed ${n}, last checkpoint`),
    table(
      "numbers",
      ["", ...shards.map((j) => `value of shard ${j}`)],
      shards.map((i) => [
        rowHead(`from shard ${i}`),
        ...shards.map((j) => cell(i, j)),
      ]),
    ),
    readingsTable(s, data.readings),
  );
}

PANELS.reflection = (root) => {
  const sides = sidesWith("reflection");
  onChange(() => fill(root, el("div", { class: "blocks" }, sides.map(reflectionBlock))));
};
