"""Outputs of every network in every state of the page: one compiled call per side.

Symbols: C checkpoints, N seeds, M mazes, L levels of the curves, S states, X states
that the page stores, A actions, K shards, H, W board, R reward sources.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import jit
from shardsim.evaluation import battery, exact_policies, film, state_readings
from shardsim.reports.explorer.load import PageInputs, Side


class Mazes(NamedTuple):
    """What does not depend on a network: boards, transitions, exact values."""

    walls: Bool[np.ndarray, "M H W"]
    states: Int[np.ndarray, "M X"]
    """States that the page stores: those drawn and their successors; then -1."""
    state_at: Int[np.ndarray, "M H W"]
    """Index into `states` of the state drawn on a cell; -1 where there is none."""
    position: Int[np.ndarray, "M X 2"]
    """Row and column of the agent."""
    successor: Int[np.ndarray, "M X A"]
    """Indices into `states`; 0 for states that are not drawn."""
    reward: Float[np.ndarray, "M X A"]
    terminated: Bool[np.ndarray, "M X A"]
    optimal: Float[np.ndarray, "M X"]
    """V*."""


class MazePredictions(NamedTuple):
    """Outputs of the networks of one side in the states that the page stores."""

    value: Float[np.ndarray, "C N M X"]
    log_decoder: Float[np.ndarray, "C N M X A"]
    """Log-probabilities of D."""
    gates: Float[np.ndarray, "C N M X K"]
    shard_values: Float[np.ndarray, "C N M X K"]


Predictions = film.Outputs
"""The same in all states of all levels, leaves [C, N, L, S, ...]."""


def levels_of(inputs: PageInputs, curves: int) -> tuple[Any, battery.Condition]:
    """The mazes' levels, then the first `curves` of the first condition.

    Returns:
      The levels, leaves [M + L, ...], and a condition with their exact values.
    """
    picked = [
        jax.tree.map(
            lambda leaf, i=maze.level: np.asarray(leaf)[i], _arrays(inputs, maze)
        )
        for maze in inputs.mazes
    ]
    first = inputs.first
    count = min(curves, len(first.optimal))
    rest = [
        jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], _of(first))
        for i in range(count)
    ]
    joined = jax.tree.map(lambda *leaves: np.stack(leaves), *picked, *rest)
    levels = jax.tree.map(jnp.asarray, joined.levels)
    return levels, joined._replace(levels=levels, params=first.params)


def _arrays(inputs: PageInputs, maze: Any) -> Any:
    return _of(inputs.conditions[maze.condition])


def _of(condition: battery.Condition) -> Any:
    """Everything with an axis of levels."""
    return condition._replace(params=())


def lay_out(inputs: PageInputs, condition: battery.Condition) -> Mazes:
    """The mazes with one state per cell, and the successors of these states."""
    count = len(inputs.mazes)
    mazes = jax.tree.map(lambda leaf: jnp.asarray(leaf[:count]), condition.levels)
    places = np.asarray(battery.positions(inputs.env, mazes))
    blocked = np.asarray(_walls(inputs.env, mazes))
    rows = []
    for m in range(count):
        position, walls = places[m], blocked[m]
        table = jax.tree.map(lambda leaf, m=m: np.asarray(leaf)[m], condition.table)
        drawn = _drawn(position, condition.reachable[m], int(table.start), walls)
        rows.append((walls, position, table, drawn))
    stored = [_with_successors(drawn, table.successor) for _, _, table, drawn in rows]
    most = max(len(states) for states in stored)
    out = [_maze(row, states, most) for row, states in zip(rows, stored, strict=True)]
    stacked = {key: np.stack([one[key] for one in out]) for key in out[0]}
    indices = np.maximum(stacked["states"], 0)
    optimal = [condition.optimal[m][indices[m]] for m in range(count)]
    return Mazes(**stacked, optimal=np.stack(optimal))


@functools.partial(jit.jit, static_argnums=0)
def _walls(world: Any, mazes: Any) -> Bool[Array, "M H W"]:
    return jax.vmap(world.walls)(mazes)


def _drawn(
    position: np.ndarray, reachable: np.ndarray, start: int, walls: np.ndarray
) -> np.ndarray:
    """[H, W]: the state drawn on each cell, with everything else as at the start.

    Environments enumerate their states cell by cell. Where one does not, or the agent
    cannot stand on the cell with the rest as at the start, the first reachable state
    with the agent on that cell is drawn.
    """
    cells = battery.first_states(position, walls.shape, np.flatnonzero(reachable))
    block = start // walls.size * walls.size
    for state in range(block, min(block + walls.size, len(position))):
        if reachable[state]:
            cells[tuple(position[state])] = state
    return np.where(walls, -1, cells)


def _with_successors(drawn: np.ndarray, successor: np.ndarray) -> np.ndarray:
    """The drawn states, then their other successors."""
    first = drawn[drawn >= 0]
    after = np.setdiff1d(successor[first].reshape(-1), first)
    return np.concatenate([first, after])


def _maze(row: Any, stored: np.ndarray, most: int) -> dict[str, np.ndarray]:
    walls, position, table, drawn = row
    index = {int(state): i for i, state in enumerate(stored)}
    shown = int((drawn >= 0).sum())
    actions = table.successor.shape[1]
    successor = np.zeros((most, actions), np.int32)
    for i, state in enumerate(stored[:shown]):
        successor[i] = [index[int(s)] for s in table.successor[state]]
    lookup = np.vectorize(lambda s: index.get(int(s), -1), otypes=[np.int32])
    full = np.concatenate([stored, np.full(most - len(stored), -1)]).astype(np.int32)
    safe = np.maximum(full, 0)
    return {
        "walls": walls,
        "states": full,
        "state_at": lookup(drawn),
        "position": position[safe].astype(np.int32),
        "successor": successor,
        "reward": table.reward[safe],
        "terminated": table.terminated[safe],
    }


def predict(inputs: PageInputs, side: Side, levels: Any) -> Predictions:
    """Outputs of every checkpoint and seed of a side in all states of all levels.

    They are computed where the networks are kept, and read where the outputs are.
    """
    computed = [
        np.asarray(leaf).reshape(-1, side.num_seeds, *leaf.shape[1:])
        for leaf in (
            () if side.networks is None else _forward(inputs.env, side.networks, levels)
        )
    ]
    of_networks = iter(zip(*computed, strict=True))
    by_checkpoint = [
        side.outputs[update] if update in side.outputs else next(of_networks)
        for update in side.updates
    ]
    return Predictions(
        *(np.stack(leaves) for leaves in zip(*by_checkpoint, strict=True))
    )


@functools.partial(jit.jit, static_argnums=0)
def _forward(world: Any, networks: Any, levels: Any) -> tuple[Array, ...]:
    out = state_readings.outputs(world, networks, levels, batch_size=8)
    # hidden units are left out: they would take most of the memory
    return out.value.value, out.policy_logits, out.value.gates, out.value.shard_values


def select_levels(
    condition: battery.Condition, first: int, last: int | None
) -> battery.Condition:
    """Levels `first` to `last` of a condition."""
    cut = jax.tree.map(lambda leaf: leaf[first:last], condition._replace(params=None))
    selected: battery.Condition = cut._replace(params=condition.params)
    return selected


def in_mazes(predictions: Predictions, mazes: Mazes) -> MazePredictions:
    """The outputs in the states that the page stores."""
    states = np.maximum(mazes.states, 0)
    maze = np.arange(len(states))[:, None]
    return MazePredictions(*(leaf[:, :, maze, states] for leaf in predictions))


def policy(
    predictions: Predictions,
    condition: battery.Condition,
    acting: exact_policies.ActingRule,
) -> Float[np.ndarray, "C N L S A"]:
    """Action probabilities of the agents."""
    return exact_policies.policy(
        predictions.value, predictions.log_decoder, condition, acting
    )


def rewards_by_source(
    world: Any, level: Any, params: Any
) -> Float[np.ndarray, "S A R"]:
    """Reward of every step by source, for worlds without chance."""
    return np.asarray(_sources(world, level, params))


@functools.partial(jit.jit, static_argnums=0)
def _sources(world: Any, level: Any, params: Any) -> Array:
    def one(state: Any, action: Array) -> Array:
        return world.step(None, state, action, params).info["rewards"]

    actions = jnp.arange(world.num_actions)
    each = jax.vmap(jax.vmap(one, in_axes=(None, 0)), in_axes=(0, None))
    return each(world.states(level), actions)
