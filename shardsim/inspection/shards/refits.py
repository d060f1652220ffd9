"""Do fits from other initial weights find the same shards? And how hard are the gates?

Symbols: n rows, d features, Z counts K that are tried, R restarts.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float

from shardsim.inspection.shards import distillation

COMPARED = 4_000
"""Held-out rows in which restarts are compared."""

SAME = 0.9
"""Stability from which restarts have found the same shards."""


def entropies(gates: Float[Array, "n K"], count: int) -> tuple[Array, Array]:
    """Entropy of the gates in a row, and of their mean, over log K."""

    def entropy(g: Array) -> Array:
        return -jnp.where(g > 0, g * jnp.log(jnp.where(g > 0, g, 1.0)), 0.0).sum(-1)

    scale = float(np.log(count)) if count > 1 else 1.0
    return entropy(gates).mean() / scale, entropy(gates.mean(axis=0)) / scale


def stability(
    counts: Sequence[int],
    fitted: tuple[Any, Any],
    train: Float[Array, "Z R"],
    rows: Float[Array, "n d"],
) -> list[float]:
    """`matched` of the best restart and the others of the better half, by count; NaN
    for one restart, which has no others."""
    _, gates, parts = distillation.ask(*fitted, rows[:COMPARED])
    said = np.asarray(gates * parts)
    said = said.reshape(*train.shape, *said.shape[1:])
    half = max(2, (train.shape[1] + 1) // 2)
    agreed = []
    for size, count in enumerate(counts):
        order = np.argsort(-np.asarray(train[size]))[:half]
        first, *others = (said[size, r, :, :count] for r in order)
        agreed.append(float(np.mean([matched(first, o) for o in others] or [np.nan])))
    return agreed


def matched(one: Float[np.ndarray, "n K"], two: Float[np.ndarray, "n K"]) -> float:
    """Mean correlation of contributions under the best matching of parts.

    Weighted by the sd of `one`, so that dead parts don't count; constants that one part
    can hand to another don't either. 1 for the same parts in any order.
    """
    one, two = one - one.mean(axis=0), two - two.mean(axis=0)
    size = np.sqrt(np.square(one).mean(axis=0)), np.sqrt(np.square(two).mean(axis=0))
    scale = np.outer(*size)
    alike = (one.T @ two) / len(one) / np.where(scale > 0, scale, 1)
    pair = scipy.optimize.linear_sum_assignment(-alike * size[0][:, None])
    total = size[0].sum()
    return float((alike[pair] * size[0]).sum() / total) if total > 0 else 1.0
