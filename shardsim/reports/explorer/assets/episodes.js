// One episode of the chosen seed and maze: the board, V, gates and bids at every step.

TEXTS.push("time");
const EPISODE_MS = 350;
let episodeTime = 0;
let episodeTimer = null;

function episodeOf(s) {
  const data = panel(s, "episodes");
  const n = seedOf(s);
  const steps = at(data.steps, n, STATE.maze);
  return { data, n, steps, end: data.ends[n][STATE.maze] };
}
function episodeLength() {
  return Math.max(...sidesWith("episodes").map((s) => episodeOf(s).steps));
}
// What a side shows at a time; after its end, the end.
function episodeFrame(s, time) {
  const { data, n, steps, end } = episodeOf(s);
  const t = Math.min(time, steps);
  const row = at(data.row, n, STATE.maze, t);
  const shards = range(data.gates.shape[1]);
  const actions = range(ACTIONS);
  const isOver = t === steps && end === "terminated";
  let total = 0;
  for (let i = 1; i <= t; i++)
    total += ENV.discount ** (i - 1) * at(data.reward, n, STATE.maze, i);
  const bids = actions.map((a) => at(data.bids, row, a));
  const shardBids = shards.map((k) => actions.map((a) => at(data.shard_bids, row, k, a)));
  return {
    t,
    isOver,
    end: t === steps ? end : "",
    reward: at(data.reward, n, STATE.maze, t),
    total,
    action: at(data.action, n, STATE.maze, t),
    value: isOver ? 0 : data.value[row],
    exact: isOver ? 0 : data.exact[row],
    gates: shards.map((k) => at(data.gates, row, k)),
    contributions: shards.map((k) => at(data.contributions, row, k)),
    policy: actions.map((a) => at(data.policy, row, a)),
    bids,
    shardBids,
    rewardBids: actions.map((a) => {
      const left = shardBids.reduce((x, own) => x - own[a], bids[a]);
      return Math.abs(left) < 1e-6 ? 0 : left;
    }),
    things: data.boards[data.things[row]],
    trail: range(t + 1).map((i) => {
      const board = data.boards[data.things[at(data.row, n, STATE.maze, i)]];
      return board.at(-1);
    }),
  };
}

function paintEpisode(pen, size, frame) {
  for (let r = 0; r < ROWS; r++)
    for (let c = 0; c < COLUMNS; c++) {
      pen.fillStyle = ink(wallAt(STATE.maze, r, c) ? "--wall" : "--floor");
      pen.fillRect(c * size, r * size, size + 0.5, size + 0.5);
    }
  pen.strokeStyle = ink("--accent");
  pen.lineWidth = 2;
  pen.globalAlpha = 0.6;
  pen.beginPath();
  for (const { row, column } of frame.trail)
    pen.lineTo((column + 0.5) * size, (row + 0.5) * size);
  pen.stroke();
  pen.globalAlpha = 1;
  pen.imageSmoothingEnabled = false;
  for (const { name, row, column } of frame.things) {
    const image = SPRITES[name === "agent" ? "start" : name];
    if (!image?.complete || !image.naturalWidth) continue;
    const place = [(column + 0.1) * size, (row + 0.1) * size, 0.8 * size, 0.8 * size];
    pen.drawImage(image, ...place);
  }
}

function episodeTable(s, frame) {
  const { data } = episodeOf(s);
  const limit = Math.max(
    1e-9,
    ...data.bids.map(Math.abs),
    ...data.shard_bids.map(Math.abs),
  );
  const most = Math.max(
    1e-9,
    ...data.contributions.map(Math.abs),
    ...data.value.map(Math.abs),
  );
  const bid = (x) => el("td", {}, tinted(x, limit, signed(x)));
  const part = (x) => el("td", {}, tinted(x, most, signed(x)));
  const heads = range(ACTIONS).map((a) =>
    el("th", a === frame.action ? { class: "taken" } : {}, data.actions[a]),
  );
  const shards = frame.gates.map((gate, k) => [
    rowHead(`shard ${k}`),
    el("td", {}, number(gate)),
    part(frame.contributions[k]),
    ...frame.shardBids[k].map(bid),
  ]);
  const rows = [
    ...(shards.length > 1
      ? [...shards, [rowHead("reward"), el("td"), el("td"), ...frame.rewardBids.map(bid)]]
      : []),
    [rowHead("V"), el("td"), part(frame.value), ...frame.bids.map(bid)],
    [rowHead("policy"), el("td"), el("td"), ...frame.policy.map((p) => percent(p))],
  ];
  return table("numbers", ["", "gate", "g\u00b7v", ...heads], rows);
}

function episodeBlock(s) {
  const one = board(CELL.medium);
  const text = el("p", { class: "note", "data-episode": LETTERS[s] });
  const numbers = el("div");
  const block = el(
    "div",
    { class: "block episode" },
    sideTitle(s),
    one.node,
    text,
    numbers,
  );
  const show = () => {
    const frame = episodeFrame(s, episodeTime);
    paintEpisode(one.pen, one.size, frame);
    one.node.setAttribute("aria-label", `step ${frame.t} of the episode of ${NAMES[s]}`);
    const reward = frame.reward ? ` \u00b7 reward ${signed(frame.reward)}` : "";
    text.textContent =
      `step ${frame.t}${frame.end ? `, ${frame.end}` : ""} \u00b7 return ${number(frame.total)}${reward}` +
      ` \u00b7 V ${number(frame.value)}, V* ${number(frame.exact)}`;
    fill(numbers, frame.isOver ? null : episodeTable(s, frame));
  };
  return [block, show];
}

PANELS.episodes = (root) => {
  const blocks = sidesWith("episodes").map(episodeBlock);
  const slider = el("input", { type: "range", min: 0, "aria-label": "step" });
  const button = el("button", { class: "play", title: "play the episode" });
  const show = () => {
    episodeTime = Math.min(episodeTime, episodeLength());
    slider.max = episodeLength();
    slider.value = episodeTime;
    button.textContent = episodeTimer ? "\u275a\u275a" : "\u25b6";
    for (const [, draw] of blocks) draw();
  };
  // the address is written when the episode stands still: a change of it draws all panels
  const stand = () => {
    clearInterval(episodeTimer);
    episodeTimer = null;
    set({ time: episodeTime ? String(episodeTime) : "" });
  };
  const tick = () => {
    episodeTime += 1;
    if (episodeTime >= episodeLength()) stand();
    show();
  };
  button.addEventListener("click", () => {
    if (episodeTimer) stand();
    else {
      if (episodeTime >= episodeLength()) episodeTime = 0;
      episodeTimer = setInterval(tick, EPISODE_MS);
    }
    show();
  });
  slider.addEventListener("input", () => {
    episodeTime = Number(slider.value);
    stand();
    show();
  });
  fill(
    root,
    el("div", { class: "line" }, button, slider),
    el(
      "div",
      { class: "blocks" },
      blocks.map(([block]) => block),
    ),
  );
  onChange(() => {
    if (!episodeTimer) episodeTime = Math.max(0, Math.floor(Number(STATE.time)) || 0);
    show();
  });
};
