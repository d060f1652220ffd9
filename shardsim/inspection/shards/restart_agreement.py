"""Do restarts of a fit give the same shards, and how are their gates used?

Symbols: n rows, d features, Z sizes tried, R restarts, K shards.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

from shardsim.inspection import arrays
from shardsim.inspection.shards import distillation

ROWS_COMPARED = 4_000
"""Held-out rows on which restarts are compared."""


def gate_entropies(
    gates: Float[Array, "n K"], count: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean entropy of the gates in a row, and entropy of the mean gates, over log K.

    Args:
      gates: each row sums to 1.
      count: number of shards whose gates may be open.
    """
    scale = float(np.log(count)) if count > 1 else 1.0
    mean = gates.mean(axis=0)
    return arrays.entropy(gates).mean() / scale, arrays.entropy(mean) / scale


def restart_stability(
    counts: Sequence[int],
    fit: distillation.Fit,
    train: Float[Array, "Z R"],
    rows: Float[Array, "n d"],
) -> tuple[list[float], list[float]]:
    """Mean `matched_correlation` of the best restart with the rest of the better half.

    Args:
      counts: number of shards at each size.
      fit: as `distillation.fit` returns it.
      train: R^2 on the training rows, which ranks the restarts.
      rows: features of the rows on which restarts are compared.

    Returns:
      One number for each size, and the same for rows of the other restarts that are
      shuffled: what the best matching of unrelated shards gives. NaN for a single
      restart.
    """
    _, gates, shard_values = distillation.predict_all(
        fit.graph, fit.states, rows[:ROWS_COMPARED]
    )
    order_of_rows = np.random.default_rng(0).permutation(len(gates[0]))
    contributions = np.asarray(gates * shard_values)
    contributions = contributions.reshape(*train.shape, *contributions.shape[1:])
    half = max(2, (train.shape[1] + 1) // 2)
    stability, null = [], []
    for size, count in enumerate(counts):
        order = np.argsort(-np.asarray(train[size]))[:half]
        best, *others = (contributions[size, r, :, :count] for r in order)
        correlations = [matched_correlation(best, other) for other in others]
        stability.append(float(np.mean(correlations or [np.nan])))
        shuffled = [matched_correlation(best, o[order_of_rows]) for o in others]
        null.append(float(np.mean(shuffled or [np.nan])))
    return stability, null


def matched_correlation(
    one: Float[np.ndarray, "n K"], two: Float[np.ndarray, "n K"]
) -> float:
    """Mean correlation of contributions under the best matching of shards.

    Each pair is weighted by the sd of the shard of `one`, so that dead shards do not
    count. Constants do not count either, since shards can trade them. The result is 1
    for the same shards in any order.
    """
    one, two = one - one.mean(axis=0), two - two.mean(axis=0)
    sd_one = np.sqrt(np.square(one).mean(axis=0))
    sd_two = np.sqrt(np.square(two).mean(axis=0))
    scale = np.outer(sd_one, sd_two)
    correlation = (one.T @ two) / len(one) / np.where(scale > 0, scale, 1)
    pairs = arrays.best_pairs(correlation * sd_one[:, None])
    total = sd_one.sum()
    return float((correlation[pairs] * sd_one).sum() / total) if total > 0 else 1.0
