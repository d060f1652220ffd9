// All numbers of one cell.

const ARROWS = {
  "-1,0": "\u2191",
  "0,1": "\u2192",
  "1,0": "\u2193",
  "0,-1": "\u2190",
  "0,0": "\u2022",
};

// The numbers of a cell: the page shows them, tests and downloads read them.
function cellNumbers(row, column) {
  const x = stateAt(STATE.maze, row, column);
  if (x < 0) return null;
  return {
    row,
    column,
    maze: STATE.maze,
    seed: STATE.seed,
    exact: view(0).exact(x),
    sides: SIDES.map((side, s) => {
      const v = view(s);
      const shards = range(v.shards);
      return {
        name: NAMES[s],
        update: side.updates[v.index[0]],
        value: v.value(x),
        full_value: v.fullValue(x),
        policy: v.policy(x),
        q: v.q(x),
        decoder: v.logDecoder(x).map(Math.exp),
        gates: shards.map((k) => v.gate(x, k)),
        shard_values: shards.map((k) => v.shardValue(x, k)),
        contributions: shards.map((k) => v.contribution(x, k)),
        shards_off: [...v.shardsOff],
        experts_off: [...v.expertsOff],
        residual: v.residual(x),
        disagrees: v.disagrees(x),
      };
    }),
  };
}

function probabilities(list, maze, x, name, explanation) {
  const bars = list.map((p, a) =>
    el(
      "div",
      { title: number(p) },
      el("i", { style: `height:${(100 * p).toFixed(1)}%` }),
      el("span", {}, ARROWS[move(maze, x, a).join()] ?? String(a)),
    ),
  );
  return el(
    "div",
    { title: explanation },
    el("div", { class: "chances" }, bars),
    el("small", {}, name),
  );
}

function valueName(side) {
  const off = [];
  if (side.shards_off.length) off.push(`shard ${side.shards_off.join(", ")}`);
  if (side.experts_off.length) off.push(`expert ${side.experts_off.join(", ")}`);
  return off.length ? `V without ${off.join(" and ")}` : "V";
}

function contributionRow(side, k, limit) {
  const c = side.contributions[k];
  const style = `width:${((50 * Math.abs(c)) / limit).toFixed(1)}%;${c < 0 ? "right" : "left"}:50%`;
  return el(
    "tr",
    { class: side.shards_off.includes(k) ? "off" : "" },
    el("td", {}, side.contributions.length > 1 ? String(k) : "V"),
    el("td", {}, number(side.gates[k])),
    el("td", {}, number(side.shard_values[k])),
    el("td", {}, number(c)),
    el("td", { class: "span" }, el("i", { class: c < 0 ? "minus" : "plus", style })),
  );
}

function sideOfCell(side, s, cell, x, limit) {
  const l = LETTERS[s];
  const sum = side.contributions.reduce((a, b) => a + b, 0);
  return el(
    "div",
    { class: `one s${s}` },
    el(
      "p",
      { class: "pair" },
      el("span", {}, letter(s), valueName(side)),
      el("b", { "data-number": `value${l}` }, number(side.value, 4)),
    ),
    el(
      "p",
      { class: "pair soft" },
      el("span", {}, "error V \u2212 V*"),
      el("span", {}, signed(side.value - cell.exact)),
    ),
    el(
      "div",
      { class: "acts" },
      probabilities(
        side.policy,
        STATE.maze,
        x,
        "policy",
        `Action probabilities of the agent (${ENV.acting})`,
      ),
      probabilities(
        side.decoder,
        STATE.maze,
        x,
        "D alone",
        "Action probabilities of the decoder D, without V",
      ),
    ),
    el(
      "table",
      { class: "parts" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          ["", "gate g", "value v", "g\u00b7v", ""].map((t) => el("th", {}, t)),
        ),
      ),
      el(
        "tbody",
        {},
        side.contributions.map((_, k) => contributionRow(side, k, limit)),
      ),
      el(
        "tfoot",
        {},
        el("tr", {}, el("td", { colspan: 3 }, "sum"), el("td", {}, number(sum))),
        el(
          "tr",
          { class: "soft", title: "V minus the sum of the contributions" },
          el("td", { colspan: 3 }, "residual"),
          el("td", { "data-number": `residual${l}` }, number(side.residual)),
        ),
      ),
    ),
    // always present, so that nothing below moves when the pointer does
    el(
      "p",
      { class: "disagrees", style: side.disagrees ? "" : "visibility:hidden" },
      "D\u2019s most likely action is not among V\u2019s best",
    ),
  );
}

function drawCell() {
  const [row, column] = shownCell();
  const cell = cellNumbers(row, column);
  if (!cell) return;
  const x = stateAt(STATE.maze, row, column);
  const all = cell.sides.flatMap((side) => side.contributions.map(Math.abs));
  const limit = Math.max(1e-9, ...all);
  fill(
    byId("cell"),
    el(
      "h3",
      {},
      `row ${row}, column ${column}`,
      el("small", {}, hovered ? "" : STATE.cell ? "clicked" : "start"),
    ),
    el(
      "p",
      { class: "pair" },
      el("span", {}, "exact value V*"),
      el("b", { "data-number": "exact" }, number(cell.exact, 4)),
    ),
    cell.sides.map((side, s) => sideOfCell(side, s, cell, x, limit)),
  );
}
