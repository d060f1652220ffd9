"""Singular directions of a weight matrix: what it reads and what it writes.

W = sum_i values[i] writes[i] reads[i]^T, for y = W x. A flax kernel is W^T.

A direction gets its meaning from its context: the action logits or the value that it
writes, and the states that it reads most. Its sign is arbitrary, and so is a rotation
among directions whose singular values tie. Therefore a rule fixes the signs, and near
ties are reported and compared as subspaces. Along a singular direction a matrix can
only scale or remove; `weight_action` shows what else it does.

Symbols: m outputs, d inputs, r = min(m, d), n samples, N stacked matrices (any axes),
A actions. Stack the matrices instead of calling these functions under `jax.vmap`.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.inspection import validation
from shardsim.inspection.validation import Integer, Numbers

SIGN_TIE = 1e-3
"""Entries whose sizes differ by less than this fraction tie when a sign is chosen."""


class SingularDirections(NamedTuple):
    """W = sum_i values[i] writes[i] reads[i]^T, largest singular value first."""

    values: Float[Array, "*N r"]
    """Singular values."""
    reads: Float[Array, "*N r d"]
    """Unit input directions, as rows."""
    writes: Float[Array, "*N r m"]
    """Unit output directions, as rows."""
    gaps: Float[Array, "*N r"]
    """Distance to the nearest other singular value, as a fraction of the largest one,
    at most 1. A change of W by e (same unit) rotates the direction by about e / gap."""
    blocks: Int[Array, "*N r"]
    """Index, from 0, of the block of near ties that a direction belongs to. Within a
    block only the subspace has a meaning."""

    def summary(self) -> str:
        """How many directions are unique, and how much the first one holds."""
        block_rows = self.blocks.reshape(-1, self.blocks.shape[-1]).tolist()
        num_unique = sum(sum(1 for b in row if row.count(b) == 1) for row in block_rows)
        power = jnp.square(self.values)
        share = power[..., 0].sum() / jnp.maximum(
            power.sum(), jnp.finfo(power.dtype).tiny
        )
        return (
            f"{self.blocks.size} singular directions, {num_unique} of them not tied; "
            f"the first holds {float(share):.0%} of the squared norm"
        )


class SubspaceOverlap(NamedTuple):
    """How well the directions of one matrix agree with those of another."""

    alone: Float[Array, "*N r"]
    """Squared cosine to the direction of the same rank."""
    blocks: Float[Array, "*N r"]
    """Squared length inside the span of the ranks of its block; at least `alone`."""
    alone_null: Float[Array, "*N r"]
    """`alone` of random directions: 1 / d."""
    blocks_null: Float[Array, "*N r"]
    """`blocks` of random directions: size of the block / d."""

    def summary(self) -> str:
        """Mean overlap of single directions, and of blocks of near ties."""
        return (
            f"mean squared cosine {float(self.alone.mean()):.3f} for single directions "
            f"(random {float(self.alone_null.mean()):.3f}), "
            f"{float(self.blocks.mean()):.3f} for subspaces of near ties (random "
            f"{float(self.blocks_null.mean()):.3f})"
        )


def as_matrix(name: str, array: Annotated[Numbers, "*N m d"]) -> Float[Array, "*N m d"]:
    """A matrix or a stack of matrices as floats of at least 32 bits.

    Raises:
      ValueError: names the array, what it is and what is allowed.
    """
    validation.at_least(f"axes of {name}", np.ndim(array), 2)
    validation.at_least(f"size of {name}", np.size(array), 1)
    return validation.floats(name, array, *np.shape(array))


def signs(rows: Float[Array, "*N r d"]) -> Float[Array, "*N r 1"]:
    """+1 or -1 per row, such that the row's largest entry becomes positive.

    Among entries that tie in size (to `SIGN_TIE`) the first one decides. Without this
    rule the sign of (1, -1) would depend on the last bit.
    """
    size = jnp.abs(rows)
    is_largest = size >= (1 - SIGN_TIE) * size.max(axis=-1, keepdims=True)
    first = jnp.argmax(is_largest, axis=-1)[..., None]
    entry = jnp.take_along_axis(rows, first, axis=-1)
    return jnp.where(entry < 0, -1.0, 1.0).astype(rows.dtype)


def fit(
    weight: Annotated[Numbers, "*N m d"], *, tie: float = 0.01
) -> SingularDirections:
    """Singular directions with fixed signs, gaps and blocks of near ties.

    Args:
      weight: [*N, m, d] one matrix or a stack of them, y = W x.
      tie: neighbouring singular values closer than this fraction of the largest one
        share a block, and so on along the chain; at least 0.

    Returns:
      r = min(m, d) directions. Directions of singular value 0 are an arbitrary basis
      of a part of the null space, in one block. The sign makes the largest entry of
      `writes` positive.

    Raises:
      ValueError: `weight` is not a matrix or not finite, or `tie` is negative.
    """
    weight = as_matrix("weight", weight)
    validation.at_least("tie", tie, 0)
    left, values, reads = jnp.linalg.svd(weight, full_matrices=False)
    writes = jnp.swapaxes(left, -1, -2)
    sign = signs(writes)
    rows, columns = weight.shape[-2:]
    gaps, blocks = _near_ties(values, tie, is_square=rows == columns)
    return SingularDirections(values, reads * sign, writes * sign, gaps, blocks)


def _near_ties(
    values: Float[Array, "*N r"], tie: float, is_square: bool
) -> tuple[Float[Array, "*N r"], Int[Array, "*N r"]]:
    """Gap to the nearest neighbour, and blocks along the chain of near ties.

    A matrix that is not square has null directions without a singular value. They
    count as a neighbour at 0.
    """
    largest = values[..., :1]
    scale = jnp.where(largest > 0, largest, 1.0)
    steps = (values[..., :-1] - values[..., 1:]) / scale
    last = jnp.ones_like(largest) if is_square else values[..., -1:] / scale
    ones = jnp.ones_like(largest)
    gap_below = jnp.concatenate([steps, last], axis=-1)
    gap_above = jnp.concatenate([ones, steps], axis=-1)
    is_apart = (steps > tie).astype(jnp.int32)
    starts = jnp.concatenate([jnp.zeros_like(ones, jnp.int32), is_apart], axis=-1)
    return jnp.minimum(gap_below, gap_above), jnp.cumsum(starts, axis=-1)


def action_logits(
    directions: SingularDirections, readout: Annotated[Numbers, "*N A m"]
) -> Float[Array, "*N r A"]:
    """Action logits that a unit step along each `reads` writes, centred over actions.

    logits[i] = values[i] (readout writes[i] - its mean over actions)

    A constant over actions does not change the policy, so it is removed. Whatever lies
    between W and the readout (a relu, the scale of a layer norm) has to be folded into
    one of them. A mean Jacobian in place of W does this to first order.

    Args:
      directions: of one matrix or a stack.
      readout: [*N, A, m] linear map from the outputs of W to action logits.

    Raises:
      ValueError: `readout` has another width than the outputs, or is not finite.
    """
    readout = _as_readout(readout, directions, 2)
    logits = jnp.einsum("...am,...rm->...ra", readout, directions.writes)
    centred = logits - logits.mean(axis=-1, keepdims=True)
    return directions.values[..., None] * centred


def value_written(
    directions: SingularDirections, readout: Annotated[Numbers, "*N m"]
) -> Float[Array, "*N r"]:
    """V that a unit step along each `reads` writes: values[i] readout . writes[i].

    Args:
      directions: of one matrix or a stack.
      readout: [*N, m] linear map from the outputs of W to V.

    Raises:
      ValueError: `readout` has another width than the outputs, or is not finite.
    """
    readout = _as_readout(readout, directions, 1)
    value = jnp.einsum("...m,...rm->...r", readout, directions.writes)
    return directions.values * value


def _as_readout(
    readout: Numbers, directions: SingularDirections, axes: int
) -> Float[Array, "..."]:
    """A readout of the outputs of the directions; another one is refused."""
    stack = directions.values.shape[:-1]
    sizes = (*stack, *([None] * (axes - 1)), directions.writes.shape[-1])
    readout = validation.floats("readout", readout, *sizes)
    return readout.astype(directions.writes.dtype)


def top_states(
    directions: SingularDirections, features: Annotated[Numbers, "n d"], count: Integer
) -> Int[Array, "*N r {count}"]:
    """Indices of the states that each direction reads most: largest reads[i] . x.

    Args:
      directions: of one matrix or a stack.
      features: [n, d] the inputs x of n states.
      count: states per direction, in [1, n].

    Raises:
      ValueError: `features` has another width or is not finite, or `count` is out of
        range.
    """
    features = validation.floats("features", features, None, directions.reads.shape[-1])
    count = validation.integer("count", count, 1, len(features))
    projections = jnp.einsum("nd,...rd->...rn", features, directions.reads)
    return jax.lax.top_k(projections, count)[1]


def agreement(
    first: SingularDirections, second: SingularDirections
) -> tuple[SubspaceOverlap, SubspaceOverlap]:
    """Overlap of the directions of two matrices, with near ties as subspaces.

      alone[i]  = (x_i . y_i)^2
      blocks[i] = sum over j in the block of i of (x_i . y_j)^2

    The blocks are those of `first`. The mean of `blocks` over a block is the mean
    squared cosine of the principal angles.

    Returns:
      The overlap of `reads`, and that of `writes`.

    Raises:
      ValueError: the shapes differ.
    """
    validation.shaped("second.reads", second.reads, *first.reads.shape)
    validation.shaped("second.writes", second.writes, *first.writes.shape)
    in_block = first.blocks[..., :, None] == first.blocks[..., None, :]

    def overlap(x: Array, y: Array) -> SubspaceOverlap:
        squared = jnp.square(jnp.einsum("...id,...jd->...ij", x, y))
        alone = jnp.diagonal(squared, axis1=-2, axis2=-1)
        blocks = jnp.where(in_block, squared, 0.0).sum(axis=-1)
        size = in_block.sum(axis=-1).astype(x.dtype)
        alone_null = jnp.full_like(alone, 1 / x.shape[-1])
        return SubspaceOverlap(alone, blocks, alone_null, size / x.shape[-1])

    return overlap(first.reads, second.reads), overlap(first.writes, second.writes)
