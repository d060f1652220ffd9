// What the page shows. All of it is in the URL after #, so that a link shows the same.

const STATE = {
  step: STEPS.length - 1,
  seed: 0,
  maze: 0,
  shard: 0,
  cell: null,
  shardsOff: SIDES.map(() => new Set()),
  expertsOff: SIDES.map(() => new Set()),
};
// Settings with a few values each; the first is the default, and is left out of the URL.
const CHOICES = {
  quantity: Object.keys(QUANTITIES),
  scale: ["shared", "own"],
  arrows: ["net", "components", "none"],
  acts: ["policy", "D"],
  theme: ["", "light", "dark"],
};
// Settings of panels that are text; each panel checks its own.
const TEXTS = [];
// What is drawn again after every change.
const LISTENERS = [];
// The panels of this page, by name: each is built once.
const PANELS = {};
let hovered = null;

function applyDefaults() {
  for (const [key, values] of Object.entries(CHOICES)) STATE[key] ??= values[0];
}
function startCell(maze) {
  const start = DATA.mazes[maze].objects.find((object) => object.name === "start");
  if (start && stateAt(maze, start.row, start.column) >= 0)
    return [start.row, start.column];
  const first = cells(maze)[0];
  return first ? [first[0], first[1]] : [0, 0];
}
// The cell whose numbers are shown: under the pointer, else clicked, else the start.
function shownCell() {
  const cell = hovered ?? STATE.cell;
  return cell && stateAt(STATE.maze, ...cell) >= 0 ? cell : startCell(STATE.maze);
}

function toHash() {
  const out = {
    step: STATE.step,
    seed: STATE.seed,
    maze: STATE.maze,
    quantity: STATE.quantity,
  };
  if (QUANTITIES[STATE.quantity].perShard) out.shard = STATE.shard;
  for (const [key, [usual]] of Object.entries(CHOICES))
    if (key !== "quantity" && STATE[key] !== usual) out[key] = STATE[key];
  SIDES.forEach((_, s) => {
    for (const key of ["shardsOff", "expertsOff"])
      if (STATE[key][s].size)
        out[key + LETTERS[s]] = [...STATE[key][s]].sort().join(".");
  });
  if (STATE.cell) out.cell = STATE.cell.join(".");
  for (const key of TEXTS) if (STATE[key]) out[key] = STATE[key];
  return "#" + new URLSearchParams(out).toString();
}
// What makes no sense in a URL is ignored.
function fromHash() {
  const read = new URLSearchParams(location.hash.slice(1));
  const index = (key, most) => {
    const x = Number(read.get(key));
    if (read.has(key) && Number.isInteger(x))
      STATE[key] = Math.max(0, Math.min(most, x));
  };
  index("step", STEPS.length - 1);
  index("seed", SEEDS - 1);
  index("maze", MAZES - 1);
  index("shard", Math.max(...SIDES.map((side) => side.num_shards)) - 1);
  for (const [key, allowed] of Object.entries(CHOICES))
    if (allowed.includes(read.get(key))) STATE[key] = read.get(key);
  for (const key of TEXTS) if (read.has(key)) STATE[key] = read.get(key);
  SIDES.forEach((side, s) => {
    const list = (key, count) =>
      new Set(
        (read.get(key + LETTERS[s]) ?? "")
          .split(".")
          .filter(Boolean)
          .map(Number)
          .filter((k) => Number.isInteger(k) && k >= 0 && k < count),
      );
    STATE.shardsOff[s] = list("shardsOff", side.num_shards);
    STATE.expertsOff[s] = list("expertsOff", numExperts(s));
  });
  const cell = (read.get("cell") ?? "").split(".").map(Number);
  STATE.cell = cell.length === 2 && cell.every(Number.isInteger) ? cell : null;
}

let waiting = false;
function changed() {
  history.replaceState(null, "", toHash());
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
}
function draw() {
  if (STATE.theme) document.documentElement.dataset.theme = STATE.theme;
  else delete document.documentElement.dataset.theme;
  for (const listener of LISTENERS) listener();
}
// Runs `listener` only when what the page shows has changed, not when the pointer
// moves: a panel that is rebuilt under the pointer would lose the click.
function onChange(listener) {
  let last = null;
  LISTENERS.push(() => {
    const loaded = Object.values(SPRITES).filter((image) => image.complete).length;
    const now = [toHash(), isDark(), loaded].join();
    if (now === last) return;
    last = now;
    listener();
  });
}
function set(changes) {
  Object.assign(STATE, changes);
  changed();
}
function toggle(key, s, k) {
  const off = STATE[key][s];
  if (off.has(k)) off.delete(k);
  else off.add(k);
  changed();
}
function view(s, step = STATE.step, seed = STATE.seed, maze = STATE.maze) {
  return new View(s, step, seed, maze, STATE.shardsOff[s], STATE.expertsOff[s]);
}
// The last checkpoint with every shard on: what the panels on features start from.
function lastView(s, seed = seedOf(s)) {
  return new View(s, STEPS.length - 1, seed, STATE.maze, new Set());
}
