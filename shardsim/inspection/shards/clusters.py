"""Split the units of a monolithic V into parts by what they add to it over states.

Symbols: n samples, U units, K clusters.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import validation

ITERATIONS = 50
"""Of Lloyd's algorithm; far more than a few hundred units need."""


class UnitClusters(NamedTuple):
    """Units that speak up and fall silent together."""

    owners: Int[Array, " U"]
    """The cluster of each unit, in [0, K); the largest cluster is the first."""
    sizes: Int[Array, " K"]
    """Living units in each; with fewer kinds of profiles than clusters the
    rest are empty, or hold what rounding alone tells apart."""
    explained: Float[Array, ""]
    """1 - spread within the clusters / spread around one centre, in [0, 1]; NaN if all
    units have the same profile."""

    def summary(self) -> str:
        sizes = ", ".join(str(int(s)) for s in np.asarray(self.sizes))
        return (
            f"{int(np.sum(self.sizes))} living units in {len(self.sizes)} clusters of "
            f"{sizes}; {float(self.explained):.1%} of their spread lies between them"
        )


def fit(
    contributions: Float[Array, "n U"],
    clusters: int,
    key: Key[Array, ""],
    restarts: int = 16,
) -> UnitClusters:
    """k-means on the contribution profiles of units.

    A profile is what the unit adds to V in each state, less its mean, scaled to length
    1: two units are near if their contributions go up and down together. k-means++
    with restarts, the lowest spread kept; it needs only the U x U products of the
    profiles. Deterministic by key. The spread of random data is also cut, by about
    K / n: hold `explained` against that of shuffled contributions.

    Args:
      contributions: `value.units` over states; constant ones (dead units, the bias)
        have no profile, form no cluster and are put where they are nearest.
      clusters: K, at most U.

    Raises:
      ValueError: a wrong shape, NaN, fewer than 2 samples, K below 1 or above U.

    Reference: Arthur & Vassilvitskii, k-means++, 2007.
    """
    validation.shaped("contributions", contributions, None, None)
    validation.finite("contributions", contributions)
    n, units = np.shape(contributions)
    validation.at_least("samples", n, 2)
    validation.at_least("clusters", clusters, 1)
    if clusters > units:
        raise ValueError(f"clusters: got {clusters}; allowed: at most {units} units")
    validation.at_least("restarts", restarts, 1)
    x = validation.floating(contributions)
    centred = x - x.mean(axis=0, keepdims=True)
    length = jnp.linalg.norm(centred, axis=0, keepdims=True)
    noise = jnp.finfo(x.dtype).eps * jnp.sqrt(jnp.asarray(n, x.dtype))
    alive = length > noise * jnp.abs(x).max(axis=0, keepdims=True) * 8
    profiles = jnp.where(alive, centred / jnp.where(alive, length, 1), 0)
    alive = alive[0]
    gram = profiles.T @ profiles
    keys = jax.random.split(key, restarts)
    owners, spreads = jax.vmap(lambda k: _lloyd(gram, alive, clusters, k))(keys)
    best = jnp.argmin(spreads)
    weight = alive.astype(x.dtype)
    living = jnp.maximum(weight.sum(), 1)
    around = weight.sum() - weight @ gram @ weight / living
    sizes = jax.ops.segment_sum(alive.astype(jnp.int32), owners[best], clusters)
    order = jnp.argsort(-sizes, stable=True)
    named = jnp.argsort(order)[owners[best]].astype(jnp.int32)
    apart = around > noise * living
    share = 1 - spreads[best] / jnp.where(apart, around, 1)
    explained = jnp.where(apart, jnp.clip(share, 0, 1), jnp.nan)
    return UnitClusters(named, sizes[order], explained)


def _lloyd(
    gram: Float[Array, "U U"], alive: Array, clusters: int, key: Array
) -> tuple[Int[Array, " U"], Float[Array, ""]]:
    """One start: the cluster of each unit and the spread within the clusters."""
    weight = alive.astype(gram.dtype)
    own = jnp.diagonal(gram)

    def distances(owners: Array) -> Float[Array, "U K"]:
        member = jax.nn.one_hot(owners, clusters, dtype=gram.dtype) * weight[:, None]
        size = member.sum(axis=0)
        share = member / jnp.maximum(size, 1)[None]
        cross = gram @ share
        centre = jnp.einsum("uk,uk->k", share, cross)
        far = own[:, None] - 2 * cross + centre[None]
        return jnp.where(size[None] > 0, jnp.maximum(far, 0), jnp.inf)

    def step(_: int, owners: Array) -> Array:
        return jnp.argmin(distances(owners), axis=1)

    owners = jax.lax.fori_loop(0, ITERATIONS, step, _seeds(gram, weight, clusters, key))
    least = distances(owners).min(axis=1)
    return owners, jnp.sum(jnp.where(alive, least, 0))


def _seeds(gram: Array, weight: Array, clusters: int, key: Array) -> Int[Array, " U"]:
    """k-means++: a further centre is drawn by the squared distance to the nearest."""
    own = jnp.diagonal(gram)

    def far(centre: Array) -> Array:
        return jnp.maximum(own - 2 * gram[centre] + own[centre], 0)

    def draw(key: Array, odds: Array) -> Array:
        # all odds are 0 once every kind of profile has a centre: any will do
        safe = jnp.where(odds.sum() > 0, odds, weight + jnp.finfo(odds.dtype).tiny)
        return jax.random.categorical(key, jnp.log(safe))

    keys = jax.random.split(key, clusters)
    first = draw(keys[0], weight)
    rows = [far(first)]
    for k in keys[1:]:
        nearest = jnp.min(jnp.stack(rows), axis=0)
        rows.append(far(draw(k, nearest * weight)))
    return jnp.argmin(jnp.stack(rows), axis=0)
