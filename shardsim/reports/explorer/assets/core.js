// Data, elements, numbers as text, and colours.

function decoded(tree) {
  if (Array.isArray(tree)) return tree.map(decoded);
  if (tree === null || typeof tree !== "object") return tree;
  if (tree.$ === undefined) {
    const out = {};
    for (const [key, inner] of Object.entries(tree)) out[key] = decoded(inner);
    return out;
  }
  const bytes = Uint8Array.from(atob(tree.data), (c) => c.charCodeAt(0));
  const kinds = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };
  const array = new kinds[tree.$](bytes.buffer);
  array.shape = tree.shape;
  return array;
}

const BOOK = decoded(JSON.parse(document.getElementById("book").textContent));
const SIDES = BOOK.sides;
const LETTERS = ["A", "B"];
const INKS = ["var(--a)", "var(--b)"];
const NAMES = SIDES.map((side, s) =>
  SIDES.length > 1 && SIDES[0].arm === SIDES[1].arm ? `${side.run}/${side.arm}` : side.arm);

// place of an index in a flat array
function offset(array, ...index) {
  let at = 0;
  for (let i = 0; i < array.shape.length; i++) at = at * array.shape[i] + (index[i] ?? 0);
  return at;
}

function byId(id) { return document.getElementById(id); }

// an element: text is always text, never HTML
function el(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "rect", "circle", "text", "g", "polyline"].includes(tag);
  const node = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false)
      node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of children.flat(3))
    if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

function fill(node, ...children) {
  node.replaceChildren(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
}

function number(x, digits = 3) {
  if (x === null || x === undefined || !Number.isFinite(x)) return "\u2013";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size < 1e-3 || size >= 1e5) return x.toExponential(1).replaceAll("-", "\u2212");
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return x.toFixed(Math.min(places, digits)).replace("-", "\u2212");
}
function signed(x, digits = 3) {
  const text = number(x, digits);
  return x > 0 && text !== "\u2013" ? "+" + text : text;
}
function percent(x) { return Number.isFinite(x) && x !== null ? `${(100 * x).toFixed(1)}%` : "\u2013"; }
function range(interval, show = number) {
  if (!interval) return "\u2013";
  const { estimate, low, high } = interval;
  return low === null || low === high
    ? show(estimate) : `${show(estimate)} [${show(low)}, ${show(high)}]`;
}
function words(name) { return String(name).replaceAll("_", " "); }
function mean(list) { return list.reduce((a, b) => a + b, 0) / list.length; }

function dark() {
  const set = document.documentElement.dataset.theme;
  return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
function ink(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

// red to blue through the colour of the paper, told apart by colour-blind people too
const RAMPS = {
  light: ["#7f1d1d", "#b2332f", "#d6604d", "#f0a482", "#f9ddcd", "#f6f6f3", "#d3e5f0", "#92c5de", "#4393c3", "#2166ac", "#0b3a6f"],
  dark: ["#ffb59c", "#f4845f", "#d0553a", "#96392b", "#56292a", "#23272e", "#1d3a55", "#205a8a", "#2f83bf", "#64b1e8", "#b5dcff"],
  one: ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"],
};
const TABLES = {};
for (const [name, stops] of Object.entries(RAMPS)) {
  const rgb = stops.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  TABLES[name] = Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (rgb.length - 1);
    const low = Math.min(Math.floor(at), rgb.length - 2);
    return rgb[low].map((c, j) => Math.round(c + (at - low) * (rgb[low + 1][j] - c)));
  });
}
// colour of x: around 0 within +-most, or from 0 to most
function colour(x, most, diverging) {
  if (!Number.isFinite(x)) return null;
  const part = most > 0 ? x / most : 0;
  const at = diverging ? (part + 1) / 2 : part;
  const table = TABLES[diverging ? (dark() ? "dark" : "light") : "one"];
  return table[Math.max(0, Math.min(255, Math.round(at * 255)))];
}
function css(rgb) { return `rgb(${rgb[0]},${rgb[1]},${rgb[2]})`; }
function bright(rgb) { return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 140; }
