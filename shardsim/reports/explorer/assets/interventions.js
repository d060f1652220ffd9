// Interventions on the features: what was computed beforehand, for every seed.

const STEERED = SIDES.map((side, s) => s).filter((s) => modesOf(s).length);
const PUSH = { side: STEERED[STEERED.length - 1] ?? 0, method: 0, mode: "", coefficient: 5, clamp: 3 };
if (STEERED.length) PUSH.mode = modesOf(PUSH.side)[0];

function modesOf(s) {
  const about = SIDES[s].steering;
  return [...(about.methods ? ["ablated", "added"] : []), ...(about.retarget ? ["retarget"] : [])];
}
function seedOf(s) { return Math.min(STATE.seed, SIDES[s].seeds - 1); }
function pushFromHash() {
  const [side, method, mode, coefficient] = (STATE.push ?? "").split(".");
  if (!STEERED.includes(Number(side)) || !modesOf(Number(side)).includes(mode)) return;
  const about = SIDES[Number(side)].steering, at = Number(coefficient);
  const steps = mode === "retarget" ? about.retarget.times : about.coefficients;
  if (steps[at] === undefined || (mode !== "retarget" && about.methods[Number(method)] === undefined)) return;
  Object.assign(PUSH, { side: Number(side), method: Number(method), mode }, mode === "retarget" ? { clamp: at } : { coefficient: at });
}
function push(changes) {
  Object.assign(PUSH, changes);
  if (!modesOf(PUSH.side).includes(PUSH.mode)) PUSH.mode = modesOf(PUSH.side)[0];
  set({ push: [PUSH.side, PUSH.method, PUSH.mode, PUSH.mode === "retarget" ? PUSH.clamp : PUSH.coefficient].join(".") });
}
// V of the chosen seed where the features were changed; `control`: at random
function steered(x, control = false) {
  const about = SIDES[PUSH.side].steering, n = seedOf(PUSH.side), mark = control ? "random " : "";
  if (PUSH.mode === "retarget") return about.retarget[`${mark}clamped`][offset(about.retarget.clamped, n, PUSH.clamp, STATE.maze, x)];
  const array = about[mark + PUSH.mode];
  return array[PUSH.mode === "ablated" ? offset(array, n, PUSH.method, STATE.maze, x) : offset(array, n, PUSH.method, PUSH.coefficient, STATE.maze, x)];
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

function pushControls() {
  const about = () => SIDES[PUSH.side].steering, clamps = () => PUSH.mode === "retarget";
  const slider = el("input", { type: "range", min: 0, id: "push", "aria-label": "how far",
    oninput: (event) => push(clamps() ? { clamp: Number(event.target.value) } : { coefficient: Number(event.target.value) }) });
  const told = el("output");
  const method = picker("method", () => (about().methods ?? ["", ""]).slice(0, -1).map((m, i) => [i, words(m)]), () => PUSH.method, (m) => push({ method: m }));
  LISTENERS.push(() => {
    const a = about();
    slider.max = (clamps() ? a.retarget.times : a.coefficients).length - 1;
    slider.value = clamps() ? PUSH.clamp : PUSH.coefficient;
    slider.disabled = PUSH.mode === "ablated";
    method.hidden = clamps();
    told.textContent = PUSH.mode === "ablated" ? "taken out" : clamps() ? `clamped to ${number(a.retarget.times[PUSH.clamp], 2)} times` : `${signed(a.coefficients[PUSH.coefficient], 2)} sd`;
  });
  const modes = [["ablated", "ablated", "a direction taken out"], ["added", "added", "a direction added"], ["retarget", "retarget", "features clamped as if the goal lay elsewhere"]];
  return el("div", { class: "line" },
    choice("side", STEERED.map((s) => [s, `${LETTERS[s]} ${NAMES[s]}`]), () => PUSH.side, (side) => push({ side })),
    choice("how", modes.filter(([mode]) => STEERED.some((s) => modesOf(s).includes(mode))), () => PUSH.mode, (mode) => push({ mode })),
    method, slider, told);
}

function buildInterventions() {
  if (!STEERED.length) return;
  pushFromHash();
  const body = el("div", { class: "panels" }), note = el("p", { class: "note", id: "pushed" }), about = el("p", { class: "note" }), curve = el("div", { class: "charts" });
  const boards = ["base", "patched", "difference", "random control", "the real thing there"].map((name) => {
    const [node, pen] = canvas(COLUMNS, ROWS, 36), under = el("div"), title = el("h3", {}, name);
    return { node, pen, under, title, figure: el("figure", { class: "panel" }, title, node, under) };
  });
  boards.forEach((b) => body.append(b.figure));
  byId("interventions").append(el("div", { class: "top" }, el("h2", {}, "Interventions on the features"), about), pushControls(), body, note, curve);
  LISTENERS.push(once(() => {
    const clamps = PUSH.mode === "retarget", r = SIDES[PUSH.side].steering.retarget, maze = STATE.maze, n = seedOf(PUSH.side);
    about.textContent = clamps
      ? `Seed ${n}, last checkpoint. The ${r.units} features that rise most when ${r.things[maze]} is put on the marked cell are clamped in every state of the maze as it is: does V now point where nothing is? Control: as many other features.`
      : `Concept: ${SIDES[PUSH.side].steering.concept}. Seed ${n}, last checkpoint. V after a direction was taken out of E\u2019s features (ablated), or so many standard deviations of it were added; beside it a random direction that moves the features as far.`;
    const base = new View(PUSH.side, STEPS.length - 1, n, maze, new Set());
    const was = (x) => base.whole(x), now = (x) => steered(x), change = (x) => steered(x) - was(x), control = (x) => steered(x, true) - was(x);
    const real = clamps ? (x) => r["placed value"][offset(r["placed value"], n, maze, x)] : was;
    const most = Math.max(largest(maze, was), largest(maze, now), clamps ? largest(maze, real) : 0);
    const far = Math.max(largest(maze, change), largest(maze, control));
    [[was, most], [now, most], [change, far], [control, far], [real, most]].forEach(([numbers, top], i) => {
      paint(boards[i].pen, 36, maze, numbers, top, true);
      if (clamps) mark(boards[i].pen, 36, ...r.cells[maze]);
      fill(boards[i].under, bar(top, true));
    });
    boards[4].figure.hidden = !clamps;
    const rms = (f) => Math.sqrt(mean(cells(maze).map(([, , x]) => f(x) ** 2)));
    note.textContent = `V moves by ${number(rms(change))} rms, under the random control by ${number(rms(control))}.`;
    if (clamps) note.textContent += ` The agent comes to row ${r.cells[maze][0]}, column ${r.cells[maze][1]} with chance ${percent(score(r, "scores"))} (mean over cells), under the control ${percent(score(r, "random scores"))}, untouched ${percent(r.absent[offset(r.absent, n, maze)])}, with the real thing there ${percent(r.placed[offset(r.placed, n, maze)])}: the clamp does ${percent(score(r, "share"))} of that.`;
    fill(curve, clamps ? el("figure", {}, el("figcaption", {}, el("b", {}, "over the clamp"), el("small", {}, "chance to come to the marked cell; grey: the control; dashed: untouched, and with the real thing there")), targetChart(r, n)) : null);
  }));
}
function score(r, name, clamp = PUSH.clamp) { return r[name][offset(r[name], seedOf(PUSH.side), STATE.maze, clamp)]; }

function targetChart(r, n) {
  const { node, px, py } = frame([0, Math.max(...r.times)], [0, 1], { label: "retargeting", xlabel: "times the features with the real thing there" });
  for (const name of ["absent", "placed"]) {
    const y = r[name][offset(r[name], n, STATE.maze)];
    if (Number.isFinite(y)) node.append(el("line", { x1: px(0), x2: px(Math.max(...r.times)), y1: py(y), y2: py(y), class: "now" }));
  }
  for (const [name, kind] of [["random scores", "line soft"], ["scores", `line s${PUSH.side}`]]) {
    const points = r.times.map((t, q) => [px(t), py(score(r, name, q))]);
    node.append(el("path", { d: path(points), class: kind }), ...points.filter(([, y]) => Number.isFinite(y)).map(([x, y], q) =>
      hint(el("circle", { cx: x, cy: y, r: 3, class: name === "scores" ? `dot s${PUSH.side}` : "hist" }), `${name}: ${number(score(r, name, q))}`)));
  }
  return node;
}

MORE.push(buildInterventions);
