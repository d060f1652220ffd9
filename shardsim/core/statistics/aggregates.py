"""Summaries of many runs beside the mean, with stratified bootstrap intervals.

Symbols: N seeds, M tasks, B resamples.
"""

from typing import Annotated

import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from jaxtyping import Float

from shardsim.core.arguments import Integer
from shardsim.core.statistics import resampling
from shardsim.core.statistics.intervals import Interval
from shardsim.core.statistics.resampling import Numbers


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
    scores = resampling.runs_by_task("x", x)
    resampling.check_level(level)
    n, tasks = scores.shape
    estimate = float(_trimmed_mean(scores.reshape(1, -1))[0])
    if n == 1:
        return Interval(estimate, float("nan"), float("nan"), level, 1)
    drawn = _stratified(scores, *resampling.settings(resamples, seed))
    low, high = resampling.expanded_quantiles(_trimmed_mean(drawn), n, level)
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
    first, second = resampling.runs_by_task("x", x), resampling.runs_by_task("y", y)
    if first.shape != second.shape:
        raise ValueError(
            f"y: got shape {second.shape}; allowed: the shape of x, {first.shape}"
        )
    resampling.check_level(level)
    n, tasks = first.shape
    wins = (np.sign(first[:, None] - second[None]) + 1) / 2
    estimate = float(wins.mean())
    if n == 1:
        return Interval(estimate, float("nan"), float("nan"), level, 1)
    resamples, seed = resampling.settings(resamples, seed)
    rng = np.random.default_rng(seed)
    drawn = np.zeros(resamples)
    for task in range(tasks):
        weights = rng.multinomial(n, np.full(n, 1 / n), resamples) / n
        drawn += ((weights @ wins[:, :, task]) * weights).sum(axis=1) / tasks
    low, high = resampling.expanded_quantiles(np.clip(drawn, 0, 1), n, level)
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


def _trimmed_mean(x: Float[np.ndarray, "B n"]) -> Float[np.ndarray, " B"]:
    """Mean of each row without floor(n / 4) numbers at each end."""
    cut = x.shape[1] // 4
    return np.sort(x, axis=1)[:, cut : x.shape[1] - cut].mean(axis=1)


def _stratified(
    scores: Float[np.ndarray, "N M"], resamples: int, seed: int
) -> Float[np.ndarray, "B n"]:
    """Resamples of the seeds of each task, all tasks in one row."""
    rng = np.random.default_rng(seed)
    n, tasks = scores.shape
    seeds = rng.integers(0, n, (resamples, n, tasks))
    return scores[seeds, np.arange(tasks)].reshape(resamples, -1)
