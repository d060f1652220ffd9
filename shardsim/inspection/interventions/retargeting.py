"""Tell an agent that its goal lies elsewhere: clamp what stands for it, and see.

Symbols: n samples (states of a level), m magnitudes, H, W board, h, w feature map.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from shardsim.inspection import validation
from shardsim.inspection.interventions import effects, graph, patches


class Retargeting(NamedTuple):
    """How far the agent goes to the target for each magnitude of the clamp."""

    magnitudes: Float[Array, " m"]
    scores: Float[Array, " m"]
    """Of the agent whose units were clamped."""
    absent: Float[Array, ""]
    """Of the untouched agent with nothing at the target."""
    placed: Float[Array, ""]
    """Of the untouched agent with the real thing at the target."""
    share: Float[Array, " m"]
    """(scores - absent) / (placed - absent): 1 is as good as the real thing. NaN if
    the real thing makes no difference to the score."""

    def summary(self) -> str:
        best = int(np.argmax(np.asarray(self.scores)))
        return (
            f"retargeted: score {float(self.absent):.3g} without, "
            f"{float(self.scores[best]):.3g} at magnitude "
            f"{float(self.magnitudes[best]):.3g}, {float(self.placed):.3g} with the "
            "real thing"
        )


def retarget(
    run: graph.Run,
    inputs: PyTree,
    placed: PyTree,
    site: str,
    mask: Bool[Array, "..."],
    magnitudes: Float[Array, " m"],
    score: Callable[[graph.Record], Float[Array, ""]],
) -> Retargeting:
    """Clamp units to each magnitude in all samples and score where the agent goes.

    Args:
      inputs: all states of a level, leaves [n, ...], nothing at the target.
      placed: the same states with the real thing at the target.
      site: whose units are clamped.
      mask: which of them, of the shape of the site; see `map_cell` for a feature map.
      score: of the n runs together, as the chance to reach the target under their
        logits; higher is nearer.

    Raises:
      ValueError: an unknown site, a mask of another shape or with nothing in it.
    """
    validation.shaped("magnitudes", magnitudes, None)
    validation.at_least("number of magnitudes", np.shape(magnitudes)[0], 1)
    validation.finite("magnitudes", magnitudes)
    if not isinstance(mask, jax.core.Tracer) and not np.any(mask):
        raise ValueError("mask: got nothing that is true; allowed: at least one unit")
    sizes = {len(x) for x in jax.tree.leaves((inputs, placed))}
    if len(sizes) != 1:
        raise ValueError(
            f"placed: got {sorted(sizes)} samples in inputs and placed; allowed: as "
            "many in one as in the other"
        )
    effects.finite("placed", placed)

    def clamped(magnitude: Array) -> tuple[Array, dict[str, Array]]:
        record = effects.intervene(
            run, inputs, lambda _: {site: patches.fill(mask, magnitude)}
        ).patched
        return score(record), record.changed

    scores, changed = jax.lax.map(clamped, jnp.asarray(magnitudes))
    graph.warn_unchanged(changed)
    absent, there = (score(jax.vmap(run)(x)) for x in (inputs, placed))
    room = there - absent
    share = (scores - absent) / jnp.where(room == 0, jnp.nan, room)
    return Retargeting(jnp.asarray(magnitudes), scores, absent, there, share)


def move_plane(
    observation: Array, plane: int, cell: Int[Array, "2"] | tuple[int, int]
) -> Array:
    """A board whose plane shows 1 at one cell and 0 elsewhere: the thing moved there.

    Args:
      observation: [H, W, P].
      cell: row and column.

    Raises:
      ValueError: a plane or a cell that isn't on the board.
    """
    validation.shaped("observation", observation, None, None, None)
    rows, columns, planes = np.shape(observation)
    validation.one_of("plane", plane, range(planes))
    if not isinstance(cell, jax.core.Tracer):
        validation.one_of("cell[0]", int(cell[0]), range(rows))
        validation.one_of("cell[1]", int(cell[1]), range(columns))
    empty = jnp.asarray(observation).at[:, :, plane].set(0)
    return empty.at[cell[0], cell[1], plane].set(1)


def map_cell(
    cell: tuple[int, int],
    grid: tuple[int, int],
    strides: tuple[int, int],
    padding: tuple[int, int] = (0, 0),
    kernel: tuple[int, int] = (1, 1),
) -> tuple[int, int]:
    """Where on a feature map the unit stands whose middle is nearest to a board cell.

    Unit i looks at cells i * stride - padding to i * stride - padding + kernel - 1, so
    its middle is i * stride - padding + (kernel - 1) / 2. For a stack of layers give
    the stride, padding and kernel of the whole.

    Args:
      cell: row and column on the board.
      grid: [h, w], the size of the map; cells beyond it go to its edge.
      strides, padding, kernel: rows and columns; padding is that of the upper left.

    Example: stride 2, kernel 3, padding 1: cell 4 is the middle of unit 2.
    """
    found = []
    for at, size, step, pad, wide in zip(
        cell, grid, strides, padding, kernel, strict=True
    ):
        validation.at_least("strides", step, 1)
        nearest = int(np.floor((at + pad - (wide - 1) / 2) / step + 0.5))
        found.append(min(max(nearest, 0), size - 1))
    return found[0], found[1]
