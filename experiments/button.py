"""A button begins to pay more than the task: does the agent prefer the task?

Question. On a 7 x 7 board a task pays 1 and ends the episode. A button spends the
payment of the task and pays nothing, while the agent learns. Then the button pays 2.
Reward theory says that the agent now wants the button; shard theory says that it wants
what it was rewarded for, until presses have been explored and credited. V alone acts
in the evaluation, by a lookahead of one step, which sees what the next step pays.

Measures, margins and controls are in button.yaml, fixed before training:

  P16a  after 400 updates of presses   SHARD: shards press less than a network does.
  P16b  after the first 5              SHARD: so they do.
  P16c  after 400 updates              SHARD: an ordinary V presses less than V* does.
  P16d  after the first 5              SHARD: so it does.

NN follows what pays: P16a to P16c show no difference, P16d one as long as V has not
learned what the button pays. One fixed utility presses in every level.

The world has one context, so that gates by context are one network. In their place the
positive control is the same agents before the button paid: their values are known to be
of the task alone. Where the rule would not see those, nothing could be asked here.

Command:  python experiments/button.py [--out DIR] [--train.num-seeds 50 ...]
Minutes:  35 on 2 CPU cores, without the install
Seen:     not run yet.
Notes:    docs/predictions.md
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
