// The tails: how V's contributions are distributed, pooled and per context.

function density(drawn) {
  const top = Math.max(...drawn.density, 0.45);
  const { node, px, py } = frame([-4, 4], [0, top], { label: "histogram", xlabel: "(V \u2212 mean) / sd" });
  drawn.density.forEach((y, i) => y > 0 && node.append(el("rect", { x: px(drawn.edges[i]) + 0.5, width: Math.max(0.5, px(drawn.edges[i + 1]) - px(drawn.edges[i]) - 1), y: py(y), height: py(0) - py(y), class: "hist" })));
  families(drawn, node, px, (y) => py(Math.min(y, top)));
  return node;
}
const NORMAL = (x) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
const LAPLACE = (x, d) => Math.exp(-Math.abs(x - d.middle) / d["laplace scale"]) / (2 * d["laplace scale"]);
function families(drawn, node, px, py) {
  const xs = Array.from({ length: 161 }, (_, i) => -4 + i / 20);
  node.append(el("path", { d: path(xs.map((x) => [px(x), py(NORMAL(x))])), class: "fit normal" }),
    el("path", { d: path(xs.map((x) => [px(x), py(LAPLACE(x, drawn))])), class: "fit laplace" }));
}
function logDensity(drawn) {
  const low = -3.2, { node, px, py } = frame([-4, 4], [low, 0.3], { label: "log density", xlabel: "straight flanks: exponential; a parabola: normal" });
  families(drawn, node, px, (y) => py(Math.max(low, Math.log10(Math.max(y, 1e-9)))));
  drawn.density.forEach((y, i) => y > 0 && node.append(el("circle", { cx: px((drawn.edges[i] + drawn.edges[i + 1]) / 2), cy: py(Math.max(low, Math.log10(y))), r: 2.6, class: "hist" })));
  return node;
}
function qq(drawn) {
  const { node, px, py } = frame([-3.5, 3.5], [-3.5, 3.5], { label: "quantiles", xlabel: "quantile of the family" });
  node.append(el("line", { x1: px(-3.5), x2: px(3.5), y1: py(-3.5), y2: py(3.5), class: "rule" }));
  const clip = (x) => Math.max(-3.5, Math.min(3.5, x));
  for (const name of ["normal", "laplace"]) node.append(el("path", { d: path(Array.from(drawn[name], (x, i) => [px(clip(x)), py(clip(drawn.quantiles[i]))])), class: `fit ${name}` }));
  return node;
}

function buildTails() {
  const some = SIDES.map((_, s) => s).filter((s) => SIDES[s].tails.groups);
  if (!some.length) return;
  const body = el("div", { class: "blocks" });
  byId("tails").append(el("div", { class: "top" }, el("h2", {}, "Distribution of V"),
    el("p", { class: "note" }, "Sum of the contributions less their mean, over states. Pooling contexts of different spread makes a normal look exponential: read within contexts first. Last checkpoint, the seed that is chosen above."),
    choice("contexts", [["pooled", "pooled"], ["context", "per context"]], () => STATE.tail || "pooled", (tail) => set({ tail }))), body);
  LISTENERS.push(once(() => {
    fill(body, some.map((s) => {
      const about = SIDES[s].tails, pooled = (STATE.tail || "pooled") === "pooled", n = seedOf(s), G = about.groups.length;
      const shown = about.groups.map((name, g) => [name, g]).filter(([, g]) => (g === 0) === pooled);
      return el("div", { class: "block", "data-tails": LETTERS[s] }, el("h3", {}, sideName(s), el("small", {}, `seed ${n}: ${about.reading[n]}`)),
        (shown.length ? shown : [[about.groups[0], 0]]).map(([name, g]) => [
          el("p", { class: "note" }, el("b", {}, name), ` \u00b7 shape \u03b2 ${triple(about.shape[n * G + g], about["shape interval"], n * G + g)} (2 normal, 1 Laplace); over seeds ${range(about["shape over seeds"][g])} \u00b7 K_eff ${triple(about.terms[n * G + g], about["terms interval"], n * G + g)} \u00b7 Vuong z ${number(about.vuong[n * G + g], 2)} \u00b7 Var(sum)/sum Var ${number(about["variance ratio"][n * G + g], 2)} \u00b7 n = ${about.n[n * G + g]}, ${about.clusters} levels are the clusters`),
          about.drawn[n].length ? el("div", { class: "charts three" }, density(about.drawn[n][g]), logDensity(about.drawn[n][g]), qq(about.drawn[n][g]))
            : el("p", { class: "note" }, "V is the same in all states, or is no number.")]));
    }), el("p", { class: "legend" }, el("span", {}, el("i", { class: "key normal" }), "normal"), el("span", {}, el("i", { class: "key laplace" }), "Laplace")));
  }));
}
function triple(x, intervals, g) {
  const show = (y) => (Number.isNaN(y) ? "\u2013" : Number.isFinite(y) ? number(y, 2) : "\u221e");
  return `${show(x)} [${show(intervals[2 * g])}, ${show(intervals[2 * g + 1])}]`;
}

MORE.push(buildTails);
