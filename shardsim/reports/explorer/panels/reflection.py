"""Does one shard hold what another values?

A linear probe predicts the value of shard j from the hidden units of shard i, on levels
that it was not fitted to. All shards read the same features, so that a random shard
predicts the others too: that is the control. Shards that learnt similar functions
predict each other without any connection. Every seed, last checkpoint.

Symbols: N seeds, n states, D features, K shards, W hidden units of a shard.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.agents import chain
from shardsim.agents.value import GatedHead
from shardsim.core import jit
from shardsim.inspection.concepts import control_tasks
from shardsim.inspection.interventions import reflection
from shardsim.reports.explorer.activations import Activations, Sample
from shardsim.reports.explorer.panels import base

DRAWS = 4
"""Random shards."""


@dataclasses.dataclass(frozen=True)
class Reflection:
    """Held-out R^2 of shard j (column) from shard i (row); NaN for a lost seed."""

    r2: Float[np.ndarray, "N K K"]
    control: Float[np.ndarray, "N K K"]
    """From random shards of the same size."""
    readings: list[base.Reading]


def compute(context: base.PanelContext) -> Reflection | None:
    """None for a head without shards, and where there are too few levels."""
    return summarise(context.activations, context.sample)


def summarise(activations: Activations, sample: Sample) -> Reflection | None:
    """The same of features and a sample of states."""
    head = activations.networks.value
    count = int(np.asarray(head.unit_shard).max()) + 1
    is_gated = isinstance(head, GatedHead)
    if count < 2 or not is_gated or len(np.unique(sample.level)) < 2:
        return None
    hidden, targets = map(
        np.asarray,
        _values(head, jnp.asarray(sample.x), jnp.asarray(sample.context, jnp.float32)),
    )
    held_out = control_tasks.by_group(sample.level)
    shape = (len(sample.x), count, count)
    r2, control, spread = np.full((3, *shape), np.nan, np.float32)
    width = hidden.shape[-1]
    is_finite = activations.finite & np.isfinite(targets).all(axis=(1, 2))
    for seed in np.flatnonzero(is_finite):
        fit = reflection.fit(
            hidden=hidden[seed].reshape(len(held_out), -1),
            hidden_shard=np.repeat(np.arange(count), width),
            targets=targets[seed],
            features=sample.x[seed],
            held_out=held_out,
            key=jax.random.key(int(seed)),
            draws=DRAWS,
        )
        r2[seed], control[seed], spread[seed] = fit.r2, fit.control, fit.spread
    pairs = (r2 - control)[:, ~np.eye(count, dtype=bool)]
    # -inf for a lost seed, whose pairs are NaN
    best = np.where(np.isnan(pairs), -np.inf, pairs).argmax(axis=1)[:, None]
    spreads = spread[:, ~np.eye(count, dtype=bool)]
    excess, deviation = (
        np.take_along_axis(x, best, axis=1)[:, 0] for x in (pairs, spreads)
    )
    return Reflection(
        r2=r2,
        control=control,
        readings=[
            base.reading(
                "largest excess",
                "How much better some shard predicts another than random shards do: "
                "the largest difference of R² over all pairs.",
                excess,
                3 * deviation,
                "three standard deviations over random shards",
            )
        ],
    )


@jit.jit
def _values(
    head: Any, x: Float[Array, "N n D"], context: Float[Array, "n C"]
) -> tuple[Float[Array, "N n K W"], Float[Array, "N n K"]]:
    """Hidden units of all shards, and their values without gates."""

    def seed(one: tuple[Any, Array]) -> tuple[Array, Array]:
        head, x = one

        def state(h: Array, c: Array) -> tuple[Array, Array]:
            return chain.run(head.stages(), h), head(h, c).shard_values

        hidden, values = jax.vmap(state)(x, context)
        return hidden, values

    hidden, values = jax.lax.map(seed, (head, x))
    return hidden, values
