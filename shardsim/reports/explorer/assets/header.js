// The head of the page, training, tables and downloads.

function sideName(s) { return [el("em", { class: `side s${s}` }, LETTERS[s]), NAMES[s]]; }

function buildHead() {
  const about = BOOK.about;
  const fact = (name, text) => el("div", { class: "fact" }, el("dt", {}, name), el("dd", {}, text));
  byId("head").append(
    el("p", { class: "crumb" }, "shardsim inspect \u00b7 ", about.runs.map((run) => run.name).join(" and ")),
    el("h1", {}, about.question || SIDES.map((_, s) => NAMES[s]).join(" and ")),
    el("div", { class: "sides" }, SIDES.map((side, s) => el("div", { class: `card brief s${s}` },
      el("h2", {}, sideName(s), el("small", {}, headWords(side))),
      el("dl", {},
        fact("return / optimum", range(side.ends.return, percent)),
        fact("V error, sd of V*", range(side.ends.error)),
        fact("policy and V agree", range(side.ends.agreement, percent)),
        fact("parts in use", `${number(side.ends["in use"].estimate, 2)} of ${side.parts}`),
        fact("parameters of V", side.parameters.toLocaleString("en")),
        fact("seeds", String(side.seeds))))),
    diffCard(about)));
}
function headWords(side) {
  // what a head is known by, and whatever is not as by default
  const usual = ["shards", "gate", "aggregation", "modulators"].filter((key) => key in side.head);
  const said = { ...Object.fromEntries(usual.map((key) => [key, side.head[key]])), ...side.unusual };
  return [side.head.kind + (side.trained ? "" : ", untrained"), ...Object.entries(said).map(([k, x]) => `${k} ${x}`)].join(" \u00b7 ");
}
function diffCard(about) {
  const run = about.runs;
  return el("div", { class: "card brief diff" },
    el("h2", {}, "What differs"),
    about.differ.length ? el("div", { class: "scroll" }, el("table", {}, el("tbody", {}, about.differ.map(([key, a, b]) =>
      el("tr", {}, el("th", {}, key), el("td", {}, a === "None" ? "\u2013" : a), el("td", {}, b === "None" ? "\u2013" : b))))))
      : el("p", { class: "note" }, SIDES.length > 1 ? "Nothing in the config." : "One side is shown."),
    el("p", { class: "note" }, run.map((r) => `${r.run}: config ${r.digest}, source ${r.revision ?? "unknown"}`).join(" \u00b7 ")));
}

function buildTraining() {
  const root = byId("training"), body = el("div", { class: "charts" });
  root.append(el("div", { class: "top" }, el("h2", {}, "Training"),
    el("p", { class: "note" }, `Mean over seeds and the range of all seeds, over ${BOOK.levels} levels of the first condition. Steps stand evenly, updates below. Click a point to go there.`)), body);
  LISTENERS.push(once(() => {
    fill(body, Object.entries(BOOK["curve names"]).map(([key, [name, what]]) => {
      const chart = curveChart(key);
      return chart && el("figure", {}, el("figcaption", {}, el("b", {}, name), el("small", {}, what)), chart);
    }));
  }));
}

function sortable(head, rows) {
  // rows: lists of [text, sort key]
  let by = null, up = true;
  const body = el("tbody");
  const refill = () => {
    const sorted = by === null ? rows : [...rows].sort((a, b) => (a[by][1] > b[by][1] ? 1 : a[by][1] < b[by][1] ? -1 : 0) * (up ? 1 : -1));
    body.replaceChildren(...sorted.map((row) => el("tr", {}, row.map(([text], i) => el(i ? "td" : "th", {}, text)))));
  };
  refill();
  return el("div", { class: "scroll" }, el("table", { class: "sortable" }, el("thead", {}, el("tr", {}, head.map((name, i) =>
    el("th", {}, el("button", { onclick: () => { up = by === i ? !up : true; by = i; refill(); } }, name))))), body));
}

function buildTable() {
  const root = byId("table");
  root.append(el("div", { class: "top" }, el("h2", {}, "A against B at the end of training"),
    el("div", { class: "save" }, el("button", { onclick: saveTable }, "CSV"))));
  const rows = BOOK.table.map((row) => [[row.name, row.name],
    ...row.of.map((i) => [range(i), i.estimate ?? -Infinity]),
    [row.difference ? range(row.difference, signed) : "\u2013", row.difference?.estimate ?? -Infinity],
    [judged(row.difference), judged(row.difference)], [row.what, row.what]]);
  root.append(sortable(["", ...SIDES.map((_, s) => `${LETTERS[s]} ${NAMES[s]}`), "B \u2212 A", "interval", "what it is"], rows));
  root.append(el("p", { class: "note" }, "Brackets: 95 % intervals over seeds, B \u2212 A paired by seed; none of how alike seeds are, for they share the pairs. These describe; the verdicts below were fixed before training."));
  if (!BOOK.verdicts.length) return;
  root.append(el("h3", {}, "Verdicts of the run"), sortable(
    ["", "question", "contrast", "effect", "margin", "verdict", "controls"],
    BOOK.verdicts.map((v) => [[v.name, v.name], [v.question, v.question],
      [v.contrast, v.contrast],
      [range(v.effect, signed), v.effect.estimate ?? -Infinity], [number(v.rule.margin), v.rule.margin],
      [el("b", {}, v.verdict), v.verdict], [v.controls, v.controls]])));
}
function judged(i) {
  if (!i || i.low === null) return "\u2013";
  return i.low > 0 || i.high < 0 ? "excludes 0" : "holds 0";
}

function buildOrigin() {
  const seconds = BOOK.seconds;
  const names = { runs: "reading the runs", levels: "levels and exact values", networks: "networks", fields: "fields", ways: "ways to the goal", shards: "shards", interventions: "interventions", directions: "directions", tails: "tails", experts: "fitted experts", things: "worth of things", features: "features", weights: "weights and collisions", truths: "CCS" };
  const spent = Object.entries(names).filter(([k]) => k in seconds).map(([k, n]) => `${n} ${number(seconds[k], 2)} s`);
  byId("origin").append(el("h2", {}, "Where this comes from"),
    el("p", { class: "note" }, `Computed in ${number(seconds.all, 2)} s, compiling included: ${spent.join(", ")}. Directions, interventions, weights and CCS run beside the rest, so that the sum is more than the whole.`),
    el("p", { class: "note" }, BOOK.about.runs.map((r) => `${r.run}: ${Object.entries(r.versions).map(([k, v]) => `${k} ${v}`).join(", ")}`).join(" \u00b7 ")),
    ...SIDES.some((s) => s["left out"]) ? [el("p", { class: "note" }, `${Math.max(...SIDES.map((s) => s["left out"] ?? 0))} checkpoints are left out of the page to keep it small.`)] : [],
    el("p", { class: "note" }, "Keys: \u2190 \u2192 checkpoint, space plays, m next maze, s next seed, q next quantity, a arrows, 1\u20139 switch shards of B (shift: of A), 0 all on, i j k l move the cell, t theme."));
}

function save(name, content, type) {
  const link = el("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
function csv(rows) {
  return rows.map((row) => row.map((x) => /[",\n]/.test(String(x)) ? `"${String(x).replaceAll('"', '""')}"` : x).join(",")).join("\n") + "\n";
}
function cellRows() {
  const head = ["row", "column", "exact"];
  const most = SIDES.map((side) => side.parts);
  SIDES.forEach((_, s) => {
    const l = LETTERS[s];
    head.push(`${l} value`, ...Array.from({ length: ACTIONS }, (_, a) => `${l} policy ${a}`));
    for (let k = 0; k < most[s]; k++) head.push(`${l} gate ${k}`, `${l} part ${k}`, `${l} contribution ${k}`);
  });
  return [head, ...cells(STATE.maze).map(([r, c]) => {
    const found = told(r, c), row = [r, c, found.exact];
    for (const side of found.sides) {
      row.push(side.value, ...side.policy);
      side.gates.forEach((g, k) => row.push(g, side.parts[k], side.contributions[k]));
    }
    return row;
  })];
}
function fileName(end) { return `inspect-${STEPS[STATE.step]}-seed${STATE.seed}-maze${STATE.maze}.${end}`; }
function saveCells() { save(fileName("csv"), csv(cellRows()), "text/csv"); }
function saveView() {
  const found = { hash: toHash(), cells: cells(STATE.maze).map(([r, c]) => told(r, c)) };
  save(fileName("json"), JSON.stringify(found, null, 1), "application/json");
}
function saveTable() {
  const head = ["", ...SIDES.flatMap((_, s) => [`${LETTERS[s]}`, `${LETTERS[s]} low`, `${LETTERS[s]} high`]), "B - A", "low", "high"];
  const flat = (i) => (i ? [i.estimate, i.low, i.high] : ["", "", ""]);
  save("inspect-table.csv", csv([head, ...BOOK.table.map((r) => [r.name, ...r.of.flatMap(flat), ...flat(r.difference)])]), "text/csv");
}
function savePicture() {
  const gap = 24, wide = PANELS[0].node.width, high = PANELS[0].node.height;
  const sheet = el("canvas", { width: PANELS.length * (wide + gap) + gap, height: high + 3 * gap });
  const pen = sheet.getContext("2d");
  pen.fillStyle = ink("--paper");
  pen.fillRect(0, 0, sheet.width, sheet.height);
  pen.fillStyle = ink("--ink");
  pen.font = "26px system-ui, sans-serif";
  PANELS.forEach((p, i) => {
    pen.drawImage(p.node, gap + i * (wide + gap), 2 * gap);
    pen.fillText(p.title.textContent, gap + i * (wide + gap), 1.6 * gap);
  });
  sheet.toBlob((blob) => save(fileName("png"), blob, "image/png"));
}
