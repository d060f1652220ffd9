"""A fruit is devalued in one context: is it still sought in another?

Question. On a 7 x 7 board the first and the last floor pay for the same fruit, the
second for the other one, and the agent is always hungry. Then it meets only the last
floor, and in half of the levels it sees that it is not hungry: a bite pays nothing
there. On the first floor it has never been without hunger. Does its V know that the
fruit is worth nothing there too, or does it bid for it as by reflex? V alone acts in
the evaluation, because D has habits of its own.

Measures, margins and controls are in devalued.yaml, fixed before training:

  P14a  after the devaluation        SHARD: still sought; the shard of that floor has
                                     met no bite that was worth nothing.
  P14b  after its first 20 updates   SHARD: the same.

NN expects less of it: what was learned of hunger is shared. One fixed utility (V*)
wants nothing without hunger, from the first step.

Command:  python experiments/devalued.py [--out DIR] [--train.num-seeds 50 ...]
Minutes:  40 on 2 CPU cores, without the install
Seen:     not run yet.
Notes:    docs/predictions.md
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
