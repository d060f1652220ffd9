"""Is an ordinary V made of shards, by the metric that tells shards from others?

Question. Of eight metrics of shardedness one stands in the zoo, where the answer is
known: how far the contributions of V's units fall into one cluster for each context,
less the same of shuffled contributions. Here trained agents are asked.

  P6p  `sharded` against `mlp`: do soft gates make such groups?
  P6q  `mlp` against `film`: does an ordinary V, more than a smooth modulation?

SHARD: yes in both. NN: no sign. The training is that of the quickstart with 50 seeds;
the margin is a quarter of what shards by construction show.

Expected before the run: undecided in P6p, since soft gates part in some seeds; no
difference in P6q. `oracle_gated` shows both.

Command:  python experiments/clusters.py [--out DIR]
Minutes:  25 on 2 CPU cores, without the install
Seen:     P6p: shard; P6q: no difference. All controls passed, but a random V has more
          clusters than `sharded`: the row is no evidence.
Notes:    docs/results/clusters.md
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
