// Shards one by one: gate, value and contribution in this maze; a click switches off.

function small(maze, numbers, most, diverging, label) {
  const side = 14;
  const [node, pen] = canvas(COLUMNS, ROWS, side);
  paint(pen, side, maze, numbers, most, diverging, { small: true, lines: false });
  node.title = label;
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", label);
  return node;
}

function share(x, s) {
  return el("span", { class: "share", title: percent(x) }, el("i", { class: `s${s}`, style: `width:${Math.min(100, 100 * x).toFixed(1)}%` }), el("b", {}, percent(x)));
}

function shardRow(s, v, k, tops) {
  const side = SIDES[s], n = v.index[1], kUse = side.parts;
  const at = n * kUse + k;
  const off = v.off.has(k), dead = side.usage.dead[n][k];
  const twins = side.usage.twins[n][k].flatMap((is, j) => (is ? [j] : []));
  const partners = side.roles.partner.map((list, m) => [m, list[side.roles.partner[n].indexOf(k)]]);
  const role = side.roles.partner[n].indexOf(k);
  const like = role >= 0 ? side.roles.likeness[n * kUse + role] : NaN;
  return el("tr", { class: off ? "off" : "" },
    el("th", { scope: "row" }, el("button", {
      class: `switch s${s}`, "aria-pressed": String(!off), "data-switch": `${LETTERS[s]}${k}`,
      title: off ? "switch on" : "switch off: V without it is V less its contribution",
      onclick: () => toggle(s, k),
    }, el("i"), kUse > 1 ? `shard ${k}` : "V"),
    el("small", {}, [dead ? "dead" : "", twins.length ? `twin of ${twins.join(", ")}` : "", off ? "off" : ""].filter(Boolean).join(" \u00b7 "))),
    el("td", {}, small(v.maze, (x) => v.gate(x, k), tops.gate, false, `gate of shard ${k}`)),
    el("td", {}, small(v.maze, (x) => v.part(x, k), tops.part, true, `value of shard ${k}`)),
    el("td", {}, small(v.maze, (x) => v.contribution(x, k), tops.each, true, `contribution of shard ${k}`)),
    el("td", {}, share(side.usage["value share"][at], s), el("small", {}, "of |V|"),
      share(side.usage["gate share"][at], s), el("small", {}, "of the gates")),
    el("td", { class: "role" }, n === 0 || kUse === 1 ? el("small", {}, kUse > 1 ? `role ${k}` : "")
      : [el("b", {}, `role ${role}`), el("small", {}, `like shard ${role} of seed 0: r ${number(like, 2)}`)]));
}

function shardBlock(s) {
  const v = view(s), side = SIDES[s];
  const tops = { gate: 0, part: 0, each: 0 };
  for (const [, , x] of cells(v.maze)) for (let k = 0; k < v.parts; k++) {
    tops.gate = Math.max(tops.gate, v.gate(x, k));
    tops.part = Math.max(tops.part, Math.abs(v.part(x, k)));
    tops.each = Math.max(tops.each, Math.abs(v.contribution(x, k)));
  }
  tops.gate = Math.max(1, tops.gate);
  const ks = Array.from({ length: v.parts }, (_, k) => k);
  const null_ = side.roles.null[v.index[1]];
  return el("div", { class: "block" },
    el("h3", {}, el("em", { class: `side s${s}` }, LETTERS[s]), NAMES[s],
      el("small", {}, v.parts > 1 ? `${v.parts} shards` : "one part")),
    el("div", { class: "scroll" }, el("table", { class: "shards" },
      el("thead", {}, el("tr", {}, ["", "gate g", "value v", "g \u00b7 v", "share, last checkpoint", v.parts > 1 ? "role" : ""].map((t) => el("th", {}, t)))),
      el("tbody", {}, ks.map((k) => shardRow(s, v, k, tops))),
      el("tfoot", {}, el("tr", {}, el("th", {}, "scale"), el("td", {}, bar(tops.gate, false)),
        el("td", {}, bar(tops.part, true)), el("td", {}, bar(tops.each, true)), el("td"), el("td"))))),
    el("p", { class: "note" },
      `Contributions add up to V within ${number(side.usage["largest residual"])} in every state (allowed: ${number(side.usage.tolerance)}).`,
      v.parts > 1 && v.index[1] > 0 ? ` Matched by contributions; shuffled states give r ${number(null_, 2)}.` : ""));
}

function buildShards() {
  const root = byId("shards");
  const body = el("div", { class: "blocks" });
  root.append(el("div", { class: "top" }, el("h2", {}, "Shards"),
    el("p", { class: "note" }, "Click a shard to switch it off: V, arrows and rings above follow at once. Keys 1\u20139 do the same for B.")), body);
  LISTENERS.push(once(() => fill(body, SIDES.map((_, s) => el("div", { class: "block" }, shardBlock(s), expertBlock(s))))));
}

function buildWants() {
  const root = byId("wants"), some = SIDES.some((side) => side.parts > 1);
  if (!some) { root.remove(); return; }
  root.append(el("div", { class: "top" }, el("h2", {}, "Which shard wants what"),
    el("p", { class: "note" }, "Change of the expected return from each source when a shard is switched off, last checkpoint, mean over seeds matched by role. Grey: as much of |V| taken away evenly. Exact expectations, no sampling.")));
  const blocks = el("div", { class: "blocks" });
  SIDES.forEach((side, s) => {
    if (side.parts < 2) return;
    const w = side.wants;
    const all = w["mean effect"].flat().concat(w["mean control"].flat());
    const most = Math.max(1e-6, ...all.map((i) => Math.max(Math.abs(i.estimate), Math.abs(i.low ?? 0), Math.abs(i.high ?? 0))));
    const base = w.sources.map((_, r) => mean(Array.from({ length: side.seeds }, (_, n) => w.return[n * w.sources.length + r])));
    blocks.append(el("div", { class: "block" },
      el("h3", {}, el("em", { class: `side s${s}` }, LETTERS[s]), NAMES[s]),
      el("div", { class: "scroll" }, el("table", { class: "wants" },
        el("thead", {}, el("tr", {}, el("th", {}, "without"), w.sources.map((name, r) => el("th", {}, SPRITES[name] ? el("img", { src: SPRITES[name].src, alt: "" }) : null, name, el("small", {}, ` ${number(base[r])} with all`))))),
        el("tbody", {}, w["mean effect"].map((row, k) => el("tr", {}, el("th", {}, `role ${k}`),
          row.map((i, r) => el("td", {}, whisker(i, w["mean control"][k][r], most), el("span", {}, range(i, signed)))))))))));
  });
  root.append(blocks);
}

function whisker(interval, control, most) {
  const at = (x) => 80 + 74 * (x / most);
  const line = (i, y, style) => i.low === null
    ? [el("circle", { cx: at(i.estimate), cy: y, r: 3, style: `fill:${style}` })]
    : [el("line", { x1: at(i.low), x2: at(i.high), y1: y, y2: y, style: `stroke:${style};stroke-width:2` }),
      el("circle", { cx: at(i.estimate), cy: y, r: 3, style: `fill:${style}` })];
  return el("svg", { viewBox: "0 0 160 22", class: "whisker" },
    el("line", { x1: 80, x2: 80, y1: 1, y2: 21, style: "stroke:var(--line)" }),
    line(control, 16, "var(--soft)"), line(interval, 7, "var(--accent)"));
}
