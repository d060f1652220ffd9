"""Small operations on arrays that several inspection tools share."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import validation


def or_one(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Replace every 0 in x by 1, to make a safe divisor."""
    return jnp.where(x == 0, 1.0, x)


def unit(x: Float[Array, "... d"]) -> Float[Array, "... d"]:
    """x / |x| along the last axis; a vector of zeros stays 0, with gradient 0."""
    # the slope of a norm at 0 is 0 / 0, which a factor of 0 would not remove
    is_zero = (x == 0).all(axis=-1, keepdims=True)
    safe = jnp.where(is_zero, 1.0, x)
    return jnp.where(is_zero, 0.0, x / jnp.linalg.norm(safe, axis=-1, keepdims=True))


def entropy(probs: Float[Array, "... K"]) -> Float[Array, "..."]:
    """-sum_k p_k log p_k in nats, with 0 log 0 = 0."""
    return -(probs * jnp.log(jnp.where(probs > 0, probs, 1))).sum(axis=-1)


def best_pairs(
    score: Float[np.ndarray, "I J"],
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Pair rows with columns, each used at most once, for the largest total score.

      max over one-to-one p of sum_i score[i, p(i)]

    Runs on the host. Ties are resolved in the order of the rows.

    Args:
      score: finite numbers. All rows are paired, or all columns if there are fewer.

    Returns:
      The rows in ascending order, and the column of each; P = min(I, J).

    Reference: Kuhn, The Hungarian method for the assignment problem, 1955.
    """
    rows, columns = scipy.optimize.linear_sum_assignment(score, maximize=True)
    return rows, columns


def derangement(n: int, key: Key[Array, ""]) -> Int[Array, " n"]:
    """Draw a permutation of n >= 2 items without a fixed point.

    The permutation is a single cycle through all items, each cycle equally likely, so
    no item is mapped to itself.

    Raises:
      ValueError: n < 2, for which no derangement exists.
    """
    n = validation.integer("n", n, 2)
    order = jax.random.permutation(key, n)
    return jnp.zeros(n, order.dtype).at[order].set(jnp.roll(order, 1))
