// Interventions, directions and tails: what was computed beforehand, of one seed.

const STEERED = SIDES.map((side, s) => s).filter((s) => SIDES[s].steering.methods);
const PUSH = { side: STEERED[STEERED.length - 1] ?? 0, method: 0, mode: "ablated", coefficient: 5 };

function pushFromHash() {
  const [side, method, mode, coefficient] = (STATE.push ?? "").split(".");
  if (!STEERED.includes(Number(side)) || !["ablated", "added"].includes(mode)) return;
  const about = SIDES[Number(side)].steering;
  if (about.methods[Number(method)] === undefined || about.coefficients[Number(coefficient)] === undefined) return;
  Object.assign(PUSH, { side: Number(side), method: Number(method), mode, coefficient: Number(coefficient) });
}
function push(changes) {
  Object.assign(PUSH, changes);
  set({ push: [PUSH.side, PUSH.method, PUSH.mode, PUSH.coefficient].join(".") });
}
function steered(name, x) {
  const array = SIDES[PUSH.side].steering[name];
  return array[PUSH.mode === "ablated" ? offset(array, PUSH.method, STATE.maze, x) : offset(array, PUSH.method, PUSH.coefficient, STATE.maze, x)];
}

function picker(label, options, get, pick) {
  const node = el("select", { "aria-label": label, onchange: (event) => pick(Number(event.target.value)) });
  LISTENERS.push(() => {
    const now = options();
    if (node.dataset.of !== now.join()) { node.dataset.of = now.join(); fill(node, now.map(([i, text]) => el("option", { value: i }, text))); }
    node.value = get();
  });
  return node;
}

function buildInterventions() {
  if (!STEERED.length) return;
  pushFromHash();
  const body = el("div", { class: "panels" }), note = el("p", { class: "note" });
  const slider = el("input", { type: "range", min: 0, "aria-label": "coefficient", oninput: (event) => push({ coefficient: Number(event.target.value) }) });
  const told = el("output");
  byId("interventions").append(
    el("div", { class: "top" }, el("h2", {}, "Interventions on the features"),
      el("p", { class: "note" }, `Concept: ${SIDES[PUSH.side].steering.concept}. Seed 0, last checkpoint. V after a direction was taken out of E\u2019s features (ablated), or so many standard deviations of it were added; beside it a random direction that moves the features as far.`)),
    el("div", { class: "line" },
      choice("side", STEERED.map((s) => [s, `${LETTERS[s]} ${NAMES[s]}`]), () => PUSH.side, (side) => push({ side })),
      picker("method", () => SIDES[PUSH.side].steering.methods.slice(0, -1).map((m, i) => [i, words(m)]), () => PUSH.method, (method) => push({ method })),
      choice("how", [["ablated", "ablated"], ["added", "added"]], () => PUSH.mode, (mode) => push({ mode })), slider, told),
    body, note);
  const boards = ["base", "patched", "difference", "random control"].map((name) => {
    const [node, pen] = canvas(COLUMNS, ROWS, 36), under = el("div"), title = el("h3", {}, name);
    return { name, node, pen, under, title };
  });
  boards.forEach((b) => body.append(el("figure", { class: "panel" }, b.title, b.node, b.under)));
  LISTENERS.push(once(() => {
    const about = SIDES[PUSH.side].steering;
    slider.max = about.coefficients.length - 1;
    slider.value = PUSH.coefficient;
    slider.disabled = PUSH.mode === "ablated";
    told.textContent = PUSH.mode === "ablated" ? "taken out" : `${signed(about.coefficients[PUSH.coefficient], 2)} sd`;
    const base = new View(PUSH.side, STEPS.length - 1, 0, STATE.maze, new Set());
    const was = (x) => base.whole(x);
    const change = (x) => steered(PUSH.mode, x) - was(x), control = (x) => steered(`random ${PUSH.mode}`, x) - was(x);
    const most = Math.max(largest(STATE.maze, was), largest(STATE.maze, (x) => steered(PUSH.mode, x)));
    const far = Math.max(largest(STATE.maze, change), largest(STATE.maze, control));
    [[was, most], [(x) => steered(PUSH.mode, x), most], [change, far], [control, far]].forEach(([numbers, top], i) => {
      paint(boards[i].pen, 36, STATE.maze, numbers, top, true);
      fill(boards[i].under, bar(top, true));
    });
    const rms = (f) => Math.sqrt(mean(cells(STATE.maze).map(([, , x]) => f(x) ** 2)));
    note.textContent = `V moves by ${number(rms(change))} rms, under the random direction by ${number(rms(control))}.`;
  }));
}

function heat(about) {
  const runs = about.agreement.shape[0], cell = 230 / runs, left = 96;
  const node = el("svg", { viewBox: `0 0 ${left + 240} 252`, class: "chart heat", role: "img", "aria-label": "agreement of directions" });
  for (let i = 0; i < runs; i++) for (let j = 0; j < runs; j++) {
    const x = about.agreement[i * runs + j];
    const tile = el("rect", { x: left + j * cell, y: i * cell, width: cell, height: cell, fill: css(colour(x, 1, false)) });
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = `${about.methods[Math.floor(i / about.samples)]} ${i % about.samples} and ${about.methods[Math.floor(j / about.samples)]} ${j % about.samples}: |cos| ${number(x)}`;
    tile.append(title);
    node.append(tile);
  }
  about.methods.forEach((name, i) => node.append(
    el("text", { x: left - 6, y: (i + 0.5) * about.samples * cell + 3, "text-anchor": "end" }, words(name)),
    el("line", { x1: left, x2: left + 230, y1: i * about.samples * cell, y2: i * about.samples * cell, style: "stroke:var(--card);stroke-width:1.5" }),
    el("line", { y1: 0, y2: 230, x1: left + i * about.samples * cell, x2: left + i * about.samples * cell, style: "stroke:var(--card);stroke-width:1.5" })));
  node.append(el("text", { x: left, y: 246 }, `|cos|: dark 0, yellow 1; ${about.samples} samples of states each`));
  return node;
}

function ownChart(about) {
  const wide = 336, row = 24, left = 96, px = (x) => left + x * (wide - left - 12);
  const node = el("svg", { viewBox: `0 0 ${wide} ${about.methods.length * row + 26}`, class: "chart" });
  node.append(el("line", { x1: px(about.null), x2: px(about.null), y1: 0, y2: about.methods.length * row, class: "now" }),
    el("text", { x: px(about.null) + 4, y: about.methods.length * row + 12 }, `chance ${number(about.null)}`));
  about.methods.forEach((name, i) => {
    const y = (i + 0.5) * row;
    node.append(el("text", { x: left - 6, y: y + 3.5, "text-anchor": "end" }, words(name)),
      el("line", { x1: px(0), x2: px(about.own[i]), y1: y, y2: y, style: "stroke:var(--accent);stroke-width:6;opacity:.75" }),
      el("text", { x: Math.min(px(about.own[i]) + 4, wide - 28), y: y + 3.5 }, number(about.own[i], 2)));
  });
  return node;
}

function spectrumChart() {
  const rows = STEERED.map((s) => Array.from(SIDES[s].steering.spectrum));
  const { node, px, py } = frame([1, Math.max(...rows.map((r) => r.length), 2)], [0, Math.max(...rows.flat())], { label: "singular values", xlabel: "singular direction of V\u2019s first weights" });
  rows.forEach((row, i) => node.append(el("path", { d: path(row.map((y, k) => [px(k + 1), py(y)])), class: `line s${STEERED[i]}` }),
    ...row.map((y, k) => el("circle", { cx: px(k + 1), cy: py(y), r: 2, class: `dot s${STEERED[i]}` }))));
  return node;
}

function buildDirections() {
  if (!STEERED.length) return;
  const root = byId("directions");
  root.append(el("div", { class: "top" }, el("h2", {}, "Directions of the concept"),
    el("p", { class: "note" }, `Do methods find the same direction, and do they find it again on other samples of the ${SIDES[STEERED[0]].steering.states} states? Seed 0, last checkpoint.`)));
  root.append(el("div", { class: "charts wide" }, STEERED.map((s) => {
    const about = SIDES[s].steering;
    return [el("figure", {}, el("figcaption", {}, el("b", {}, sideName(s)), el("small", {}, `RLACE to the mean difference: |cos| ${number(about.gauge, 4)}. Its optimum is the mean difference: less than 1 is optimisation that fell short.`)), heat(about)),
      el("figure", {}, el("figcaption", {}, el("b", {}, "agreement with itself"), el("small", {}, "mean |cos| between samples of states; dashed: random directions")), ownChart(about))];
  }), el("figure", {}, el("figcaption", {}, el("b", {}, "spectrum"), el("small", {}, "equal values have free directions: look for gaps")), spectrumChart())));
}

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
    el("p", { class: "note" }, "Sum of the contributions less their mean, over states. Pooling contexts of different spread makes a normal look exponential: read within contexts first. Seed 0, last checkpoint."),
    choice("contexts", [["pooled", "pooled"], ["context", "per context"]], () => STATE.tail || "pooled", (tail) => set({ tail }))), body);
  LISTENERS.push(once(() => {
    fill(body, some.map((s) => {
      const about = SIDES[s].tails, pooled = (STATE.tail || "pooled") === "pooled";
      const shown = about.groups.map((name, g) => [name, g]).filter(([, g]) => (g === 0) === pooled);
      return el("div", { class: "block" }, el("h3", {}, sideName(s), el("small", {}, about.reading)),
        (shown.length ? shown : [[about.groups[0], 0]]).map(([name, g]) => [
          el("p", { class: "note" }, el("b", {}, name), ` \u00b7 shape \u03b2 ${triple(about.shape[g], about["shape interval"], g)} (2 normal, 1 Laplace) \u00b7 K_eff ${triple(about.terms[g], about["terms interval"], g)} \u00b7 Vuong z ${number(about.vuong[g * about.vuong.shape[1]], 2)} \u00b7 Var(sum)/sum Var ${number(about["variance ratio"][g], 2)} \u00b7 n = ${about.n[g]}, ${about.clusters} levels are the clusters`),
          el("div", { class: "charts three" }, density(about.drawn[g]), logDensity(about.drawn[g]), qq(about.drawn[g]))]));
    }), el("p", { class: "legend" }, el("span", {}, el("i", { class: "key normal" }), "normal"), el("span", {}, el("i", { class: "key laplace" }), "Laplace")));
  }));
}
function triple(x, intervals, g) {
  const show = (y) => (Number.isFinite(y) ? number(y, 2) : "\u221e");
  return `${show(x)} [${show(intervals[2 * g])}, ${show(intervals[2 * g + 1])}]`;
}

MORE.push(buildInterventions, buildDirections, buildTails);
