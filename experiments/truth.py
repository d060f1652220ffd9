"""How many truth-like directions does V have, and does their number grow as 2^K?

Question. A search without labels for "the truth" finds a direction whose sign answers
questions consistently. If facts come in groups with directions of their own, each
choice of a sign in each group is as consistent: 2^K directions for K groups. Here a
question is a state and the same state with the two fruits on each other's cells, the
truth is which one is worth more, and a group is one of eight contexts. One world is
trained; answers are counted in its first 2, 4, 6 and 8 contexts, in the contributions
of V's units.

  truth         bits of answers per context, mlp against film
  truth_gated   the same of true gates against film

SHARD: near 1 bit per context where gates separate contexts, in an ordinary V too. NN
expects no more in `mlp` than in `film`, whose V depends on the context smoothly.
Expected before the run: no difference in `truth`, with slopes near 0, because one
direction of what is worth more serves all contexts; shard in `truth_gated`.

Command:  python experiments/truth.py [--out DIR] [--train.num-seeds 20 ...]
Minutes:  60 on 2 CPU cores, without the install; 50 seeds
Seen:     with 12 seeds truth: no difference; truth_gated: shard. All controls passed,
          and V is right. Not run with 50 yet.
Notes:    docs/results/truth.md
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
