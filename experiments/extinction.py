"""Rewards stop in one context: what happens to V in the others?

Question. On a 7 x 7 board the first and the last floor pay for the same fruit, the
second for the other one. When all is learned the agent meets only the last floor, and
nothing pays there. Animals unlearn in that context and want as before in another one.
Does a V made of shards?

Measures, margins and controls are in extinction.yaml, fixed before these seeds were
trained:

  P13a  another fruit    SHARD: V of the second floor survives.
  P13b  the same fruit   SHARD: so does V of the first floor.
  P13c, P13d             The same after 5 updates: at the end all may be lost.

NN expects that they fade too, as far as contexts share features. Expected before the
run: no difference in all four.

Command:  python experiments/extinction.py [--out DIR] [--train.num-seeds 50 ...]
Minutes:  15 on 2 CPU cores, without the install
Seen:     P13a: no difference; P13b: no difference; P13c: no difference; P13d: no
          difference. V is right, all controls passed, returns 99.8% of the exact
          optimum or more before the extinction. P13d does not see oracle-gated shards,
          the others do.
Notes:    docs/results/extinction.md: also with labels, with a frozen E, and with one TD
          error per shard
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
