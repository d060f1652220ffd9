"""What the tails of V show, in a sentence.

Many small independent heuristics add up to a normal distribution. Heavy tails seem to
refute them, but they do not: a normal whose scale depends on the context looks like
Laplace if contexts are pooled.

  model of V                          pooled   within   Var(sum) / sum Var within
  many small independent heuristics   normal   normal   about 1
  few gated shards of heuristics      heavy    normal   about 1
  few big features, one circuit       heavy    heavy    any
  correlated heuristics               any      any      far from 1

A sentence claims only what is shown. "Not shown to be heavy" is not "normal": that has
to be shown too, by intervals that lie within margins. A gate needs three things: heavy
tails pooled, normal tails within, and contexts that explain the difference.

How often a sentence is said, of 200 draws with 400 or 1,000 samples, or 1,600 in 64
clusters of which half are copies. The sum of four Laplace terms lies at a margin.

                                            n = 400   1,000   64 clusters
  gated, said of a gate                         .38     .77           .20
  gated, said without a gate                    .00     .00           .00
  heavy within, said of Laplace within         1.00    1.00          1.00
  heavy within, said of normal within           .01     .00           .00
  normal within, said of normal within          .44     .77           .40
  normal within, said at a margin               .03     .01           .01

A tail that is rarer than one sample in n / 3 is not seen, whatever its size.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from shardsim.inspection.tails.within import Within

NORMAL_EXCESS = 0.75
"""Tails are normal if their excess kurtosis is shown to be below this, and above its
negative: those of more than four Laplace terms."""
NORMAL_SHAPE = (1.65, 3.5)
"""... and if their shape is shown to lie in between: 2 is normal, 1 Laplace, 1.6 the
sum of four Laplace terms."""
UNCORRELATED = 1.5
"""Parts are uncorrelated if Var(sum) / sum Var is shown to be below this and above its
inverse, correlated if it is shown to be beyond."""
MANY = 3.0
"""Parts are many if more than this number are shown to share the variance."""
LEVEL = 0.05
"""Of the test whether contexts explain the tails."""
MIN_CLUSTERS = 8
"""Fewest clusters of a context whose tails are read: extremes of fewer are not seen."""
MIN_SAMPLES = 40
"""Fewest samples of a context whose tails are read."""

ONE_CONTEXT = "one context: heavy tails and a gate look the same"
CONSTANT = "no reading: a group does not vary"
ONE_CLUSTER = "no reading: a group has only one cluster"
FEW = "no reading: a context has too few samples"
GATED = "gated: heavy pooled, normal within contexts"
HEAVY_WITHIN = "heavy within contexts, as few big features are"
HEAVY_POOLED = "heavy pooled; within contexts undecided"
MANY_SMALL = "many small uncorrelated contributions: normal pooled and within contexts"
NORMAL = "normal pooled and within contexts"
NORMAL_WITHIN = "normal within contexts; pooled undecided"
UNDECIDED = "undecided: tails are shown to be neither heavy nor normal"
CORRELATED = "correlated contributions; "
"""Comes before one of the sentences on tails."""
TAILS = (GATED, HEAVY_WITHIN, HEAVY_POOLED, NORMAL, NORMAL_WITHIN, UNDECIDED)
SENTENCES = (
    ONE_CONTEXT,
    CONSTANT,
    ONE_CLUSTER,
    FEW,
    MANY_SMALL,
    *TAILS,
    *(CORRELATED + tails for tails in TAILS),
)
"""All sentences that `read` can return."""


def is_heavy(
    shape_interval: Float[Any, "*G 2"], excess_interval: Float[Any, "*G 2"]
) -> Any:
    """Whether the excess lies above 0 and the shape below 2, by their intervals."""
    return (excess_interval[..., 0] > 0) & (shape_interval[..., 1] < 2)


def is_normal(
    shape_interval: Float[Any, "*G 2"], excess_interval: Float[Any, "*G 2"]
) -> Any:
    """Whether excess and shape lie within the margins, by their intervals."""
    low, high = NORMAL_SHAPE
    return (
        (excess_interval[..., 0] > -NORMAL_EXCESS)
        & (excess_interval[..., 1] < NORMAL_EXCESS)
        & (shape_interval[..., 0] > low)
        & (shape_interval[..., 1] < high)
    )


def read(
    shape_interval: Float[Any, "2"], excess_interval: Float[Any, "2"], within: Within
) -> str:
    """One of `SENTENCES`.

    Args:
      shape_interval: of the shape of V, pooled over contexts; level 95%.
      excess_interval: of its excess kurtosis.
      within: the same within contexts.
    """
    if len(within.clusters) < 2:
        return ONE_CONTEXT
    if np.min(within.scale) == 0:
        return CONSTANT
    if np.min(within.clusters) < 2:
        return ONE_CLUSTER
    if np.min(within.clusters) < MIN_CLUSTERS or np.min(within.samples) < MIN_SAMPLES:
        return FEW
    tails = _tails(np.asarray(shape_interval), np.asarray(excess_interval), within)
    low, high = np.asarray(within.variance_ratio)
    if low > UNCORRELATED or high < 1 / UNCORRELATED:
        return CORRELATED + tails
    is_uncorrelated = low > 1 / UNCORRELATED and high < UNCORRELATED
    is_many = float(within.breadth[0]) > MANY
    return MANY_SMALL if tails == NORMAL and is_uncorrelated and is_many else tails


def _tails(shape: np.ndarray, excess: np.ndarray, within: Within) -> str:
    inner = np.asarray(within.shape), np.asarray(within.excess)
    if is_heavy(*inner):
        return HEAVY_WITHIN
    is_pooled_heavy = is_heavy(shape, excess)
    if is_normal(*inner) and is_pooled_heavy:
        return GATED if float(within.p) < LEVEL else HEAVY_POOLED
    if is_normal(*inner):
        return NORMAL if is_normal(shape, excess) else NORMAL_WITHIN
    return HEAVY_POOLED if is_pooled_heavy else UNDECIDED
