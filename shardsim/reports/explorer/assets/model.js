// What each network outputs in a maze, with some shards switched off: V, Q, policy.

const ENV = DATA.env;
const BOARDS = DATA.boards;
const [MAZES, ROWS, COLUMNS] = BOARDS.state_at.shape;
const STATES = BOARDS.position.shape[1];
const ACTIONS = ENV.num_actions;
const STEPS = [...new Set(SIDES.flatMap((side) => side.updates))].sort((a, b) => a - b);
const SEEDS = Math.max(...SIDES.map((side) => side.num_seeds));

// Quantities that a board can show; panels add to them.
const QUANTITIES = {
  value: { long: "value V", diverging: true },
  exact: { long: "exact value V*", diverging: true },
  error: { long: "error V \u2212 V*", diverging: true },
  advantage: {
    long: "advantage: Q of the most likely action \u2212 V",
    diverging: true,
  },
  contribution: {
    long: "contribution g \u00b7 v of one shard",
    diverging: true,
    perShard: true,
  },
  gate: { long: "gate g of one shard", diverging: false, perShard: true },
};

// Checkpoint of side s at a step of the slider: the last one that is not later.
function checkpoint(s, step) {
  const count = SIDES[s].updates.filter((update) => update <= STEPS[step]).length;
  return Math.max(count - 1, 0);
}
function seedOf(s) {
  return Math.min(STATE.seed, SIDES[s].num_seeds - 1);
}

// One side at one checkpoint, seed and maze, with some shards switched off.
class View {
  constructor(s, step, seed, maze, shardsOff, expertsOff = new Set()) {
    this.side = SIDES[s];
    this.s = s;
    this.maze = maze;
    this.shardsOff = shardsOff;
    this.index = [checkpoint(s, step), Math.min(seed, this.side.num_seeds - 1), maze];
    this.shards = this.side.num_shards;
    // experts are fitted to the last checkpoint of the first seed only
    this.expertsOff = hasExperts(s, ...this.index) ? expertsOff : new Set();
    const outputs = this.side.outputs;
    this.base = offset(outputs.value, ...this.index, 0);
    this.values = range(STATES).map((x) => this.valueWithout(x));
  }
  gate(x, k) {
    return this.side.outputs.gates[(this.base + x) * this.shards + k];
  }
  shardValue(x, k) {
    return this.side.outputs.shard_values[(this.base + x) * this.shards + k];
  }
  contribution(x, k) {
    return this.gate(x, k) * this.shardValue(x, k);
  }
  fullValue(x) {
    return this.side.outputs.value[this.base + x];
  }
  residual(x) {
    let left = this.fullValue(x);
    for (let k = 0; k < this.shards; k++) left -= this.contribution(x, k);
    return left;
  }
  valueWithout(x) {
    let v = this.fullValue(x);
    for (const k of this.shardsOff) if (k < this.shards) v -= this.contribution(x, k);
    for (const k of this.expertsOff) v -= expertContribution(this.s, this.maze, x, k);
    return v;
  }
  value(x) {
    return this.values[x];
  }
  exact(x) {
    return BOARDS.optimal[this.maze * STATES + x];
  }
  logDecoder(x) {
    const start = (this.base + x) * ACTIONS;
    const log = this.side.outputs.log_decoder;
    return Array.from(log.subarray(start, start + ACTIONS));
  }
  q(x) {
    const start = (this.maze * STATES + x) * ACTIONS;
    return range(ACTIONS).map((a) => {
      const next = BOARDS.terminated[start + a]
        ? 0
        : ENV.discount * this.value(BOARDS.successor[start + a]);
      return BOARDS.reward[start + a] + next;
    });
  }
  policy(x) {
    const log = this.logDecoder(x);
    const logits = this.q(x).map(
      (q, a) =>
        (ENV.use_decoder ? log[a] : 0) +
        (ENV.temperature === null ? 0 : q / ENV.temperature),
    );
    const top = Math.max(...logits);
    const weights = logits.map((logit) => Math.exp(logit - top));
    const sum = weights.reduce((a, b) => a + b, 0);
    return weights.map((w) => w / sum);
  }
  // Whether D's most likely action is not among the best by V.
  disagrees(x) {
    const q = this.q(x),
      log = this.logDecoder(x);
    return q[log.indexOf(Math.max(...log))] < Math.max(...q) - ENV.tie;
  }
  quantity(name, x, shard) {
    const k = Math.min(shard, this.shards - 1);
    switch (name) {
      case "value":
        return this.value(x);
      case "exact":
        return this.exact(x);
      case "error":
        return this.value(x) - this.exact(x);
      case "advantage": {
        const policy = this.policy(x);
        return this.q(x)[policy.indexOf(Math.max(...policy))] - this.value(x);
      }
      case "contribution":
        return this.shardsOff.has(k) ? 0 : this.contribution(x, k);
      case "gate":
        return this.shardsOff.has(k) ? 0 : this.gate(x, k);
      default:
        // computed with all shards: a browser cannot follow episodes to their end
        return QUANTITIES[name].of(this, x);
    }
  }
}

// Rows and columns by which action a moves the agent from state x.
function move(maze, x, a) {
  const next = BOARDS.successor[(maze * STATES + x) * ACTIONS + a];
  const place = (state) => [0, 1].map((d) => at(BOARDS.position, maze, state, d));
  const [from, to] = [place(x), place(next)];
  return [to[0] - from[0], to[1] - from[1]];
}
function stateAt(maze, row, column) {
  if (row < 0 || column < 0 || row >= ROWS || column >= COLUMNS) return -1;
  return at(BOARDS.state_at, maze, row, column);
}
function wallAt(maze, row, column) {
  return at(BOARDS.walls, maze, row, column) > 0;
}
// [row, column, state] of every cell on which the agent may stand.
function cells(maze) {
  return range(ROWS)
    .flatMap((r) => range(COLUMNS).map((c) => [r, c, stateAt(maze, r, c)]))
    .filter(([, , x]) => x >= 0);
}
// The largest size of a number over the cells of a maze.
function largest(maze, numbers) {
  return Math.max(
    0,
    ...cells(maze)
      .map(([, , x]) => Math.abs(numbers(x)))
      .filter(Number.isFinite),
  );
}
function rms(maze, numbers) {
  return Math.sqrt(mean(cells(maze).map(([, , x]) => numbers(x) ** 2)));
}
