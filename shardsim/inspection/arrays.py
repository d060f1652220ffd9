"""Small operations on arrays that several tools share."""

import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jaxtyping import Array, Float, Int


def or_one(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x, and 1 where it is 0: what to divide by."""
    return jnp.where(x == 0, 1.0, x)


def unit(x: Float[Array, "... d"]) -> Float[Array, "... d"]:
    """x / |x| along the last axis; zeros stay zeros."""
    return x / or_one(jnp.linalg.norm(x, axis=-1, keepdims=True))


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
