"""Numbers of training seeds: checked, and resampled by the bootstrap.

Symbols: N seeds, M tasks, B resamples.
"""

import functools
from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import jax
import numpy as np
import scipy.stats
from jaxtyping import Float

from shardsim.core import arguments
from shardsim.core.arguments import Integer

RESAMPLES = 100_000
"""Bootstrap resamples. 8 seeds need 13 MB of memory; it is linear in both numbers."""

Numbers: TypeAlias = np.ndarray | jax.Array | Sequence[Any]
"""Annotated[Numbers, "N"]: one finite number per training seed, checked here."""


def validated(x: Annotated[Numbers, "N"], name: str = "x") -> Float[np.ndarray, " N"]:
    """One finite number per seed, as float64.

    Raises:
      ValueError: another shape, a number that is not finite, or no real numbers.
    """
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


def resampled_means(
    x: Float[np.ndarray, " N"], resamples: Integer, seed: Integer
) -> Float[np.ndarray, " resamples"]:
    """Means of bootstrap resamples.

    Raises:
      ValueError: fewer than 2 resamples, or a number that is not whole.
    """
    return resample_weights(len(x), *settings(resamples, seed)) @ x


@functools.lru_cache(maxsize=4)
def resample_weights(
    n: int, resamples: int, seed: int
) -> Float[np.ndarray, "resamples n"]:
    """Weight of each seed in each resample, cached for tests with the same n."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), resamples) / n


def runs_by_task(
    name: str, x: Annotated[Numbers, "N"] | Annotated[Numbers, "N M"]
) -> Float[np.ndarray, "N M"]:
    """Finite numbers of seeds and tasks; a vector is one task."""
    given = np.asarray(x)
    if given.ndim not in (1, 2) or not given.size:
        raise ValueError(
            f"{name}: got shape {given.shape}; allowed: one number per seed, or per "
            "seed and task"
        )
    numbers = validated(given.reshape(-1), name)
    return numbers.reshape(len(given), -1)


def settings(resamples: Integer, seed: Integer) -> tuple[int, int]:
    """Number of resamples and the seed, as ints.

    Raises:
      ValueError: a number that is not whole, fewer than 2 resamples, or a seed below 0.
    """
    return (
        arguments.integer("resamples", resamples, 2),
        arguments.integer("seed", seed, 0),
    )


def check_level(level: float) -> None:
    """Refuse a confidence level that is not in (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}; allowed: between 0 and 1")


def _expanded_tail(n: int, level: float) -> float:
    """Tail of a percentile interval, so that few seeds cover as Student's t does."""
    t = scipy.stats.t.ppf((1 + level) / 2, n - 1)
    return float(scipy.stats.norm.cdf(-np.sqrt(n / (n - 1)) * t))


def expanded_quantiles(
    drawn: Float[np.ndarray, " B"], n: int, level: float
) -> tuple[float, float]:
    """Ends of a percentile interval that is expanded for few seeds.

    Args:
      drawn: the statistic of each resample.
      n: number of seeds, at least 2.
      level: confidence level in (0, 1).
    """
    tail = _expanded_tail(n, level)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)
