"""Can V of one context be removed alone, whatever the way of removal?

Question. P6 of the quickstart removes ranked groups of units. A linear edit of the
same units can say something else, and a free edit finds a context in almost any
features. So V is edited here by two families at growing capacity, each beside the same
edits of random units. What counts is the area between the two curves, on levels that
no edit was fitted on.

  P6n  linear   subtracts a fit of V 1[context] by 1, 2, 4, 8 directions of V's units.
  P6o  ranked   removes 1, 2, 4, 8 eighths of the units, or of the shards.

SHARD: more than by chance, and more than `mlp` and `film`. NN: all heads alike. The
training is that of the quickstart with 50 seeds; 256 levels are evaluated.

Expected before the run: no difference in P6n, because a linear edit finds the context
in the units of any head; no difference in P6o, as in P6. `oracle_gated` shows both.

A first run let agents act as in training, with D. All rows were near 0 and its control
failed (`oracle_gated` less `film` was +0.058 where 0.1 was asked for, and +0.025): D
alone earns most of the return, so that no edit of V takes much. Now V acts alone.
Margins and controls are as they were.

Command:  python experiments/removal.py [--out DIR]
Minutes:  35 on 2 CPU cores, without the install
Seen:     P6n: undecided; P6o: no claim, since its control of shuffled contexts failed. By
          eight directions a context is removed alone from an ordinary V, and better
          from random units of the same E; from `oracle_gated` one direction does it.
Notes:    docs/results/removal.md
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
