// Features clamped as if the goal were elsewhere: does the agent go there?

const CLAMP = { side: 0, strength: 3 };
TEXTS.push("clamp");

function readClamp() {
  const [side, strength] = (STATE.clamp ?? "").split(".").map(Number);
  const data = SIDES[side] && panel(side, "retargeting");
  if (data && data.times[strength] !== undefined)
    Object.assign(CLAMP, { side, strength });
}
function setClamp(changes) {
  Object.assign(CLAMP, changes);
  set({ clamp: [CLAMP.side, CLAMP.strength].join(".") });
}
// V of the chosen seed in state x with clamped features, or with the control's.
function clampedValue(x, control = false) {
  const data = panel(CLAMP.side, "retargeting");
  const array = data[control ? "control_value" : "clamped_value"];
  return at(array, seedOf(CLAMP.side), CLAMP.strength, STATE.maze, x);
}
function reachProbability(name, strength = CLAMP.strength) {
  const data = panel(CLAMP.side, "retargeting");
  return at(data[name], seedOf(CLAMP.side), STATE.maze, strength);
}

function clampControls(sides) {
  const slider = el("input", {
    type: "range",
    min: 0,
    id: "clamp",
    "aria-label": "strength of the clamp",
    oninput: (event) => setClamp({ strength: Number(event.target.value) }),
  });
  const amount = el("output");
  LISTENERS.push(() => {
    const { times } = panel(CLAMP.side, "retargeting");
    slider.max = times.length - 1;
    slider.value = CLAMP.strength;
    amount.textContent = `clamped to ${number(times[CLAMP.strength], 2)} \u00d7`;
  });
  return el(
    "div",
    { class: "line" },
    sideChoice(
      "side of the clamp",
      sides,
      () => CLAMP.side,
      (side) => setClamp({ side }),
    ),
    slider,
    amount,
  );
}

function reachChart() {
  const { side } = CLAMP;
  const data = panel(side, "retargeting");
  const n = seedOf(side);
  const rows = ["clamped", "control"].flatMap((kind) =>
    data.times.map((times, q) => {
      const probability = reachProbability(`${kind}_reach`, q);
      const text = `${kind}, ${number(times)} \u00d7: ${percent(probability)}`;
      return { kind, times, probability, text };
    }),
  );
  const bounds = [
    ["original_reach", "features untouched"],
    ["moved_reach", "goal really moved"],
  ].map(([name, what]) => {
    const probability = at(data[name], n, STATE.maze);
    return { probability, text: `${what}: ${percent(probability)}` };
  });
  return chart("retargeting", "retargeting", {
    label: "probability to reach the marked cell over the strength of the clamp",
    rows: () => ({
      rows: finite(rows, "probability"),
      bounds: finite(bounds, "probability"),
    }),
    version: [side, n, STATE.maze].join(),
    params: { side: `var(--${LETTERS[side].toLowerCase()})` },
  });
}

PANELS.retargeting = (root) => {
  const sides = sidesWith("retargeting");
  CLAMP.side = sides.at(-1);
  readClamp();
  const titles = [
    "V",
    "V with clamped features",
    "change",
    "change by the control",
    "V with the goal moved",
  ];
  const [boards, drawBoards] = boardRow(titles);
  const summary = el("p", { class: "note", id: "retargeting-summary" });
  const plot = el("div", { class: "charts" });
  root.append(clampControls(sides), boards, el("div", { class: "beside" }, summary, plot));
  onChange(() => {
    readClamp();
    const { side } = CLAMP;
    const { maze } = STATE;
    const n = seedOf(side);
    const data = panel(side, "retargeting");
    const before = lastView(side);
    const was = (x) => before.fullValue(x);
    const now = (x) => clampedValue(x);
    const moved = (x) => at(data.moved_value, n, maze, x);
    const change = (x) => now(x) - was(x);
    const control = (x) => clampedValue(x, true) - was(x);
    const limit = Math.max(
      ...[was, now, moved].map((numbers) => largest(maze, numbers)),
    );
    const far = Math.max(largest(maze, change), largest(maze, control));
    drawBoards(
      [
        [was, limit],
        [now, limit],
        [change, far],
        [control, far],
        [moved, limit],
      ],
      data.cells[maze],
    );
    const [row, column] = data.cells[maze];
    summary.textContent =
      `Seed ${n}, last checkpoint. Clamped: the ${data.num_units} features that rise most when ${data.objects[maze]} is moved to the marked cell (row ${row}, column ${column}). ` +
      `Probability to reach that cell, mean over all start cells: ${percent(reachProbability("clamped_reach"))} clamped, ${percent(reachProbability("control_reach"))} with as many other features clamped (control), ` +
      `${percent(at(data.original_reach, n, maze))} untouched, ${percent(at(data.moved_reach, n, maze))} with ${data.objects[maze]} really moved. The clamp achieves ${percent(reachProbability("share"))} of the effect of moving it. ` +
      `RMS change of V: ${number(rms(maze, change))}; by the control: ${number(rms(maze, control))}.`;
    fill(
      plot,
      figure(
        "reaching the marked cell",
        "probability over the strength of the clamp; grey: control; dashed: untouched, and with the goal really moved",
        reachChart(),
      ),
    );
  });
};
