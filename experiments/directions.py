"""What do singular directions of a layer miss of what it does?

Question. Along its singular directions a matrix only scales, so interesting action may
lie elsewhere. Six families of directions of the features of E are asked how much of V,
or of D's policy, is left if the first layer sees k of them, k = 1, 2, 4, 8: singular
directions, those weighted by the data, those of stacked Jacobians, of LEACE, the reads
of the components of the layer (stochastic parameter decomposition, SPD), and random
ones.

  singular    V: weighted by the data against singular
  jacobians   V: stacked Jacobians against weighted by the data
  components  V: components against weighted by the data
  policy      D: stacked Jacobians against weighted by the data
  collisions  D: how much the policy differs between features that singular directions
              do not tell apart, against those that stacked Jacobians do not
  planted     |cos| to four planted reads: components against singular

These questions are about tools, and are answered by yes or no. SHARD: nothing; NN:
nothing. They count for no view of V.

Expected before the run: yes in `jacobians`, `policy` and `collisions`: Jacobians know
what follows the layer. Yes in `singular`, by the theorem that data-weighted directions
keep most of the layer's own output; two agents of another seed, half trained, said the
opposite of V and the same of D while the tool was written. The reverse of yes in
`components`, and no in `planted`: 600 steps find components that use the right span and
mix what is in it. A planted layer showed that before.

Command:  python experiments/directions.py [--out DIR] [--train.num-seeds 20 ...]
Minutes:  30 on 2 CPU cores, without the install; 50 seeds
Seen:     singular: no; jacobians: yes; components: no difference; policy: no
          difference; collisions: no difference; planted: no. All controls passed.
Notes:    docs/results/directions.md
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
