"""Do the shards of V separate contexts, whatever their gates and credit?

Question. In the quickstart softmax gates do not come to tell contexts apart. Is it the
kind of gate, the number of shards, or the way they are credited? Each has an arm here,
on the board of the quickstart with another root key, and is asked P6 (can V of one
context be removed alone, by whole units or shards?) against the same mlp. V acts alone.

  P6a  softmax     g = softmax, V = sum g v, one TD error: as in the quickstart.
  P6b  sigmoid     gates that do not compete.
  P6c  top_one     only the shard with the largest gate is open.
  P6d  many        16 shards with as many parameters in all.
  P6e  balanced    a cost (0.1) where the mean shares of the gates differ.
  P6f  competing   sum_k w_k (G - v_k)^2: experts compete to predict the return.
  P6g  routed      the same, and labels say which shard a reward belongs to.
  P6r  top_one     in what share of seeds is S beyond 0.2?
  P6s  competing   the same.

SHARD: yes in all, since a shard is what was reinforced in a context; NN expects that
others lose about as much. Expected before the run: no difference in P6a, b, d and e;
P6c and P6f undecided, because shards form in a third of the seeds; SHARD in P6g, P6r
and P6s.

Reference of `competing`: Jacobs et al., Adaptive mixtures of local experts, 1991.

Command:  python experiments/gates.py [--out DIR] [--train.num-seeds 20 ...]
Minutes:  40 on 2 CPU cores, without the install
Seen:     not run yet with a V that is right, and asked by removal. Asked by ablation,
          when V was not right: P6g said shard, the others no difference or undecided.
Notes:    docs/results/gates.md
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
