// Data, elements, numbers as text, and colours.

// An array is stored as {"$": type, shape, data: base64}; everything else as it is.
function decode(tree) {
  if (Array.isArray(tree)) return tree.map(decode);
  if (tree === null || typeof tree !== "object") return tree;
  if (tree.$ === undefined)
    return Object.fromEntries(
      Object.entries(tree).map(([key, inner]) => [key, decode(inner)]),
    );
  const bytes = Uint8Array.from(atob(tree.data), (c) => c.charCodeAt(0));
  const kinds = { f4: Float32Array, i4: Int32Array, u1: Uint8Array };
  const array = new kinds[tree.$](bytes.buffer);
  array.shape = tree.shape;
  return array;
}

const DATA = decode(JSON.parse(document.getElementById("data").textContent));
const SPECIFICATIONS = JSON.parse(document.getElementById("charts").textContent);
const SIDES = DATA.sides;
const LETTERS = ["A", "B"];
const NAMES = SIDES.map((side) =>
  SIDES.length > 1 && SIDES[0].arm === SIDES[1].arm
    ? `${side.run}/${side.arm}`
    : side.arm,
);

// The numbers of a panel for side s, or null where it could not be computed.
function panel(s, name) {
  return SIDES[s].panels[name] ?? null;
}
// The sides for which a panel has numbers.
function sidesWith(name) {
  return SIDES.map((_, s) => s).filter((s) => panel(s, name) !== null);
}

// Position of an index in a flat array; indices left out are 0.
function offset(array, ...index) {
  return array.shape.reduce((at, size, i) => at * size + (index[i] ?? 0), 0);
}
function at(array, ...index) {
  return array[offset(array, ...index)];
}
function range(n) {
  return Array.from({ length: n }, (_, i) => i);
}
function mean(list) {
  return list.reduce((a, b) => a + b, 0) / list.length;
}

function byId(id) {
  return document.getElementById(id);
}
// The element of a panel's section that its script fills.
function body(name) {
  return document.querySelector(`#${name} .body`);
}
function present(child) {
  return child !== null && child !== undefined && child !== false;
}
// A new element. Children that are strings are text, never HTML.
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (present(value)) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter(present));
  return node;
}
function fill(node, ...children) {
  node.replaceChildren(...children.flat(3).filter(present));
}
function letter(s) {
  return el("em", { class: `side s${s}` }, LETTERS[s]);
}
function sideTitle(s, ...more) {
  return el("h3", {}, letter(s), NAMES[s], el("small", {}, ...more));
}
function figure(name, explanation, ...inside) {
  return el(
    "figure",
    {},
    el("figcaption", {}, el("b", {}, name), el("small", {}, explanation)),
    ...inside,
  );
}
function table(className, head, rows, foot = []) {
  const cells = (row) =>
    row.map((cell) =>
      cell instanceof HTMLTableCellElement ? cell : el("td", {}, cell),
    );
  return el(
    "div",
    { class: "scroll" },
    el(
      "table",
      { class: className },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          head.map((cell) =>
            cell instanceof HTMLTableCellElement ? cell : el("th", {}, cell),
          ),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map((row) => (row instanceof Element ? row : el("tr", {}, cells(row)))),
      ),
      foot.length
        ? el(
            "tfoot",
            {},
            foot.map((row) => el("tr", {}, cells(row))),
          )
        : null,
    ),
  );
}
function rowHead(...children) {
  return el("th", { scope: "row" }, ...children);
}

// Numbers of one seed, each beside its value where there is nothing to see.
function readingsTable(s, readings) {
  if (!readings.length) return null;
  const n = Math.min(STATE.seed, SIDES[s].num_seeds - 1);
  const head = ["this seed", "nothing there", "over seeds"];
  const cell = (i, ...children) => el("td", { "data-label": head[i] }, ...children);
  const rows = readings.map((reading) => [
    rowHead(reading.name, el("small", {}, reading.meaning)),
    cell(0, el("b", {}, number(reading.values[n]))),
    cell(1, number(reading.nothing[n]), el("small", {}, reading.nothing_meaning)),
    cell(2, interval(reading.over_seeds)),
  ]);
  return table("readings stack", ["", ...head], rows);
}

function number(x, digits = 3) {
  if (!present(x) || !Number.isFinite(x)) return "\u2013";
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
function fixed(x) {
  return Number.isFinite(x) ? x.toFixed(2).replace("-", "\u2212") : "\u2013";
}
function percent(x) {
  return present(x) && Number.isFinite(x) ? `${(100 * x).toFixed(1)}%` : "\u2013";
}
// An estimate with its 95 % interval, where it has one.
function interval(result, show = number) {
  if (!result) return "\u2013";
  const { estimate, low, high } = result;
  return low === null || low === high
    ? show(estimate)
    : `${show(estimate)} [${show(low)}, ${show(high)}]`;
}
function words(name) {
  return String(name).replaceAll("_", " ");
}

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}
// A colour of the palette in the page's current scheme.
function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

const RAMPS = Object.fromEntries(
  Object.entries(DATA.ramps).map(([name, stops]) => {
    const rgb = stops.map((hex) =>
      [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)),
    );
    const ramp = range(256).map((i) => {
      const place = (i / 255) * (rgb.length - 1);
      const low = Math.min(Math.floor(place), rgb.length - 2);
      return rgb[low].map((c, j) =>
        Math.round(c + (place - low) * (rgb[low + 1][j] - c)),
      );
    });
    return [name, ramp];
  }),
);
// Colour of x: from -limit to limit if diverging, else from 0 to limit.
function colour(x, limit, diverging) {
  if (!Number.isFinite(x)) return null;
  const part = limit > 0 ? x / limit : 0;
  const place = diverging ? (part + 1) / 2 : part;
  const ramp = RAMPS[diverging ? (isDark() ? "dark" : "light") : "sequential"];
  return ramp[Math.max(0, Math.min(255, Math.round(place * 255)))];
}
function css(rgb) {
  return `rgb(${rgb[0]},${rgb[1]},${rgb[2]})`;
}
function isBright(rgb) {
  return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 140;
}
// A number on its colour.
function tinted(x, limit, text) {
  const rgb = colour(x, limit, true) ?? [120, 120, 120];
  const style = `background:${css(rgb)};color:${isBright(rgb) ? "#111" : "#fff"}`;
  return el("span", { class: "amount", title: x, style }, text);
}
