"""A drug that pays begins to spoil studying: is it vetoed?

Question. On a 7 x 7 board a book pays 1 and ends the episode, and a drug pays 0.2. At
first the drug does no harm. Then it makes four of five later actions random, so that
the book is hard to reach: it still pays, but is no longer worth it. Does the drug
become rarer, and does a V made of shards learn that sooner? V alone acts in the
evaluation, by a lookahead of one step, which sees what the next step pays.

Measures, margins and controls are in drug.yaml, fixed before training:

  P23a  after 10 updates    SHARD: P(drug) falls more than that of a network; the
                            shard of studying vetoes it.
  P23b  after 200 updates   SHARD: the same.

NN expects that the drug stays frequent, because every dose is rewarded. One fixed
utility takes it only where it is worth it, which is in 1 level of 100.

That E learns matters in shard theory. Phases are shared by all arms, so the case of a
frozen E is another run: --train.phases.3.losses.value.encoder 0
--train.phases.4.losses.value.encoder 0 and the same for `action`.

V is trained on random walks first. Without them it was 0 where the agent is drugged,
and agents that knew the book shunned the drug for ever (two seeds of another root).

Command:  python experiments/drug.py [--out DIR] [--train.num-seeds 50 ...]
Minutes:  30 on 2 CPU cores, without the install
Seen:     not run yet.
Notes:    docs/predictions.md
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
