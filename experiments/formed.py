"""Where shards have formed of their own accord, do they protect what is wanted?

Question. Shards that compete, each with an error of its own, part contexts wholly in
some seeds and not at all in others (`gates`). In the extinction it looked as if V of
the other fruit was kept in those seeds in which they had parted, but that was seen in
the seeds that suggested it. Here it is asked of new ones, by a rule: each seed is told
by its gates before the extinction (the row competing/apart, how far the mean gates of
the extinguished context and of the other fruit's are apart, 0 to 1), not by what comes
of it, and both kinds of seeds are judged against mlp of the same seeds.

  P13e  gates apart by 1/2 or more; after the first 5 updates
  P13f  gates not apart; after the first 5 updates
  P13g  gates apart by 1/2 or more; at the end
  P13h  labelled shards, all seeds; after the first 5 updates

SHARD: V of the other fruit is kept in P13e, P13g and P13h, not in P13f. NN expects that
it fades in all four. World, agent and phases are those of `extinction`, behind another
root; so are the margin and the controls, which are asked of the judged seeds alone.

Written before the run: P13e and P13h say SHARD (behind root 1 their means were +0.50
and +0.63); P13f no difference or undecided (+0.06); P13g undecided beside the margin
(+0.26). About 9 seeds of 20 have gates that are apart, so that of 8 seeds P13e may rest
on three or four, and be undecided.

And another kind of shard that parts contexts in some seeds (`gates`: 7 of 20), under
one error of the whole V: where one alone is open at a time (--arms.competing.head.td
joint --arms.competing.head.gate top_k). Written before that run: P13e SHARD and P13f no
difference as well, for it is which shard bids that counts and not how it is credited;
P13g open.

Command:  python experiments/formed.py [--out DIR] [--train.num-seeds 20 ...]
Minutes:  9 on 2 CPU cores, install apart
"""

import sys
from pathlib import Path

from shardsim import cli

if __name__ == "__main__":
    config = Path(__file__).with_suffix(".yaml")
    sys.exit(cli.main(["run", str(config), *sys.argv[1:]]))
