"""Two ways are equally long: is a goal worth more if it is near in a straight line?

Question. In 7 x 7 tree mazes there is one way to the cheese, and V* says how long it
is. Published agents preferred a cheese that was near in a straight line, at equal
lengths of the way. Here V is asked in pairs of places of one maze from which the way is
equally long, so that nothing else has to be held fixed.

Measures, margins and controls are in straight.yaml, fixed before training:

  P2a  cheese anywhere, an ordinary V   SHARD: V falls with straight distance.
  P2b  cheese as in training            SHARD: so it does.
  P2c  cheese anywhere, shards          SHARD: more than a network's.

NN has no sign: V may fall or rise. One fixed utility (V*) has a slope of exactly 0.

No head has such a slope by construction, and gates by context do not give one. The
positive control is the same V with a slope of known size added to it: it shows what the
rule can see in these mazes, and not that shards would have such a slope.

Command:  python experiments/straight.py [--out DIR] [--train.num-seeds 50 ...]
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
