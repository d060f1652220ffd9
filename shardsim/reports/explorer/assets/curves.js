// Curves of training: mean and range over seeds. A click goes to that checkpoint.

function curveRows(s, metric) {
  const array = panel(s, "curves").metrics[metric];
  return SIDES[s].updates.map((update, c) => {
    const seeds = range(array.shape[1])
      .map((n) => at(array, c, n))
      .filter(Number.isFinite);
    if (!seeds.length) return null;
    return {
      side: LETTERS[s],
      step: STEPS.indexOf(update),
      mean: mean(seeds),
      low: Math.min(...seeds),
      high: Math.max(...seeds),
    };
  });
}

function metricChart(metric) {
  const sides = SIDES.map((_, s) => curveRows(s, metric));
  const rows = sides.flat().filter(Boolean);
  if (!rows.length) return null;
  const steps = STEPS.map((update, step) => {
    const means = sides.map((own, s) => {
      const row = own.find((r) => r?.step === step);
      return `${NAMES[s]} ${number(row?.mean)}`;
    });
    return { step, text: `update ${update}: ${means.join(", ")}` };
  });
  return chart("curves", `curves ${metric}`, {
    label: DATA.metrics[metric].name,
    rows: () => ({ rows, steps }),
    params: { updates: STEPS, step: STATE.step },
    onClick: ({ step }) => step !== undefined && set({ step }),
  });
}

PANELS.curves = (root) => {
  const figures = Object.entries(DATA.metrics).map(([metric, { name, unit }]) => {
    const drawn = metricChart(metric);
    const { levels } = panel(0, "curves");
    return drawn && figure(name, `${unit}; ${levels[metric]} levels`, drawn);
  });
  fill(root, el("div", { class: "charts" }, figures));
  onChange(() => Object.keys(DATA.metrics).forEach(metricChart));
};
