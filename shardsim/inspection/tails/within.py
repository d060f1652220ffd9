"""Tails within contexts, all contexts together, and what the contexts explain.

Each context alone has few samples. So every sample is standardised in its own context,

  z = (x - mean of its context) / standard deviation of its context,

and all z are one group. A gate makes x heavy and z normal; features that are heavy
wherever they act make both heavy; labels of contexts that mean nothing change nothing.

Symbols: n samples, P parts, C contexts, G clusters, R permutations.
"""

import functools
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import validation
from shardsim.inspection.tails import fitting, shapes
from shardsim.inspection.tails.families import Sample, Scalar
from shardsim.inspection.validation import Numbers


class Within(NamedTuple):
    """Intervals of 95% over clusters, and a permutation test. Mapping adds axes."""

    shape: Float[Array, "2"]
    """Of the shape of z: 2 is normal, 1 Laplace."""
    excess: Float[Array, "2"]
    """Of the excess kurtosis of z. The high end allows for the kurtosis that a mean and
    a standard deviation take from few independent samples, 6 / (clusters + 1) for a
    normal."""
    variance_ratio: Float[Array, "2"]
    """Of Var(sum) / sum Var within contexts: 1 if the parts are uncorrelated."""
    breadth: Float[Array, "2"]
    """Of (sum Var)^2 / sum Var^2 within contexts: how many parts share the variance."""
    p: Scalar
    """One-sided p of H0: clusters may exchange their contexts. It is small if z is less
    heavy than z of permuted contexts, that is, if contexts explain the tails."""
    samples: Float[Array, " C"]
    """Number of samples of each context that are not exactly 0."""
    clusters: Float[Array, " C"]
    """Number of clusters of these samples."""
    scale: Float[Array, " C"]
    """Standard deviation of the sum in each context; 0 if it does not vary."""


def measure(
    contributions: Annotated[Numbers, "n P"],
    context: Annotated[Numbers, "n"],
    key: Key[Array, ""],
    *,
    cluster: Annotated[Numbers, "n"] | None = None,
    resamples: int = 200,
    permutations: int = 199,
) -> Within:
    """Tails within contexts.

    The contributions may be mapped over seeds; the labels must not be traced. Samples
    whose sum is exactly 0 (closed gates) are left out.

    A permutation keeps clusters whole. Clusters of one context exchange their contexts,
    and a cluster with several contexts exchanges its own. So the test assumes nothing
    about tails, and its size is exact for labels that mean nothing.

    Args:
      contributions: [n, P] c[s, j], what part j adds to V in sample s.
      context: [n] label of each sample, any integers or texts.
      key: for the resamples.
      cluster: [n] the unit of dependence (maze, episode); None makes every sample its
        own cluster.
      resamples: of clusters, at least 20.
      permutations: R, at least 19.

    Raises:
      ValueError: the arrays do not fit or are not finite, or there are fewer than two
        clusters.
    """
    contributions = validation.floats("contributions", contributions, None, None)
    n = contributions.shape[0]
    contexts = validation.labels("context", context, n)
    clusters = validation.labels(
        "cluster", np.arange(n) if cluster is None else cluster, n, least=2
    )
    resamples = validation.integer("resamples", resamples, 20)
    permutations = validation.integer("permutations", permutations, 19)
    context_index, cluster_index = map(np.asarray, (contexts.index, clusters.index))
    return _measure(
        contributions,
        jnp.asarray(context_index),
        jnp.asarray(cluster_index),
        jnp.asarray(permuted_contexts(context_index, cluster_index, permutations)),
        key,
        contexts.count,
        clusters.count,
        resamples,
    )


def permuted_contexts(
    context: Int[np.ndarray, " n"],
    cluster: Int[np.ndarray, " n"],
    permutations: int,
    *,
    seed: int = 0,
) -> Int[np.ndarray, "R n"]:
    """Contexts of the samples after each permutation.

    Args:
      context: indices from 0.
      cluster: indices from 0.
      permutations: R.
      seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    _, first, member = np.unique(cluster, return_index=True, return_inverse=True)
    is_pure = np.bincount(member, context != context[first][member]) == 0
    own = context[first]
    mixed = [
        (at, *np.unique(context[at], return_inverse=True))
        for at in (np.flatnonzero(member == g) for g in np.flatnonzero(~is_pure))
    ]
    result = np.empty((permutations, len(context)), np.int32)
    for permuted in result:
        shuffled = own.copy()
        shuffled[is_pure] = rng.permutation(own[is_pure])
        permuted[:] = shuffled[member]
        for at, names, index in mixed:
            permuted[at] = rng.permutation(names)[index]
    return result


def _standardised(
    x: Sample, context: Int[Array, " n"], contexts: int, weights: Sample
) -> tuple[Sample, Float[Array, " C"]]:
    """z, 0 in a context that is constant; and the standard deviations."""
    total = jax.ops.segment_sum(weights, context, contexts)
    count = jnp.maximum(total, 1.0)
    mean = jax.ops.segment_sum(weights * x, context, contexts) / count
    centred = x - mean[context]
    square = jax.ops.segment_sum(weights * jnp.square(centred), context, contexts)
    scale = jnp.sqrt(square / count)
    scale = jnp.where(
        scale > 8 * jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(x)), scale, 0
    )
    safe = jnp.where(scale > 0, scale, 1.0)[context]
    is_used = (scale > 0)[context] & (weights > 0)
    return jnp.where(is_used, centred / safe, 0.0), scale


def _measure(
    contributions: Float[Array, "n P"],
    context: Int[Array, " n"],
    cluster: Int[Array, " n"],
    permuted: Int[Array, "R n"],
    key: Key[Array, ""],
    contexts: int,
    clusters: int,
    resamples: int,
) -> Within:
    # separate programs: the first is the slow one, and it is the same for any P
    shape, excess, *tests = _tails_of_sum(
        contributions.sum(axis=1),
        context,
        cluster,
        permuted,
        key,
        contexts,
        clusters,
        resamples,
    )
    spread = _spread(contributions, context, cluster, contexts, clusters)
    return Within(shape, excess, *spread, *tests)


@functools.partial(jax.jit, static_argnums=(5, 6, 7))
def _tails_of_sum(
    total: Sample,
    context: Int[Array, " n"],
    cluster: Int[Array, " n"],
    permuted: Int[Array, "R n"],
    key: Key[Array, ""],
    contexts: int,
    clusters: int,
    resamples: int,
) -> tuple[Array, ...]:
    """The fields of `Within` that depend on the sum of the parts alone."""
    weights = jnp.where(total == 0, 0.0, jnp.ones_like(total))
    z, scale = _standardised(total, context, contexts, weights)
    shape, excess = shapes.intervals(
        z,
        weights[None],
        cluster,
        clusters,
        key,
        resamples=resamples,
        about=jnp.zeros_like(z[:1]),
    )
    pair = jax.ops.segment_max(
        weights, context * clusters + cluster, contexts * clusters
    )
    count = (pair.reshape(contexts, clusters) > 0).sum(axis=1).astype(z.dtype)
    taken = fitting.weighted_mean(6 / (count[context] + 1), weights)

    def heaviness(labels: Int[Array, " n"]) -> Scalar:
        z, _ = _standardised(total, labels, contexts, weights)
        return fitting.weighted_mean(z**4, weights)

    null = jax.lax.map(heaviness, permuted)
    # permutations that differ by rounding alone are ties
    tie = 1e-5 * jnp.mean(null)
    num_as_light = jnp.sum(null <= heaviness(context) + tie).astype(z.dtype)
    return (
        shape[0],
        excess[0] + jnp.stack([jnp.zeros_like(taken), taken]),
        (1 + num_as_light) / (1 + len(permuted)),
        jax.ops.segment_sum(weights, context, contexts),
        count,
        scale,
    )


def _centred(x: Sample, context: Int[Array, " n"], contexts: int) -> Sample:
    ones = jnp.ones_like(x)
    count = jnp.maximum(jax.ops.segment_sum(ones, context, contexts), 1.0)
    return x - (jax.ops.segment_sum(x, context, contexts) / count)[context]


@functools.partial(jax.jit, static_argnums=(3, 4))
def _spread(
    contributions: Float[Array, "n P"],
    context: Int[Array, " n"],
    cluster: Int[Array, " n"],
    contexts: int,
    clusters: int,
) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
    """Intervals of Var(sum) / sum Var and of the breadth, in logarithms.

    Standard errors are those of the influence of each cluster, with Student's t and the
    effective number of clusters as in `shapes.excess_interval`.
    """
    centred = jax.vmap(
        lambda part: _centred(part, context, contexts), in_axes=1, out_axes=1
    )(contributions)
    square = jnp.square(centred)
    variance = square.sum(axis=0)
    whole = jnp.square(centred.sum(axis=1))
    varies = variance.sum() > 0
    own = jnp.where(varies, variance.sum(), 1.0)
    total = jnp.where(whole.sum() > 0, whole.sum(), 1.0)
    fourth = jnp.where(varies, jnp.square(variance / own).sum(), 1.0)
    by_part = square.sum(axis=1) / own
    ratio = jnp.where(varies, whole.sum() / own, jnp.nan)
    breadth = jnp.where(varies, 1 / fourth, jnp.nan)
    of_ratio = whole / total - by_part
    of_breadth = 2 * by_part - 2 * (square / own) @ (variance / own) / fourth
    return (
        _log_interval(ratio, of_ratio, cluster, clusters),
        _log_interval(breadth, of_breadth, cluster, clusters),
    )


def _log_interval(
    estimate: Scalar, influence: Sample, cluster: Int[Array, " n"], clusters: int
) -> Float[Array, "2"]:
    square = jnp.square(jax.ops.segment_sum(influence, cluster, clusters))
    variance = square.sum()
    safe = jnp.where(variance > 0, variance, 1.0)
    effective = 1 / jnp.maximum(jnp.square(square / safe).sum(), 1e-9)
    t = shapes.student_quantile(0.975, effective - 1)
    half = t * jnp.sqrt(variance)
    return estimate * jnp.exp(jnp.stack([-half, half]))
