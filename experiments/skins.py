"""The same thing in another colour: does what is wanted follow it?

Question. One of two things pays, the other one costs; each has a colour and a shape.
Before anything pays, a random walker meets the good thing in its own colour and in a
third one, so that E has learned both. A fourth colour is never met. Is the thing sought
in the third colour, in which it never paid, and more than in the fourth? V alone acts
in the evaluation.

Measures, margins and controls are in skins.yaml, fixed before training:

  P20a  shards against a network   SHARD: value follows the thing more with shards.
  P20b  an ordinary V              SHARD: the colour that was met is sought more than
                                   the one that was not.
  P20c  softmax shards             SHARD: the same.

NN expects no difference: any head seeks the thing through the shape, which all colours
share. One fixed utility is not moved by colours.

The world has one context, so that gates by context are one network. In their place the
positive control is V*, which is bound to the thing and not to its looks: the rule has
to see that an agent like that would differ.

Command:  python experiments/skins.py [--out DIR] [--train.num-seeds 50 ...]
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
