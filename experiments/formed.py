"""Where shards have formed on their own, do they protect V of other contexts?

Question. Shards with a TD error each separate contexts completely in some seeds and not
at all in others (`gates`). After the extinction V of the other fruit seemed to survive
in those seeds, but they had suggested the question. Here new seeds are asked, by a
rule: each is classified by its gates before the extinction (competing/gate_distance, 0
to 1), and both kinds are judged against mlp of the same seeds.

  P13e  gates separated by 1/2 or more; after the first 5 updates
  P13f  gates not separated; after the first 5 updates
  P13g  gates separated by 1/2 or more; at the end
  P13h  labelled shards, all seeds; after the first 5 updates

SHARD: V of the other fruit survives in P13e, P13g and P13h, not in P13f. NN expects
that it fades in all four. Expected before the run: SHARD in P13e and P13h, P13f no
difference or undecided, P13g undecided.

Command:  python experiments/formed.py [--out DIR] [--train.num-seeds 50 ...]
Minutes:  25 on 2 CPU cores, without the install
Seen:     P13e: undecided; P13f: no difference; P13g: undecided; P13h: undecided. V is
          right, all controls passed, returns 99.7% of the exact optimum. Gates
          separated in 5 seeds of 20. A network with the same labels and no gates keeps
          more of V than labelled shards do, which P13h has to beat.
Notes:    docs/results/formed.md
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
