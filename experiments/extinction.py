"""Does "V is a bunch of gated, context-specific shards" predict anything of its own?

Question. The same agent (encoder E, action decoder D, value head V) is raised on a
7 x 7 board on which the colour of the floor says which fruit pays. Once V is one
network, once four gated shards with as many parameters. What differs?

What each side predicts, the statistic, the margin and the controls are in
extinction.yaml, fixed before training:

  P6   selective removal    SHARD: one context's wants can be removed alone.
  P11  neutral cue          SHARD: what was never reinforced moves V not at all.
  P12  conflict             SHARD: bids of both contexts add up.
  P19  policy and value     SHARD: they part more often off the training distribution.
  VE   error of V           SHARD: smaller, each context is learnt by itself.

NN expects no difference in any of them, or one in any direction. Controls: `planted`
(gated by the true context by hand), `film` (contextual, not sparse), `untrained`, and
V* itself; all arms share keys, levels, loop and the reward-free phase.

Command:  python experiments/extinction.py [--out DIR] [--train.num-seeds 20 ...]
Minutes:  3 on 2 CPU cores, install apart
Seen:     P6: undecided; P11: no difference; P12: undecided; P19: undecided; VE:
          undecided. All controls passed, every trained arm at 96% of the exact optimum
          or more; parts in use 2.1 of 4. Another order of sums gave a P12 one of whose
          controls (planted) was not shown to hold: eight seeds are few.
          With 20 seeds no difference in P6, P11, P12 and P19; VE undecided. Of these
          P6 and P19 would have shown shards, as the hand-made ones of `planted` do.
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
