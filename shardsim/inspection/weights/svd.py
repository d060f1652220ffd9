"""What a weight matrix reads and writes along its singular directions.

W = sum_i values[i] writes[i] reads[i]^T, for y = W x. A kernel of flax is W^T.

A direction has a name only by what stands behind it: the action logits or the value
that it writes, and the states that it reads most. Its sign is free, and where singular
values tie so is a rotation: signs are fixed by a rule, near-ties are told and compared
as subspaces. Singular directions are where a matrix only keeps, scales or kills;
`weight_action` shows what it does besides.

Symbols: m outputs, d inputs, r = min(m, d), n samples, N stacked matrices (any axes),
A actions. Stack matrices instead of mapping over them: no `svd` under `jax.vmap`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from shardsim.inspection import validation

ALIKE = 1e-3
"""Entries whose sizes differ by less, relative, are ties when a sign is chosen."""


class SingularDirections(NamedTuple):
    """W = sum_i values[i] writes[i] reads[i]^T, the largest first."""

    values: Float[Array, "*N r"]
    reads: Float[Array, "*N r d"]
    """Unit input directions, as rows."""
    writes: Float[Array, "*N r m"]
    """Unit output directions, as rows."""
    gaps: Float[Array, "*N r"]
    """Distance to the nearest other singular value, as a fraction of the largest one,
    at most 1. A change of W by e (same unit) turns the direction by about e / gap."""
    blocks: Int[Array, "*N r"]
    """Number of the near-tie that a direction belongs to, from 0. Within a block only
    the subspace means something."""

    def summary(self) -> str:
        """How much the first direction holds and how many directions stand alone."""
        flat = self.blocks.reshape(-1, self.blocks.shape[-1])
        alone = sum(sum(1 for b in row if row.count(b) == 1) for row in flat.tolist())
        power = jnp.square(self.values)
        share = power[..., 0].sum() / jnp.maximum(
            power.sum(), jnp.finfo(power.dtype).tiny
        )
        return (
            f"{flat.size} singular directions, {alone} with a gap of their own; the "
            f"first holds {float(share):.0%} of the squared size"
        )


class SubspaceOverlap(NamedTuple):
    """How far directions of one matrix are found again in another."""

    alone: Float[Array, "*N r"]
    """Squared cosine to the direction of the same rank."""
    blocks: Float[Array, "*N r"]
    """Squared length inside the span of the ranks of its near-tie; at least `alone`."""

    def summary(self) -> str:
        """Both means: direction by direction, and near-ties as subspaces."""
        return (
            f"squared cosine {float(self.alone.mean()):.3f} direction by direction, "
            f"{float(self.blocks.mean()):.3f} as subspaces of near-ties"
        )


def matrix(name: str, array: Array) -> None:
    """Refuse what is no matrix or stack of matrices, or not finite."""
    validation.at_least(f"axes of {name}", jnp.ndim(array), 2)
    validation.at_least(f"size of {name}", jnp.size(array), 1)
    validation.finite(name, array)


def signs(rows: Float[Array, "*N r d"]) -> Float[Array, "*N r 1"]:
    """+1 or -1 for each row, so that its largest entry in size becomes positive.

    Entries that tie in size (to `ALIKE`) are settled by the first of them, else the
    sign of (1, -1) would hang on the last bit.
    """
    size = jnp.abs(rows)
    top = size >= (1 - ALIKE) * size.max(axis=-1, keepdims=True)
    first = jnp.argmax(top, axis=-1)[..., None]
    entry = jnp.take_along_axis(rows, first, axis=-1)
    return jnp.where(entry < 0, -1.0, 1.0).astype(rows.dtype)


def fit(weight: Float[Array, "*N m d"], tie: float = 0.01) -> SingularDirections:
    """Singular directions with fixed signs, gaps and near-ties.

    Args:
      weight: one matrix or a stack of them, y = W x.
      tie: singular values nearer than this fraction of the largest one are of one
        block, and so on along the chain; at least 0.

    Returns:
      r = min(m, d) directions. Those of singular value 0 are an arbitrary basis of
      what is killed, one block. The sign is that of `writes`: largest entry positive.

    Raises:
      ValueError: no matrix, a number that is not finite, a negative `tie`.
    """
    matrix("weight", weight)
    validation.at_least("tie", tie, 0)
    left, values, reads = jnp.linalg.svd(validation.wide(weight), full_matrices=False)
    writes = jnp.swapaxes(left, -1, -2)
    sign = signs(writes)
    rows, columns = weight.shape[-2:]
    gaps, blocks = _near_ties(values, tie, square=rows == columns)
    return SingularDirections(values, reads * sign, writes * sign, gaps, blocks)


def _near_ties(
    values: Float[Array, "*N r"], tie: float, square: bool
) -> tuple[Float[Array, "*N r"], Int[Array, "*N r"]]:
    """Gaps to the nearest neighbour, and blocks along the chain of near-ties.

    A matrix that is not square kills directions that have no singular value; they
    count as a neighbour at 0.
    """
    top = values[..., :1]
    scale = jnp.where(top > 0, top, 1.0)
    steps = (values[..., :-1] - values[..., 1:]) / scale
    last = jnp.ones_like(top) if square else values[..., -1:] / scale
    none = jnp.ones_like(top)
    below = jnp.concatenate([steps, last], axis=-1)
    above = jnp.concatenate([none, steps], axis=-1)
    far = (steps > tie).astype(jnp.int32)
    new = jnp.concatenate([jnp.zeros_like(none, jnp.int32), far], axis=-1)
    return jnp.minimum(below, above), jnp.cumsum(new, axis=-1)


def action_logits(
    directions: SingularDirections, readout: Float[Array, "*N A m"]
) -> Float[Array, "*N r A"]:
    """Logits that a unit step along each `reads` writes, centred over actions.

    logits[i] = values[i] (readout writes[i] - its mean over actions).

    A constant over actions changes no policy, so it is taken out. What lies between W
    and the read-out (a relu, the scale of a layer norm) has to be folded into one of
    them: a mean Jacobian in the place of W does that to first order.

    Raises:
      ValueError: a read-out of another width, a number that is not finite.
    """
    _width("readout", readout, directions, 2)
    logits = jnp.einsum("...am,...rm->...ra", readout, directions.writes)
    centred = logits - logits.mean(axis=-1, keepdims=True)
    return directions.values[..., None] * centred


def value_written(
    directions: SingularDirections, readout: Float[Array, "*N m"]
) -> Float[Array, "*N r"]:
    """V that a unit step along each `reads` writes: values[i] readout . writes[i].

    Raises:
      ValueError: a read-out of another width, a number that is not finite.
    """
    _width("readout", readout, directions, 1)
    said = jnp.einsum("...m,...rm->...r", readout, directions.writes)
    return directions.values * said


def _width(
    name: str, readout: Array, directions: SingularDirections, axes: int
) -> None:
    """Refuse a read-out that doesn't fit what the directions write."""
    stack = directions.values.shape[:-1]
    sizes = (*stack, *([None] * (axes - 1)), directions.writes.shape[-1])
    validation.shaped(name, readout, *sizes)
    validation.finite(name, readout)


def top_states(
    directions: SingularDirections, features: Float[Array, "n d"], count: int
) -> Int[Array, "*N r count"]:
    """The states that each direction reads most: largest reads[i] . features.

    Raises:
      ValueError: features of another width, `count` outside of 1 to n.
    """
    validation.shaped("features", features, None, directions.reads.shape[-1])
    validation.finite("features", features)
    validation.one_of("count", count, range(1, len(features) + 1))
    read = jnp.einsum("nd,...rd->...rn", features, directions.reads)
    return jax.lax.top_k(read, count)[1]


def agreement(
    first: SingularDirections, second: SingularDirections
) -> tuple[SubspaceOverlap, SubspaceOverlap]:
    """Are the directions of one matrix those of another, near-ties as subspaces?

    alone[i] = (x_i . y_i)^2; blocks[i] = sum over j in the block of i of (x_i . y_j)^2,
    with the blocks of `first`. The mean of `blocks` over a block is the mean squared
    cosine of the principal angles.

    Returns:
      For `reads` and for `writes`.

    Raises:
      ValueError: shapes that differ.
    """
    validation.shaped("second.reads", second.reads, *first.reads.shape)
    validation.shaped("second.writes", second.writes, *first.writes.shape)
    same = first.blocks[..., :, None] == first.blocks[..., None, :]

    def one(x: Array, y: Array) -> SubspaceOverlap:
        squared = jnp.square(jnp.einsum("...id,...jd->...ij", x, y))
        alone = jnp.diagonal(squared, axis1=-2, axis2=-1)
        return SubspaceOverlap(alone, jnp.where(same, squared, 0.0).sum(axis=-1))

    return one(first.reads, second.reads), one(first.writes, second.writes)
