"""Small operations on arrays that several tools share."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import validation


def or_one(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x, and 1 where it is 0: what to divide by."""
    return jnp.where(x == 0, 1.0, x)


def unit(x: Float[Array, "... d"]) -> Float[Array, "... d"]:
    """x / |x| along the last axis; zeros stay zeros."""
    return x / or_one(jnp.linalg.norm(x, axis=-1, keepdims=True))


def entropy(share: Float[Array, "... K"]) -> Float[Array, "..."]:
    """-sum_k p_k log p_k in nats, with 0 log 0 = 0."""
    return -(share * jnp.log(jnp.where(share > 0, share, 1))).sum(axis=-1)


def best_pairs(
    score: Float[np.ndarray, "I J"],
) -> tuple[Int[np.ndarray, " P"], Int[np.ndarray, " P"]]:
    """Pairs of a row and a column, each used once, whose total score is the largest.

      max over one-to-one p of sum_i score[i, p(i)]

    Runs on the host. Ties go to the order of the rows.

    Args:
      score: finite numbers; every row, or every column if those are fewer, is paired.

    Returns:
      Rows, rising, and the column of each; P = min(I, J).

    Reference: Kuhn, The Hungarian method for the assignment problem, 1955.
    """
    rows, columns = scipy.optimize.linear_sum_assignment(score, maximize=True)
    return rows, columns


def derangement(key: Key[Array, ""], n: int) -> Int[Array, " n"]:
    """A random permutation of n without a fixed point, for any n >= 2.

    It is one cycle through all, drawn with equal chances: never a sample by itself.

    Raises:
      ValueError: n < 2, where there is none.
    """
    validation.at_least("n", n, 2)
    order = jax.random.permutation(key, n)
    return jnp.zeros(n, order.dtype).at[order].set(jnp.roll(order, 1))
