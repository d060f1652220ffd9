"""Retargeting: clamp the units that represent the goal elsewhere, and score the agent.

One sample is a level: all of its n states.

Symbols: n states of a level, m magnitudes, H, W board, h, w feature map, P
planes.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from shardsim.inspection import validation
from shardsim.inspection.interventions import effects, graph, patches
from shardsim.inspection.validation import Numbers


class Retargeting(NamedTuple):
    """How well the agent goes to the target at each magnitude of the clamp."""

    magnitudes: Float[Array, " m"]
    """Activation to which the units were clamped."""
    scores: Float[Array, " m"]
    """Score of the agent with clamped units."""
    absent: Float[Array, ""]
    """Score of the unpatched agent without an object at the target."""
    placed: Float[Array, ""]
    """Score of the unpatched agent with the real object at the target."""
    share: Float[Array, " m"]
    """(scores - absent) / (placed - absent): 1 if the clamp works as well as the real
    object. NaN if the real object does not change the score."""

    def summary(self) -> str:
        best = int(np.argmax(np.asarray(self.scores)))
        return (
            f"retargeted: score {float(self.absent):.3g} without, "
            f"{float(self.scores[best]):.3g} at magnitude "
            f"{float(self.magnitudes[best]):.3g}, {float(self.placed):.3g} with the "
            "real object"
        )


def retarget(
    run: graph.Run,
    inputs: PyTree,
    placed: PyTree,
    site: str,
    mask: Numbers,
    magnitudes: Annotated[Numbers, "m"],
    score: Callable[[graph.Record], Float[Array, ""]],
) -> Retargeting:
    """Clamp units to each magnitude in all samples and score where the agent goes.

    Args:
      run: the agent.
      inputs: all states of a level without an object at the target, leaves [n, ...].
      placed: the same states with the real object at the target.
      site: name of the site whose units are clamped.
      mask: the clamped units, booleans of the shape of the site; see `map_cell` for a
        feature map.
      magnitudes: activations to clamp to.
      score: maps the record of the level, with leaves [n, ...], to one number, e.g.
        the probability of reaching the target under its logits. Higher is better.

    Raises:
      ValueError: an unknown site, a mask of another shape or without a true entry, or
        magnitudes that are missing or not finite.
    """
    magnitudes = validation.floats("magnitudes", magnitudes, None)
    validation.at_least("number of magnitudes", len(magnitudes), 1)
    mask = validation.mask("mask", mask, *np.shape(mask))
    if not isinstance(mask, jax.core.Tracer) and not np.any(mask):
        raise ValueError("mask: got no true entry; allowed: at least one unit")
    sizes = {len(x) for x in jax.tree.leaves((inputs, placed))}
    if len(sizes) != 1:
        raise ValueError(
            f"placed: got {sorted(sizes)} samples in inputs and placed; allowed: the "
            "same number in both"
        )
    effects.finite("placed", placed)

    def clamp(
        magnitude: Float[Array, ""],
    ) -> tuple[Float[Array, ""], dict[str, Array]]:
        record = effects.intervene(
            run, inputs, lambda _: {site: patches.fill(mask, magnitude)}
        ).patched
        return score(record), record.changed

    scores, changed = jax.lax.map(clamp, jnp.asarray(magnitudes))
    graph.warn_unchanged(changed)
    absent_score, placed_score = (score(jax.vmap(run)(x)) for x in (inputs, placed))
    difference = placed_score - absent_score
    share = (scores - absent_score) / jnp.where(difference == 0, jnp.nan, difference)
    return Retargeting(
        jnp.asarray(magnitudes), scores, absent_score, placed_score, share
    )


def map_cell(
    cell: tuple[int, int],
    grid: tuple[int, int],
    strides: tuple[int, int],
    *,
    padding: tuple[int, int] = (0, 0),
    kernel: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """The unit of a feature map whose receptive field is centred nearest to a cell.

    Unit i sees cells i * stride - padding to i * stride - padding + kernel - 1. The
    centre of this field is i * stride - padding + (kernel - 1) / 2. For a stack of
    layers pass the stride, padding and kernel of the whole stack.

    Args:
      cell: row and column on the board.
      grid: h and w, the size of the map. Cells beyond it give a unit at its edge.
      strides: in rows and columns, at least 1.
      padding: at the top and at the left.
      kernel: height and width.

    Returns:
      Row and column on the feature map.

    Example: with stride 2, kernel 3 and padding 1, unit 2 is centred at cell 4.
    """
    unit = []
    for position, size, stride, pad, width in zip(
        cell, grid, strides, padding, kernel, strict=True
    ):
        validation.at_least("strides", stride, 1)
        nearest = int(np.floor((position + pad - (width - 1) / 2) / stride + 0.5))
        unit.append(min(max(nearest, 0), size - 1))
    return unit[0], unit[1]
