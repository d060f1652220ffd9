// Tables that can be sorted, and files to download.

function sortTable(button) {
  const cell = button.closest("th");
  const rows = [...cell.closest("table").tBodies[0].rows];
  const up = cell.getAttribute("aria-sort") !== "ascending";
  for (const other of cell.parentNode.children) other.removeAttribute("aria-sort");
  cell.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = (row) => {
    const { dataset, textContent } = row.cells[cell.cellIndex];
    return dataset.key === undefined ? textContent : Number(dataset.key);
  };
  const order = (a, b) => (a > b ? 1 : a < b ? -1 : 0) * (up ? 1 : -1);
  rows.sort((a, b) => order(key(a), key(b)));
  rows[0]?.parentNode.append(...rows);
}

function save(name, content, type) {
  const href = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
}
function csv(rows) {
  const quoted = (x) =>
    /[",\n]/.test(String(x)) ? `"${String(x).replaceAll('"', '""')}"` : x;
  return rows.map((row) => row.map(quoted).join(",")).join("\n") + "\n";
}
function cellRows() {
  const head = ["row", "column", "exact"];
  SIDES.forEach((side, s) => {
    const l = LETTERS[s];
    head.push(`${l} value`, ...range(ACTIONS).map((a) => `${l} policy ${a}`));
    for (const k of range(side.num_shards))
      head.push(`${l} gate ${k}`, `${l} shard value ${k}`, `${l} contribution ${k}`);
  });
  const rows = cells(STATE.maze).map(([r, c]) => {
    const cell = cellNumbers(r, c);
    const row = [r, c, cell.exact];
    for (const side of cell.sides) {
      row.push(side.value, ...side.policy);
      side.gates.forEach((gate, k) =>
        row.push(gate, side.shard_values[k], side.contributions[k]),
      );
    }
    return row;
  });
  return [head, ...rows];
}
function fileName(end) {
  return `inspect-${STEPS[STATE.step]}-seed${STATE.seed}-maze${STATE.maze}.${end}`;
}
function saveCells() {
  save(fileName("csv"), csv(cellRows()), "text/csv");
}
function saveView() {
  const shown = {
    hash: toHash(),
    cells: cells(STATE.maze).map(([r, c]) => cellNumbers(r, c)),
  };
  save(fileName("json"), JSON.stringify(shown, null, 1), "application/json");
}
function saveTable() {
  const ends = ["", " low", " high"];
  const head = ["metric"];
  for (const name of [...SIDES.map((_, s) => LETTERS[s]), "B - A"])
    head.push(...ends.map((end) => name + end));
  const flat = (result) =>
    result ? [result.estimate, result.low, result.high] : ["", "", ""];
  const rows = DATA.comparison.map((row) => [
    row.name,
    ...row.sides.flatMap(flat),
    ...flat(row.difference),
  ]);
  save("inspect-table.csv", csv([head, ...rows]), "text/csv");
}
function savePicture() {
  const gap = 24;
  const { width, height } = MAIN_BOARDS[0].node;
  const sheet = el("canvas", {
    width: MAIN_BOARDS.length * (width + gap) + gap,
    height: height + 3 * gap,
  });
  const pen = sheet.getContext("2d");
  pen.fillStyle = ink("--paper");
  pen.fillRect(0, 0, sheet.width, sheet.height);
  pen.fillStyle = ink("--ink");
  pen.font = "26px system-ui, sans-serif";
  MAIN_BOARDS.forEach((one, i) => {
    pen.drawImage(one.node, gap + i * (width + gap), 2 * gap);
    pen.fillText(one.title.textContent, gap + i * (width + gap), 1.6 * gap);
  });
  sheet.toBlob((blob) => save(fileName("png"), blob, "image/png"));
}
const DOWNLOADS = {
  picture: savePicture,
  cells: saveCells,
  view: saveView,
  table: saveTable,
};
