"""Directions as a projection that erases them, or swaps them between samples.

Symbols: m pairs, d features, k directions.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from shardsim.inspection.concepts import readouts


class Directions(NamedTuple):
    """k directions as an oblique projection: x -> x - write' read (x - mean)."""

    write: Float[Array, "k d"]
    """Orthonormal rows: along which x is moved. A row of 0 is no direction."""
    read: Float[Array, "k d"]
    """How much of each is in x. The same rows but for LEACE, where read_i . write_j is
    still 1 for i = j, else 0."""
    mean: Float[Array, " d"]
    loss: Float[Array, ""]
    """What the method reached; NaN for one that has no loss. RLACE, logistic and INLP:
    nats of the (last) probe; CDE: its swap loss."""
    best: Float[Array, ""]
    """What the loss can be at best; NaN where that is not known."""
    degenerate: Bool[Array, ""]
    """The answer would be the same whatever the concept."""
    ambiguous: Bool[Array, ""]
    """Other directions do as well, so that two runs need not agree."""

    def part(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """What of x lies along the directions, counted from the mean."""
        away = x - jnp.broadcast_to(self.mean, x.shape)
        return away @ self.read.T @ self.write

    def erase(self, x: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
        """x with the directions set to their mean."""
        return x - self.part(x)

    def swap(
        self, a: Float[Array, "m d"], b: Float[Array, "m d"]
    ) -> Float[Array, "m d"]:
        """The concept's component of a, everything else of b."""
        return readouts.mix_component(self.write, self.read, a, b)

    def summary(self) -> str:
        notes = "; degenerate" if bool(self.degenerate) else ""
        notes += "; ambiguous" if bool(self.ambiguous) else ""
        k, d = self.write.shape
        return f"{k} of {d} dimensions, loss {float(self.loss):.4g}{notes}"


def orthogonal(
    rows: Float[Array, "k d"],
    mean: Float[Array, " d"],
    loss: Float[Array, ""] | None = None,
    best: Float[Array, ""] | None = None,
) -> Directions:
    """Directions that are read as they are written."""
    none = jnp.full((), jnp.nan, rows.dtype)
    false = jnp.zeros((), bool)
    loss, best = (none if part is None else part for part in (loss, best))
    return Directions(rows, rows, mean, loss, best, false, false)
