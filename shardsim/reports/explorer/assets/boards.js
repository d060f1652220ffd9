// The mazes side by side: heatmap, walls, things, arrows, rings, colour bars.

const SPRITES = {};
for (const [name, uri] of Object.entries(BOOK.sprites)) {
  SPRITES[name] = new Image();
  SPRITES[name].onload = () => draw();
  SPRITES[name].src = uri;
}

function canvas(columns, rows, side) {
  const node = el("canvas");
  const scale = Math.max(2, window.devicePixelRatio || 1);
  node.width = Math.round(columns * side * scale);
  node.height = Math.round(rows * side * scale);
  node.style.aspectRatio = `${columns} / ${rows}`;
  const pen = node.getContext("2d");
  pen.scale(scale, scale);
  return [node, pen];
}

// numbers: (state) -> number; arrows and rings only where a view is given
function paint(pen, side, maze, numbers, most, diverging, options = {}) {
  const [wall, floor] = [ink("--wall"), ink("--floor")];
  for (let r = 0; r < ROWS; r++) for (let c = 0; c < COLUMNS; c++) {
    const x = stateAt(maze, r, c);
    const rgb = x >= 0 ? colour(numbers(x), most, diverging) : null;
    pen.fillStyle = rgb ? css(rgb) : wallAt(maze, r, c) ? wall : floor;
    pen.fillRect(c * side, r * side, side + 0.5, side + 0.5);
  }
  if (options.lines !== false) {
    pen.strokeStyle = ink("--grid");
    pen.lineWidth = 0.5;
    pen.beginPath();
    for (let r = 1; r < ROWS; r++) { pen.moveTo(0, r * side); pen.lineTo(COLUMNS * side, r * side); }
    for (let c = 1; c < COLUMNS; c++) { pen.moveTo(c * side, 0); pen.lineTo(c * side, ROWS * side); }
    pen.stroke();
  }
  things(pen, side, maze, options.small);
  if (options.view) {
    for (const [r, c, x] of cells(maze)) {
      const rgb = colour(numbers(x), most, diverging);
      if (STATE.arrows !== "none") arrows(pen, side, options.view, r, c, x, rgb);
      if (options.view.parted(x)) ring(pen, side, r, c);
    }
  }
}

function things(pen, side, maze, small) {
  for (const thing of BOOK.mazes[maze].things) {
    const image = SPRITES[thing.name];
    const start = thing.name === "start";
    if (start && small) continue;
    const size = side * (start ? 0.34 : 0.8);
    const [x, y] = start
      ? [(thing.column + 0.04) * side, (thing.row + 0.04) * side]
      : [(thing.column + 0.1) * side, (thing.row + 0.1) * side];
    pen.imageSmoothingEnabled = false;
    pen.globalAlpha = start ? 0.75 : 1;
    if (image && image.complete && image.naturalWidth) pen.drawImage(image, x, y, size, size);
    pen.globalAlpha = 1;
  }
}

function arrows(pen, side, view, row, column, x, rgb) {
  const policy = STATE.acts === "D" ? view.prior(x).map(Math.exp) : view.policy(x);
  const [cx, cy] = [(column + 0.5) * side, (row + 0.5) * side];
  const dots = policy.map((p, a) => [p, move(view.maze, x, a)]);
  const line = rgb ? bright(rgb) ? "rgba(20,22,26,.86)" : "rgba(255,255,255,.93)" : ink("--ink");
  pen.fillStyle = pen.strokeStyle = line;
  const shaft = (dy, dx, length) => {
    const size = Math.hypot(dx, dy);
    if (size === 0 || length < 0.03) return;
    const [ux, uy] = [dx / size, dy / size], half = length * side * 0.36;
    const [tx, ty] = [cx + ux * half, cy + uy * half], head = Math.min(side * 0.17, half);
    pen.lineWidth = Math.max(1, side * 0.055);
    pen.beginPath();
    pen.moveTo(cx - ux * half, cy - uy * half);
    pen.lineTo(tx - ux * head * 0.7, ty - uy * head * 0.7);
    pen.stroke();
    pen.beginPath();
    pen.moveTo(tx, ty);
    pen.lineTo(tx - ux * head - uy * head * 0.62, ty - uy * head + ux * head * 0.62);
    pen.lineTo(tx - ux * head + uy * head * 0.62, ty - uy * head - ux * head * 0.62);
    pen.fill();
  };
  if (STATE.arrows === "net") {
    const net = dots.reduce((s, [p, [dy, dx]]) => [s[0] + p * dy, s[1] + p * dx], [0, 0]);
    shaft(net[0], net[1], Math.hypot(...net));
    return;
  }
  let stay = 0;
  for (const [p, [dy, dx]] of dots) {
    if (dy === 0 && dx === 0) { stay += p; continue; }
    if (p < 0.02) continue;
    const far = side * 0.44 * (0.35 + 0.65 * p), wide = side * 0.13 * Math.sqrt(p);
    pen.beginPath();
    pen.moveTo(cx + dx * far, cy + dy * far);
    pen.lineTo(cx - dy * wide, cy + dx * wide);
    pen.lineTo(cx + dy * wide, cy - dx * wide);
    pen.fill();
  }
  if (stay > 0.02) { pen.beginPath(); pen.arc(cx, cy, side * 0.15 * Math.sqrt(stay), 0, 7); pen.fill(); }
}

function ring(pen, side, row, column) {
  pen.beginPath();
  pen.arc((column + 0.5) * side, (row + 0.5) * side, side * 0.43, 0, 7);
  pen.lineWidth = Math.max(1.6, side * 0.065);
  pen.strokeStyle = "rgba(255,255,255,.6)";
  pen.stroke();
  pen.lineWidth = Math.max(1, side * 0.036);
  pen.strokeStyle = ink("--ring");
  pen.stroke();
}

function mark(pen, side, row, column) {
  pen.lineWidth = 2.5;
  pen.strokeStyle = ink("--mark");
  pen.strokeRect(column * side + 1.2, row * side + 1.2, side - 2.4, side - 2.4);
}

// the largest size of a quantity over both sides, all checkpoints, all mazes: a slider
// or a click changes no scale
const SCALES = {};
function scale(name) {
  if (!QUANTITIES[name].diverging) return 1;
  const key = [name, STATE.seed, QUANTITIES[name].shard ? STATE.shard : ""].join();
  if (!(key in SCALES)) {
    const some = [...new Set([STEPS.length - 1, Math.floor(STEPS.length / 2), 0])];
    let most = 0;
    const none = new Set();
    SIDES.forEach((_, s) => some.forEach((step) => {
      for (let maze = 0; maze < MAZES; maze++) {
        const v = new View(s, step, STATE.seed, maze, none);
        for (const [, , x] of cells(maze)) {
          const q = Math.abs(v.quantity(name, x, STATE.shard));
          if (q > most) most = q;
        }
      }
    }));
    SCALES[key] = most;
  }
  return SCALES[key];
}
function largest(maze, numbers) {
  return Math.max(0, ...cells(maze).map(([, , x]) => Math.abs(numbers(x))).filter(Number.isFinite));
}

function bar(most, diverging) {
  const stops = [];
  for (let i = 0; i <= 16; i++) {
    const part = i / 16;
    stops.push(css(colour(diverging ? (2 * part - 1) : part, 1, diverging)));
  }
  return el("div", { class: "bar" },
    el("span", {}, diverging ? number(-most, 2) : "0"),
    el("i", { style: `background:linear-gradient(90deg,${stops.join(",")})` },
      diverging ? el("b") : null),
    el("span", {}, number(most, 2)));
}

const PANELS = [];
function panel(kind) {
  const title = el("h3"), note = el("p", { class: "note" }), under = el("div");
  const side = 48;
  const [node, pen] = canvas(COLUMNS, ROWS, side);
  node.tabIndex = 0;
  const cellOf = (event) => {
    const box = node.getBoundingClientRect();
    return [Math.floor((event.clientY - box.top) / box.height * ROWS),
      Math.floor((event.clientX - box.left) / box.width * COLUMNS)];
  };
  node.addEventListener("pointermove", (event) => {
    const cell = cellOf(event);
    if (hovered && cell[0] === hovered[0] && cell[1] === hovered[1]) return;
    hovered = cell;
    draw();
  });
  node.addEventListener("pointerleave", () => { hovered = null; draw(); });
  node.addEventListener("click", (event) => {
    const cell = cellOf(event);
    if (stateAt(STATE.maze, ...cell) >= 0) set({ cell });
  });
  node.setAttribute("role", "img");
  const figure = el("figure", { class: "panel" }, title, node, under, note);
  PANELS.push({ kind, figure, title, node, pen, note, under, side });
  return figure;
}

function drawPanel(p, views) {
  const name = STATE.quantity, about = QUANTITIES[name], maze = STATE.maze;
  const [a, b] = views;
  let numbers, most, diverging = about.diverging, seen = null;
  p.title.textContent = "";
  if (p.kind === "difference") {
    numbers = (x) => b.quantity(name, x, STATE.shard) - a.quantity(name, x, STATE.shard);
    most = largest(maze, numbers);
    diverging = true;
    p.title.append("B \u2212 A");
    const variation = cells(maze).map(([, , x]) => {
      const [q, r] = [a.policy(x), b.policy(x)];
      return q.reduce((sum, y, i) => sum + Math.abs(y - r[i]) / 2, 0);
    });
    p.note.textContent = `policies differ by ${number(mean(variation))} (total variation)`;
  } else if (p.kind === "exact") {
    numbers = (x) => a.exact(x);
    most = scale("exact");
    diverging = true;
    p.title.append("exact V*");
    p.note.textContent = "by dynamic programming";
  } else {
    seen = views[p.kind];
    numbers = (x) => seen.quantity(name, x, STATE.shard);
    most = STATE.scale === "shared" ? scale(name) : diverging ? largest(maze, numbers) : 1;
    p.title.append(el("em", { class: `side s${p.kind}` }, LETTERS[p.kind]), NAMES[p.kind]);
    const errors = cells(maze).map(([, , x]) => (seen.value(x) - seen.exact(x)) ** 2);
    const parted = cells(maze).filter(([, , x]) => seen.parted(x)).length;
    p.note.textContent = `V \u2212 V*: ${number(Math.sqrt(mean(errors)))} rms \u00b7 ${parted} of ${errors.length} cells part`;
    if (seen.fit.size) p.note.textContent += ` \u00b7 fitted experts off: ${[...seen.fit].join(", ")}`;
    if (seen.off.size) p.note.textContent += ` \u00b7 off: ${[...seen.off].map((k) => k).join(", ")}`;
  }
  paint(p.pen, p.side, maze, numbers, most, diverging, { view: seen });
  mark(p.pen, p.side, ...cellShown());
  p.under.replaceChildren(bar(most, diverging));
  p.node.setAttribute("aria-label", `${p.title.textContent}: ${about.long}`);
}

function buildMazes() {
  const root = byId("mazes");
  const kinds = SIDES.length > 1 ? [0, 1, "difference"] : [0, "exact"];
  root.append(
    el("div", { class: "top" }, el("h2", { id: "what" }),
      el("div", { class: "save" },
        el("button", { onclick: savePicture, title: "the mazes as a picture" }, "PNG"),
        el("button", { onclick: saveCells, title: "every cell of this maze as a table" }, "CSV"),
        el("button", { onclick: saveView, title: "what is shown, as JSON" }, "JSON"))),
    el("div", { class: "mazes" },
      el("div", { class: "panels" }, kinds.map(panel)),
      el("aside", { id: "detail", "aria-live": "polite" })),
    el("p", { class: "legend" },
      el("span", {}, el("i", { class: "ringed" }), "D\u2019s best action is not among V\u2019s best"),
      el("span", {}, "\u279c where the policy goes on average; short: it wavers, stays, or goes both ways (see components)"),
      el("span", {}, el("i", { class: "walled" }), "wall"),
      el("span", {}, "a cell that ends the episode has no V")));
  LISTENERS.push(() => {
    const views = SIDES.map((_, s) => view(s));
    const m = BOOK.mazes[STATE.maze];
    byId("what").textContent = `${QUANTITIES[STATE.quantity].long}${QUANTITIES[STATE.quantity].shard ? " " + STATE.shard : ""} \u00b7 ${mazeName(m)}`;
    for (const p of PANELS) drawPanel(p, views);
  });
}
function mazeName(m) {
  const context = m.context.length ? `, context ${m.context.join("+")}` : "";
  return `${words(m.condition)} ${m.level}${SHOWS_CONTEXT ? context : ""}`;
}
const SHOWS_CONTEXT = new Set(BOOK.mazes.map((m) => m.context.join())).size > 1;
