"""How V depends on context: rank and bimodality of context gradients.

G_c is the mean of grad_h V over the states of context c; the stack holds one row per
context. Shards that are gated by context give a stack of few directions, and every
context lies on one of them: |cos| between two contexts is 0 or 1. Smooth modulation
spreads the contexts over the same few dimensions, with every |cos| in between. The rank
of the stack therefore cannot tell the two apart. The distribution of |cos| can, and so
can `dictionary`, which compares one atom per context with a plane.

Rotations of h change nothing here, but scalings do: see `whitened`.

Symbols: n states, d features, C contexts, P = C (C - 1) / 2 pairs, K atoms.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shardsim.agents.value import ValueHead
from shardsim.inspection import arrays, validation
from shardsim.inspection.validation import Input


class ContextGeometry(NamedTuple):
    """Geometry of the stack of context gradients, and how reliable it is."""

    gradients: Float[Array, "C d"]
    """G_c."""
    counts: Int[Array, " C"]
    """Number of states of each context."""
    rank: Float[Array, ""]
    """Effective rank (sum s^2)^2 / sum s^4 of the stack, in [1, min(C, d)]."""
    unit_rank: Float[Array, ""]
    """Effective rank with every G_c scaled to length 1, so that contexts count
    equally."""
    clean_rank: Float[Array, ""]
    """Effective rank from products between two halves of the states, whose noise is
    independent. It is well below `rank` if much of the rank is noise."""
    noise_rank: Float[Array, ""]
    """Effective rank of the noise, (half 1 - half 2) / 2; 0 without noise."""
    noise: Float[Array, ""]
    """||(half 1 - half 2) / 2||^2 / ||G||^2: the fraction of the stack that is
    noise."""
    reliability: Float[Array, " C"]
    """Cosine between G_c of one half of the states and G_c of the other."""
    cosines: Float[Array, " P"]
    """|cos| of each pair of contexts; 0 if a gradient is 0."""
    parallel: Float[Array, ""]
    """Fraction of pairs with |cos| above .95."""
    orthogonal: Float[Array, ""]
    """Fraction of pairs with |cos| below .05."""
    bimodality: Float[Array, ""]
    """var / (mean (1 - mean)) of |cos|, in [0, 1]: 1 if every |cos| is 0 or 1, 1/3 if
    they are uniform, 0 if all are equal."""

    def summary(self) -> str:
        """Rank, bimodality and noise."""
        return (
            f"{len(self.counts)} contexts: effective rank {float(self.rank):.2f} "
            f"({float(self.clean_rank):.2f} without noise), |cos| above .95 in "
            f"{float(self.parallel):.0%} and below .05 in "
            f"{float(self.orthogonal):.0%} of pairs"
            f", bimodality {float(self.bimodality):.2f}"
        )


def value_gradients(
    head: ValueHead,
    features: Annotated[Input, "n d"],
    contexts: Annotated[Input, "n C"],
) -> Float[Array, "n d"]:
    """grad_h V in each state.

    Args:
      head: V as a function of features and context.
      features: h of each state.
      contexts: the true context of each state, which only the head `oracle_gated`
        reads.

    Raises:
      ValueError: shapes differ, or a feature is not finite.
    """
    validation.shaped("features", features, None, None)
    validation.shaped("contexts", contexts, len(features), None)
    validation.finite("features", features)
    return jax.vmap(jax.grad(lambda h, c: head(h, c).value))(features, contexts)


def whitened(
    gradients: Annotated[Input, "m d"], features: Annotated[Input, "n d"]
) -> Float[Array, "m d"]:
    """Gradients in coordinates in which the features have covariance 1: Cov^(1/2) g.

    Their products g^T Cov g' are invariant under every invertible linear map of the
    features.

    Args:
      gradients: grad_h V in any m states.
      features: h in n >= 2 states, from which Cov is estimated.

    Raises:
      ValueError: shapes differ, a number is not finite, fewer than 2 states.
    """
    validation.shaped("features", features, None, None)
    validation.shaped("gradients", gradients, None, features.shape[-1])
    validation.at_least("states of features", len(features), 2)
    validation.finite("features", features)
    validation.finite("gradients", gradients)
    data = (features - features.mean(axis=0, keepdims=True)) / len(features) ** 0.5
    power, axes = jnp.linalg.eigh(data.T @ data)
    root = (axes * jnp.sqrt(jnp.maximum(power, 0.0))[None]) @ axes.T
    return gradients @ root


def effective_rank(stack: Float[Array, "C d"]) -> Float[Array, ""]:
    """(sum s^2)^2 / sum s^4 over the singular values s, without an SVD; 0 for zeros."""
    return _rank(stack @ stack.T)


def _rank(gram: Float[Array, "C C"]) -> Float[Array, ""]:
    """Effective rank from the products of all pairs of rows."""
    # scaled, because fourth powers of small numbers underflow
    largest = jnp.abs(gram).max()
    gram = gram / jnp.where(largest > 0, largest, 1.0)
    s4 = jnp.square(gram).sum()
    return jnp.where(
        s4 > 0, jnp.square(jnp.trace(gram)) / jnp.where(s4 > 0, s4, 1.0), 0.0
    )


def bimodality(x: Float[Array, " P"]) -> Float[Array, ""]:
    """var / (mean (1 - mean)) of numbers in [0, 1]: 1 for a coin, 0 for a constant.

    mean (1 - mean) is the largest variance that numbers in [0, 1] with this mean have.
    """
    mean = x.mean()
    max_variance = mean * (1 - mean)
    # numbers that are all 0 or all 1 leave only rounding error
    is_real = max_variance > 10 * jnp.finfo(x.dtype).eps
    return jnp.where(is_real, x.var() / jnp.where(is_real, max_variance, 1.0), 0.0)


def fit(
    gradients: Annotated[Input, "n d"],
    contexts: Annotated[Input, "n"],
    num_contexts: int,
) -> ContextGeometry:
    """Geometry of context gradients, with a noise floor from split halves.

    The states of each context go alternately to two halves, in the given order. Shuffle
    the states first if neighbouring states are similar.

    Args:
      gradients: grad_h V in each state, e.g. of `value_gradients`; `whitened` or not.
      contexts: the context of each state, in [0, C); known, or found by clustering.
      num_contexts: C, at least 2.

    Raises:
      ValueError: shapes differ, a number is not finite, or a context is out of range or
        has fewer than 2 states.
    """
    validation.shaped("gradients", gradients, None, None)
    validation.shaped("contexts", contexts, len(gradients))
    validation.finite("gradients", gradients)
    validation.sized("gradients", gradients)
    validation.at_least("num_contexts", num_contexts, 2)
    _check_counts(contexts, num_contexts)
    gradients, contexts = jnp.asarray(gradients), jnp.asarray(contexts)
    counts = jnp.bincount(contexts, length=num_contexts)
    order = jnp.argsort(contexts)
    first = jnp.concatenate([jnp.zeros(1, counts.dtype), jnp.cumsum(counts)[:-1]])
    rank_in_context = jnp.arange(len(contexts)) - first[contexts[order]]
    half = jnp.zeros(len(contexts), jnp.int32)
    half = half.at[order].set((rank_in_context % 2).astype(jnp.int32))
    stack, half_1, half_2 = (
        _means(gradients, contexts, num_contexts, mask)
        for mask in (half >= 0, half == 0, half == 1)
    )
    square = jnp.square(stack).sum()
    unit = arrays.unit(stack)
    low, high = jnp.triu_indices(num_contexts, 1)
    cosines = jnp.clip(jnp.abs(unit @ unit.T)[low, high], 0.0, 1.0)
    cross = half_1 @ half_2.T
    noise = (half_1 - half_2) / 2
    return ContextGeometry(
        stack,
        counts,
        effective_rank(stack),
        effective_rank(unit),
        _rank((cross + cross.T) / 2),
        effective_rank(noise),
        jnp.square(noise).sum() / jnp.where(square > 0, square, 1.0),
        (arrays.unit(half_1) * arrays.unit(half_2)).sum(axis=-1),
        cosines,
        (cosines > 0.95).mean(dtype=stack.dtype),
        (cosines < 0.05).mean(dtype=stack.dtype),
        bimodality(cosines),
    )


def _check_counts(contexts: Annotated[Input, "n"], num_contexts: int) -> None:
    """Refuse contexts that are out of range or have too few states for two halves."""
    if isinstance(contexts, jax.core.Tracer):
        return
    low, high = int(jnp.min(contexts)), int(jnp.max(contexts))
    if low < 0 or high >= num_contexts:
        raise ValueError(
            f"contexts: got numbers from {low} to {high}; allowed: 0 to "
            f"{num_contexts - 1}"
        )
    counts = jnp.bincount(jnp.asarray(contexts), length=num_contexts)
    smallest = int(counts.argmin())
    validation.at_least(f"states of context {smallest}", int(counts[smallest]), 2)


def _means(
    gradients: Float[Array, "n d"],
    contexts: Int[Array, " n"],
    num_contexts: int,
    mask: Bool[Array, " n"],
) -> Float[Array, "C d"]:
    """Mean gradient of each context over the states in the mask."""
    weight = mask.astype(gradients.dtype)
    total = jax.ops.segment_sum(gradients * weight[:, None], contexts, num_contexts)
    count = jax.ops.segment_sum(weight, contexts, num_contexts)
    return total / jnp.where(count > 0, count, 1.0)[:, None]
