// What is shown. All of it stands in the URL after #, so that a link shows the same.

const STATE = {
  step: STEPS.length - 1, seed: 0, maze: 0, quantity: "value", shard: 0, scale: "shared",
  arrows: "net", acts: "policy", off: [new Set(), new Set()], fit: [new Set(), new Set()], cell: null, theme: "", tail: "",
};
const LISTENERS = [];
// cards of other files that are on this page
const MORE = [];
let hovered = null;

function start(maze) {
  const found = BOOK.mazes[maze].things.find((thing) => thing.name === "start");
  if (found && stateAt(maze, found.row, found.column) >= 0) return [found.row, found.column];
  const first = cells(maze)[0];
  return first ? [first[0], first[1]] : [0, 0];
}
function cellShown() {
  const cell = hovered ?? STATE.cell;
  return cell && stateAt(STATE.maze, ...cell) >= 0 ? cell : start(STATE.maze);
}

function toHash() {
  const out = { step: STATE.step, seed: STATE.seed, maze: STATE.maze, quantity: STATE.quantity };
  if (QUANTITIES[STATE.quantity].shard) out.shard = STATE.shard;
  for (const [key, usual] of [["scale", "shared"], ["arrows", "net"], ["acts", "policy"], ["theme", ""], ["tail", ""]])
    if (STATE[key] !== usual) out[key] = STATE[key];
  LETTERS.forEach((letter, s) => {
    if (STATE.off[s].size) out["off" + letter] = [...STATE.off[s]].sort().join(".");
    if (STATE.fit[s].size) out["fit" + letter] = [...STATE.fit[s]].sort().join(".");
  });
  if (STATE.cell) out.cell = STATE.cell.join(".");
  if (STATE.push) out.push = STATE.push;
  return "#" + new URLSearchParams(out).toString();
}
function fromHash() {
  const read = new URLSearchParams(location.hash.slice(1));
  const whole = (key, most) => {
    const x = Number(read.get(key));
    if (read.has(key) && Number.isInteger(x)) STATE[key] = Math.max(0, Math.min(most, x));
  };
  whole("step", STEPS.length - 1);
  whole("seed", SEEDS - 1);
  whole("maze", MAZES - 1);
  whole("shard", Math.max(...SIDES.map((side) => side.parts)) - 1);
  const choice = (key, allowed) => { if (allowed.includes(read.get(key))) STATE[key] = read.get(key); };
  choice("quantity", Object.keys(QUANTITIES));
  choice("scale", ["shared", "own"]);
  choice("arrows", ["net", "components", "none"]);
  choice("acts", ["policy", "D"]);
  choice("theme", ["", "light", "dark"]);
  choice("tail", ["", "pooled", "context"]);
  if (read.has("push")) STATE.push = read.get("push");
  LETTERS.forEach((letter, s) => {
    const list = (name, most) => new Set((read.get(name + letter) ?? "").split(".").filter(Boolean).map(Number)
      .filter((k) => Number.isInteger(k) && k >= 0 && k < most));
    STATE.off[s] = list("off", SIDES[s]?.parts ?? 0);
    STATE.fit[s] = list("fit", SIDES[s]?.fitted.experts ?? 0);
  });
  const cell = (read.get("cell") ?? "").split(".").map(Number);
  STATE.cell = cell.length === 2 && cell.every(Number.isInteger) ? cell : null;
}

let waiting = false;
function changed() {
  history.replaceState(null, "", toHash());
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}
function draw() {
  if (STATE.theme) document.documentElement.dataset.theme = STATE.theme;
  else delete document.documentElement.dataset.theme;
  for (const listener of LISTENERS) listener();
}
// runs `listener` only when what it shows has changed: a card that is built anew under
// the pointer would lose the click, and hovering stays quick
function once(listener) {
  let last = null;
  return () => {
    const now = [toHash(), dark(), Object.values(SPRITES).filter((image) => image.complete).length].join();
    if (now === last) return;
    last = now;
    listener();
  };
}
function set(changes) { Object.assign(STATE, changes); changed(); }
function toggle(s, k, which = "off") {
  const off = STATE[which][s];
  if (off.has(k)) off.delete(k); else off.add(k);
  changed();
}
function view(s, step = STATE.step, seed = STATE.seed, maze = STATE.maze) {
  return new View(s, step, seed, maze, STATE.off[s], STATE.fit[s]);
}
