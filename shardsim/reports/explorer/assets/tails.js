// How V is distributed over states, pooled and within each context.

CHOICES.tails = ["pooled", "context"];
const GRID = range(161).map((i) => i / 20 - 4);
function normalDensity(x) {
  return Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
}
function laplaceDensity(x, { laplace_mean, laplace_scale }) {
  return Math.exp(-Math.abs(x - laplace_mean) / laplace_scale) / (2 * laplace_scale);
}

function densityRows(histogram) {
  const bars = Array.from(histogram.density, (density, i) => ({
    x: histogram.edges[i],
    x2: histogram.edges[i + 1],
    density,
    text: `${number(histogram.edges[i], 2)} to ${number(histogram.edges[i + 1], 2)} SD: density ${number(density)}`,
  })).filter(({ density }) => density > 0);
  const fits = GRID.flatMap((x) => [
    { x, density: normalDensity(x), family: "normal" },
    { x, density: laplaceDensity(x, histogram), family: "Laplace" },
  ]);
  return [bars, fits];
}

function tailCharts(s, n, group, histogram) {
  const [bars, fits] = densityRows(histogram);
  const log = (row) => ({ ...row, log: Math.log10(Math.max(row.density, 1e-9)) });
  const key = (name) => `tails.${name} ${s} ${group}`;
  const draw = (name, label, rows) =>
    chart(`tails.${name}`, key(name), { label, rows, version: n });
  return [
    draw("density", "histogram of V with both fits", () => ({ rows: bars, fits })),
    draw("log_density", "logarithm of the density of V with both fits", () => ({
      rows: bars.map((row) => log({ ...row, x: (row.x + row.x2) / 2 })),
      fits: fits.map(log),
    })),
    draw("quantiles", "quantiles of V over those of both fits", () => ({
      rows: ["normal", "laplace"].flatMap((family) =>
        Array.from(histogram[family], (fitted, i) => ({
          fitted,
          observed: histogram.quantiles[i],
          family: family === "normal" ? "normal" : "Laplace",
        })),
      ),
    })),
  ];
}

function tailInterval(x, ends, ...index) {
  const show = (y) =>
    Number.isNaN(y) ? "\u2013" : Number.isFinite(y) ? number(y, 2) : "\u221e";
  return `${show(x)} [${show(at(ends, ...index, 0))}, ${show(at(ends, ...index, 1))}]`;
}
// A statistic whose meaning is shown on hover, and in the legend of the panel.
function statistic(name, meaning, value) {
  return el("span", {}, el("abbr", { title: meaning }, name), ` ${value}`);
}

function tailGroup(s, n, name, g) {
  const data = panel(s, "tails");
  const histogram = data.histograms[n]?.[g];
  const shape = tailInterval(at(data.shape, n, g), data.shape_interval, n, g);
  const terms = tailInterval(at(data.terms, n, g), data.terms_interval, n, g);
  return [
    el(
      "p",
      { class: "note" },
      el("b", {}, name),
      ` \u00b7 ${number(at(data.num_states, n, g))} states, ${data.num_levels} levels`,
    ),
    el(
      "p",
      { class: "statistics" },
      statistic(
        "shape \u03b2",
        "shape of the generalised normal distribution: 2 is a normal, 1 a Laplace distribution",
        `${shape}, over seeds ${interval(data.shape_over_seeds[g])}`,
      ),
      statistic(
        "K_eff",
        "effective number of equal independent Laplace terms whose sum has these tails: 1 is one term, \u221e a normal distribution",
        terms,
      ),
      statistic(
        "Vuong z",
        "Vuong\u2019s test of two fits: above 2.5 the normal fits better, below \u22122.5 the Laplace",
        number(at(data.vuong, n, g), 2),
      ),
      statistic(
        "Var(sum) / sum Var",
        "variance of V over the sum of the variances of its shards\u2019 contributions: 1 if they are uncorrelated",
        number(at(data.variance_ratio, n, g), 2),
      ),
    ),
    histogram
      ? el("div", { class: "charts three" }, tailCharts(s, n, g, histogram))
      : el("p", { class: "note" }, "V is constant, or is not a number."),
  ];
}

function tailsBlock(s) {
  const data = panel(s, "tails");
  const n = seedOf(s);
  const isPooled = STATE.tails === "pooled";
  const groups = data.groups
    .map((name, g) => [name, g])
    .filter(([, g]) => (g === 0) === isPooled);
  const shown = groups.length ? groups : [[data.groups[0], 0]];
  return el(
    "div",
    { class: "block", "data-tails": LETTERS[s] },
    sideTitle(s, `seed ${n}, last checkpoint: ${data.summary[n]}`),
    shown.map(([name, g]) => tailGroup(s, n, name, g)),
  );
}

PANELS.tails = (root) => {
  const sides = sidesWith("tails");
  const blocks = el("div", { class: "blocks" });
  root.append(
    stateChoice("tails", [
      ["pooled", "all contexts", "the states of all contexts together"],
      ["context", "by context", "the states of each context by themselves"],
    ]),
    blocks,
  );
  onChange(() => fill(blocks, sides.map(tailsBlock)));
};
