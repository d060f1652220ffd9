// Beside the shards: experts fitted to a head of one part, and what things are worth.

function expertBlock(s) {
  const side = SIDES[s], f = side.fitted;
  if (!f.gates) return null;
  const maze = STATE.maze, at = (x, k) => offset(f.gates, maze, x, k);
  const gate = (x, k) => f.gates[at(x, k)], part = (x, k) => f.parts[at(x, k)], each = (x, k) => gate(x, k) * part(x, k);
  const ks = Array.from({ length: f.experts }, (_, k) => k), sum = (x) => ks.reduce((v, k) => v + each(x, k), 0);
  const base = new View(s, STEPS.length - 1, 0, maze, new Set()), now = view(s);
  const here = now.index[1] === 0 && now.index[0] === side.updates.length - 1, off = STATE.fit[s];
  const most = (g) => Math.max(...cells(maze).flatMap(([, , x]) => ks.map((k) => Math.abs(g(x, k)))));
  const tops = [1, most(part), most(each)];
  const left = (x) => base.whole(x) - sum(x);
  return el("div", { class: "block", "data-experts": LETTERS[s] },
    el("h3", {}, el("em", { class: `side s${s}` }, LETTERS[s]), NAMES[s], el("small", {}, `${f.experts} gated experts: fitted, not built in`)),
    el("div", { class: "scroll" }, el("table", { class: "shards" },
      el("thead", {}, el("tr", {}, ["", "gate g", "value v", "g \u00b7 v", "share of |V|"].map((t) => el("th", {}, t)))),
      el("tbody", {}, ks.map((k) => el("tr", { class: here && off.has(k) ? "off" : "" }, el("th", { scope: "row" }, el("button", {
        class: `switch s${s}`, "aria-pressed": String(!(here && off.has(k))), "data-expert": `${LETTERS[s]}${k}`, disabled: !here,
        title: here ? "V less what the fit says this expert adds" : "fitted to seed 0 at the last checkpoint: go there to switch it off",
        onclick: () => toggle(s, k, "fit"),
      }, el("i"), `expert ${k}`)),
        el("td", {}, small(maze, (x) => gate(x, k), tops[0], false, `gate of expert ${k}`)),
        el("td", {}, small(maze, (x) => part(x, k), tops[1], true, `value of expert ${k}`)),
        el("td", {}, small(maze, (x) => each(x, k), tops[2], true, `contribution of expert ${k}`)), el("td", {}, share(f.share[k], s)))),
        el("tr", {}, el("th", { scope: "row" }, "V \u2212 fit"), el("td"), el("td"),
          el("td", {}, small(maze, left, tops[2], true, "what the fit leaves over")), el("td"))),
      el("tfoot", {}, el("tr", {}, el("th", {}, "scale"), tops.map((top, i) => el("td", {}, bar(top, i > 0))), el("td"))))),
    el("p", { class: "note" },
      `R\u00b2 ${number(f["held-out R2"])} on ${f["levels held out"]} levels held out, ${number(f["train R2"])} on the ${f.levels} learnt from (${f.states} states, ${f.parameters} parameters). Many experts fit anything piece by piece: a high R\u00b2 alone shows no shards. Seed 0, last checkpoint${here ? "" : ", which is not the one above: nothing is switched off"}.`));
}

function thingsBlock(s) {
  const side = SIDES[s], told = side.things[STATE.maze];
  if (!told || !told.names) return null;
  const K = side.parts > 1 ? side.parts : 0, most = Math.max(...told.value.map(Math.abs), ...told.parts.map(Math.abs));
  const cell = (x) => el("td", {}, el("span", { class: "amount", style: `background:${css(colour(x, most, true) ?? [0, 0, 0])};color:${bright(colour(x, most, true) ?? [0, 0, 0]) ? "#111" : "#fff"}` }, signed(x)));
  const row = (name, value, parts) => el("tr", {}, el("th", { scope: "row" }, SPRITES[name] ? el("img", { src: SPRITES[name].src, alt: "" }) : null, name), cell(value), parts.map(cell));
  const parts = (array, i) => Array.from({ length: K }, (_, k) => array[i * side.parts + k]);
  return el("div", { class: "block", "data-things": LETTERS[s] },
    el("h3", {}, el("em", { class: `side s${s}` }, LETTERS[s]), NAMES[s], el("small", {}, "what each thing is worth at the start")),
    el("div", { class: "scroll" }, el("table", { class: "things" },
      el("thead", {}, el("tr", {}, ["thing", "V", ...Array.from({ length: K }, (_, k) => `shard ${k}`)].map((t) => el("th", {}, t)))),
      el("tbody", {}, told.names.map((name, i) => row(name, told.value[i], parts(told.parts, i))),
        row("none of them", told.empty[0], parts(told.empty.slice(1), 0))),
      el("tfoot", {}, row("all of them", told.whole[0], parts(told.whole.slice(1), 0))))),
    el("p", { class: "note" }, `Exact Shapley values over all ${2 ** told.names.length} boards with some things taken off; rows add up to the last one within ${number(told.residual)}. Boards without things may never have been seen. Seed 0, last checkpoint.`));
}

function buildWorth() {
  if (!SIDES.some((side) => side.things.some((t) => t.names))) return;
  const body = el("div", { class: "blocks" });
  byId("worth").append(el("div", { class: "top" }, el("h2", {}, "What things are worth")), body);
  LISTENERS.push(once(() => fill(body, SIDES.map((_, s) => thingsBlock(s)))));
}

MORE.push(buildWorth);
