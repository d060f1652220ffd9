"""Does V depend on its features in another direction in every context?

The gradient of V with respect to E's features is averaged over the states of each
context. V of gated, context-specific shards has a direction of its own in each; V of
one linear function has the same in all. Every seed, last checkpoint, states of the
page's levels that show one context.

Symbols: N seeds, n states, D features, C contexts.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import jit
from shardsim.inspection.concepts import consistency
from shardsim.inspection.shards import context_gradients, dictionary
from shardsim.reports.explorer.activations import Activations, Sample
from shardsim.reports.explorer.panels import base

FEWEST = 4
"""States of a context, at least: two in each of two halves."""
ROWS = 64
"""Gradients that lines are fitted to."""
RESTARTS = 4


@dataclasses.dataclass(frozen=True)
class ContextGradients:
    """Directions of V by context."""

    num_contexts: int
    readings: list[base.Reading]
    fits: list[base.Fits]


def compute(context: base.PanelContext) -> ContextGradients | None:
    """None where fewer than two contexts are shown alone."""
    return summarise(context.activations, context.sample)


def summarise(activations: Activations, sample: Sample) -> ContextGradients | None:
    """The same of features and a sample of states."""
    is_alone = np.isclose(sample.context.sum(axis=1), 1)
    names = sample.context.argmax(axis=1)
    kinds = [
        kind
        for kind in np.unique(names[is_alone])
        if (is_alone & (names == kind)).sum() >= FEWEST
    ]
    if len(kinds) < 2:
        return None
    rows = np.flatnonzero(is_alone & np.isin(names, kinds))
    labels = np.searchsorted(kinds, names[rows])
    geometry, lines, mixed, converged = map(
        np.asarray,
        _fit(
            activations.networks.value,
            jnp.asarray(sample.x[:, rows]),
            jnp.asarray(sample.context[rows], jnp.float32),
            jnp.asarray(labels),
            len(kinds),
        ),
    )
    # a seed that is not finite has features of 0, whose gradients mean nothing
    is_lost = ~(activations.finite & np.isfinite(geometry).all(axis=0))
    rank, cosine, reliability = np.where(is_lost, np.nan, geometry)
    lines, mixed = (np.where(is_lost, np.nan, part) for part in (lines, mixed))
    features = sample.x.shape[-1]
    return ContextGradients(
        num_contexts=len(kinds),
        readings=[
            base.reading(
                "directions",
                "Effective number of directions among the mean gradients of V, one for "
                f"each of {len(kinds)} contexts, without the part that is noise.",
                rank,
                1.0,
                "V depends on its features alike in all contexts",
            ),
            base.reading(
                "|cos| between contexts",
                "Mean |cosine| between the mean gradients of two contexts; shards that "
                "share no feature give 0.",
                cosine,
                1.0,
                "V depends on its features alike in all contexts",
            ),
            base.reading(
                "reliability",
                "Mean cosine between the mean gradients of two halves of the states of "
                "a context.",
                reliability,
                0.0,
                "gradients that are noise; random directions have |cosine| "
                f"{consistency.chance_agreement(1, features):.2f}",
            ),
            base.reading(
                "loss of lines less loss of a plane",
                f"How much worse {len(kinds)} lines, one for each state, describe "
                f"gradients of states than the best {len(kinds)} dimensions do: near 0 "
                "if every state uses one of a few shards.",
                lines,
                mixed,
                "the same gradients, mixed over states at random",
            ),
        ],
        fits=[base.fits("search for lines", converged, ~is_lost)],
    )


@functools.partial(jit.jit, static_argnames="count")
def _fit(
    value: Any,
    x: Float[Array, "N n D"],
    context: Float[Array, "n C"],
    labels: Int[Array, " n"],
    count: int,
) -> tuple[
    Float[Array, "3 N"], Float[Array, " N"], Float[Array, " N"], Bool[Array, "N 2"]
]:
    """Rank, |cos|, reliability; gap of lines, and that of mixed rows; convergence."""

    def seed(one: tuple[Any, Array, Array]) -> tuple[Array, Array, Array, Array]:
        value, x, key = one
        gradients = context_gradients.value_gradients(value, x, context)
        fit = context_gradients.fit(gradients, labels, count)
        line_key, mix_key = jax.random.split(key)
        stack = gradients[:ROWS]
        turn = jax.random.normal(mix_key, (len(stack), len(stack)), stack.dtype)
        stacks = jnp.stack([stack, jnp.linalg.qr(turn)[0] @ stack])
        gaps, converged = jax.lax.map(lambda rows: _gap(rows, count, line_key), stacks)
        numbers = (fit.clean_rank, fit.cosines.mean(), fit.reliability.mean())
        return jnp.stack(numbers), gaps[0], gaps[1], converged

    keys = jax.random.split(jax.random.key(0), len(x))
    numbers, lines, mixed, converged = jax.lax.map(seed, (value, x, keys))
    return numbers.T, lines, mixed, converged


def _gap(rows: Array, count: int, key: Array) -> tuple[Array, Array]:
    fit = dictionary.fit(stack=rows, key=key, counts=(count,), restarts=RESTARTS)
    return fit.gap[0], fit.converged[0]
