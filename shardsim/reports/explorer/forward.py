"""Every network in every state that the page shows, in one compiled call a side.

Symbols: C checkpoints, N seeds, M mazes, L levels of the curves, S states, X states
that the page holds, A actions, K parts, H, W board, R reward sources.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import jit
from shardsim.evaluation import battery
from shardsim.reports.explorer.load import Gathered, Side


class Boards(NamedTuple):
    """The mazes: what is the same for every network."""

    walls: Bool[np.ndarray, "M H W"]
    kept: Int[np.ndarray, "M X"]
    """States that the page holds: those drawn, and where one step from them leads;
    -1 fills up."""
    cell: Int[np.ndarray, "M H W"]
    """Place in `kept` of the state that is drawn on a cell; -1 where none is."""
    position: Int[np.ndarray, "M X 2"]
    successor: Int[np.ndarray, "M X A"]
    """Places in `kept`; 0 for states that are not drawn."""
    reward: Float[np.ndarray, "M X A"]
    terminated: Bool[np.ndarray, "M X A"]
    exact: Float[np.ndarray, "M X"]
    slices: int
    """States of a level for each cell: 1 where the agent's cell says all."""


class Read(NamedTuple):
    """What the networks of one side say."""

    value: Float[np.ndarray, "C N M X"]
    prior: Float[np.ndarray, "C N M X A"]
    """Log-probabilities of D."""
    gates: Float[np.ndarray, "C N M X K"]
    parts: Float[np.ndarray, "C N M X K"]


class Whole(NamedTuple):
    """The same over all states of all levels that were read."""

    value: Float[np.ndarray, "C N L S"]
    prior: Float[np.ndarray, "C N L S A"]
    gates: Float[np.ndarray, "C N L S K"]
    parts: Float[np.ndarray, "C N L S K"]


def levels_of(gathered: Gathered, curves: int) -> tuple[Any, battery.Condition]:
    """The mazes' levels, then the first `curves` of the first condition.

    Returns:
      The levels, leaves [M + L, ...], and the truth about them as a condition.
    """
    picked = [
        jax.tree.map(
            lambda leaf, i=maze.level: np.asarray(leaf)[i], _arrays(gathered, maze)
        )
        for maze in gathered.mazes
    ]
    first = gathered.first
    count = min(curves, len(first.optimal))
    rest = [
        jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], _of(first))
        for i in range(count)
    ]
    joined = jax.tree.map(lambda *leaves: np.stack(leaves), *picked, *rest)
    levels = jax.tree.map(jnp.asarray, joined.levels)
    return levels, joined._replace(levels=levels, params=first.params)


def _arrays(gathered: Gathered, maze: Any) -> Any:
    return _of(gathered.conditions[maze.condition])


def _of(condition: battery.Condition) -> Any:
    """What has an axis of levels."""
    return condition._replace(params=())


def boards(gathered: Gathered, condition: battery.Condition) -> Boards:
    """Lay the mazes out: one state a cell, and one step beyond."""
    count = len(gathered.mazes)
    mazes = jax.tree.map(lambda leaf: jnp.asarray(leaf[:count]), condition.levels)
    places = np.asarray(battery.positions(gathered.world, mazes))
    blocked = np.asarray(_walls(gathered.world, mazes))
    rows = []
    for m in range(count):
        position, walls = places[m], blocked[m]
        table = jax.tree.map(lambda leaf, m=m: np.asarray(leaf)[m], condition.table)
        drawn = _slice(position, condition.reachable[m], int(table.start), walls)
        rows.append((walls, position, table, drawn))
    kept = [_closed(drawn, table.successor) for _, _, table, drawn in rows]
    most = max(len(states) for states in kept)
    out = [_laid(row, states, most) for row, states in zip(rows, kept, strict=True)]
    stacked = {key: np.stack([one[key] for one in out]) for key in out[0]}
    exact = np.stack(
        [condition.optimal[m][np.maximum(stacked["kept"][m], 0)] for m in range(count)]
    )
    states = condition.optimal.shape[1]
    return Boards(**stacked, exact=exact, slices=-(-states // rows[0][0].size))


@functools.partial(jit.jit, static_argnums=0)
def _walls(world: Any, mazes: Any) -> Bool[Array, "M H W"]:
    return jax.vmap(world.walls)(mazes)


def _slice(
    position: np.ndarray, reachable: np.ndarray, start: int, walls: np.ndarray
) -> np.ndarray:
    """[H, W]: the state drawn on each cell, all but the agent's place as at the start.

    Worlds list their states cell by cell; where one does not, or the cell can't be
    stood on with the rest as at the start, the first state that can be is drawn.
    """
    cells = battery.first_states(position, walls.shape, np.flatnonzero(reachable))
    block = start // walls.size * walls.size
    for state in range(block, min(block + walls.size, len(position))):
        if reachable[state]:
            cells[tuple(position[state])] = state
    return np.where(walls, -1, cells)


def _closed(drawn: np.ndarray, successor: np.ndarray) -> np.ndarray:
    """The drawn states, then whatever else lies one step from them."""
    first = drawn[drawn >= 0]
    after = np.setdiff1d(successor[first].reshape(-1), first)
    return np.concatenate([first, after])


def _laid(row: Any, kept: np.ndarray, most: int) -> dict[str, np.ndarray]:
    walls, position, table, drawn = row
    place = {int(state): i for i, state in enumerate(kept)}
    shown = int((drawn >= 0).sum())
    actions = table.successor.shape[1]
    successor = np.zeros((most, actions), np.int32)
    for i, state in enumerate(kept[:shown]):
        successor[i] = [place[int(s)] for s in table.successor[state]]
    lookup = np.vectorize(lambda s: place.get(int(s), -1), otypes=[np.int32])
    full = np.concatenate([kept, np.full(most - len(kept), -1)]).astype(np.int32)
    safe = np.maximum(full, 0)
    return {
        "walls": walls,
        "kept": full,
        "cell": lookup(drawn),
        "position": position[safe].astype(np.int32),
        "successor": successor,
        "reward": table.reward[safe],
        "terminated": table.terminated[safe],
    }


def read(gathered: Gathered, side: Side, levels: Any) -> Whole:
    """Every checkpoint and seed of a side in all states of all levels."""
    found = _forward(gathered.world, side.networks, levels)
    shape = (len(side.updates), side.seeds)
    return Whole(*(np.asarray(leaf).reshape(*shape, *leaf.shape[1:]) for leaf in found))


@functools.partial(jit.jit, static_argnums=0)
def _forward(world: Any, networks: Any, levels: Any) -> tuple[Array, ...]:
    out = battery.outputs(world, networks, levels, batch_size=8)
    # units are not shown: they would be the most of what is held
    return out.value.value, out.policy_logits, out.value.gates, out.value.shard_values


def some(
    condition: battery.Condition, first: int, last: int | None
) -> battery.Condition:
    """Some of the levels of a condition, in order."""
    cut = jax.tree.map(lambda leaf: leaf[first:last], condition._replace(params=None))
    found: battery.Condition = cut._replace(params=condition.params)
    return found


def shown(whole: Whole, kept: Int[np.ndarray, "M X"]) -> Read:
    """The part of a reading that goes on the page."""
    safe = np.maximum(kept, 0)
    maze = np.arange(len(kept))[:, None]
    return Read(*(leaf[:, :, maze, safe] for leaf in whole))


def policy(
    whole: Whole, condition: battery.Condition, how: battery.ActingRule
) -> Float[np.ndarray, "C N L S A"]:
    """The probabilities with which the agents act."""
    return battery.policy(whole.value, whole.prior, condition, how)


def rewards_by_source(
    world: Any, level: Any, params: Any
) -> Float[np.ndarray, "S A R"]:
    """What every step pays, by source, chance left out."""
    return np.asarray(_sources(world, level, params))


@functools.partial(jit.jit, static_argnums=0)
def _sources(world: Any, level: Any, params: Any) -> Array:
    def one(state: Any, action: Array) -> Array:
        return world.step(None, state, action, params).info["rewards"]

    actions = jnp.arange(world.num_actions)
    each = jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))
    return each(world.states(level), actions)
