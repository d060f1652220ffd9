// Directions of a concept in E's features: do methods agree, in every seed?

function agreementChart(s) {
  const data = panel(s, "concepts");
  const n = seedOf(s);
  const { methods, num_samples: samples } = data;
  const runs = methods.length * samples;
  // a small gap between methods
  const end = (i) => (i % samples === samples - 1 ? 0.94 : 1);
  const name = (i) => `${words(methods[Math.floor(i / samples)])} ${i % samples}`;
  const rows = () =>
    range(runs).flatMap((i) =>
      range(runs).map((j) => {
        const cosine = at(data.agreement, n, i, j);
        const text = `${name(i)} and ${name(j)}: |cos| ${number(cosine)}`;
        return { x: j, x2: j + end(j), y: i, y2: i + end(i), cosine, text };
      }),
    );
  return chart("concepts.agreement", `concepts.agreement ${s}`, {
    label: "agreement of directions between methods",
    rows: () => ({ rows: finite(rows(), "cosine") }),
    version: n,
    params: {
      methods: methods.map(words),
      centres: methods.map((_, i) => (i + 0.5) * samples),
      span: samples,
    },
  });
}

function ownAgreementChart(s) {
  const data = panel(s, "concepts");
  const names = data.methods.map(words);
  const rows = range(SIDES[s].num_seeds).flatMap((seed) =>
    names.map((method, i) => {
      const cosine = at(data.own, seed, i);
      return {
        seed,
        method,
        cosine,
        text: `${method}, seed ${seed}: |cos| ${number(cosine)}`,
      };
    }),
  );
  const means = names.map((method, i) => {
    const over = data.own_over_seeds[i];
    return {
      method,
      mean: over.estimate,
      low: over.low ?? over.estimate,
      high: over.high ?? over.estimate,
      text: `${method}, mean over seeds: |cos| ${interval(over)}`,
    };
  });
  const text = `random directions: |cos| ${number(data.chance)}`;
  return chart("concepts.by_seed", `concepts.by_seed ${s}`, {
    label: "agreement of each method with itself, by seed",
    rows: () => ({
      rows: finite(rows, "cosine"),
      means: finite(means, "mean"),
      chance: [{ cosine: data.chance, text }],
    }),
    params: { seed: seedOf(s) },
    onClick: ({ seed }) => seed !== undefined && set({ seed }),
  });
}

function convergenceChart(s) {
  const data = panel(s, "concepts");
  const rows = range(SIDES[s].num_seeds).map((seed) => {
    const cosine = Math.min(
      ...range(data.num_samples).map((b) => at(data.convergence, seed, b)),
    );
    return {
      seed,
      cosine,
      converged: cosine >= data.converged,
      text: `seed ${seed}: |cos| ${number(cosine, 6)}`,
    };
  });
  const cosines = rows.map(({ cosine }) => cosine).filter(Number.isFinite);
  return chart("concepts.convergence", `concepts.convergence ${s}`, {
    label: "convergence of RLACE, by seed",
    rows: () => ({
      rows: finite(rows, "cosine"),
      threshold: [{ cosine: data.converged }],
    }),
    params: { seed: seedOf(s), low: Math.min(0.95, ...cosines) },
  });
}

function effectsFigure(s) {
  const data = panel(s, "concepts");
  const n = seedOf(s);
  const rows = data.methods.map((method, i) => [
    rowHead(words(method)),
    percent(at(data.swap, n, i)),
    percent(at(data.erased, n, i)),
  ]);
  return figure(
    "effects on V",
    "part of the difference of V between two states of different classes that goes over with the direction when it is swapped, and that is gone when it is erased in both. The last row, a random direction, is what nothing there gives.",
    table("numbers", ["", "swapped", "erased"], rows),
  );
}

function conceptsBlock(s) {
  const data = panel(s, "concepts");
  return el(
    "div",
    { class: "block", "data-concepts": LETTERS[s] },
    sideTitle(s, `seed ${seedOf(s)}, last checkpoint`),
    el(
      "div",
      { class: "charts" },
      figure(
        "agreement of methods",
        `|cos| between directions for \u201c${data.concept}\u201d (${data.num_states} states, ${data.num_samples} resampled sets of them); dark 0, yellow 1`,
        agreementChart(s),
      ),
      figure(
        "agreement with itself",
        "mean |cos| of a method between resampled sets of states; left: by seed (click to choose); right: mean over seeds with 95 % interval, dashed: random directions",
        ownAgreementChart(s),
      ),
      figure(
        "convergence of RLACE",
        `|cos| to its known optimum, the mean difference: ${interval(data.convergence_over_seeds, (x) => number(x, 5))} over seeds. Below ${number(data.converged, 2)} (dashed) the optimisation stopped too early.`,
        convergenceChart(s),
      ),
      effectsFigure(s),
    ),
    readingsTable(s, data.readings),
  );
}

PANELS.concepts = (root) => {
  const sides = sidesWith("concepts");
  onChange(() => fill(root, el("div", { class: "blocks" }, sides.map(conceptsBlock))));
};
