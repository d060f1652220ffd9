"""Group the units of a monolithic V by their contributions to it over states.

Symbols: n samples, U units, K clusters.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import optimizers, validation
from shardsim.inspection.validation import Integer, Numbers

MAX_STEPS = 500
"""Largest number of steps of Lloyd's algorithm, which ends once no unit moves."""


class UnitClusters(NamedTuple):
    """Clusters of units whose contributions to V rise and fall together."""

    unit_cluster: Int[Array, " U"]
    """The cluster of each unit, in [0, K), largest cluster first."""
    sizes: Int[Array, " K"]
    """Active units in each cluster. With fewer distinct profiles than clusters, the
    remaining clusters are empty or hold units that differ by rounding alone."""
    explained: Float[Array, ""]
    """1 - spread within clusters / spread around a single centre, in [0, 1]; NaN if all
    units have the same profile."""
    null: Float[Array, ""]
    """Mean `explained` of contributions that are shuffled over states, each unit by
    itself: what clusters of unrelated units explain. NaN for 0 shuffles."""
    converged: Bool[Array, ""]
    """Whether no unit changed its cluster in the last step."""

    def summary(self) -> str:
        sizes = ", ".join(str(int(s)) for s in np.asarray(self.sizes))
        return (
            f"{int(np.sum(self.sizes))} active units in {len(self.sizes)} clusters of "
            f"{sizes}; {float(self.explained):.1%} of their spread lies between them, "
            f"{float(self.null):.1%} if shuffled"
            + ("" if bool(self.converged) else "; NOT CONVERGED")
        )


def fit(
    contributions: Annotated[Numbers, "n U"],
    clusters: Integer,
    key: Key[Array, ""],
    *,
    restarts: int = 16,
    shuffles: int = 5,
) -> UnitClusters:
    """Cluster units by k-means on their contribution profiles.

    The profile of a unit is its contribution to V in each state, centred and scaled to
    length 1. Two units are close if their contributions rise and fall together.

    k-means++ runs from several starts and the start with the lowest spread wins. The
    algorithm needs only the U x U products of the profiles and is deterministic given
    the key. Clusters explain some of the spread of random data too: `null` says how
    much.

    Args:
      contributions: `value.units` over states. A constant unit (a dead one, or the
        bias) has no profile: it forms no cluster and joins the nearest one.
      clusters: K, 1 to U.
      key: for the starts.
      restarts: number of starts, at least 1.
      shuffles: number of permutations for the null, at least 0.

    Raises:
      ValueError: a wrong shape, a number that is not finite, fewer than 2 samples, K
        out of range.

    Reference: Arthur & Vassilvitskii, k-means++, 2007.
    """
    validation.shaped("contributions", contributions, None, None)
    validation.finite("contributions", contributions)
    n, units = np.shape(contributions)
    validation.at_least("samples", n, 2)
    clusters = validation.integer("clusters", clusters, 1, units)
    restarts = validation.integer("restarts", restarts, 1)
    shuffles = validation.integer("shuffles", shuffles, 0)
    x = validation.floating(contributions)
    result = _fit(x, clusters, key, restarts)
    null = jnp.full((), jnp.nan, x.dtype)
    if shuffles:

        def shuffled(key: Key[Array, ""]) -> Float[Array, ""]:
            order_key, start_key = jax.random.split(key)
            other = jax.random.permutation(order_key, x, independent=True)
            return _fit(other, clusters, start_key, restarts).explained

        keys = jax.random.split(jax.random.fold_in(key, restarts), shuffles)
        null = jnp.nanmean(jax.lax.map(shuffled, keys))
    optimizers.warn_unconverged("clusters", result.converged, "take fewer clusters")
    return result._replace(null=null)


def _fit(
    x: Float[Array, "n U"], clusters: int, key: Key[Array, ""], restarts: int
) -> UnitClusters:
    """`fit` without validation and without its null."""
    n = len(x)
    centred = x - x.mean(axis=0, keepdims=True)
    length = jnp.linalg.norm(centred, axis=0, keepdims=True)
    noise = jnp.finfo(x.dtype).eps * jnp.sqrt(jnp.asarray(n, x.dtype))
    active = length > noise * jnp.abs(x).max(axis=0, keepdims=True) * 8
    profiles = jnp.where(active, centred / jnp.where(active, length, 1), 0)
    active = active[0]
    gram = profiles.T @ profiles
    keys = jax.random.split(key, restarts)
    clusterings, spreads, converged = jax.vmap(
        lambda k: _lloyd(gram, active, clusters, k)
    )(keys)
    best = jnp.argmin(spreads)
    weight = active.astype(x.dtype)
    num_active = jnp.maximum(weight.sum(), 1)
    total = weight.sum() - weight @ gram @ weight / num_active
    cluster = clusterings[best]
    sizes = jax.ops.segment_sum(active.astype(jnp.int32), cluster, clusters)
    order = jnp.argsort(-sizes, stable=True)
    unit_cluster = jnp.argsort(order)[cluster].astype(jnp.int32)
    differs = total > noise * num_active
    fraction = 1 - spreads[best] / jnp.where(differs, total, 1)
    explained = jnp.where(differs, jnp.clip(fraction, 0, 1), jnp.nan)
    return UnitClusters(
        unit_cluster, sizes[order], explained, explained, converged[best]
    )


def _lloyd(
    gram: Float[Array, "U U"],
    active: Bool[Array, " U"],
    clusters: int,
    key: Key[Array, ""],
) -> tuple[Int[Array, " U"], Float[Array, ""], Bool[Array, ""]]:
    """One start: cluster of each unit, spread within clusters, whether it converged."""
    weight = active.astype(gram.dtype)
    square = jnp.diagonal(gram)

    def distances(cluster: Int[Array, " U"]) -> Float[Array, "U K"]:
        member = jax.nn.one_hot(cluster, clusters, dtype=gram.dtype) * weight[:, None]
        size = member.sum(axis=0)
        mean = member / jnp.maximum(size, 1)[None]
        cross = gram @ mean
        centre_square = jnp.einsum("uk,uk->k", mean, cross)
        distance = square[:, None] - 2 * cross + centre_square[None]
        return jnp.where(size[None] > 0, jnp.maximum(distance, 0), jnp.inf)

    def step(cluster: Int[Array, " U"]) -> Int[Array, " U"]:
        return jnp.argmin(distances(cluster), axis=1)

    first = _kmeans_plus_plus(gram, weight, clusters, key)
    cluster, converged = optimizers.iterate(step, first, MAX_STEPS)
    nearest = distances(cluster).min(axis=1)
    return cluster, jnp.sum(jnp.where(active, nearest, 0)), converged


def _kmeans_plus_plus(
    gram: Float[Array, "U U"],
    weight: Float[Array, " U"],
    clusters: int,
    key: Key[Array, ""],
) -> Int[Array, " U"]:
    """Draw each centre with probability ~ squared distance to the nearest centre."""
    square = jnp.diagonal(gram)

    def distance(centre: Int[Array, ""]) -> Float[Array, " U"]:
        return jnp.maximum(square - 2 * gram[centre] + square[centre], 0)

    def draw(key: Key[Array, ""], odds: Float[Array, " U"]) -> Int[Array, ""]:
        # all odds are 0 once every distinct profile is a centre; then any unit will do
        safe = jnp.where(odds.sum() > 0, odds, weight + jnp.finfo(odds.dtype).tiny)
        return jax.random.categorical(key, jnp.log(safe))

    keys = jax.random.split(key, clusters)
    first = draw(keys[0], weight)
    rows = [distance(first)]
    for k in keys[1:]:
        nearest = jnp.min(jnp.stack(rows), axis=0)
        rows.append(distance(draw(k, nearest * weight)))
    return jnp.argmin(jnp.stack(rows), axis=0)
