"""Statistics over training seeds: intervals, tests and distances. Symbols: N seeds.

The training seed is the unit of analysis. Functions that resample or permute take a
`seed` and are deterministic given it.
"""

import functools
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias

import jax
import numpy as np
import scipy.optimize
import scipy.spatial.distance
import scipy.special
import scipy.stats
from jaxtyping import Bool, Float, Shaped

from shardsim.core import arguments
from shardsim.core.arguments import Integer

RESAMPLES = 100_000
"""Bootstrap resamples. 8 seeds need 13 MB of memory; it is linear in both numbers."""

Numbers: TypeAlias = np.ndarray | jax.Array | Sequence[Any]
"""Annotated[Numbers, "N"]: one finite number per training seed, checked here."""


class Interval(NamedTuple):
    """A mean over seeds, or another aggregate, and its confidence interval."""

    estimate: float
    """The mean."""
    low: float
    """Lower end; NaN for a single seed."""
    high: float
    """Upper end; NaN for a single seed."""
    level: float
    """Confidence level, e.g. .95."""
    n: int
    """Number of seeds."""


def _validated(x: Annotated[Numbers, "N"], name: str = "x") -> Float[np.ndarray, " N"]:
    given = np.asarray(x)
    if given.dtype.kind in "cOSUmM":
        raise ValueError(f"{name}: got {given.dtype}; allowed: real numbers")
    numbers = given.astype(np.float64)
    if numbers.ndim != 1 or not len(numbers):
        raise ValueError(
            f"{name}: got shape {numbers.shape}; allowed: one number per seed"
        )
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise ValueError(
            f"{name}: got {numbers[bad[0]]} at {bad[0]}; allowed: finite numbers"
        )
    return numbers


def _resampled_means(
    x: Float[np.ndarray, " N"], resamples: Integer, seed: Integer
) -> Float[np.ndarray, " resamples"]:
    """Means of bootstrap resamples."""
    return _resample_weights(len(x), *_checked(resamples, seed)) @ x


@functools.lru_cache(maxsize=4)
def _resample_weights(
    n: int, resamples: int, seed: int
) -> Float[np.ndarray, "resamples n"]:
    """Weight of each seed in each resample, cached for tests with the same n."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), resamples) / n


def mean_interval(
    x: Annotated[Numbers, "N"],
    level: float = 0.95,
    resamples: Integer = RESAMPLES,
    seed: Integer = 0,
) -> Interval:
    """Confidence interval of the mean: at each end the wider of t and bootstrap.

    The bootstrap adapts to skewness but never leaves the range of the data, so with two
    seeds it covers the mean only half of the time. Student's t accounts for few seeds.
    The percentile interval is expanded to

      alpha' / 2 = Phi(-sqrt(n / (n - 1)) t_{1 - alpha / 2, n - 1});

    otherwise it is too narrow, by the factor sqrt((n - 1) / n) and because it uses a
    normal quantile. Simulated coverage at level .95 (more in `mean_test`):

      distribution   3 seeds   8 seeds   20 seeds
      normal             .95       .95        .95
      exponential        .88       .91        .93
      lognormal          .84       .85        .88

    Args:
      x: one finite number per training seed.
      level: confidence level in (0, 1).
      resamples: of the bootstrap.
      seed: of the bootstrap.

    Returns:
      The interval. Its ends are NaN for a single seed. If all numbers are equal its
      width is 0, which says nothing about rare seeds (see `max_unseen_fraction`); there
      `mean_test` is the sign test.

    Raises:
      ValueError: a number is not finite, or the level is out of range.

    Reference: Hesterberg, What Teachers Should Know About the Bootstrap, 2015.
    """
    x = _validated(x)
    _check_level(level)
    n, mean = len(x), float(x.mean())
    if n == 1:
        return Interval(mean, float("nan"), float("nan"), level, 1)
    if np.ptp(x) == 0:
        return Interval(mean, mean, mean, level, n)
    t = scipy.stats.t.ppf(1 - (1 - level) / 2, n - 1)
    low, high = _expanded_quantiles(_resampled_means(x, resamples, seed), n, level)
    half = t * float(x.std(ddof=1)) / np.sqrt(n)
    return Interval(mean, min(low, mean - half), max(high, mean + half), level, n)


def max_unseen_fraction(n: Integer, level: float = 0.95) -> float:
    """Upper bound on the fraction of seeds that show a behaviour none of n showed.

      1 - (1 - level)^(1 / n)

    At level .95 it is 31 % for 8 seeds and 14 % for 20. A behaviour that is rarer than
    this is absent from n seeds more than 5 % of the time.

    Args:
      n: number of seeds, at least 1.
      level: confidence level in (0, 1).

    Raises:
      ValueError: `n` or `level` is out of range.
    """
    n = arguments.integer("n", n, 1)
    _check_level(level)
    return float(1 - (1 - level) ** (1 / n))


def share_interval(
    count: Integer, n: Integer, level: float = 0.95
) -> tuple[float, float]:
    """Exact confidence interval of a probability after `count` of `n` successes.

    It contains the probability at least `level` of the time, whatever the probability.
    The ends are quantiles of Beta(count, n - count + 1) and Beta(count + 1, n - count).

    Args:
      count: number of successes, 0 to n.
      n: number of independent draws, at least 1.
      level: confidence level in (0, 1).

    Returns:
      The lower and the upper end.

    Raises:
      ValueError: `count` or `n` is no whole number, or out of range.

    Reference: Clopper and Pearson, 1934.
    """
    n = arguments.integer("n", n, 1)
    count = arguments.integer("count", count, 0, n)
    _check_level(level)
    tail = (1 - level) / 2
    low = scipy.special.betaincinv(count, n - count + 1, tail) if count else 0.0
    all_succeed = count == n
    high = (
        1.0 if all_succeed else scipy.special.betaincinv(count + 1, n - count, 1 - tail)
    )
    return float(low), float(high)


def mean_test(
    x: Annotated[Numbers, "N"],
    threshold: float,
    side: str,
    resamples: Integer = RESAMPLES,
    seed: Integer = 0,
) -> float:
    """One-sided p-value of H0: mean <= threshold (or >=, for `side="less"`).

    It inverts `mean_interval`: p < alpha / 2 exactly where the interval of level
    1 - alpha lies beyond the threshold. So p is the larger of

      t-test:    T_{n-1}((threshold - mean) sqrt(n) / s)
      bootstrap: T_{n-1}(sqrt((n - 1) / n) Phi^{-1}(q)),
                 q = share of resampled means up to the threshold.

    Where no resampled mean is below the threshold, the bootstrap has nothing to say and
    the t-test decides: two seeds resample to three means only. Share of two-sided p
    below .05, measured on 20,000 draws (the interval misses the mean as often):

      seeds          2     3     5     8    20    50
      normal       .05   .05   .05   .05   .05   .05
      exponential  .09   .12   .12   .09   .07   .06
      lognormal    .10   .16   .18   .15   .12   .09

    Args:
      x: one finite number per training seed.
      threshold: in the unit of x.
      side: "greater" tests mean > threshold, "less" mean < threshold.
      resamples: of the bootstrap.
      seed: of the bootstrap.

    Returns:
      p in [0, 1]; 1 for a single seed. If all x are equal, their spread says nothing
      and p is that of the sign test: 2^-n beyond the threshold, 1 otherwise.

    Raises:
      ValueError: x or the threshold is not finite, or `side` is neither.

    Reference: Hesterberg, What Teachers Should Know About the Bootstrap, 2015.
    """
    x = _validated(x)
    if not np.isfinite(threshold):
        raise ValueError(f"threshold: got {threshold}; allowed: a finite number")
    if side not in ("greater", "less"):
        raise ValueError(f"side: got {side!r}; allowed: greater, less")
    sign = 1.0 if side == "greater" else -1.0
    x, threshold = sign * x, sign * threshold
    n = len(x)
    if n == 1:
        return 1.0
    if np.ptp(x) == 0:
        return 0.5**n if x[0] > threshold else 1.0
    t = (threshold - x.mean()) * np.sqrt(n) / x.std(ddof=1)
    q = _quantile_level(_resampled_means(x, resamples, seed), threshold)
    z = scipy.special.ndtri(q) * np.sqrt((n - 1) / n)
    return float(scipy.stats.t.cdf(max(t, z), n - 1))


def _quantile_level(x: Float[np.ndarray, " B"], threshold: float) -> float:
    """The largest q whose `np.quantile` of x is at most the threshold; 0 if none is."""
    is_below = x <= threshold
    count = int(is_below.sum())
    if count in (0, len(x)):
        return float(count > 0)
    low, high = x[is_below].max(), x[~is_below].min()
    return float((count - 1 + (threshold - low) / (high - low)) / (len(x) - 1))


def equivalence_test(
    x: Annotated[Numbers, "N"],
    margin: float,
    resamples: Integer = RESAMPLES,
    seed: Integer = 0,
) -> float:
    """p-value of H0: |mean| >= margin, by two one-sided tests.

    Args:
      x: one finite number per training seed.
      margin: in the unit of x, above 0.
      resamples: of the bootstrap.
      seed: of the bootstrap.

    Returns:
      The larger p-value of `mean_test` for mean > -margin and for mean < margin.

    Raises:
      ValueError: x is not finite, or the margin is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"margin: got {margin}; allowed: above 0")
    above = mean_test(x, -margin, "greater", resamples, seed)
    below = mean_test(x, margin, "less", resamples, seed)
    return max(above, below)


def holm(p: Sequence[float]) -> Float[np.ndarray, " tests"]:
    """Adjust p-values by Holm's step-down method.

    Rejecting adjusted p-values below alpha keeps the probability of any false rejection
    in the family at most alpha.

    Raises:
      ValueError: a p is not between 0 and 1.
    """
    values = np.asarray(p, np.float64)
    bad = values[~((values >= 0) & (values <= 1))]
    if len(bad):
        raise ValueError(f"p: got {bad[0]}; allowed: 0 to 1")
    order = np.argsort(values, kind="stable")
    scaled = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def interquartile_mean(
    x: Annotated[Numbers, "N"] | Annotated[Numbers, "N M"],
    level: float = 0.95,
    resamples: Integer = 10_000,
    seed: Integer = 0,
) -> Interval:
    """Mean of the middle half of all runs, with a stratified bootstrap interval.

    floor(n / 4) of the n = N M numbers are cut at each end. One bad seed moves it less
    than the mean, and it needs fewer seeds than the median. It is another question than
    the mean: seeds that fail are left out.

    Runs are resampled within each task. Percentiles are expanded for few seeds as in
    `mean_interval`, and at each end the wider of these and of Tukey and McLaughlin's t
    is taken, because a bootstrap never leaves the range of the data. Simulated coverage
    at level .95, one task:

      distribution   3 seeds   5 seeds   8 seeds   20 seeds
      normal             .95       .98       .98        .97
      exponential        .91       .97       .98        .97

    Args:
      x: one finite number per training seed, or one per seed and task. Tasks are
        columns of separate runs: average first over what one run was tested on.
      level: confidence level in (0, 1).
      resamples: of the bootstrap.
      seed: of the bootstrap.

    Returns:
      The interval; n is the number of seeds. Its ends are NaN for a single seed.

    Raises:
      ValueError: a number is not finite, or the level is out of range.

    Reference: Agarwal et al., Deep Reinforcement Learning at the Edge of the
    Statistical Precipice, 2021; Tukey and McLaughlin, 1963.
    """
    scores = _runs("x", x)
    _check_level(level)
    n, tasks = scores.shape
    estimate = float(_trimmed_mean(scores.reshape(1, -1))[0])
    if n == 1:
        return Interval(estimate, float("nan"), float("nan"), level, 1)
    drawn = _stratified(scores, *_checked(resamples, seed))
    low, high = _expanded_quantiles(_trimmed_mean(drawn), n, level)
    cut = scores.size // 4
    ordered = np.sort(scores, axis=None)
    winsorised = np.clip(scores, ordered[cut], ordered[-1 - cut])
    square = np.square(winsorised - winsorised.mean(axis=0)).sum()
    middle = scores.size - 2 * cut
    t = scipy.stats.t.ppf((1 + level) / 2, max(middle - tasks, 1))
    half = float(t * np.sqrt(square * n / (n - 1))) / middle
    return Interval(
        estimate, min(low, estimate - half), max(high, estimate + half), level, n
    )


def probability_of_improvement(
    x: Annotated[Numbers, "N"] | Annotated[Numbers, "N M"],
    y: Annotated[Numbers, "N"] | Annotated[Numbers, "N M"],
    level: float = 0.95,
    resamples: Integer = 10_000,
    seed: Integer = 0,
) -> Interval:
    """P(X > Y) + P(X = Y) / 2 for runs of two arms, with a stratified bootstrap.

      mean over tasks of U / N^2,  U = #{x_i > y_j} + #{x_i = y_j} / 2

    It says how often, not by how much: 1/2 is no difference. Seeds are resampled within
    each task, for both arms together, because arms of one seed share levels and random
    keys. Percentiles are expanded for few seeds as in `mean_interval`. At each end the
    wider of these and of Newcombe's interval is taken, because a bootstrap of arms
    without overlap has no width. Simulated coverage at level .95, one task:

      distribution      3 seeds   5 seeds   8 seeds   20 seeds
      normal, P = .50       .90       .97       .97        .98
      normal, P = .76       .99      1.00       .99        .98
      normal, P = .98      1.00      1.00      1.00       1.00

    Args:
      x: one finite number per training seed, or one per seed and task (see
        `interquartile_mean`), of the arm.
      y: the same of its baseline.
      level: confidence level in (0, 1).
      resamples: of the bootstrap.
      seed: of the bootstrap.

    Returns:
      The interval. Its ends are NaN for a single seed.

    Raises:
      ValueError: the shapes differ, a number is not finite, or the level is out of
        range.

    Reference: Agarwal et al., Deep Reinforcement Learning at the Edge of the
    Statistical Precipice, 2021; Newcombe, Confidence intervals for an effect size
    measure based on the Mann-Whitney statistic, part 2, 2006.
    """
    first, second = _runs("x", x), _runs("y", y)
    if first.shape != second.shape:
        raise ValueError(
            f"y: got shape {second.shape}; allowed: the shape of x, {first.shape}"
        )
    _check_level(level)
    n, tasks = first.shape
    wins = (np.sign(first[:, None] - second[None]) + 1) / 2
    estimate = float(wins.mean())
    if n == 1:
        return Interval(estimate, float("nan"), float("nan"), level, 1)
    resamples, seed = _checked(resamples, seed)
    rng = np.random.default_rng(seed)
    drawn = np.zeros(resamples)
    for task in range(tasks):
        weights = rng.multinomial(n, np.full(n, 1 / n), resamples) / n
        drawn += ((weights @ wins[:, :, task]) * weights).sum(axis=1) / tasks
    low, high = _expanded_quantiles(np.clip(drawn, 0, 1), n, level)
    ends = [_newcombe_end(estimate, n, tasks, level, end) for end in (0.0, 1.0)]
    return Interval(estimate, min(low, ends[0]), max(high, ends[1]), level, n)


def _newcombe_end(p: float, n: int, tasks: int, level: float, end: float) -> float:
    """Where |p - theta| = z sd(theta), between p and 0 or 1.

    sd(theta) is that of U / n^2 for two exponential distributions, a mean over tasks.
    """
    z = scipy.special.ndtri((1 + level) / 2)

    def excess(theta: float) -> float:
        spread = 1 + (n - 1) * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        variance = theta * (1 - theta) * spread / n**2 / tasks
        return float(np.square(p - theta) - z**2 * variance)

    if p == end:
        return end
    # p itself solves the equation where it is 0 or 1
    start = p + 1e-9 * (end - p)
    return float(scipy.optimize.brentq(excess, start, end))


def _runs(
    name: str, x: Annotated[Numbers, "N"] | Annotated[Numbers, "N M"]
) -> Float[np.ndarray, "N M"]:
    """Finite numbers of seeds and tasks; a vector is one task."""
    given = np.asarray(x)
    if given.ndim not in (1, 2) or not given.size:
        raise ValueError(
            f"{name}: got shape {given.shape}; allowed: one number per seed, or per "
            "seed and task"
        )
    numbers = _validated(given.reshape(-1), name)
    return numbers.reshape(len(given), -1)


def _checked(resamples: Integer, seed: Integer) -> tuple[int, int]:
    """Number of resamples and the seed, as ints."""
    return (
        arguments.integer("resamples", resamples, 2),
        arguments.integer("seed", seed, 0),
    )


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}; allowed: between 0 and 1")


def _expanded_tail(n: int, level: float) -> float:
    """Tail of a percentile interval, so that few seeds cover as Student's t does."""
    t = scipy.stats.t.ppf((1 + level) / 2, n - 1)
    return float(scipy.stats.norm.cdf(-np.sqrt(n / (n - 1)) * t))


def _expanded_quantiles(
    drawn: Float[np.ndarray, " B"], n: int, level: float
) -> tuple[float, float]:
    tail = _expanded_tail(n, level)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def _trimmed_mean(x: Float[np.ndarray, "B n"]) -> Float[np.ndarray, " B"]:
    """Mean of each row without floor(n / 4) numbers at each end."""
    cut = x.shape[1] // 4
    return np.sort(x, axis=1)[:, cut : x.shape[1] - cut].mean(axis=1)


def _stratified(
    scores: Float[np.ndarray, "N M"], resamples: int, seed: int
) -> Float[np.ndarray, "B n"]:
    """Resamples of the seeds of each task, all tasks in one row."""
    n, tasks = scores.shape
    rng = np.random.default_rng(seed)
    seeds = rng.integers(0, n, (resamples, n, tasks))
    return scores[seeds, np.arange(tasks)].reshape(resamples, -1)


class EnergyTest(NamedTuple):
    """Do two architectures differ more than two seeds of the same architecture do?"""

    distance: float
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, Euclidean, over all pairs."""
    ratio: float
    """Mean distance between seeds of different architectures, divided by that between
    seeds of the same architecture; 1 is no difference. Pairs with the same seed are
    left out."""
    p: float
    """p-value of the permutation test."""
    n: int
    """Number of seeds."""


def energy_distance(x: Float[np.ndarray, "N d"], y: Float[np.ndarray, "M d"]) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|; 0 only if both distributions are equal.

    Args:
      x: samples of the first distribution.
      y: samples of the second one.

    Reference: Szekely and Rizzo, Energy statistics, 2013.
    """
    distances = _distances(np.concatenate([x, y]))
    in_x = np.arange(len(distances)) < len(x)
    return _energy(distances, in_x)


def paired_permutation_energy(
    x: Annotated[np.ndarray, "N d"],
    y: Annotated[np.ndarray, "N d"],
    permutations: Integer = 10_000,
    seed: Integer = 0,
) -> EnergyTest:
    """Energy distance, with a permutation test that swaps the two arms within seeds.

    Arms of one seed share E, data and keys, so under the null hypothesis only swaps
    within a seed leave the joint distribution unchanged. With up to 14 seeds the test
    enumerates all 2^N patterns of swaps.

    Args:
      x: features of each seed in the first arm.
      y: features of the same seeds in the second arm.
      permutations: patterns drawn if N is above 14.
      seed: of these patterns.

    Returns:
      The test; distance, ratio and p are NaN if a feature is not finite. For a single
      seed p is 1 and the ratio NaN.

    Raises:
      ValueError: x is not a matrix with at least one row, or the shapes differ.
    """
    if x.ndim != 2 or not len(x):
        raise ValueError(f"x: got shape {x.shape}; allowed: features of each seed")
    if x.shape != y.shape:
        raise ValueError(f"y: got shape {y.shape}; allowed: the shape of x, {x.shape}")
    n = len(x)
    permutations = arguments.integer("permutations", permutations, 1)
    seed = arguments.integer("seed", seed, 0)
    distances = _distances(np.concatenate([x, y]))
    if not np.isfinite(distances).all():
        return EnergyTest(float("nan"), float("nan"), float("nan"), n)
    observed = _energy(distances, np.arange(2 * n) < n)
    if n <= 14:
        flips = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
    else:
        rng = np.random.default_rng(seed)
        flips = rng.integers(0, 2, (permutations, n)) == 1
        flips[0] = False
    null = [_energy(distances, np.concatenate([~flip, flip])) for flip in flips]
    # patterns that differ by rounding alone are ties
    tie = 1e-9 * distances.mean()
    p = float(np.mean(np.asarray(null) >= observed - tie))
    other_seed = ~np.eye(n, dtype=bool)
    if n == 1:
        return EnergyTest(observed, float("nan"), 1.0, 1)
    x_to_x, y_to_y, x_to_y = (
        distances[:n, :n][other_seed].mean(),
        distances[n:, n:][other_seed].mean(),
        distances[:n, n:][other_seed].mean(),
    )
    within = (x_to_x + y_to_y) / 2
    ratio = x_to_y / within if within > 0 else float("nan")
    return EnergyTest(observed, float(ratio), p, n)


def _distances(x: Shaped[np.ndarray, "M d"]) -> Float[np.ndarray, "M M"]:
    numbers = np.asarray(x, np.float64)
    return scipy.spatial.distance.cdist(numbers, numbers)


def _energy(
    distances: Float[np.ndarray, "M M"], in_first: Bool[np.ndarray, " M"]
) -> float:
    a, b = in_first, ~in_first
    between = distances[np.ix_(a, b)].mean()
    within = distances[np.ix_(a, a)].mean() + distances[np.ix_(b, b)].mean()
    return float(2 * between - within)
