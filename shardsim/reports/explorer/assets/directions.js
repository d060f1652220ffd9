// Directions: do methods agree, in every seed? How near RLACE came, what weights do, and
// what CCS finds from restart to restart.

function hint(node, text) {
  const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
  title.textContent = text;
  node.append(title);
  return node;
}
function fixed(x) { return Number.isFinite(x) ? x.toFixed(2).replace("-", "\u2212") : "\u2013"; }
function figure(name, what, ...inside) {
  return el("figure", {}, el("figcaption", {}, el("b", {}, name), el("small", {}, what)), ...inside);
}

function heat(about, n) {
  const runs = about.agreement.shape[1], cell = 230 / runs, left = 96;
  const node = el("svg", { viewBox: `0 0 ${left + 240} 252`, class: "chart heat", role: "img", "aria-label": "agreement of directions" });
  for (let i = 0; i < runs; i++) for (let j = 0; j < runs; j++) {
    const x = about.agreement[offset(about.agreement, n, i, j)], rgb = colour(x, 1, false);
    node.append(hint(el("rect", { x: left + j * cell, y: i * cell, width: cell, height: cell, fill: rgb ? css(rgb) : "var(--line)" }),
      `${about.methods[Math.floor(i / about.samples)]} ${i % about.samples} and ${about.methods[Math.floor(j / about.samples)]} ${j % about.samples}: |cos| ${number(x)}`));
  }
  const step = about.samples * cell, rule = "stroke:var(--card);stroke-width:1.5";
  about.methods.forEach((name, i) => node.append(
    el("text", { x: left - 6, y: (i + 0.5) * step + 3, "text-anchor": "end" }, words(name)),
    el("line", { x1: left, x2: left + 230, y1: i * step, y2: i * step, style: rule }),
    el("line", { y1: 0, y2: 230, x1: left + i * step, x2: left + i * step, style: rule })));
  node.append(el("text", { x: left, y: 246 }, `|cos|: dark 0, yellow 1; ${about.samples} samples of states each`));
  return node;
}

// methods x seeds, and beside it the mean over seeds with the line of random directions
function ownChart(about, n) {
  const N = about.own.shape[0], P = about.methods.length, left = 96, row = 24, wide = 110, cell = wide / N;
  const strip = left + wide + 14, right = 340, px = (x) => strip + x * (right - strip - 12), high = P * row;
  const node = el("svg", { viewBox: `0 0 ${right} ${high + 28}`, class: "chart", role: "img", "aria-label": "agreement of each method with itself, by seed" });
  node.append(el("line", { x1: px(about.null), x2: px(about.null), y1: 0, y2: high, class: "now" }), el("text", { x: px(about.null) + 3, y: high + 12 }, `chance ${number(about.null)}`),
    el("text", { x: left, y: high + 24 }, N > 1 ? `seeds 0 to ${N - 1}` : "seed 0"));
  about.methods.forEach((name, i) => {
    const y = i * row, middle = y + row / 2, over = about["own over seeds"][i];
    node.append(el("text", { x: left - 6, y: middle + 3.5, "text-anchor": "end" }, words(name)));
    for (let m = 0; m < N; m++) {
      const x = about.own[m * P + i], rgb = colour(x, 1, false);
      node.append(hint(el("rect", { x: left + m * cell, y: y + 1, width: Math.max(cell - 1, 0.5), height: row - 2, fill: rgb ? css(rgb) : "var(--line)", "data-own": `${m}.${i}`, onclick: () => set({ seed: m }) }), `${words(name)}, seed ${m}: |cos| ${number(x)}`));
    }
    if (over.estimate === null) return;
    node.append(el("line", { x1: px(over.low ?? over.estimate), x2: px(over.high ?? over.estimate), y1: middle, y2: middle, style: "stroke:var(--accent);stroke-width:2" }),
      hint(el("circle", { cx: px(over.estimate), cy: middle, r: 3.5, style: "fill:var(--accent)" }), `mean over seeds ${range(over)}`));
  });
  node.append(el("rect", { x: left + n * cell - 0.5, y: 0, width: cell, height: high, style: "fill:none;stroke:var(--ring);stroke-width:1.5" }));
  return node;
}

function gaugeChart(about, n) {
  const B = about.samples, N = about.gauge.shape[0], wide = 340, worst = (m) => Math.min(...about.gauge.subarray(m * B, (m + 1) * B));
  const all = Array.from({ length: N }, (_, m) => worst(m)), low = Math.min(0.95, ...all.filter(Number.isFinite));
  const px = (x) => 16 + (x - low) / (1 - low) * (wide - 40);
  const node = el("svg", { viewBox: `0 0 ${wide} 60`, class: "chart", role: "img", "aria-label": "convergence of RLACE" });
  node.append(el("line", { x1: px(low), x2: px(1), y1: 24, y2: 24, style: "stroke:var(--line);stroke-width:8;stroke-linecap:round" }),
    el("line", { x1: px(about.converged), x2: px(about.converged), y1: 10, y2: 38, class: "now" }),
    ...[low, about.converged, 1].map((x) => el("text", { x: px(x), y: 54, "text-anchor": "middle" }, number(x, 2))));
  all.forEach((x, m) => Number.isFinite(x) && node.append(hint(el("circle", { cx: px(x), cy: 24, r: m === n ? 5 : 3, "data-gauge": m, style: `fill:${x >= about.converged ? "var(--good)" : "var(--bad)"};opacity:${m === n ? 1 : 0.45}` }), `seed ${m}: ${number(x, 6)}`)));
  return node;
}

// singular values of V's and D's first weights; near-ties are joined by a thick line
function spectrumChart(s, n) {
  const w = SIDES[s].weights, rows = ["of V", "of D"].filter((key) => w[key]).map((key) => [key, w[key]]);
  const of = (one, name) => { const r = one.values.shape[1]; return Array.from(one[name].subarray(n * r, (n + 1) * r)); };
  const top = Math.max(...rows.flatMap(([, one]) => of(one, "values")).filter(Number.isFinite), 1e-9), longest = Math.max(...rows.map(([, one]) => one.values.shape[1]), 2);
  const { node, px, py } = frame([1, longest], [0, top], { label: "singular values", xlabel: "singular direction" });
  rows.forEach(([key, one]) => {
    const y = of(one, "values"), gap = of(one, "gaps"), block = of(one, "blocks"), dash = key === "of D" ? "stroke-dasharray:4 3" : "";
    node.append(el("path", { d: path(y.map((v, k) => [px(k + 1), py(v)])), class: `line s${s}`, style: dash }));
    y.forEach((v, k) => {
      if (k && block[k] === block[k - 1]) node.append(el("line", { x1: px(k), x2: px(k + 1), y1: py(y[k - 1]), y2: py(v), style: "stroke:var(--ring);stroke-width:5;opacity:.45" }));
      node.append(hint(el("circle", { cx: px(k + 1), cy: py(v), r: 2.2, class: `dot s${s}` }), `${key}, ${k}: ${number(v)}, gap ${percent(gap[k])} of the largest`));
    });
  });
  const alone = rows.map(([key, one]) => { const b = of(one, "blocks"); return `${key}: ${b.filter((x) => b.filter((z) => z === x).length === 1).length} of ${b.length} stand alone`; });
  return figure("spectrum", `first weights of V (line) and of D (dashed); pink: nearer than 1 %, free to turn. ${alone.join("; ")}`, node);
}

function actionName(a) {
  const count = {};
  for (const [, , x] of cells(STATE.maze)) { const key = move(STATE.maze, x, a).join(); if (key !== "0,0") count[key] = (count[key] ?? 0) + 1; }
  const best = Object.entries(count).sort((p, q) => q[1] - p[1])[0];
  return best && ARROWS[best[0]] ? `${ARROWS[best[0]]} ${a}` : `action ${a}`;
}

function logitTable(s, n) {
  const w = SIDES[s].weights;
  if (!w.logits) return null;
  const [, T, A] = w.logits.shape, values = w["of D"].values, of = (t, a) => w.logits[offset(w.logits, n, t, a)];
  const all = Array.from({ length: T * A }, (_, i) => Math.abs(of(Math.floor(i / A), i % A))), most = Math.max(...all.filter(Number.isFinite), 1e-9);
  const tint = (x) => { const rgb = colour(x, most, true) ?? [120, 120, 120]; return el("span", { class: "amount", title: x, style: `background:${css(rgb)};color:${bright(rgb) ? "#111" : "#fff"}` }, most < 0.05 ? signed(x) : (x > 0 ? "+" : "") + fixed(x)); };
  const read = (t) => (x) => w.read[offset(w.read, n, t, STATE.maze, x)];
  return figure("what D\u2019s singular directions do", "logits of a step of one sd along each, through D\u2019s mean slope, less their mean; beside: how much of it every cell holds",
    el("div", { class: "scroll" }, el("table", { class: "things", "data-logits": LETTERS[s] },
      el("thead", {}, el("tr", {}, ["\u03c3", ...Array.from({ length: A }, (_, a) => actionName(a)), ""].map((t) => el("th", {}, t)))),
      el("tbody", {}, Array.from({ length: T }, (_, t) => el("tr", {}, el("th", { scope: "row" }, number(values[offset(values, n, t)], 2)),
        Array.from({ length: A }, (_, a) => el("td", {}, tint(of(t, a)))),
        el("td", { class: "tiny" }, small(STATE.maze, read(t), largest(STATE.maze, read(t)), true, `direction ${t} in every cell`))))))));
}

function collisionTable(s, n) {
  const w = SIDES[s].weights;
  if (!w.before) return null;
  const c = w.before.shape[1], pair = (i, j) => `${fixed(w.before[offset(w.before, n, i, j)])} \u2192 ${fixed(w.after[offset(w.after, n, i, j)])}`;
  const merged = w.merged[n][STATE.maze], at = (x) => [0, 1].map((d) => BOARDS.position[offset(BOARDS.position, STATE.maze, x, d)]);
  const [map, pen] = canvas(COLUMNS, ROWS, 14);
  paint(pen, 14, STATE.maze, () => NaN, 1, true, { small: true });
  merged.forEach(({ states }, i) => {
    const [[r, k], [q, l]] = states.map(at);
    pen.strokeStyle = pen.fillStyle = `hsl(${(i * 67) % 360} 65% 50%)`;
    pen.lineWidth = 2;
    pen.beginPath(); pen.moveTo((k + 0.5) * 14, (r + 0.5) * 14); pen.lineTo((l + 0.5) * 14, (q + 0.5) * 14); pen.stroke();
    for (const [y, x] of [[r, k], [q, l]]) { pen.beginPath(); pen.arc((x + 0.5) * 14, (y + 0.5) * 14, 3, 0, 7); pen.fill(); }
  });
  return figure("collisions", "features that differ and move D\u2019s logits alike: cosine before \u2192 after D. k is read by D, n hardly; below: cells",
    el("div", { class: "scroll" }, el("table", { class: "things", "data-collisions": LETTERS[s] },
      el("thead", {}, el("tr", {}, ["k \u00b1 n", ...Array.from({ length: c }, (_, j) => `n${j}`)].map((t) => el("th", {}, t)))),
      el("tbody", {}, Array.from({ length: c }, (_, i) => el("tr", {}, el("th", { scope: "row" }, `k${i}`), Array.from({ length: c }, (_, j) => el("td", {}, pair(i, j)))))))),
    el("div", { class: "pairs" }, map, el("ul", { "data-merged": LETTERS[s] }, merged.length ? merged.map((m) => el("li", {}, `${m.states.map((x) => `(${at(x).join(", ")})`).join(" and ")}: ${fixed(m.before)} \u2192 ${fixed(m.after)}`)) : el("li", {}, "no two cells of this maze"))));
}

function truthChart(s, n) {
  const t = SIDES[s].truths;
  if (!t.losses) return null;
  const [N, R] = t.losses.shape, x1 = Math.max(0.25, ...Array.from(t.losses).filter(Number.isFinite));
  const { node, px, py } = frame([0, x1], [0.4, 1], { label: "CCS", xlabel: "loss of a restart" });
  const [low, high] = [t.random[2 * n], t.random[2 * n + 1]].map((x) => Math.max(0.4, Math.min(1, x)));
  if (high > low) node.append(hint(el("rect", { x: px(0), width: px(x1) - px(0), y: py(high), height: py(low) - py(high), class: "null" }), `random probes ${number(low)} to ${number(high)}`));
  node.append(hint(el("line", { x1: px(t.constant), x2: px(t.constant), y1: py(0.4), y2: py(1), class: "now" }), "the best constant guess"), el("text", { x: px(t.constant) + 3, y: py(1) + 8 }, number(t.constant, 2)));
  if (Number.isFinite(t.labelled[n])) node.append(hint(el("line", { x1: px(0), x2: px(x1), y1: py(t.labelled[n]), y2: py(t.labelled[n]), style: "stroke:var(--good);stroke-width:1.5" }), `with labels ${number(t.labelled[n])}`));
  for (let m = 0; m < N; m++) for (let r = 0; r < R; r++) {
    const [x, y] = [t.losses[m * R + r], t.accuracy[m * R + r]];
    if (Number.isFinite(x) && Number.isFinite(y)) node.append(hint(el("circle", { cx: px(x), cy: py(y), r: m === n ? 3.2 : 2, class: `dot s${s}`, "data-restart": `${m}.${r}`, style: `opacity:${m === n ? 1 : 0.2}` }), `seed ${m}, restart ${r}: loss ${number(x)}, accuracy ${number(y)}`));
  }
  const a = t.answers[n], counted = a.kept ? ` Good restarts of this seed: ${a.kept}, different answers ${a.seen}, at least ${number(a["at least"], 2)} exist.` : "";
  return figure("CCS, restart by restart", `is V*(s) > V*(s\u2032)? ${t.pairs} pairs, no labels; accuracy of the better sign on ${t["held out"]} pairs of other levels. Grey: random probes, mean \u00b1 2 sd; dashed: the best constant guess; green: with labels.${counted}`, node);
}

function directionBlock(s) {
  const about = SIDES[s].steering, n = seedOf(s), some = about.methods;
  return el("div", { class: "block", "data-directions": LETTERS[s] }, el("h3", {}, sideName(s), el("small", {}, `seed ${n}, last checkpoint`)), el("div", { class: "charts" },
    some && figure("agreement", `do methods find one direction for \u201c${about.concept}\u201d (${about.states} states)?`, heat(about, n)),
    some && figure("agreement with itself", "mean |cos| between samples of states, by seed; right: mean over seeds; dashed: random directions", ownChart(about, n)),
    some && figure("RLACE to the mean difference", `|cos| of every seed: ${range(about["gauge over seeds"], (x) => number(x, 5))}. Its optimum is the mean difference: less than ${number(about.converged, 2)} is optimisation that fell short.`, gaugeChart(about, n)),
    SIDES[s].weights["of V"] && spectrumChart(s, n), logitTable(s, n), collisionTable(s, n), truthChart(s, n)));
}

function buildDirections() {
  const some = SIDES.map((_, s) => s).filter((s) => SIDES[s].steering.methods || SIDES[s].weights["of V"] || SIDES[s].truths.losses);
  if (!some.length) return;
  const body = el("div", { class: "blocks" });
  byId("directions").append(el("div", { class: "top" }, el("h2", {}, "Directions"),
    el("p", { class: "note" }, "In E\u2019s features of the seed that is chosen above: seeds have features of their own, and are compared by how well methods agree within them.")), body);
  LISTENERS.push(once(() => fill(body, some.map(directionBlock))));
}

MORE.push(buildDirections);
