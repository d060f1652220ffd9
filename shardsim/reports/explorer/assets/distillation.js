// Gated experts fitted to a head without shards, which can be switched off like shards.

function numExperts(s) {
  return panel(s, "distillation")?.num_experts ?? 0;
}
// Whether experts describe this checkpoint and seed: the last one of seed 0.
function hasExperts(s, step, seed) {
  return numExperts(s) > 0 && seed === 0 && step === SIDES[s].updates.length - 1;
}
function expertContribution(s, maze, x, k) {
  const data = panel(s, "distillation");
  return at(data.gates, maze, x, k) * at(data.expert_values, maze, x, k);
}

function expertBlock(s) {
  const data = panel(s, "distillation");
  const { maze } = STATE;
  const experts = range(data.num_experts);
  const gate = (x, k) => at(data.gates, maze, x, k);
  const value = (x, k) => at(data.expert_values, maze, x, k);
  const each = (x, k) => expertContribution(s, maze, x, k);
  const now = view(s);
  const isHere = hasExperts(s, ...now.index);
  const off = STATE.expertsOff[s];
  const most = (numbers) =>
    Math.max(...experts.map((k) => largest(maze, (x) => numbers(x, k))));
  const limits = [1, most(value), most(each)];
  const full = new View(s, STEPS.length - 1, 0, maze, new Set());
  const left = (x) => full.fullValue(x) - experts.reduce((v, k) => v + each(x, k), 0);
  const row = (k) => {
    const isOff = isHere && off.has(k);
    const name = `expert ${k}`;
    const boards = [
      [gate, "gate"],
      [value, "value"],
      [each, "contribution"],
    ].map(([numbers, what], i) =>
      el(
        "td",
        {},
        thumbnail(maze, (x) => numbers(x, k), limits[i], i > 0, `${what} of ${name}`),
      ),
    );
    return el(
      "tr",
      { class: isOff ? "off" : "" },
      rowHead(
        switchButton(s, !isOff, name, {
          "data-expert": `${LETTERS[s]}${k}`,
          disabled: !isHere,
          title: isHere
            ? "switch off: V minus this expert's contribution to the fit"
            : "fitted to the last checkpoint of seed 0: go there to switch it off",
          onclick: () => toggle("expertsOff", s, k),
        }),
      ),
      boards,
      el("td", {}, share(data.share[k], s)),
    );
  };
  const residual = el(
    "tr",
    {},
    rowHead("V \u2212 fit"),
    el("td"),
    el("td"),
    el("td", {}, thumbnail(maze, left, limits[2], true, "V minus the fit")),
    el("td"),
  );
  return el(
    "div",
    { class: "block", "data-experts": LETTERS[s] },
    sideTitle(s, `${data.num_experts} gated experts: fitted, not built in`),
    table(
      "shards",
      ["", "gate g", "value v", "g \u00b7 v", "share of |V|"],
      [...experts.map(row), residual],
      [scaleRow(limits, 1)],
    ),
    el(
      "p",
      { class: "note" },
      `R\u00b2 ${number(data.test_r2)} on ${data.test_levels} held-out levels, ${number(data.train_r2)} on the ${data.train_levels} levels of the fit (${data.train_states} states, ${data.num_parameters} parameters). Seed 0, last checkpoint.`,
      isHere ? "" : " The board above shows another one, so nothing is switched off.",
    ),
  );
}

PANELS.distillation = (root) => {
  const sides = sidesWith("distillation");
  onChange(() => fill(root, el("div", { class: "blocks" }, sides.map(expertBlock))));
};
