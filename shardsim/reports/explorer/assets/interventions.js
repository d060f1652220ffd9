// V after a direction was removed from E's features, or added to them.

const INTERVENTION = { side: 0, kind: "ablated", method: 0, strength: 5 };
TEXTS.push("intervention");

function readIntervention() {
  const [side, kind, method, strength] = (STATE.intervention ?? "").split(".");
  const data = SIDES[Number(side)] && panel(Number(side), "interventions");
  if (!data || !["ablated", "added"].includes(kind)) return;
  const [m, q] = [Number(method), Number(strength)];
  if (data.methods[m] === undefined || data.coefficients[q] === undefined) return;
  Object.assign(INTERVENTION, { side: Number(side), kind, method: m, strength: q });
}
function setIntervention(changes) {
  Object.assign(INTERVENTION, changes);
  const { side, kind, method, strength } = INTERVENTION;
  set({ intervention: [side, kind, method, strength].join(".") });
}
// V of the chosen seed in state x after the intervention, or after a random one.
function intervenedValue(x, control = false) {
  const { side, kind, method, strength } = INTERVENTION;
  const array = panel(side, "interventions")[control ? `random_${kind}` : kind];
  const index = kind === "ablated" ? [method] : [method, strength];
  return at(array, seedOf(side), ...index, STATE.maze, x);
}
function sideChoice(name, sides, get, pick) {
  return choice(
    name,
    sides.map((s) => [s, `${LETTERS[s]} ${NAMES[s]}`]),
    get,
    pick,
  );
}

// Boards in a row: [title, numbers, limit].
function boardRow(titles) {
  const boards = titles.map((title) => {
    const one = board(CELL.medium);
    one.title.textContent = title;
    one.note.remove();
    return one;
  });
  const draw = (list, marked = null) =>
    list.forEach(([numbers, limit], i) => {
      paint(boards[i].pen, CELL.medium, STATE.maze, numbers, limit, true);
      if (marked) paintFrame(boards[i].pen, CELL.medium, ...marked);
      boards[i].node.setAttribute("aria-label", titles[i]);
      fill(boards[i].bar, colourBar(limit, true));
    });
  return [
    el(
      "div",
      { class: "boards" },
      boards.map((one) => one.figure),
    ),
    draw,
  ];
}

function interventionControls(sides) {
  const data = () => panel(INTERVENTION.side, "interventions");
  const slider = el("input", {
    type: "range",
    min: 0,
    id: "strength",
    "aria-label": "how much of the direction is added",
    oninput: (event) => setIntervention({ strength: Number(event.target.value) }),
  });
  const amount = el("output");
  LISTENERS.push(() => {
    const { kind, strength } = INTERVENTION;
    slider.max = data().coefficients.length - 1;
    slider.value = strength;
    slider.disabled = kind === "ablated";
    amount.textContent =
      kind === "ablated"
        ? "removed"
        : `${signed(data().coefficients[strength], 2)} SD`;
  });
  return el(
    "div",
    { class: "line" },
    sideChoice(
      "side of the intervention",
      sides,
      () => INTERVENTION.side,
      (side) => setIntervention({ side }),
    ),
    choice(
      "intervention",
      [
        ["ablated", "remove", "remove the direction from the features"],
        ["added", "add", "add the direction to the features"],
      ],
      () => INTERVENTION.kind,
      (kind) => setIntervention({ kind }),
    ),
    picker(
      "method",
      () => data().methods.map((method, i) => [i, words(method)]),
      () => INTERVENTION.method,
      (method) => setIntervention({ method: Number(method) }),
    ),
    slider,
    amount,
  );
}

PANELS.interventions = (root) => {
  const sides = sidesWith("interventions");
  INTERVENTION.side = sides.at(-1);
  readIntervention();
  const titles = [
    "V",
    "V after the intervention",
    "change",
    "change by a random direction",
  ];
  const [boards, drawBoards] = boardRow(titles);
  const summary = el("p", { class: "note", id: "intervention-summary" });
  root.append(interventionControls(sides), boards, summary);
  onChange(() => {
    readIntervention();
    const { side } = INTERVENTION;
    const before = lastView(side);
    const was = (x) => before.fullValue(x);
    const change = (x) => intervenedValue(x) - was(x);
    const control = (x) => intervenedValue(x, true) - was(x);
    const limit = Math.max(
      largest(STATE.maze, was),
      largest(STATE.maze, (x) => intervenedValue(x)),
    );
    const far = Math.max(largest(STATE.maze, change), largest(STATE.maze, control));
    drawBoards([
      [was, limit],
      [(x) => intervenedValue(x), limit],
      [change, far],
      [control, far],
    ]);
    summary.textContent = `Seed ${seedOf(side)}, last checkpoint. RMS change of V over the cells: ${number(rms(STATE.maze, change))}; by a random direction: ${number(rms(STATE.maze, control))}. Concept: ${panel(side, "interventions").concept}.`;
  });
};
