// What the first weights of V and D do to E's features.

function spectrumFigure(s) {
  const data = panel(s, "weights");
  const n = seedOf(s);
  const networks = [
    ["V", data.value],
    ["D", data.decoder],
  ].filter(([, spectrum]) => spectrum);
  const of = (spectrum, name) => {
    const count = spectrum[name].shape[1];
    return Array.from(spectrum[name].subarray(n * count, (n + 1) * count));
  };
  const rows = () =>
    networks.flatMap(([network, spectrum]) => {
      const gaps = of(spectrum, "gaps");
      return of(spectrum, "values").map((value, k) => ({
        network,
        k: k + 1,
        value,
        text: `${network}, direction ${k}: ${number(value)}, gap ${percent(gaps[k])} of the largest`,
      }));
    });
  const ties = () =>
    networks.flatMap(([, spectrum]) => {
      const blocks = of(spectrum, "blocks");
      const values = of(spectrum, "values");
      return range(values.length - 1)
        .filter((k) => blocks[k] === blocks[k + 1])
        .map((k) => ({ k: k + 1, k2: k + 2, value: values[k], value2: values[k + 1] }));
    });
  const distinct = networks.map(([network, spectrum]) => {
    const blocks = of(spectrum, "blocks");
    const count = blocks.filter(
      (x) => blocks.filter((y) => y === x).length === 1,
    ).length;
    return `${network}: ${count} of ${blocks.length}`;
  });
  return figure(
    "singular values",
    `of the first weights of V (solid) and D (dashed). Pink: values within 1 % of each other, whose directions are not determined. Distinct values: ${distinct.join("; ")}.`,
    chart("weights", `weights ${s}`, {
      label: "singular values",
      rows: () => ({
        rows: finite(rows(), "value"),
        ties: finite(ties(), "value", "value2"),
      }),
      version: n,
      params: { side: `var(--${LETTERS[s].toLowerCase()})` },
    }),
  );
}

// The arrow along which an action moves most often, with its number.
function actionName(a) {
  const counts = {};
  for (const [, , x] of cells(STATE.maze)) {
    const key = move(STATE.maze, x, a).join();
    if (key !== "0,0") counts[key] = (counts[key] ?? 0) + 1;
  }
  const [best] = Object.entries(counts).sort((p, q) => q[1] - p[1])[0] ?? [];
  return ARROWS[best] ? `${ARROWS[best]} ${a}` : `action ${a}`;
}

function logitsFigure(s) {
  const data = panel(s, "weights");
  if (!data.logits) return null;
  const n = seedOf(s);
  const [, T, A] = data.logits.shape;
  const logit = (t, a) => at(data.logits, n, t, a);
  const all = range(T).flatMap((t) => range(A).map((a) => Math.abs(logit(t, a))));
  const limit = Math.max(...all.filter(Number.isFinite), 1e-9);
  const text = (x) => (limit < 0.05 ? signed(x) : (x > 0 ? "+" : "") + fixed(x));
  const rows = range(T).map((t) => {
    const projection = (x) => at(data.projections, n, t, STATE.maze, x);
    return [
      rowHead(number(at(data.decoder.values, n, t), 2)),
      ...range(A).map((a) =>
        el("td", {}, tinted(logit(t, a), limit, text(logit(t, a)))),
      ),
      el(
        "td",
        { class: "tiny" },
        thumbnail(
          STATE.maze,
          projection,
          largest(STATE.maze, projection),
          true,
          `projection of each cell on direction ${t}`,
        ),
      ),
    ];
  });
  const node = table("numbers", ["\u03c3", ...range(A).map(actionName), ""], rows);
  node.querySelector("table").dataset.logits = LETTERS[s];
  return figure(
    "D\u2019s singular directions",
    "change of each action\u2019s logit by a step of one SD along the direction (D linearised, mean over actions subtracted). \u03c3: singular value, how much D reads the direction; right: projection of each cell",
    node,
  );
}

function collisionsFigure(s) {
  const data = panel(s, "weights");
  if (!data.cosine_before) return null;
  const n = seedOf(s);
  const count = data.cosine_before.shape[1];
  const pair = (i, j) =>
    `${fixed(at(data.cosine_before, n, i, j))} \u2192 ${fixed(at(data.cosine_after, n, i, j))}`;
  const node = table(
    "numbers",
    ["", ...range(count).map((j) => `n${j}`)],
    range(count).map((i) => [rowHead(`k${i}`), ...range(count).map((j) => pair(i, j))]),
  );
  node.querySelector("table").dataset.collisions = LETTERS[s];
  const merged = data.merged[n][STATE.maze];
  const place = (x) => [0, 1].map((d) => at(BOARDS.position, STATE.maze, x, d));
  const items = merged.map((m) =>
    el(
      "li",
      {},
      `${m.states.map((x) => `(${place(x).join(", ")})`).join(" and ")}: ${fixed(m.before)} \u2192 ${fixed(m.after)}`,
    ),
  );
  return figure(
    "collisions",
    `Different features that D treats alike. k0, k1, \u2026: the directions of the features that move D\u2019s logits most; n0, n1, \u2026: directions that do not move them. Each entry is the cosine of k + n and k \u2212 n: of the features \u2192 of the logits that they cause. 1 after the arrow: D cannot tell them apart. Below: pairs of cells (row, column) that D merges.`,
    node,
    el(
      "div",
      { class: "pairs" },
      collisionMap(merged.map(({ states }) => states.map(place))),
      el(
        "ul",
        { "data-merged": LETTERS[s] },
        items.length ? items : el("li", {}, "no two cells of this maze"),
      ),
    ),
  );
}
function collisionMap(pairs) {
  const size = CELL.small;
  const [map, pen] = canvas(COLUMNS, ROWS, size);
  paint(pen, size, STATE.maze, () => NaN, 1, true, { small: true });
  pairs.forEach((ends, i) => {
    const points = ends.map(([r, c]) => [(c + 0.5) * size, (r + 0.5) * size]);
    pen.strokeStyle = pen.fillStyle = `hsl(${(i * 67) % 360} 65% 50%)`;
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(...points[0]);
    pen.lineTo(...points[1]);
    pen.stroke();
    for (const point of points) {
      pen.beginPath();
      pen.arc(...point, 3, 0, 7);
      pen.fill();
    }
  });
  return map;
}

function weightsBlock(s) {
  return el(
    "div",
    { class: "block", "data-weights": LETTERS[s] },
    sideTitle(s, `seed ${seedOf(s)}, last checkpoint`),
    el(
      "div",
      { class: "charts" },
      spectrumFigure(s),
      collisionsFigure(s),
      logitsFigure(s),
    ),
    readingsTable(s, panel(s, "weights").readings),
  );
}

PANELS.weights = (root) => {
  const sides = sidesWith("weights");
  onChange(() => fill(root, el("div", { class: "blocks" }, sides.map(weightsBlock))));
};
