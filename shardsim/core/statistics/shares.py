"""Exact intervals and tests for a difference of two shares of seeds.

Where a behaviour is all or nothing, its mean over seeds is the wrong question: the
share of seeds that show it is what an arm has. Symbols: n seeds of each arm, x and y of
them show the behaviour.
"""

import functools

import numpy as np
import scipy.special
import scipy.stats
from jaxtyping import Float

from shardsim.core import arguments
from shardsim.core.arguments import Integer
from shardsim.core.statistics import resampling, significance
from shardsim.core.statistics.intervals import Interval, share_interval

GRID = 401
"""Values of the common share, over which the largest probability is taken."""


def share(count: Integer, n: Integer, level: float = 0.95) -> Interval:
    """The share count / n with its exact interval (Clopper and Pearson).

    Raises:
      ValueError: `count` or `n` is no whole number, or out of range.
    """
    low, high = share_interval(count, n, level)
    return Interval(int(count) / int(n), low, high, level, int(n))


def difference_test(
    x: Integer, y: Integer, n: Integer, threshold: float, side: str
) -> float:
    """Exact one-sided p-value of H0: p_x - p_y <= threshold (or >=, for "less").

    It is the largest probability, over all shares on the border p_x - p_y = threshold,
    of a table (x, y) that is as far beyond it by the likelihood ratio. At threshold 0
    it is Barnard's unconditional test with this order of the tables. The size is at
    most the level.

    Args:
      x: seeds of the first arm that show the behaviour.
      y: those of the second arm.
      n: seeds of each arm, at least 1.
      threshold: in (-1, 1).
      side: "greater" or "less".

    Raises:
      ValueError: a count that is not whole or out of range, a threshold that is no
        difference of shares, or a side that is neither.

    Reference: Chan, Exact tests of equivalence and efficacy with a non-zero lower
    bound, 1998.
    """
    n = arguments.integer("n", n, 1)
    x, y = arguments.integer("x", x, 0, n), arguments.integer("y", y, 0, n)
    significance.check_threshold(threshold, side)
    if not -1 < threshold < 1:
        raise ValueError(f"threshold: got {threshold}; allowed: between -1 and 1")
    if side == "less":
        x, y, threshold = y, x, -threshold
    order = _order(n, threshold)
    extreme = order >= order[x, y] - 1e-12
    return min(1.0, float(_probability(n, threshold, extreme).max()))


def difference_interval(
    x: Integer, y: Integer, n: Integer, level: float = 0.95
) -> Interval:
    """The difference of shares and its exact interval, which `difference_test` inverts.

    Raises:
      ValueError: a count or a level out of range.
    """
    resampling.check_level(level)
    n = arguments.integer("n", n, 1)
    tail = (1 - level) / 2
    ends = [_end(int(x), int(y), n, tail, side) for side in ("greater", "less")]
    return Interval((int(x) - int(y)) / n, ends[0], ends[1], level, n)


def equality_test(x: Integer, y: Integer, n: Integer) -> float:
    """Boschloo's exact two-sided p-value of H0: both arms have the same share.

    Raises:
      ValueError: a count that is not whole or out of range.
    """
    n = arguments.integer("n", n, 1)
    x, y = arguments.integer("x", x, 0, n), arguments.integer("y", y, 0, n)
    if x == y:
        return 1.0
    table = [[x, y], [n - x, n - y]]
    return float(scipy.stats.boschloo_exact(table, n=64).pvalue)


@functools.lru_cache(maxsize=64)
def _order(n: int, threshold: float) -> Float[np.ndarray, "x y"]:
    """How far beyond the threshold each table is: the signed root of its likelihood
    ratio, of free shares to shares on the border."""
    first, second = _border(threshold)
    counts = np.arange(n + 1)
    free = _log_likelihood(counts, n, counts / n)
    rows = _log_likelihood(counts[:, None], n, first)
    columns = _log_likelihood(counts[:, None], n, second)
    on_border = (rows[:, None] + columns[None]).max(axis=-1)
    ratio = np.maximum(free[:, None] + free[None] - on_border, 0.0)
    difference = (counts[:, None] - counts[None]) / n - threshold
    return np.sign(difference) * np.sqrt(2 * ratio)


def _log_likelihood(counts: np.ndarray, n: int, p: np.ndarray) -> np.ndarray:
    return np.asarray(scipy.special.xlogy(counts, p)) + np.asarray(
        scipy.special.xlog1py(n - counts, -p)
    )


def _border(threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of shares whose difference is the threshold."""
    second = np.linspace(max(0.0, -threshold), min(1.0, 1.0 - threshold), GRID)
    return np.clip(second + threshold, 0.0, 1.0), second


def _probability(
    n: int, threshold: float, extreme: np.ndarray
) -> Float[np.ndarray, " shares"]:
    """Probability of the extreme tables for every pair of shares on the border."""
    first, second = _border(threshold)
    counts = np.arange(n + 1)[:, None]
    rows = scipy.stats.binom.pmf(counts, n, first)
    columns = scipy.stats.binom.pmf(counts, n, second)
    return np.einsum("xs,xy,ys->s", rows, extreme.astype(float), columns)


def _end(x: int, y: int, n: int, tail: float, side: str) -> float:
    """The threshold at which p is `tail`, to 1e-4; the end of the range if none is."""
    sign = 1 if side == "greater" else -1
    inside, outside = (x - y) / n, -sign * (1 - 1e-9)
    if difference_test(x, y, n, outside, side) > tail:
        return float(-sign)
    for _ in range(14):
        middle = (inside + outside) / 2
        if difference_test(x, y, n, middle, side) > tail:
            inside = middle
        else:
            outside = middle
    return float(outside)
