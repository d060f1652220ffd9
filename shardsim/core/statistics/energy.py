"""Energy distance between two arms, with a permutation test. Symbols: N seeds.

It compares many features of each seed at once.
"""

from typing import Annotated, NamedTuple

import numpy as np
import scipy.spatial.distance
from jaxtyping import Bool, Float, Shaped

from shardsim.core import arguments
from shardsim.core.arguments import Integer


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

    Reference: Szekely and Rizzo, Energy statistics, 2013.
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
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|; 0 only if both distributions are equal."""
    a, b = in_first, ~in_first
    between = distances[np.ix_(a, b)].mean()
    within = distances[np.ix_(a, a)].mean() + distances[np.ix_(b, b)].mean()
    return float(2 * between - within)
