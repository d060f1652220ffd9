// The mazes next to each other: colours, walls, objects, arrows, rings, colour bars.

const SPRITES = {};
for (const [name, uri] of Object.entries(DATA.sprites)) {
  SPRITES[name] = new Image();
  SPRITES[name].onload = () => draw();
  SPRITES[name].src = uri;
}
// Pixels of a cell before scaling: main boards, boards of interventions, thumbnails.
const CELL = { large: 48, medium: 36, small: 14 };

function canvas(columns, rows, size) {
  const node = el("canvas");
  const scale = Math.max(2, window.devicePixelRatio || 1);
  node.width = Math.round(columns * size * scale);
  node.height = Math.round(rows * size * scale);
  node.style.aspectRatio = `${columns} / ${rows}`;
  const pen = node.getContext("2d");
  pen.scale(scale, scale);
  return [node, pen];
}

// Draws a board. `numbers` gives the number of a state; arrows and rings need a view.
function paint(pen, size, maze, numbers, limit, diverging, options = {}) {
  const [wall, floor] = [ink("--wall"), ink("--floor")];
  for (let r = 0; r < ROWS; r++)
    for (let c = 0; c < COLUMNS; c++) {
      const x = stateAt(maze, r, c);
      const rgb = x >= 0 ? colour(numbers(x), limit, diverging) : null;
      pen.fillStyle = rgb ? css(rgb) : wallAt(maze, r, c) ? wall : floor;
      pen.fillRect(c * size, r * size, size + 0.5, size + 0.5);
    }
  if (options.lines !== false) {
    pen.strokeStyle = ink("--grid");
    pen.lineWidth = 0.5;
    pen.beginPath();
    for (let r = 1; r < ROWS; r++) {
      pen.moveTo(0, r * size);
      pen.lineTo(COLUMNS * size, r * size);
    }
    for (let c = 1; c < COLUMNS; c++) {
      pen.moveTo(c * size, 0);
      pen.lineTo(c * size, ROWS * size);
    }
    pen.stroke();
  }
  paintObjects(pen, size, maze, options.small);
  if (!options.view) return;
  for (const [r, c, x] of cells(maze)) {
    const rgb = colour(numbers(x), limit, diverging);
    if (STATE.arrows !== "none") paintArrows(pen, size, options.view, r, c, x, rgb);
    if (options.view.disagrees(x)) paintRing(pen, size, r, c);
  }
}

function paintObjects(pen, size, maze, small) {
  pen.imageSmoothingEnabled = false;
  for (const { name, row, column } of DATA.mazes[maze].objects) {
    const image = SPRITES[name];
    const isStart = name === "start";
    if ((isStart && small) || !image?.complete || !image.naturalWidth) continue;
    const [margin, width] = isStart ? [0.04, 0.34] : [0.1, 0.8];
    pen.globalAlpha = isStart ? 0.75 : 1;
    pen.drawImage(
      image,
      (column + margin) * size,
      (row + margin) * size,
      width * size,
      width * size,
    );
    pen.globalAlpha = 1;
  }
}

function paintArrows(pen, size, view, row, column, x, rgb) {
  const policy = STATE.acts === "D" ? view.logDecoder(x).map(Math.exp) : view.policy(x);
  const [cx, cy] = [(column + 0.5) * size, (row + 0.5) * size];
  const moves = policy.map((p, a) => [p, move(view.maze, x, a)]);
  pen.fillStyle = pen.strokeStyle = !rgb
    ? ink("--ink")
    : isBright(rgb)
      ? "rgba(20,22,26,.86)"
      : "rgba(255,255,255,.93)";
  if (STATE.arrows === "net") {
    const [dy, dx] = moves.reduce(
      ([y, x], [p, [dy, dx]]) => [y + p * dy, x + p * dx],
      [0, 0],
    );
    paintArrow(pen, size, cx, cy, dy, dx);
    return;
  }
  let stay = 0;
  for (const [p, [dy, dx]] of moves) {
    if (dy === 0 && dx === 0) stay += p;
    else if (p >= 0.02) {
      const far = size * 0.44 * (0.35 + 0.65 * p);
      const wide = size * 0.13 * Math.sqrt(p);
      pen.beginPath();
      pen.moveTo(cx + dx * far, cy + dy * far);
      pen.lineTo(cx - dy * wide, cy + dx * wide);
      pen.lineTo(cx + dy * wide, cy - dx * wide);
      pen.fill();
    }
  }
  if (stay > 0.02) {
    pen.beginPath();
    pen.arc(cx, cy, size * 0.15 * Math.sqrt(stay), 0, 7);
    pen.fill();
  }
}

// An arrow around a centre, as long as the mean move.
function paintArrow(pen, size, cx, cy, dy, dx) {
  const length = Math.hypot(dx, dy);
  if (length < 0.03) return;
  const [ux, uy] = [dx / length, dy / length];
  const half = length * size * 0.36;
  const [tx, ty] = [cx + ux * half, cy + uy * half];
  const head = Math.min(size * 0.17, half);
  pen.lineWidth = Math.max(1, size * 0.055);
  pen.beginPath();
  pen.moveTo(cx - ux * half, cy - uy * half);
  pen.lineTo(tx - ux * head * 0.7, ty - uy * head * 0.7);
  pen.stroke();
  pen.beginPath();
  pen.moveTo(tx, ty);
  pen.lineTo(tx - ux * head - uy * head * 0.62, ty - uy * head + ux * head * 0.62);
  pen.lineTo(tx - ux * head + uy * head * 0.62, ty - uy * head - ux * head * 0.62);
  pen.fill();
}

function paintRing(pen, size, row, column) {
  pen.beginPath();
  pen.arc((column + 0.5) * size, (row + 0.5) * size, size * 0.43, 0, 7);
  pen.lineWidth = Math.max(1.6, size * 0.065);
  pen.strokeStyle = "rgba(255,255,255,.6)";
  pen.stroke();
  pen.lineWidth = Math.max(1, size * 0.036);
  pen.strokeStyle = ink("--ring");
  pen.stroke();
}

function paintFrame(pen, size, row, column) {
  pen.lineWidth = 2.5;
  pen.strokeStyle = ink("--mark");
  pen.strokeRect(column * size + 1.2, row * size + 1.2, size - 2.4, size - 2.4);
}

// The largest size of a quantity over both sides, some checkpoints and all mazes: the
// slider and a click change no scale.
const SCALES = {};
function sharedScale(name) {
  if (!QUANTITIES[name].diverging) return 1;
  const key = [name, STATE.seed, QUANTITIES[name].perShard ? STATE.shard : ""].join();
  SCALES[key] ??= Math.max(
    ...SIDES.flatMap((_, s) =>
      [...new Set([STEPS.length - 1, Math.floor(STEPS.length / 2), 0])].flatMap(
        (step) =>
          range(MAZES).map((maze) => {
            const v = new View(s, step, STATE.seed, maze, new Set());
            return largest(maze, (x) => v.quantity(name, x, STATE.shard));
          }),
      ),
    ),
  );
  return SCALES[key];
}

// V* stands beside a single side, and has its scale: colours show how far V is from it.
function scaleOf(name) {
  const isValue = SIDES.length === 1 && ["value", "exact"].includes(name);
  return isValue
    ? Math.max(sharedScale("value"), sharedScale("exact"))
    : sharedScale(name);
}

function colourBar(limit, diverging) {
  const stops = range(17).map((i) =>
    css(colour(diverging ? i / 8 - 1 : i / 16, 1, diverging)),
  );
  return el(
    "div",
    { class: "bar" },
    el("span", {}, diverging ? number(-limit, 2) : "0"),
    el(
      "i",
      { style: `background:linear-gradient(90deg,${stops.join(",")})` },
      diverging ? el("b") : null,
    ),
    el("span", {}, number(limit, 2)),
  );
}

function thumbnail(maze, numbers, limit, diverging, label) {
  const [node, pen] = canvas(COLUMNS, ROWS, CELL.small);
  paint(pen, CELL.small, maze, numbers, limit, diverging, {
    small: true,
    lines: false,
  });
  node.title = label;
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", label);
  return node;
}

// A board with a title, a colour bar and a note under it.
function board(size) {
  const [node, pen] = canvas(COLUMNS, ROWS, size);
  node.setAttribute("role", "img");
  const parts = {
    node,
    pen,
    size,
    title: el("h3"),
    bar: el("div"),
    note: el("p", { class: "note" }),
  };
  parts.figure = el(
    "figure",
    { class: "board" },
    parts.title,
    node,
    parts.bar,
    parts.note,
  );
  return parts;
}

const MAIN_BOARDS = [];
function mainBoard(kind) {
  const one = board(CELL.large);
  const cellUnder = (event) => {
    const box = one.node.getBoundingClientRect();
    return [
      Math.floor(((event.clientY - box.top) / box.height) * ROWS),
      Math.floor(((event.clientX - box.left) / box.width) * COLUMNS),
    ];
  };
  one.node.tabIndex = 0;
  one.node.addEventListener("pointermove", (event) => {
    const cell = cellUnder(event);
    if (hovered && cell[0] === hovered[0] && cell[1] === hovered[1]) return;
    hovered = cell;
    draw();
  });
  one.node.addEventListener("pointerleave", () => {
    hovered = null;
    draw();
  });
  one.node.addEventListener("click", (event) => {
    const cell = cellUnder(event);
    if (stateAt(STATE.maze, ...cell) >= 0) set({ cell });
  });
  MAIN_BOARDS.push({ ...one, kind });
  return one.figure;
}

function drawMainBoard(one, views) {
  const name = STATE.quantity;
  const maze = STATE.maze;
  const [a, b] = views;
  let { diverging } = QUANTITIES[name];
  let numbers, limit, shown;
  if (one.kind === "difference") {
    numbers = (x) =>
      b.quantity(name, x, STATE.shard) - a.quantity(name, x, STATE.shard);
    limit = largest(maze, numbers);
    diverging = true;
    fill(one.title, "B \u2212 A");
    const variation = cells(maze).map(([, , x]) => {
      const other = b.policy(x);
      return a.policy(x).reduce((sum, p, i) => sum + Math.abs(p - other[i]) / 2, 0);
    });
    one.note.textContent = `Total variation between the policies: ${number(mean(variation))} (mean over cells)`;
  } else if (one.kind === "exact") {
    numbers = (x) => a.exact(x);
    limit = STATE.scale === "shared" ? scaleOf("exact") : largest(maze, numbers);
    diverging = true;
    fill(one.title, "exact value V*");
    one.note.textContent = "by dynamic programming";
  } else {
    shown = views[one.kind];
    numbers = (x) => shown.quantity(name, x, STATE.shard);
    limit =
      STATE.scale === "shared"
        ? scaleOf(name)
        : diverging
          ? largest(maze, numbers)
          : 1;
    fill(one.title, letter(one.kind), NAMES[one.kind]);
    fill(one.note, boardNote(shown));
  }
  paint(one.pen, one.size, maze, numbers, limit, diverging, { view: shown });
  paintFrame(one.pen, one.size, ...shownCell());
  fill(one.bar, colourBar(limit, diverging));
  one.node.setAttribute(
    "aria-label",
    `${one.title.textContent}: ${QUANTITIES[name].long}`,
  );
}
function boardNote(shown) {
  const all = cells(shown.maze);
  const disagree = all.filter(([, , x]) => shown.disagrees(x)).length;
  const error = rms(shown.maze, (x) => shown.value(x) - shown.exact(x));
  const parts = [
    `RMS error of V: ${number(error)}`,
    `policy and V disagree in ${disagree} of ${all.length} cells`,
  ];
  if (shown.shardsOff.size)
    parts.push(`shards off: ${[...shown.shardsOff].join(", ")}`);
  if (shown.expertsOff.size)
    parts.push(`fitted experts off: ${[...shown.expertsOff].join(", ")}`);
  return parts.join(" \u00b7 ");
}

function buildMazes() {
  const kinds = SIDES.length > 1 ? [0, 1, "difference"] : [0, "exact"];
  fill(byId("boards"), kinds.map(mainBoard));
  LISTENERS.push(() => {
    const views = SIDES.map((_, s) => view(s));
    const about = QUANTITIES[STATE.quantity];
    const shard = about.perShard ? ` ${STATE.shard}` : "";
    byId("shown").textContent =
      `${about.long}${shard} \u00b7 ${mazeName(DATA.mazes[STATE.maze])}`;
    for (const one of MAIN_BOARDS) drawMainBoard(one, views);
  });
}
const CONTEXTS_DIFFER = new Set(DATA.mazes.map((m) => m.context.join())).size > 1;
function mazeName(m) {
  const context = m.context.length ? `, context ${m.context.join("+")}` : "";
  return `${words(m.condition)} ${m.level}${CONTEXTS_DIFFER ? context : ""}`;
}
