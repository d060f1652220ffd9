"""How well a score separates two classes of members, each with some seeds.

Symbols: P members of the first class, Q of the second, N seeds (M of the second class,
where it has its own), B resamples.
"""

from typing import Annotated

import numpy as np

from shardsim.core.arguments import Integer
from shardsim.core.statistics import resampling
from shardsim.core.statistics.intervals import Interval
from shardsim.core.statistics.resampling import Numbers


def auroc(
    first: Annotated[Numbers, "P N"],
    second: Annotated[Numbers, "Q M"],
    level: float = 0.95,
    resamples: Integer = 10_000,
    seed: Integer = 0,
    *,
    same_seeds: bool = True,
) -> Interval:
    """Area under the ROC curve, P(X > Y) + P(X = Y) / 2, with a crossed bootstrap.

    X is a score of any member of the first class and seed, Y one of the second class.
    Members of a seed share what was drawn for it. So a resample draws the seeds once
    for both classes, and the members within each class.

    Args:
      first: scores of the members that should be higher; NaN where there is none.
      second: scores of the others, of the same seeds (M = N); NaN where there is none.
      level: confidence level in (0, 1).
      resamples: of the bootstrap.
      seed: of the bootstrap.
      same_seeds: whether seed n of both classes shares what was drawn for it. If not, a
        resample draws the seeds of each class by themselves.

    Returns:
      The area and its percentile interval; n is the number of seeds of the first class.
      All NaN where a class has no score.

    Raises:
      ValueError: the numbers of seeds differ, or the level is out of range.

    Reference: Owen, The pigeonhole bootstrap, 2007; Mason & Graham, 2002.
    """
    high, low = np.asarray(first, np.float64), np.asarray(second, np.float64)
    shapes_fit = not same_seeds or high.shape[-1:] == low.shape[-1:]
    if high.ndim != 2 or low.ndim != 2 or not shapes_fit:
        raise ValueError(
            f"second: got shape {low.shape}; allowed: members of the seeds of first, "
            f"whose shape is {high.shape}"
        )
    resampling.check_level(level)
    resamples, seed = resampling.settings(resamples, seed)
    n = high.shape[1]
    x, y = high.reshape(-1), low.reshape(-1)
    exists = np.isfinite(x)[:, None] & np.isfinite(y)[None]
    if not exists.any():
        return Interval(float("nan"), float("nan"), float("nan"), level, n)
    wins = np.where(exists, (np.sign(x[:, None] - y[None]) + 1) / 2, 0.0)
    rng = np.random.default_rng(seed)
    seeds = rng.multinomial(n, np.full(n, 1 / n), resamples)
    other = seeds
    if not same_seeds:
        m = low.shape[1]
        other = rng.multinomial(m, np.full(m, 1 / m), resamples)
    weights = [
        (rng.multinomial(m, np.full(m, 1 / m), resamples)[:, :, None] * times[:, None])
        .reshape(resamples, -1)
        .astype(np.float64)
        for m, times in ((len(high), seeds), (len(low), other))
    ]
    total = ((weights[0] @ exists) * weights[1]).sum(axis=1)
    drawn = ((weights[0] @ wins) * weights[1]).sum(axis=1)[total > 0]
    drawn = drawn / total[total > 0]
    ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    estimate = float(wins.sum() / exists.sum())
    return Interval(estimate, float(ends[0]), float(ends[1]), level, n)
