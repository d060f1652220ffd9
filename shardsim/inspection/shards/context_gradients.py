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

import math
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shardsim.agents.value import ValueHead
from shardsim.inspection import arrays, validation
from shardsim.inspection.validation import Input, Numbers


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
    parallel_null: Float[Array, ""]
    """The same of random directions in `unit_rank` dimensions."""
    orthogonal: Float[Array, ""]
    """Fraction of pairs with |cos| below .05."""
    orthogonal_null: Float[Array, ""]
    """The same of random directions in `unit_rank` dimensions."""
    bimodality: Float[Array, ""]
    """1 - 4 mean |cos| (1 - |cos|), in [0, 1]: 1 if every |cos| is 0 or 1, 1/3 if they
    are uniform, 0 if all are 1/2."""
    bimodality_null: Float[Array, ""]
    """Mean of the same over random directions in `unit_rank` dimensions: what contexts
    without shards give."""
    bimodality_spread: Float[Array, ""]
    """Its standard deviation over such directions. Within two of them from the null the
    bimodality shows nothing; with 2 contexts it never shows anything."""

    def summary(self) -> str:
        """Rank, bimodality and noise."""
        return (
            f"{len(self.counts)} contexts: effective rank {float(self.rank):.2f} "
            f"({float(self.clean_rank):.2f} without noise), |cos| above .95 in "
            f"{float(self.parallel):.0%} and below .05 in "
            f"{float(self.orthogonal):.0%} of pairs (random directions "
            f"{float(self.parallel_null):.0%} and {float(self.orthogonal_null):.0%}), "
            f"bimodality {float(self.bimodality):.2f} (random "
            f"{float(self.bimodality_null):.2f} with sd "
            f"{float(self.bimodality_spread):.2f})"
        )


def value_gradients(
    head: ValueHead,
    features: Annotated[Numbers, "n d"],
    contexts: Annotated[Numbers, "n C"],
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
    features = validation.floats("features", features, None, None)
    contexts = validation.floats("contexts", contexts, len(features), None)
    return jax.vmap(jax.grad(lambda h, c: head(h, c).value))(features, contexts)


def whitened(
    gradients: Annotated[Numbers, "m d"], features: Annotated[Numbers, "n d"]
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
    features = validation.floats("features", features, None, None)
    gradients = validation.floats("gradients", gradients, None, features.shape[-1])
    validation.at_least("states of features", len(features), 2)
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
    """1 - 4 mean x (1 - x) of numbers in [0, 1]: 1 if each is 0 or 1.

    One number is enough, and it does not matter how many are 0 and how many are 1.
    """
    return 1 - 4 * jnp.mean(x * (1 - x))


def cosine_moment(d: Float[Array, ""], power: int) -> Float[Array, ""]:
    """E |cos|^p of two random directions in d dimensions.

      Gamma(d / 2) Gamma((p + 1) / 2) / (sqrt(pi) Gamma((d + p) / 2))

    Args:
      d: dimensions, at least 1; need not be an integer.
      power: p, at least 0.
    """
    log = jax.scipy.special.gammaln
    half = jnp.asarray((power + 1) / 2, d.dtype)
    return jnp.exp(log(d / 2) + log(half) - log((d + power) / 2)) / math.sqrt(math.pi)


def bimodality_of_random(
    d: Float[Array, ""], pairs: int
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean and standard deviation of `bimodality` of random directions.

    The cosines of pairs are independent in pairs, also where they share a direction.

    Args:
      d: dimensions, at least 1.
      pairs: P, number of pairs.
    """
    first, second, third, fourth = (cosine_moment(d, power) for power in (1, 2, 3, 4))
    mean = first - second
    variance = jnp.maximum(second - 2 * third + fourth - mean**2, 0.0)
    return 1 - 4 * mean, 4 * jnp.sqrt(variance / pairs)


def _share_below(cosine: float, d: Float[Array, ""]) -> Float[Array, ""]:
    """P(|cos| < cosine) of two random directions in d dimensions."""
    half = jnp.asarray(0.5, d.dtype)
    # in one dimension every |cos| is 1
    rest = jnp.maximum((d - 1) / 2, 1e-3)
    return jax.scipy.special.betainc(half, rest, jnp.asarray(cosine**2, d.dtype))


def fit(
    gradients: Annotated[Numbers, "n d"],
    contexts: Annotated[Numbers, "n"],
    num_contexts: int,
) -> ContextGeometry:
    """Geometry of context gradients, with a noise floor from split halves.

    The states of each context go alternately to two halves, in the given order. Shuffle
    the states first if neighbouring states are similar.

    Args:
      gradients: grad_h V in each state, e.g. of `value_gradients`; `whitened` or not.
      contexts: the context of each state, in [0, C); known, or found by clustering.
        Labels of another kind: pass `validation.labels(...).index`.
      num_contexts: C, at least 2.

    Raises:
      ValueError: shapes differ, a number is not finite, or a context is out of range or
        has fewer than 2 states.
    """
    rows = validation.floats("gradients", gradients, None, None)
    validation.sized("gradients", gradients)
    num_contexts = validation.integer("num_contexts", num_contexts, 2)
    index = validation.indices("contexts", contexts, num_contexts, len(rows))
    _check_counts(index, num_contexts)
    return _fit(rows, jnp.asarray(index), num_contexts)


def _fit(
    gradients: Float[Array, "n d"], contexts: Int[Array, " n"], num_contexts: int
) -> ContextGeometry:
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
    unit_rank = effective_rank(unit)
    dimensions = jnp.maximum(unit_rank, 1.0)
    null, spread = bimodality_of_random(dimensions, len(cosines))
    return ContextGeometry(
        stack,
        counts,
        effective_rank(stack),
        unit_rank,
        _rank((cross + cross.T) / 2),
        effective_rank(noise),
        jnp.square(noise).sum() / jnp.where(square > 0, square, 1.0),
        (arrays.unit(half_1) * arrays.unit(half_2)).sum(axis=-1),
        cosines,
        (cosines > 0.95).mean(dtype=stack.dtype),
        1 - _share_below(0.95, dimensions),
        (cosines < 0.05).mean(dtype=stack.dtype),
        _share_below(0.05, dimensions),
        bimodality(cosines),
        null,
        spread,
    )


def _check_counts(contexts: Int[Input, " n"], num_contexts: int) -> None:
    """Refuse contexts that have too few states for two halves."""
    if isinstance(contexts, jax.core.Tracer):
        return
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
