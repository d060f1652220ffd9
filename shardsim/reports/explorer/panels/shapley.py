"""What the things of a maze are worth to V at the start, for V and for each shard.

A thing is taken off by setting its place in its own plane of the board to 0. The agent
stays. One seed, the first, in the last checkpoint.

Symbols: n things, K parts, P planes.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from shardsim.core import jit
from shardsim.inspection.interventions import shapley
from shardsim.reports.explorer.load import Gathered, Side

MOST = 6
"""Things of a maze that are shared among; all 2^n boards are looked at."""


def shares(gathered: Gathered, side: Side, levels: Any) -> list[dict[str, Any]]:
    """Exact Shapley values of the things of every maze; {} where there are too many.

    The values of V add up to V with all things less V with none, and for each shard its
    contributions do.
    """
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[-side.seeds], side.networks)
    found: list[dict[str, Any]] = []
    for m in range(len(gathered.mazes)):
        level = jax.tree.map(lambda leaf, m=m: np.asarray(leaf)[m], levels)
        things = on_board(gathered.world, level)
        if not 1 <= len(things) <= MOST:
            found.append({})
            continue
        masks = np.zeros((len(things), *level.board.shape), bool)
        for i, (row, column, plane) in enumerate(things.values()):
            masks[i, row, column, plane] = True
        there = jnp.asarray(shapley.coalitions(len(things)))
        heads = (one.encoder, one.value)
        params = gathered.first.params
        said = _worths(gathered.world, heads, level, params, jnp.asarray(masks), there)
        found.append(_told(list(things), np.asarray(said, np.float64)))
    return found


def on_board(world: Any, level: Any) -> dict[str, tuple[int, int, int]]:
    """Row, column and plane of each thing, by the name that the page has for it."""
    if not (hasattr(world, "things") and hasattr(level, "board")):
        return {}
    found = {}
    for kind in world.things:
        plane = world.plane(kind)
        cells = np.argwhere(np.asarray(level.board[..., plane]) > 0).tolist()
        for number, (row, column) in enumerate(cells):
            name = kind if len(cells) == 1 else f"{kind} {number}"
            found[name] = (row, column, plane)
    return found


@functools.partial(jit.program, static_argnums=0)
def _worths(
    world: Any,
    heads: tuple[Any, Any],
    level: Any,
    params: Any,
    masks: Bool[Array, "n H W P"],
    there: Bool[Array, "coalitions n"],
) -> Float[Array, "coalitions K_1"]:
    """V, then each contribution, at the start of each board."""
    encoder, value = heads

    def one(present: Array) -> Array:
        gone = jnp.any(masks & ~present[:, None, None, None], axis=0)
        board = jnp.where(gone, jnp.zeros_like(level.board), level.board)
        seen, state = world.reset_to(level._replace(board=board), params)
        said = value(encoder(seen), world.context(state))
        return jnp.concatenate([said.value[None], said.gates * said.parts])

    return jax.vmap(one)(there)


_exact = jit.program(shapley.exact)
"""One program instead of many small ones."""


def _told(
    names: list[str], worths: Float[np.ndarray, "coalitions K_1"]
) -> dict[str, Any]:
    found = _exact(worths.astype(np.float32))
    values = np.asarray(found.values)
    return {
        "names": names,
        "value": values[:, 0],
        "parts": values[:, 1:],
        "whole": worths[-1].astype(np.float32),
        "empty": worths[0].astype(np.float32),
        "residual": float(np.abs(np.asarray(found.residual)).max()),
    }
