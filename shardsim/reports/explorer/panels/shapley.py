"""How much each object of a maze adds to V at the start, for V and for each shard.

An object is removed by setting its cell to 0 in its own plane of the board; the agent
stays. First seed, last checkpoint. Symbols: n objects, K shards, P planes, M mazes.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import jit
from shardsim.inspection.interventions import shapley
from shardsim.reports.explorer.panels import base

MOST = 6
"""Largest number of objects of a maze: all 2^n boards are evaluated."""


@dataclasses.dataclass(frozen=True)
class MazeShapley:
    """Exact Shapley values of the objects of one maze."""

    names: list[str]
    value: Float[np.ndarray, " n"]
    """They add up to V with all objects minus V with none."""
    shards: Float[np.ndarray, "n K"]
    """The same for the contribution of each shard."""
    alone: Float[np.ndarray, " n"]
    """V less V without this object, with all others there."""
    full: Float[np.ndarray, " K_1"]
    """V, then each contribution, with all objects."""
    empty: Float[np.ndarray, " K_1"]
    """With none."""
    residual: float
    """Largest error of the sums."""


@dataclasses.dataclass(frozen=True)
class Shapley:
    """One entry per maze; None where it has no or too many objects."""

    mazes: list[MazeShapley | None]


def compute(context: base.PanelContext) -> Shapley | None:
    """None if it applies to no maze."""
    first = jax.tree.map(
        lambda leaf: np.asarray(leaf)[-context.side.num_seeds], context.side.networks
    )
    heads = (first.encoder, first.value)
    mazes = [
        _maze(context, heads, context.maze_level(m)) for m in range(context.num_mazes)
    ]
    return Shapley(mazes) if any(mazes) else None


def _maze(
    context: base.PanelContext, heads: tuple[Any, Any], level: Any
) -> MazeShapley | None:
    env = context.inputs.env
    objects = objects_of(env, level)
    if not 1 <= len(objects) <= MOST:
        return None
    masks = np.zeros((len(objects), *level.board.shape), bool)
    for i, (row, column, plane) in enumerate(objects.values()):
        masks[i, row, column, plane] = True
    coalitions = jnp.asarray(shapley.coalitions(len(objects)))
    params = context.inputs.first.params
    worths = np.asarray(
        _worths(env, heads, level, params, jnp.asarray(masks), coalitions)
    )
    exact = _exact(worths)
    values = np.asarray(exact.values)
    return MazeShapley(
        names=list(objects),
        value=values[:, 0],
        shards=values[:, 1:],
        alone=worths[-1, 0] - worths[_without_one(len(objects)), 0],
        full=worths[-1],
        empty=worths[0],
        residual=float(np.abs(np.asarray(exact.residual)).max()),
    )


def objects_of(env: Any, level: Any) -> dict[str, tuple[int, int, int]]:
    """Row, column and plane of each object, by the name that the page gives it."""
    if not (hasattr(env, "things") and hasattr(level, "board")):
        return {}
    objects = {}
    for kind in env.things:
        plane = env.plane(kind)
        cells = np.argwhere(np.asarray(level.board[..., plane]) > 0).tolist()
        for number, (row, column) in enumerate(cells):
            name = kind if len(cells) == 1 else f"{kind} {number}"
            objects[name] = (row, column, plane)
    return objects


@functools.partial(jit.jit, static_argnums=0)
def _worths(
    env: Any,
    heads: tuple[Any, Any],
    level: Any,
    params: Any,
    masks: Bool[Array, "n H W P"],
    coalitions: Bool[Array, "coalitions n"],
) -> Float[Array, "coalitions K_1"]:
    """V, then each contribution, at the start of each board."""
    encoder, value = heads

    def one(present: Array) -> Array:
        removed = jnp.any(masks & ~present[:, None, None, None], axis=0)
        board = jnp.where(removed, jnp.zeros_like(level.board), level.board)
        observation, state = env.reset_to(level._replace(board=board), params)
        output = value(encoder(observation), env.context(state))
        return jnp.concatenate([output.value[None], output.gates * output.shard_values])

    return jax.vmap(one)(coalitions)


def _without_one(count: int) -> Int[np.ndarray, " n"]:
    """For each object, the number of the coalition of all others."""
    return 2**count - 1 - 2 ** np.arange(count)


_exact = jit.jit(shapley.exact)
"""One program instead of many small ones."""
