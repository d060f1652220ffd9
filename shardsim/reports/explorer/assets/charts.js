// Small charts in SVG. Every mark has its number in a title.

const WIDE = 340, HIGH = 190, LEFT = 44, LOW = 26, TOP = 10, RIGHT = 10;

function ticks(low, high, count = 4) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].map((m) => m * power).find((u) => u >= rough);
  const out = [];
  for (let x = Math.ceil(low / unit) * unit; x <= high + 1e-9; x += unit) out.push(Math.abs(x) < unit / 1e6 ? 0 : x);
  return out;
}

function frame(xs, ys, options = {}) {
  const [x0, x1] = xs, [y0, y1] = ys[0] === ys[1] ? [ys[0] - 0.5, ys[1] + 0.5] : ys;
  const px = (x) => LEFT + (x1 > x0 ? (x - x0) / (x1 - x0) : 0.5) * (WIDE - LEFT - RIGHT);
  const py = (y) => TOP + (1 - (y - y0) / (y1 - y0)) * (HIGH - TOP - LOW);
  const node = el("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "chart", role: "img", "aria-label": options.label });
  for (const y of ticks(y0, y1)) node.append(
    el("line", { x1: LEFT, x2: WIDE - RIGHT, y1: py(y), y2: py(y), class: "rule" }),
    el("text", { x: LEFT - 6, y: py(y) + 3.5, "text-anchor": "end" }, number(y, 2)));
  for (const [x, text] of options.xticks ?? ticks(x0, x1).map((x) => [x, number(x, 2)]))
    node.append(el("text", { x: px(x), y: HIGH - 10, "text-anchor": "middle" }, text));
  if (options.xlabel) node.append(el("text", { x: (LEFT + WIDE - RIGHT) / 2, y: HIGH - 0.5, "text-anchor": "middle", class: "axis" }, options.xlabel));
  return { node, px, py };
}

function path(points) {
  let open = false, out = "";
  for (const [x, y] of points) {
    if (!Number.isFinite(x) || !Number.isFinite(y)) { open = false; continue; }
    out += `${open ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`;
    open = true;
  }
  return out;
}

// the curve of training with its range over seeds; the steps stand evenly
function curveChart(key) {
  const rows = SIDES.map((side) => {
    const [C, N] = side.curves[key].shape;
    return side.updates.map((update, c) => {
      const list = Array.from(side.curves[key].subarray(c * N, (c + 1) * N)).filter(Number.isFinite);
      return list.length ? [STEPS.indexOf(update), mean(list), Math.min(...list), Math.max(...list)] : null;
    }).filter(Boolean);
  });
  const all = rows.flat();
  if (!all.length) return null;
  const bound = [Math.min(0, ...all.map((r) => r[2])), Math.max(...all.map((r) => r[3]))];
  const some = STEPS.length > 7 ? Math.ceil(STEPS.length / 6) : 1;
  const xticks = STEPS.map((u, i) => [i, String(u)]).filter(([i]) => i % some === 0 || STEPS.length <= 7);
  const { node, px, py } = frame([0, Math.max(STEPS.length - 1, 1)], bound, { xticks, label: BOOK["curve names"][key][0] });
  node.append(el("line", { class: "now", x1: px(STATE.step), x2: px(STATE.step), y1: TOP, y2: HIGH - LOW }));
  rows.forEach((row, s) => {
    if (!row.length) return;
    const up = row.map(([x, , , high]) => [px(x), py(high)]), down = row.map(([x, , low]) => [px(x), py(low)]).reverse();
    node.append(el("path", { d: path([...up, ...down]) + "Z", class: `band s${s}` }),
      el("path", { d: path(row.map(([x, y]) => [px(x), py(y)])), class: `line s${s}` }),
      ...row.map(([x, y]) => el("circle", { cx: px(x), cy: py(y), r: 2.6, class: `dot s${s}` })));
  });
  STEPS.forEach((update, step) => {
    const told = rows.map((row, s) => `${NAMES[s]} ${number((row.find((r) => r[0] === step) ?? [])[1])}`).join("   ");
    const width = (WIDE - LEFT - RIGHT) / Math.max(STEPS.length, 1);
    const zone = el("rect", { x: px(step) - width / 2, y: 0, width, height: HIGH, class: "zone", onclick: () => set({ step }) });
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    title.textContent = `update ${update}   ${told}`;
    zone.append(title);
    node.append(zone);
  });
  return node;
}
