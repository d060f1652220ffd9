// What CCS finds in pairs of states without labels, restart by restart.

function truthFigure(s) {
  const data = panel(s, "truth");
  const n = seedOf(s);
  const [N, R] = data.losses.shape;
  const rows = () =>
    range(N).flatMap((seed) =>
      range(R).map((r) => {
        const [loss, accuracy] = [
          at(data.losses, seed, r),
          at(data.accuracy, seed, r),
        ];
        const text = `seed ${seed}, restart ${r}: loss ${number(loss)}, accuracy ${number(accuracy)}`;
        return { seed, loss, accuracy, text };
      }),
    );
  const [low, high] = [at(data.random, n, 0), at(data.random, n, 1)];
  const labelled = data.labelled[n];
  const answers = data.answers[n];
  const counted = answers
    ? ` Of this seed ${answers.num_good} restarts reached a low loss; they end at ${answers.num_distinct} different directions, and at least ${number(answers.at_least, 2)} are estimated to exist.`
    : "";
  return figure(
    "accuracy and loss of each restart",
    `${data.num_pairs} pairs without labels; accuracy of the better sign on ${data.num_test_pairs} pairs of other levels. Grey: random directions (mean \u00b1 2 SD); dashed: loss of the best constant answer; green: direction data with labels.${counted}`,
    chart("truth", `truth ${s}`, {
      label: "accuracy over loss of every restart of CCS",
      rows: () => ({
        rows: finite(rows(), "loss", "accuracy"),
        band: finite(
          [{ low, high, text: `random directions: ${number(low)} to ${number(high)}` }],
          "low",
          "high",
        ),
        constant: [
          {
            loss: data.constant,
            text: `best constant answer: ${number(data.constant)}`,
          },
        ],
        labelled: finite(
          [{ accuracy: labelled, text: `with labels: ${number(labelled)}` }],
          "accuracy",
        ),
      }),
      version: n,
      params: { seed: n, side: `var(--${LETTERS[s].toLowerCase()})` },
    }),
  );
}

PANELS.truth = (root) => {
  const sides = sidesWith("truth");
  const block = (s) =>
    el(
      "div",
      { class: "block", "data-truth": LETTERS[s] },
      sideTitle(s, `seed ${seedOf(s)}, last checkpoint`),
      el("div", { class: "charts" }, truthFigure(s)),
    );
  onChange(() => fill(root, el("div", { class: "blocks" }, sides.map(block))));
};
