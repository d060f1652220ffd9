// Controls, keys, and the first drawing.

let playing = null;
function play() {
  if (playing) { clearInterval(playing); playing = null; }
  else if (STEPS.length > 1) {
    if (STATE.step === STEPS.length - 1) set({ step: 0 });
    playing = setInterval(() => {
      if (STATE.step >= STEPS.length - 1) { play(); return; }
      set({ step: STATE.step + 1 });
    }, 600);
  }
  draw();
}

function choice(name, options, get, pick) {
  const buttons = options.map(([value, text, title]) => el("button", { title, onclick: () => pick(value), "data-choice": `${name}:${value}` }, text));
  LISTENERS.push(() => options.forEach(([value], i) => buttons[i].setAttribute("aria-pressed", String(get() === value))));
  return el("div", { class: "choice", role: "group", "aria-label": name }, buttons);
}

function buildControls() {
  const slider = el("input", { type: "range", id: "step", min: 0, max: STEPS.length - 1, value: STATE.step, "aria-label": "checkpoint",
    disabled: STEPS.length < 2, oninput: (event) => set({ step: Number(event.target.value) }) });
  const told = el("output", { for: "step" });
  const button = el("button", { class: "play", title: "play (space)", onclick: play, disabled: STEPS.length < 2 });
  const seed = el("select", { "aria-label": "seed", onchange: (event) => set({ seed: Number(event.target.value) }) },
    Array.from({ length: SEEDS }, (_, n) => el("option", { value: n }, `seed ${n}`)));
  const shards = Math.max(...SIDES.map((side) => side.parts));
  const shard = el("select", { "aria-label": "shard", onchange: (event) => set({ shard: Number(event.target.value) }) },
    Array.from({ length: shards }, (_, k) => el("option", { value: k }, `shard ${k}`)));
  const quantity = el("select", { "aria-label": "quantity", onchange: (event) => set({ quantity: event.target.value }) },
    Object.entries(QUANTITIES).map(([key, { long }]) => el("option", { value: key }, long)));
  const mazes = el("div", { class: "thumbs", role: "group", "aria-label": "maze" }, BOOK.mazes.map((m, i) =>
    el("button", { title: mazeName(m), onclick: () => set({ maze: i, cell: null }), "data-maze": i },
      m.picture ? el("img", { src: m.picture, alt: "" }) : null, el("span", {}, mazeName(m)))));
  byId("controls").append(
    el("div", { class: "line" }, button, slider, told, seed, quantity, shard),
    el("div", { class: "line" }, mazes,
      choice("scale", [["shared", "shared scale", "one scale for all panels"], ["own", "own", "each panel its own scale"]], () => STATE.scale, (scale) => set({ scale })),
      choice("arrows", [["net", "net", "mean move"], ["components", "components", "each action by itself"], ["none", "no arrows"]], () => STATE.arrows, (arrows) => set({ arrows })),
      choice("acts", [["policy", "acting", `how the agent is looked at acting: ${WORLD["acts"]}`], ["D", "D", "the action decoder alone"]], () => STATE.acts, (acts) => set({ acts })),
      el("button", { class: "theme", title: "dark or light (t)", onclick: theme }, "\u25d0")));
  LISTENERS.push(() => {
    slider.value = STATE.step;
    const which = SIDES.map((side, s) => side.updates[checkpoint(s, STATE.step)]);
    told.textContent = which.every((u) => u === which[0]) ? `update ${which[0]}` : which.map((u, s) => `${LETTERS[s]} ${u}`).join(" ");
    seed.value = STATE.seed;
    quantity.value = STATE.quantity;
    shard.value = STATE.shard;
    shard.hidden = !QUANTITIES[STATE.quantity].shard;
    button.textContent = playing ? "\u275a\u275a" : "\u25b6";
    [...mazes.children].forEach((node, i) => node.setAttribute("aria-pressed", String(i === STATE.maze)));
  });
}

function theme() { set({ theme: dark() ? "light" : "dark" }); }

function cycle(list, now, by = 1) { return list[(list.indexOf(now) + by + list.length) % list.length]; }
function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typed = ["SELECT", "INPUT"].includes(event.target.tagName) && event.target.type !== "range";
  if (typed || (event.key === " " && event.target.tagName === "BUTTON")) return;
  const steps = { ArrowLeft: -1, ArrowRight: 1 };
  const moves = { i: [-1, 0], k: [1, 0], j: [0, -1], l: [0, 1] };
  if (event.key in steps) set({ step: Math.max(0, Math.min(STEPS.length - 1, STATE.step + steps[event.key])) });
  else if (event.key === "Home") set({ step: 0 });
  else if (event.key === "End") set({ step: STEPS.length - 1 });
  else if (event.key === " ") play();
  else if (event.key === "m") set({ maze: (STATE.maze + 1) % MAZES, cell: null });
  else if (event.key === "s") set({ seed: (STATE.seed + 1) % SEEDS });
  else if (event.key === "q") set({ quantity: cycle(Object.keys(QUANTITIES), STATE.quantity) });
  else if (event.key === "a") set({ arrows: cycle(["net", "components", "none"], STATE.arrows) });
  else if (event.key === "t") theme();
  else if (event.key in moves) {
    const [r, c] = cellShown(), [dr, dc] = moves[event.key];
    if (stateAt(STATE.maze, r + dr, c + dc) >= 0) { hovered = null; set({ cell: [r + dr, c + dc] }); }
  } else if (/^Digit[0-9]$/.test(event.code)) {
    const k = Number(event.code.slice(5)) - 1, s = event.shiftKey ? 0 : SIDES.length - 1;
    if (k < 0) { STATE.off.forEach((off) => off.clear()); changed(); }
    else if (k < SIDES[s].parts) toggle(s, k);
  } else return;
  event.preventDefault();
}

fromHash();
buildHead();
buildControls();
buildMazes();
buildShards();
buildWants();
for (const build of MORE) build();
buildTraining();
buildTable();
buildOrigin();
LISTENERS.push(drawDetail);
addEventListener("keydown", key);
addEventListener("hashchange", () => { if (location.hash !== toHash()) { fromHash(); draw(); } });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
for (const section of document.querySelectorAll("main > section:empty")) section.remove();
draw();
document.documentElement.dataset.ready = "";
