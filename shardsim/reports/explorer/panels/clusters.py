"""Do the units of a head without shards fall into groups that serve one context each?

Units of V's last layer are grouped by how their contributions to V rise and fall over
states; then each group is replaced by its mean contribution. Every seed, last
checkpoint, states of the page's levels.

Symbols: N seeds, n states, D features, U units, K groups, C contexts.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.core import jit
from shardsim.inspection.shards import ablation, clusters
from shardsim.reports.explorer.activations import Activations, Sample
from shardsim.reports.explorer.panels import base

RESTARTS = 4


@dataclasses.dataclass(frozen=True)
class Clusters:
    """Groups of units."""

    num_clusters: int
    sizes: Int[np.ndarray, "N K"]
    """Units in each group, largest first."""
    readings: list[base.Reading]
    fits: list[base.Fits]


def compute(context: base.PanelContext) -> Clusters | None:
    """None for a head with shards of its own, and where there is one context."""
    head = context.activations.networks.value
    if int(np.asarray(head.unit_shard).max()) > 0:
        return None
    return summarise(context.activations, context.sample)


def summarise(activations: Activations, sample: Sample) -> Clusters | None:
    """The same of features and a sample of states."""
    names = np.unique(sample.context, axis=0, return_inverse=True)[1].reshape(-1)
    count = len(np.unique(names))
    if count < 2:
        return None
    units, group, sizes, explained, shuffled, converged = map(
        np.asarray,
        _fit(
            activations.networks.value,
            jnp.asarray(sample.x),
            jnp.asarray(sample.context, jnp.float32),
            count,
        ),
    )
    is_finite = activations.finite & np.isfinite(units).all(axis=(1, 2))
    rng = np.random.default_rng(0)
    scores = np.full((2, len(units)), np.nan)
    for seed in np.flatnonzero(is_finite):
        drawn = rng.permutation(group[seed])
        scores[:, seed] = [
            selectivity(units[seed], one, names) for one in (group[seed], drawn)
        ]
    return Clusters(
        num_clusters=count,
        sizes=np.where(is_finite[:, None], sizes, -1),
        readings=[
            base.reading(
                "spread explained",
                f"Share of the differences between the units' contributions that "
                f"{count} groups of units explain.",
                np.where(is_finite, explained, np.nan),
                np.where(is_finite, shuffled, np.nan),
                "the contributions of every unit shuffled over states",
            ),
            base.reading(
                "selectivity of groups",
                "How much more V changes in a group's own context than elsewhere when "
                "the group is replaced by its mean; 1 if each serves one context.",
                scores[0],
                scores[1],
                "groups of the same sizes drawn at random",
            ),
        ],
        fits=[base.fits("grouping of units", converged, is_finite)],
    )


def selectivity(
    units: Float[np.ndarray, "n U"],
    group: Int[np.ndarray, " U"],
    context: Int[np.ndarray, " n"],
) -> float:
    """Selectivity of mean-ablating groups of units; NaN if V changes nowhere."""
    parts = np.stack([units[:, group == k].sum(axis=1) for k in np.unique(group)])
    centred = parts - parts.mean(axis=1, keepdims=True)
    base_value = units.sum(axis=1)
    return ablation.fit(base_value, base_value[None] - centred, context).score


@functools.partial(jit.jit, static_argnames="count")
def _fit(
    value: Any, x: Float[Array, "N n D"], context: Float[Array, "n C"], count: int
) -> tuple[Array, ...]:
    """Contributions of all units, their groups and sizes, what these explain and what
    groups of shuffled ones do, and whether both searches converged."""

    def seed(one: tuple[Any, Array, Array]) -> tuple[Array, ...]:
        value, x, key = one
        units = jax.vmap(lambda h, c: value(h, c).units)(x, context)
        shuffle_key, key = jax.random.split(key)
        keys = jax.random.split(shuffle_key, units.shape[1])
        shuffled = jax.vmap(jax.random.permutation)(keys, units.T).T
        fits = jax.lax.map(
            lambda rows: clusters.fit(
                contributions=rows, clusters=count, key=key, restarts=RESTARTS
            ),
            jnp.stack([units, shuffled]),
        )
        first = (fits.unit_cluster[0], fits.sizes[0])
        return units, *first, fits.explained[0], fits.explained[1], fits.converged

    keys = jax.random.split(jax.random.key(0), len(x))
    results: tuple[Array, ...] = jax.lax.map(seed, (value, x, keys))
    return results
