// Each shard by itself: gate, value and contribution in this maze; a click switches it
// off. Below: what the expected return loses without it.

function share(x, s) {
  return el(
    "span",
    { class: "share", title: percent(x) },
    el("i", { class: `s${s}`, style: `width:${Math.min(100, 100 * x).toFixed(1)}%` }),
    el("b", {}, percent(x)),
  );
}
// A button that switches a shard or an expert off and on.
function switchButton(s, isOn, text, attributes) {
  return el(
    "button",
    { class: `switch s${s}`, "aria-pressed": String(isOn), ...attributes },
    el("i"),
    text,
  );
}

function shardRow(s, v, k, limits) {
  const data = panel(s, "shards");
  const n = v.index[1];
  const isOff = v.shardsOff.has(k);
  const notes = [];
  if (at(data.dead, n, k)) notes.push("unused");
  const twins = range(v.shards).filter((j) => at(data.twins, n, k, j));
  if (twins.length) notes.push(`same as shard ${twins.join(", ")}`);
  if (isOff) notes.push("off");
  const role = range(v.shards).findIndex((r) => at(data.partner, n, r) === k);
  const match =
    n === 0
      ? el("small", {}, `role ${k}`)
      : [
          el("b", {}, `role ${role}`),
          el(
            "small",
            {},
            `like shard ${role} of seed 0: r ${number(role >= 0 ? at(data.similarity, n, role) : NaN, 2)}`,
          ),
        ];
  const name = v.shards > 1 ? `shard ${k}` : "V";
  return el(
    "tr",
    { class: isOff ? "off" : "" },
    rowHead(
      switchButton(s, !isOff, name, {
        "data-switch": `${LETTERS[s]}${k}`,
        title: isOff ? "switch on" : "switch off: V minus this contribution",
        onclick: () => toggle("shardsOff", s, k),
      }),
      el("small", {}, notes.join(" \u00b7 ")),
    ),
    el(
      "td",
      {},
      thumbnail(v.maze, (x) => v.gate(x, k), limits[0], false, `gate of ${name}`),
    ),
    el(
      "td",
      {},
      thumbnail(v.maze, (x) => v.shardValue(x, k), limits[1], true, `value of ${name}`),
    ),
    el(
      "td",
      {},
      thumbnail(
        v.maze,
        (x) => v.contribution(x, k),
        limits[2],
        true,
        `contribution of ${name}`,
      ),
    ),
    el(
      "td",
      {},
      share(at(data.value_share, n, k), s),
      el("small", {}, "of |V|"),
      share(at(data.gate_share, n, k), s),
      el("small", {}, "of the gates"),
    ),
    el("td", { class: "role" }, v.shards > 1 ? match : null),
  );
}

function scaleRow(limits, more) {
  return [
    el("th", {}, "scale"),
    ...limits.map((limit, i) => el("td", {}, colourBar(limit, i > 0))),
    ...range(more).map(() => el("td")),
  ];
}

function shardBlock(s) {
  const v = view(s);
  const data = panel(s, "shards");
  const n = v.index[1];
  const most = (numbers) =>
    Math.max(...range(v.shards).map((k) => largest(v.maze, (x) => numbers(x, k))));
  const limits = [
    Math.max(
      1,
      most((x, k) => v.gate(x, k)),
    ),
    most((x, k) => v.shardValue(x, k)),
    most((x, k) => v.contribution(x, k)),
  ];
  const head = ["", "gate g", "value v", "g \u00b7 v", "share, last checkpoint", ""];
  if (v.shards > 1) head[5] = "role";
  return el(
    "div",
    { class: "block" },
    sideTitle(s, v.shards > 1 ? `${v.shards} shards` : "one network, no shards"),
    table(
      "shards",
      head,
      range(v.shards).map((k) => shardRow(s, v, k, limits)),
      [scaleRow(limits, 2)],
    ),
    readingsTable(s, data.readings),
    el(
      "p",
      { class: "note" },
      `In every state the contributions add up to V within ${number(data.residual)} (tolerance ${number(data.tolerance)}).`,
      v.shards > 1 && n > 0
        ? ` Shards of this seed are matched to those of seed 0 by the correlation r of their contributions; shuffled states give r = ${number(data.shuffled_similarity[n], 2)}.`
        : "",
    ),
  );
}

function effectRows(s, source) {
  const { effect, control } = panel(s, "shards").ablation;
  return range(SIDES[s].num_shards).flatMap((k) =>
    [
      ["ablated", effect],
      ["control", control],
    ].map(([kind, list]) => {
      const result = list[k][source];
      return {
        shard: `role ${k}`,
        kind,
        ...result,
        low: result.low ?? result.estimate,
        high: result.high ?? result.estimate,
        text: `role ${k}, ${kind === "ablated" ? "switched off" : "control"}: ${interval(result, signed)}`,
      };
    }),
  );
}

function effectsBlock(s) {
  const { sources, full_return } = panel(s, "shards").ablation;
  const figures = sources.map((source, r) => {
    const seeds = range(SIDES[s].num_seeds).map((n) => at(full_return, n, r));
    const image = SPRITES[source]
      ? el("img", { src: SPRITES[source].src, alt: "" })
      : null;
    const rows = effectRows(s, r);
    return el(
      "figure",
      {},
      el(
        "figcaption",
        {},
        el("b", {}, image, source),
        el("small", {}, `expected return with all shards: ${number(mean(seeds))}`),
      ),
      chart("shards", `shards ${s} ${r}`, {
        label: `change of the return from ${source} without each shard`,
        rows: () => ({ rows: rows.filter((row) => Number.isFinite(row.estimate)) }),
      }),
    );
  });
  return el(
    "div",
    { class: "block effects", "data-effects": LETTERS[s] },
    sideTitle(s, "change of the expected return when a shard is switched off"),
    el("div", { class: "charts" }, figures),
  );
}

PANELS.shards = (root) => {
  const blocks = el("div", { class: "blocks" });
  root.append(blocks);
  onChange(() =>
    fill(
      blocks,
      SIDES.map((_, s) => shardBlock(s)),
    ),
  );
  const sharded = SIDES.map((_, s) => s).filter((s) => SIDES[s].num_shards > 1);
  if (!sharded.length) return byId("shard-effects").remove();
  fill(byId("shard-effects").querySelector(".blocks"), sharded.map(effectsBlock));
};
