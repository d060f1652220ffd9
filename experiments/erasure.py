"""Is RLACE inconsistent between runs and CDE consistent, and why?

Question. Both search for a direction of a concept from a random start. Two runs of
RLACE were reported to disagree, and two of CDE to agree. Is that the method, the
optimiser, the number of steps, or how well the pairs match? The concept is the context.
A pair is the same state on the floor of either context; of noisy pairs a share shows
two states. What is compared is |cos| between the directions of restarts, at the
features of E and at the hidden units of V.

  steps      RLACE as published: 1,000 steps against 10
  optimiser  RLACE with a decay that falls, 40 steps, against 100 steps as published
  cde        CDE against RLACE after 10 steps
  noise      CDE: pairs of different states against pairs that match
  specific   what a swap along CDE's direction moves, less what it moves of the cue,
             against a swap along the class means
  hidden     as `steps`, at V's hidden units

These questions are about tools, and are answered by yes or no. SHARD: nothing; NN:
nothing. They count for no view of V.

Expected before the run: yes in `steps`, `hidden` and `optimiser`, since for one
direction and two classes the optimum of RLACE is unique, the difference of the class
means: runs that differ were stopped early. Yes in `cde`, against so few steps. Yes in
`noise`: where pairs differ along few directions, many directions swap them. No
difference in `specific`. Pair noise does not change RLACE (rows `many_mixed`,
`many_unmatched`).

CDE is degenerate at V's hidden units, where V is one linear read-out: its optimum is
that read-out whatever the concept is (`cde_to_read`, `cde_other`). So CDE is asked of
the log-probabilities of D, at the features of E.

Sizes are those that 50 seeds of 4 arms take ten minutes for: 192 pairs, 4 restarts of
CDE and of RLACE as published (3 at hidden units), 2 of the other one, 1,000 steps and
not the 75,000 of the reference.

Command:  python experiments/erasure.py [--out DIR] [--train.num-seeds 20 ...]
Minutes:  40 on 2 CPU cores, without the install; 50 seeds
Seen:     steps: yes; optimiser: yes; cde: yes; noise: undecided; specific: no; hidden:
          yes. All controls passed.
Notes:    docs/results/erasure.md
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
