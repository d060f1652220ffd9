// What the heads say in a maze, with shards switched off or not: V, Q, the policy.

const WORLD = BOOK.world;
const BOARDS = BOOK.boards;
const [MAZES, ROWS, COLUMNS] = BOARDS.cell.shape;
const ACTIONS = WORLD.actions;
const STEPS = [...new Set(SIDES.flatMap((side) => side.updates))].sort((a, b) => a - b);
const SEEDS = Math.max(...SIDES.map((side) => side.seeds));

const QUANTITIES = {
  value: { name: "V", long: "value V", diverging: true },
  exact: { name: "V*", long: "exact value V*", diverging: true },
  error: { name: "V \u2212 V*", long: "error V \u2212 V*", diverging: true },
  advantage: { name: "advantage", long: "Q of the policy's best action less V", diverging: true },
  contribution: { name: "contribution", long: "contribution g\u00b7v of one shard", diverging: true, shard: true },
  gate: { name: "gate", long: "gate g of one shard", diverging: false, shard: true },
  reach: { name: "reach", long: "chance to reach what pays most", diverging: false },
  path: { name: "path", long: "path probability a step, along shortest ways", diverging: false },
};
if (!SIDES[0].read.reach) { delete QUANTITIES.reach; delete QUANTITIES.path; }

// the checkpoint of a side at a step of the slider: the last one not after it
function checkpoint(s, step) {
  const found = SIDES[s].updates.filter((u) => u <= STEPS[step]).length - 1;
  return Math.max(found, 0);
}

// one side at a checkpoint, a seed, a maze, with some shards off
class View {
  constructor(s, step, seed, maze, off, fit = new Set()) {
    this.side = SIDES[s];
    this.s = s;
    this.maze = maze;
    this.off = off;
    this.index = [checkpoint(s, step), Math.min(seed, this.side.seeds - 1), maze];
    this.parts = this.side.parts;
    // experts were fitted to one checkpoint of one seed: elsewhere there are none
    const fitted = this.side.fitted.gates && this.index[0] === this.side.updates.length - 1 && this.index[1] === 0;
    this.fit = fitted ? fit : new Set();
    this.states = BOARDS.position.shape[1];
    const read = this.side.read;
    this.base = offset(read.value, ...this.index, 0);
    this.kept = Array.from({ length: this.states }, (_, x) => this.valueOf(x));
  }
  gate(x, k) { return this.side.read.gates[(this.base + x) * this.parts + k]; }
  part(x, k) { return this.side.read.parts[(this.base + x) * this.parts + k]; }
  contribution(x, k) { return this.gate(x, k) * this.part(x, k); }
  whole(x) { return this.side.read.value[this.base + x]; }
  residual(x) {
    let left = this.whole(x);
    for (let k = 0; k < this.parts; k++) left -= this.contribution(x, k);
    return left;
  }
  valueOf(x) {
    let v = this.whole(x);
    for (const k of this.off) if (k < this.parts) v -= this.contribution(x, k);
    for (const k of this.fit) v -= expert(this.s, this.maze, x, k);
    return v;
  }
  value(x) { return this.kept[x]; }
  exact(x) { return BOARDS.optimal[this.maze * this.states + x]; }
  prior(x) {
    const at = (this.base + x) * ACTIONS;
    return Array.from(this.side.read.prior.subarray(at, at + ACTIONS));
  }
  q(x) {
    const at = (this.maze * this.states + x) * ACTIONS;
    return Array.from({ length: ACTIONS }, (_, a) => BOARDS.reward[at + a] +
      (BOARDS.terminated[at + a] ? 0 : WORLD.discount * this.value(BOARDS.successor[at + a])));
  }
  policy(x) {
    const prior = this.prior(x), q = this.q(x);
    const logits = q.map((b, a) => (WORLD["prior acts"] ? prior[a] : 0) +
      (WORLD.temperature === null ? 0 : b / WORLD.temperature));
    const top = Math.max(...logits);
    const weights = logits.map((l) => Math.exp(l - top));
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map((w) => w / sum);
  }
  // whether D's best action is not among the best by V
  parted(x) {
    const q = this.q(x), prior = this.prior(x);
    return q[prior.indexOf(Math.max(...prior))] < Math.max(...q) - WORLD.tie;
  }
  entropy(x) {
    let sum = 0, h = 0;
    for (let k = 0; k < this.parts; k++) sum += this.gate(x, k);
    for (let k = 0; k < this.parts; k++) {
      const p = sum > 0 ? this.gate(x, k) / sum : 0;
      if (p > 0) h -= p * Math.log(p);
    }
    return h;
  }
  quantity(name, x, shard) {
    const k = Math.min(shard, this.parts - 1);
    switch (name) {
      case "value": return this.value(x);
      case "exact": return this.exact(x);
      case "error": return this.value(x) - this.exact(x);
      case "advantage": {
        const chosen = this.policy(x);
        return this.q(x)[chosen.indexOf(Math.max(...chosen))] - this.value(x);
      }
      case "contribution": return this.off.has(k) ? 0 : this.contribution(x, k);
      case "gate": return this.off.has(k) ? 0 : this.gate(x, k);
      // of the whole head: a step of the browser can't follow episodes to their end
      default: return this.side.read[name][this.base + x];
    }
  }
}

// what an expert adds to the fit of V
function expert(s, maze, x, k) {
  const f = SIDES[s].fitted, at = offset(f.gates, maze, x, k);
  return f.gates[at] * f.parts[at];
}

function move(maze, x, a) {
  const states = BOARDS.position.shape[1];
  const to = BOARDS.successor[(maze * states + x) * ACTIONS + a];
  const at = (i) => [0, 1].map((d) => BOARDS.position[(maze * states + i) * 2 + d]);
  const [from, there] = [at(x), at(to)];
  return [there[0] - from[0], there[1] - from[1]];
}
function stateAt(maze, row, column) {
  if (row < 0 || column < 0 || row >= ROWS || column >= COLUMNS) return -1;
  return BOARDS.cell[(maze * ROWS + row) * COLUMNS + column];
}
function wallAt(maze, row, column) { return BOARDS.walls[(maze * ROWS + row) * COLUMNS + column] > 0; }
function cells(maze) {
  const out = [];
  for (let r = 0; r < ROWS; r++) for (let c = 0; c < COLUMNS; c++)
    if (stateAt(maze, r, c) >= 0) out.push([r, c, stateAt(maze, r, c)]);
  return out;
}
