"""Factorial designs: every combination of levels, or a balanced fraction of them.

A fraction is D-optimal for main effects: of all choices of n combinations it maximises
|X'X|, where X has an intercept and sum-coded columns of every factor. So levels occur
equally often, and pairs of levels too, as far as n allows. Where an orthogonal array
has n rows, it is the maximum.

Symbols: n chosen combinations, m possible ones, p columns of X.

Reference: Fedorov, Theory of Optimal Experiments, 1972 (the exchange of points).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

STARTS = 10
"""Random choices from which points are exchanged; the best end is taken."""
RIDGE = 1e-6
"""Added to X'X, so that a start which says nothing of an effect has a determinant."""


def main_effects(
    levels: Int[np.ndarray, "m factors"], sizes: Sequence[int]
) -> Float[np.ndarray, "m p"]:
    """X: an intercept, and of each factor all levels but the last, sum-coded.

    A column is 1 at its level, -1 at the last level and 0 elsewhere, so that effects of
    a factor add up to 0 and the intercept is the mean over all combinations.

    Args:
      levels: index of the level of each factor.
      sizes: number of levels of each factor.
    """
    columns = [np.ones((len(levels), 1))]
    for factor, size in enumerate(sizes):
        coded = np.concatenate([np.eye(size - 1), -np.ones((1, size - 1))])
        columns.append(coded[levels[:, factor]])
    return np.concatenate(columns, axis=1)


def fraction(
    candidates: Int[np.ndarray, "m factors"],
    sizes: Sequence[int],
    n: int,
    seed: int = 0,
) -> Int[np.ndarray, " n"]:
    """Choose n of the candidates, D-optimal for main effects.

    Args:
      candidates: index of the level of each factor, a row for each combination.
      sizes: number of levels of each factor.
      n: 1 + sum of (size - 1) to m.
      seed: of the starts: it chooses between fractions that are equally good.

    Returns:
      Indices of the candidates, in rising order.

    Raises:
      ValueError: n is out of range.
    """
    x = main_effects(candidates, sizes)
    m, p = x.shape
    if not p <= n <= m:
        raise ValueError(f"n: got {n}; allowed: {p} to {m}")
    rng = np.random.default_rng(seed)
    starts = [rng.permutation(m)[:n] for _ in range(STARTS)]
    found = [_exchanged(x, start, rng) for start in starts]
    scores = [_log_determinant(x[chosen]) for chosen in found]
    best = int(np.argmax(np.round(scores, 9)))
    return np.sort(found[best])


def _log_determinant(x: Float[np.ndarray, "n p"]) -> float:
    return float(np.linalg.slogdet(x.T @ x + RIDGE * np.eye(x.shape[1]))[1])


def _exchanged(
    x: Float[np.ndarray, "m p"],
    chosen: Int[np.ndarray, " n"],
    rng: np.random.Generator,
) -> Int[np.ndarray, " n"]:
    """Exchange chosen points for others as long as the determinant grows.

    To take z for a multiplies |M| by (1 + z'M^-1 z)(1 - a'M^-1 a) + (a'M^-1 z)^2.
    """
    chosen, improved = chosen.copy(), True
    while improved:
        improved = False
        for place in rng.permutation(len(chosen)):
            rows = x[chosen]
            inverse = np.linalg.inv(rows.T @ rows + RIDGE * np.eye(x.shape[1]))
            old = rows[place]
            reached = x @ inverse
            gain = 1 + (reached * x).sum(1)
            factor = gain * (1 - old @ inverse @ old) + (reached @ old) ** 2
            factor[chosen] = 0.0
            best = int(factor.argmax())
            if factor[best] > 1 + 1e-6:
                chosen[place], improved = best, True
    return chosen
