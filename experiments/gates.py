"""Does a V of shards part by contexts, whatever its gates and its credit?

Question. In the quickstart softmax gates do not come to tell contexts apart. Is it the
kind of gate, the number of shards, or the way they are credited? Each has an arm here,
on the board of the quickstart, behind another root; each is asked P6 (can what V wants
in one context be removed alone?) against the same mlp.

  P6a  softmax     g = softmax, V = sum g v, one TD error: as in the quickstart.
  P6b  sigmoid     gates that do not compete.
  P6c  top_one     the shard with the largest gate speaks alone.
  P6d  many        16 shards with as many parameters in all.
  P6e  balanced    a cost (0.1) where the mean shares of the gates differ.
  P6f  competing   sum_k w_k (G - v_k)^2: experts that compete for what they tell well.
  P6g  routed      the same, and labels tell which shard a reward is for.

SHARD: yes in all, for a shard is what was reinforced in a context; NN expects that
others lose about as much. What is expected here, written before the run: no difference
in P6a, b, d and e, in which nothing asks shards to differ; P6c and P6f open, for hard
gates and competition may part contexts, or leave all to one shard; SHARD in P6g, as
in the quickstart. Controls as there: `planted`, `film`, `untrained`.

Asked when the first 8 seeds had been seen (`competing` parts contexts wholly in three
of them, and leaves all to one shard in the others): is it that one shard takes all?
Then a cost where shards are used unlike (--arms.competing.head.load_balance 0.1) lets
shards form in more seeds, and P6f says SHARD. That was expected, and was wrong (8
seeds): -0.055 (-0.313 to +0.203), in no seed is S above 0.4. All four shards are in use
then (4.0), but not by context.

Reference of `competing`: Jacobs et al., Adaptive mixtures of local experts, 1991.

Command:  python experiments/gates.py [--out DIR] [--train.num-seeds 20 ...]
Minutes:  11 on 2 CPU cores, install apart
Seen:     P6a: undecided; P6b: undecided; P6c: undecided; P6d: undecided; P6e:
          undecided; P6f: undecided; P6g: shard. All controls passed, every trained arm
          at 97% of the exact optimum or more. In 3 seeds of `competing` and 2 of
          `top_one` each context has a shard of its own (S = 1), in the others one shard
          has both.
          With 20 seeds P6b and P6e say no difference, P6g shard, the others undecided:
          9 seeds of `competing` and 7 of `top_one` part wholly, the others not at all.
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
