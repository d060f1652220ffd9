"""Directions as a projection that erases them, or swaps them between samples.

Symbols: m pairs, d features, k directions.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shardsim.inspection.concepts import readouts


class Directions(NamedTuple):
    """k directions as an oblique projection: x -> x - write' read (x - mean)."""

    write: Float[Array, "k d"]
    """Orthonormal rows: the directions along which x is changed. A row of 0 stands for
    no direction."""
    read: Float[Array, "k d"]
    """Rows that measure the component of x. Equal to `write` except for LEACE, where
    read_i . write_j is still 1 for i = j, else 0."""
    mean: Float[Array, " d"]
    """Mean activation; erasing sets the directions to it."""
    loss: Float[Array, ""]
    """Loss that the method reached; NaN if it has none. RLACE, logistic and INLP: nats
    of the (last) probe. CDE: its swap loss."""
    best_loss: Float[Array, ""]
    """The optimal value of the loss; NaN if it is not known."""
    degenerate: Bool[Array, ""]
    """Whether the result is the same for every concept."""
    ambiguous: Bool[Array, ""]
    """Whether other directions are equally good, so that two runs need not agree."""
    converged: Bool[Array, ""]
    """Whether the search reached its optimum; true for a closed form."""

    def component(self, x: Float[Any, "*batch d"]) -> Float[Array, "*batch d"]:
        """Component of x along the directions, relative to the mean."""
        centred = x - jnp.broadcast_to(self.mean, x.shape)
        return centred @ self.read.T @ self.write

    def erase(self, x: Float[Any, "*batch d"]) -> Float[Array, "*batch d"]:
        """x with its component along the directions set to that of the mean."""
        return x - self.component(x)

    def swap(self, a: Float[Any, "m d"], b: Float[Any, "m d"]) -> Float[Array, "m d"]:
        """Component of a along the directions, everything else of b."""
        return readouts.mix_component(self.write, self.read, a, b)

    def summary(self) -> str:
        """Number of directions, loss, and warnings."""
        notes = "; degenerate" if bool(self.degenerate) else ""
        notes += "; ambiguous" if bool(self.ambiguous) else ""
        notes += "" if bool(self.converged) else "; NOT CONVERGED"
        k, d = self.write.shape
        return f"{k} of {d} dimensions, loss {float(self.loss):.4g}{notes}"


def orthogonal(
    rows: Float[Array, "k d"],
    mean: Float[Array, " d"],
    *,
    loss: Float[Array, ""] | None = None,
    best_loss: Float[Array, ""] | None = None,
) -> Directions:
    """Directions whose `read` and `write` are the same orthonormal rows.

    Args:
      rows: [k, d] orthonormal, or 0.
      mean: [d].
      loss: that the method reached; NaN if None.
      best_loss: its optimal value; NaN if None.
    """
    nan = jnp.full((), jnp.nan, rows.dtype)
    false = jnp.zeros((), bool)
    loss, best_loss = (nan if value is None else value for value in (loss, best_loss))
    true = jnp.ones((), bool)
    return Directions(rows, rows, mean, loss, best_loss, false, false, true)
