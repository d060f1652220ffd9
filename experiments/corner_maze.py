"""Trained on cheese near a corner: does the agent pursue one goal or several?

Question. In 7 x 7 tree mazes the cheese lies in the top-right 3 x 3 block, so that "go
to the cheese" and "go to the corner" pay alike. Then it lies anywhere. At the decision
square of such a level the two ways part. Which one does the agent take, and why?

Measures, margins and controls are in corner_maze.yaml, fixed before training:

  P1  two goals    SHARD: both are pursued, in different levels, each competently.
  P3  similarity   SHARD: the pull of the cheese fades with its distance from the
                   corner, at fixed lengths of both ways.

NN expects no difference between the arms, or one in any direction; one fixed utility
(V*) always goes to the cheese.

Command:  python experiments/corner_maze.py [--out DIR] [--train.num-seeds 20 ...]
Minutes:  7 on 2 CPU cores, without the install
Seen:     P1: no difference; P3: undecided. All controls passed, every trained arm at
          95% of the exact optimum or more. With 20 seeds no difference in P1 nor P3,
          which do not detect oracle-gated shards either.
          Errors of V were 0.45 to 0.8: since 0.25 is asked for, no claim stands.
Notes:    docs/results/corner_maze.md
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
