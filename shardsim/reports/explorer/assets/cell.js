// Everything that is known of one cell.

const ARROWS = { "-1,0": "\u2191", "0,1": "\u2192", "1,0": "\u2193", "0,-1": "\u2190", "0,0": "\u2022" };

// the numbers of a cell: the card shows them, tests and downloads read them
function told(row, column) {
  const x = stateAt(STATE.maze, row, column);
  if (x < 0) return null;
  return {
    row, column, maze: STATE.maze, seed: STATE.seed, exact: view(0).exact(x),
    sides: SIDES.map((_, s) => {
      const v = view(s);
      const ks = Array.from({ length: v.parts }, (_, k) => k);
      return {
        name: NAMES[s], update: v.side.updates[v.index[0]], value: v.value(x), whole: v.whole(x),
        policy: v.policy(x), q: v.q(x), prior: v.prior(x).map(Math.exp),
        gates: ks.map((k) => v.gate(x, k)), parts: ks.map((k) => v.part(x, k)),
        contributions: ks.map((k) => v.contribution(x, k)), off: [...v.off], fit: [...v.fit],
        residual: v.residual(x), parted: v.parted(x), entropy: v.entropy(x),
      };
    }),
  };
}

function bars(chances, maze, x) {
  return el("div", { class: "chances" }, chances.map((p, a) => el("div", { title: number(p) },
    el("i", { style: `height:${(100 * p).toFixed(1)}%` }),
    el("span", {}, ARROWS[move(maze, x, a).join()] ?? String(a)))));
}

function without(side) {
  const gone = [side.off.length ? side.off.join(", ") : "", side.fit.length ? `expert ${side.fit.join(", ")}` : ""].filter(Boolean);
  return gone.length ? `V without ${gone.join(" and ")}` : "V";
}

function drawDetail() {
  const [row, column] = cellShown();
  const found = told(row, column), root = byId("detail");
  if (!found) return;
  const x = stateAt(STATE.maze, row, column);
  const most = Math.max(1e-9, ...found.sides.flatMap((s) => s.contributions.map(Math.abs)));
  fill(root,
    el("h3", {}, `row ${row}, column ${column}`,
      el("small", {}, hovered ? "" : STATE.cell ? "pinned" : "start")),
    el("p", { class: "pair" }, el("span", {}, "exact V*"), el("b", { "data-told": "exact" }, number(found.exact, 4))),
    found.sides.map((side, s) => el("div", { class: `one s${s}` },
      el("p", { class: "pair" },
        el("span", {}, el("em", { class: `side s${s}` }, LETTERS[s]), without(side)),
        el("b", { "data-told": `value${LETTERS[s]}`, "data-exact": side.value }, number(side.value, 4))),
      el("p", { class: "pair soft" }, el("span", {}, "V \u2212 V*"), el("span", {}, signed(side.value - found.exact))),
      el("div", { class: "acts" },
        el("div", {}, bars(side.policy, STATE.maze, x), el("small", {}, "acts")),
        el("div", {}, bars(side.prior, STATE.maze, x), el("small", {}, "D alone"))),
      el("table", { class: "parts" },
        el("thead", {}, el("tr", {}, ["", "gate", "value", "g\u00b7v", ""].map((t) => el("th", {}, t)))),
        el("tbody", {}, side.contributions.map((c, k) => el("tr", { class: side.off.includes(k) ? "off" : "" },
          el("td", {}, side.contributions.length > 1 ? String(k) : "V"),
          el("td", {}, number(side.gates[k])), el("td", {}, number(side.parts[k])),
          el("td", {}, number(c)),
          el("td", { class: "span" }, el("i", {
            class: c < 0 ? "minus" : "plus",
            style: `width:${(50 * Math.abs(c) / most).toFixed(1)}%;${c < 0 ? "right" : "left"}:50%`,
          }))))),
        el("tfoot", {},
          el("tr", {}, el("td", { colspan: 3 }, "sum"),
            el("td", {}, number(side.contributions.reduce((a, b) => a + b, 0)))),
          el("tr", { class: "soft" }, el("td", { colspan: 3 }, "residual"),
            el("td", { "data-told": `residual${LETTERS[s]}` }, number(side.residual))))),
      // always there, so that nothing below moves while the pointer goes about
      el("p", { class: "parted", style: side.parted ? "" : "visibility:hidden" }, "D\u2019s best action is not among V\u2019s best"))));
}
