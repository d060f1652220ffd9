"""How V depends on context: rank, bimodality and dictionary gap of context gradients.

G_c = mean over the states of context c of grad_h V. Shards that are gated by context
give a stack of few directions, each context on one of them: |cos| of two contexts is 0
or 1. Smooth modulation fills the same few dimensions with everything in between. So the
rank of the stack can't tell the two apart; the spread of |cos|, and whether one atom a
context does as well as a plane, can.

A rotation of h changes nothing here but a scaling does: see `whitened`.

Symbols: n states, d features, C contexts, P = C (C - 1) / 2 pairs, K atoms.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from shardsim.agents.value import ValueHead
from shardsim.inspection import arrays, validation


class ContextGeometry(NamedTuple):
    """The stack of context gradients, and how sure it is."""

    gradients: Float[Array, "C d"]
    """G_c."""
    counts: Int[Array, " C"]
    """States of each context."""
    rank: Float[Array, ""]
    """Effective rank (sum s^2)^2 / sum s^4 of the stack, in [1, min(C, d)]."""
    unit_rank: Float[Array, ""]
    """The same with every G_c scaled to length 1: each context counts alike."""
    clean_rank: Float[Array, ""]
    """The same from products of two halves of the states, whose noise is independent;
    well below `rank` if noise makes up the rank."""
    noise_rank: Float[Array, ""]
    """Effective rank of the half difference of the two halves: what noise looks like.
    0 without noise."""
    noise: Float[Array, ""]
    """||half difference||^2 / ||G||^2: share of the stack that is noise; 0 is none."""
    reliability: Float[Array, " C"]
    """Cosine of G_c in the one half of its states and in the other."""
    cosines: Float[Array, " P"]
    """|cos| of each pair of contexts; 0 with a context whose gradient is 0."""
    same: Float[Array, ""]
    """Share of pairs with |cos| above .95."""
    apart: Float[Array, ""]
    """Share of pairs with |cos| below .05."""
    bimodality: Float[Array, ""]
    """var / (mean (1 - mean)) of |cos|, in [0, 1]: 1 if each is 0 or 1, 1/3 if they are
    spread evenly, 0 if all are alike."""

    def summary(self) -> str:
        """Rank, bimodality and noise."""
        return (
            f"{len(self.counts)} contexts: effective rank {float(self.rank):.2f} "
            f"({float(self.clean_rank):.2f} without noise), |cos| above .95 in "
            f"{float(self.same):.0%} and below .05 in {float(self.apart):.0%} of pairs"
            f", bimodality {float(self.bimodality):.2f}"
        )


def value_gradients(
    head: ValueHead, features: Float[Array, "n d"], contexts: Float[Array, "n C"]
) -> Float[Array, "n d"]:
    """grad_h V in each state. `contexts` is the truth, which only `planted` reads.

    Raises:
      ValueError: shapes that don't fit, numbers that are not finite.
    """
    validation.shaped("features", features, None, None)
    validation.shaped("contexts", contexts, len(features), None)
    validation.finite("features", features)
    return jax.vmap(jax.grad(lambda h, c: head(h, c).value))(features, contexts)


def whitened(
    gradients: Float[Array, "n d"], features: Float[Array, "n d"]
) -> Float[Array, "n d"]:
    """Gradients in coordinates in which the features have covariance 1: Cov^(1/2) g.

    Their products g^T Cov g' are the same under any invertible change of features.

    Raises:
      ValueError: shapes that don't fit, numbers that are not finite.
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
    """(sum s^2)^2 / sum s^4 over singular values, without taking them; 0 for 0."""
    return _rank(stack @ stack.T)


def _rank(gram: Float[Array, "C C"]) -> Float[Array, ""]:
    """Effective rank from products of rows."""
    # fourth powers of what is short would be 0
    largest = jnp.abs(gram).max()
    gram = gram / jnp.where(largest > 0, largest, 1.0)
    four = jnp.square(gram).sum()
    return jnp.where(
        four > 0, jnp.square(jnp.trace(gram)) / jnp.where(four > 0, four, 1.0), 0.0
    )


def bimodality(x: Float[Array, " P"]) -> Float[Array, ""]:
    """var / (mean (1 - mean)) of numbers in [0, 1]: 1 for a coin, 0 for a constant.

    The largest variance that numbers of this mean can have is mean (1 - mean).
    """
    mean = x.mean()
    most = mean * (1 - mean)
    # rounding alone makes something of numbers that are all 0 or all 1
    real = most > 10 * jnp.finfo(x.dtype).eps
    return jnp.where(real, x.var() / jnp.where(real, most, 1.0), 0.0)


def fit(
    gradients: Float[Array, "n d"], contexts: Int[Array, " n"], number: int
) -> ContextGeometry:
    """Geometry of context gradients, with a split-half floor for noise.

    States of a context are put into two halves in turn, in the order given: shuffle
    them first if neighbours are alike.

    Args:
      gradients: grad_h V in each state, e.g. of `value_gradients`; `whitened` or not.
      contexts: the context of each state, in [0, C); known, or of a clustering.
      number: C, at least 2.

    Raises:
      ValueError: shapes that don't fit, numbers that are not finite, a context out of
        range or with fewer than 2 states.
    """
    validation.shaped("gradients", gradients, None, None)
    validation.shaped("contexts", contexts, len(gradients))
    validation.finite("gradients", gradients)
    validation.sized("gradients", gradients)
    validation.at_least("number", number, 2)
    _peopled(contexts, number)
    gradients, contexts = jnp.asarray(gradients), jnp.asarray(contexts)
    counts = jnp.bincount(contexts, length=number)
    order = jnp.argsort(contexts)
    first = jnp.concatenate([jnp.zeros(1, counts.dtype), jnp.cumsum(counts)[:-1]])
    place = jnp.arange(len(contexts)) - first[contexts[order]]
    half = jnp.zeros(len(contexts), jnp.int32)
    half = half.at[order].set((place % 2).astype(jnp.int32))
    whole, one, two = (
        _means(gradients, contexts, number, keep)
        for keep in (half >= 0, half == 0, half == 1)
    )
    power = jnp.square(whole).sum()
    unit = arrays.unit(whole)
    low, high = jnp.triu_indices(number, 1)
    cosines = jnp.clip(jnp.abs(unit @ unit.T)[low, high], 0.0, 1.0)
    cross = one @ two.T
    left = (one - two) / 2
    return ContextGeometry(
        whole,
        counts,
        effective_rank(whole),
        effective_rank(unit),
        _rank((cross + cross.T) / 2),
        effective_rank(left),
        jnp.square(left).sum() / jnp.where(power > 0, power, 1.0),
        (arrays.unit(one) * arrays.unit(two)).sum(axis=-1),
        cosines,
        (cosines > 0.95).mean(dtype=whole.dtype),
        (cosines < 0.05).mean(dtype=whole.dtype),
        bimodality(cosines),
    )


def _peopled(contexts: Int[Array, " n"], number: int) -> None:
    """Refuse contexts out of range, or too small to be halved."""
    if isinstance(contexts, jax.core.Tracer):
        return
    low, high = int(jnp.min(contexts)), int(jnp.max(contexts))
    if low < 0 or high >= number:
        raise ValueError(
            f"contexts: got numbers from {low} to {high}; allowed: 0 to {number - 1}"
        )
    counts = jnp.bincount(jnp.asarray(contexts), length=number)
    least = int(counts.argmin())
    validation.at_least(f"states of context {least}", int(counts[least]), 2)


def _means(
    gradients: Float[Array, "n d"], contexts: Array, number: int, keep: Array
) -> Float[Array, "C d"]:
    """Mean gradient of each context over the states kept."""
    weight = keep.astype(gradients.dtype)
    total = jax.ops.segment_sum(gradients * weight[:, None], contexts, number)
    count = jax.ops.segment_sum(weight, contexts, number)
    return total / jnp.where(count > 0, count, 1.0)[:, None]
