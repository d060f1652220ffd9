// The bar of controls, and the keys.

let playing = null;
function play() {
  if (playing) {
    clearInterval(playing);
    playing = null;
  } else if (STEPS.length > 1) {
    if (STATE.step === STEPS.length - 1) set({ step: 0 });
    playing = setInterval(() => {
      if (STATE.step >= STEPS.length - 1) play();
      else set({ step: STATE.step + 1 });
    }, 600);
  }
  draw();
}

// Buttons of which one is pressed; options are [value, text, title].
function choice(name, options, get, pick) {
  const buttons = options.map(([value, text, title]) =>
    el(
      "button",
      { title, onclick: () => pick(value), "data-choice": `${name}:${value}` },
      text,
    ),
  );
  LISTENERS.push(() =>
    options.forEach(([value], i) =>
      buttons[i].setAttribute("aria-pressed", String(get() === value)),
    ),
  );
  return el("div", { class: "choice", role: "group", "aria-label": name }, buttons);
}
function stateChoice(key, options) {
  return choice(
    key,
    options,
    () => STATE[key],
    (value) => set({ [key]: value }),
  );
}
// A list to pick from; `options` gives [value, text] and may change.
function picker(name, options, get, pick) {
  const node = el("select", {
    "aria-label": name,
    onchange: (event) => pick(event.target.value),
  });
  LISTENERS.push(() => {
    const now = options();
    if (node.dataset.options !== now.join()) {
      node.dataset.options = now.join();
      fill(
        node,
        now.map(([value, text]) => el("option", { value }, text)),
      );
    }
    node.value = get();
  });
  return node;
}
function indexPicker(key, name, count) {
  return picker(
    name,
    () => range(count).map((i) => [i, `${name} ${i}`]),
    () => STATE[key],
    (value) => set({ [key]: Number(value) }),
  );
}

function buildControls() {
  const slider = el("input", {
    type: "range",
    id: "step",
    min: 0,
    max: STEPS.length - 1,
    "aria-label": "checkpoint",
    disabled: STEPS.length < 2,
    oninput: (event) => set({ step: Number(event.target.value) }),
  });
  const update = el("output", { for: "step" });
  const button = el("button", {
    class: "play",
    title: "play through the checkpoints (space)",
    onclick: play,
    disabled: STEPS.length < 2,
  });
  const shard = indexPicker(
    "shard",
    "shard",
    Math.max(...SIDES.map((side) => side.num_shards)),
  );
  const quantity = picker(
    "quantity",
    () => Object.entries(QUANTITIES).map(([key, { long }]) => [key, long]),
    () => STATE.quantity,
    (value) => set({ quantity: value }),
  );
  const mazes = DATA.mazes.map((maze, i) =>
    el(
      "button",
      {
        title: mazeName(maze),
        onclick: () => set({ maze: i, cell: null }),
        "data-maze": i,
      },
      maze.image ? el("img", { src: maze.image, alt: "" }) : null,
      el("span", {}, mazeName(maze)),
    ),
  );
  byId("controls").append(
    el(
      "div",
      { class: "line" },
      button,
      slider,
      update,
      indexPicker("seed", "seed", SEEDS),
      quantity,
      shard,
    ),
    el(
      "div",
      { class: "line" },
      el("div", { class: "thumbs", role: "group", "aria-label": "maze" }, mazes),
      stateChoice("scale", [
        ["shared", "shared scale", "the same colours for all boards"],
        ["own", "own", "each board has its own colours"],
      ]),
      stateChoice("arrows", [
        ["net", "net", "arrow: mean move of the policy"],
        ["components", "components", "one arrow per action"],
        ["none", "no arrows"],
      ]),
      stateChoice("acts", [
        ["policy", "policy", `arrows show the agent\u2019s policy: ${ENV.acting}`],
        ["D", "D", "arrows show the action decoder D alone"],
      ]),
      el(
        "button",
        { class: "theme", title: "dark or light (t)", onclick: switchTheme },
        "\u25d0",
      ),
    ),
  );
  LISTENERS.push(() => {
    slider.value = STATE.step;
    const updates = SIDES.map((side, s) => side.updates[checkpoint(s, STATE.step)]);
    update.textContent = updates.every((u) => u === updates[0])
      ? `update ${updates[0]}`
      : updates.map((u, s) => `${LETTERS[s]} ${u}`).join(" ");
    shard.hidden = !QUANTITIES[STATE.quantity].perShard;
    button.textContent = playing ? "\u275a\u275a" : "\u25b6";
    mazes.forEach((node, i) =>
      node.setAttribute("aria-pressed", String(i === STATE.maze)),
    );
  });
}

function switchTheme() {
  set({ theme: isDark() ? "light" : "dark" });
}
function next(list, now) {
  return list[(list.indexOf(now) + 1) % list.length];
}
const KEYS = {
  ArrowLeft: () => set({ step: Math.max(0, STATE.step - 1) }),
  ArrowRight: () => set({ step: Math.min(STEPS.length - 1, STATE.step + 1) }),
  Home: () => set({ step: 0 }),
  End: () => set({ step: STEPS.length - 1 }),
  " ": play,
  m: () => set({ maze: (STATE.maze + 1) % MAZES, cell: null }),
  s: () => set({ seed: (STATE.seed + 1) % SEEDS }),
  q: () => set({ quantity: next(Object.keys(QUANTITIES), STATE.quantity) }),
  a: () => set({ arrows: next(CHOICES.arrows, STATE.arrows) }),
  t: switchTheme,
  i: () => moveCell(-1, 0),
  k: () => moveCell(1, 0),
  j: () => moveCell(0, -1),
  l: () => moveCell(0, 1),
};
function moveCell(down, right) {
  const [row, column] = shownCell();
  if (stateAt(STATE.maze, row + down, column + right) < 0) return;
  hovered = null;
  set({ cell: [row + down, column + right] });
}
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { tagName, type } = event.target;
  const isTyping = ["SELECT", "INPUT"].includes(tagName) && type !== "range";
  if (isTyping || (event.key === " " && tagName === "BUTTON")) return;
  if (event.key in KEYS) KEYS[event.key]();
  else if (/^Digit[0-9]$/.test(event.code)) {
    const k = Number(event.code.slice(5)) - 1;
    const s = event.shiftKey ? 0 : SIDES.length - 1;
    if (k < 0) {
      STATE.shardsOff.forEach((off) => off.clear());
      changed();
    } else if (k < SIDES[s].num_shards) toggle("shardsOff", s, k);
  } else return;
  event.preventDefault();
}
