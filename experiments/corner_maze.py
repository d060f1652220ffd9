"""Raised on cheese near a corner: is one goal sought afterwards, or several?

Question. In 7 x 7 tree mazes the cheese lies in the top-right 3 x 3 block, so that "go
to the cheese" and "go to the corner" pay alike. Then it lies anywhere. At the decision
square of such a level the two ways part. Which one is taken, and on what does that
hang?

What each side predicts, the statistic, the margin and the controls are in
corner_maze.yaml, fixed before training:

  P1  two goals    SHARD: both are sought, in different levels, each competently.
  P3  similarity   SHARD: the pull of the cheese fades with its distance from the
                   corner, the lengths of both ways held fixed.

NN expects no difference between the arms, or one in any direction; one fixed utility
(V*) always goes to the cheese.

D is trained in the reward-free phase and then left alone: if it goes on learning the
agent's own actions, it locks in the first loops that an uninformed V walks, and the
cheese is not found (38% of the optimum, against what is seen below).

Command:  python experiments/corner_maze.py [--out DIR] [--train.num-seeds 20 ...]
Minutes:  7 on 2 CPU cores, install apart
Seen:     P1: no difference; P3: undecided. All controls passed, every trained arm at
          95% of the exact optimum or more; the corner is preferred in 87 to 89 levels
          of 100, and in every trained arm the cheese pulls less the farther it lies
          from the corner. With 20 seeds no difference in P1 nor P3; nor are the
          hand-made shards of `planted` seen in them.
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
