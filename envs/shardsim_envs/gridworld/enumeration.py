"""Enumeration of all states of a level, for exact values.

A state has an agent's cell, a set of taken things and digits of memory. Its number is

    number = cell + cells * (rank of the set + sets * (memory digits)).

Symbols: S states, H, W board.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from shardsim.core.types import Whole
from shardsim_envs.gridworld import grid, rules
from shardsim_envs.gridworld.records import Level, State


def count(world: rules.Rules) -> int:
    """S, the number of states of a level. It may be too large to enumerate."""
    things = sum(number for _, number in world.takeable)
    most = things if world.most_taken is None else world.most_taken - 1
    sets = sum(math.comb(things, taken) for taken in range(most + 1))
    return math.prod(world.shape) * sets * math.prod(world.memory_sizes)


@functools.cache
def _sets(world: rules.Rules) -> tuple[int, ...]:
    """Bit masks of the sets of things that can be taken before an episode ends."""
    things = sum(number for _, number in world.takeable)
    most = things if world.most_taken is None else world.most_taken - 1
    return tuple(m for m in range(2**things) if m.bit_count() <= most)


def states(world: rules.Rules, level: Level) -> State:
    """All states of a level, leaves [S, ...].

    Some of them no episode can be in, such as those with the agent in a wall. Ignore
    the values of these states.
    """
    numbers = jnp.arange(count(world), dtype=jnp.int32)
    return jax.vmap(lambda number: state_at(world, level, number))(numbers)


def state_at(world: rules.Rules, level: Level, number: Whole) -> State:
    """The state with a given number, in [0, S)."""
    sets = _sets(world)
    level = jax.tree.map(jnp.asarray, level)  # edited levels hold numpy arrays
    number, cell = jnp.divmod(jnp.asarray(number, jnp.int32), math.prod(world.shape))
    position = jnp.stack(jnp.divmod(cell, world.shape[1])).astype(jnp.int32)
    agent = grid.plane(world.shape, position).astype(jnp.uint8)
    board = level.board.at[..., -1].set(agent)
    number, rank = jnp.divmod(number, len(sets))
    taken = jnp.asarray(sets, jnp.int32)[rank]
    for index, (plane, at, exists) in enumerate(_takeable_things(world, level)):
        is_taken = exists & ((taken >> index) & 1 == 1)
        before = board[at[0], at[1], plane]
        board = board.at[at[0], at[1], plane].set(jnp.where(is_taken, 0, before))
    state = State(board, position, level.memory, jnp.int32(0), jnp.bool_(False))
    digits = []
    for size in world.memory_sizes:
        number, digit = jnp.divmod(number, size)
        digits.append(digit)
    return world.restore_memory(level, state, tuple(digits))


def index(world: rules.Rules, level: Level, state: State) -> Int[Array, ""]:
    """The number of a state of a level, in [0, S).

    A set of taken things that ends the episode has no number of its own; it counts as
    the empty set.
    """
    sets = _sets(world)
    things = sum(number for _, number in world.takeable)
    rank = {mask: i for i, mask in enumerate(sets)}
    ranks = jnp.asarray([rank.get(m, 0) for m in range(2**things)], jnp.int32)
    taken = jnp.int32(0)
    for bit, (plane, at, exists) in enumerate(_takeable_things(world, level)):
        is_taken = exists & (state.board[at[0], at[1], plane] == 0)
        taken = taken + jnp.where(is_taken, 1 << bit, 0)
    number, radix = ranks[taken], len(sets)
    if world.memory_sizes:
        digits = world.digits(state)
        for digit, size in zip(digits, world.memory_sizes, strict=True):
            number, radix = number + radix * digit, radix * size
    height, width = world.shape
    cell = state.position[0] * width + state.position[1]
    return (cell + height * width * number).astype(jnp.int32)


def _takeable_things(
    world: rules.Rules, level: Level
) -> list[tuple[int, Array, Array]]:
    """(plane, cell, whether it exists) of each thing that the level can have."""
    things = []
    for name, most in world.takeable:
        plane = world.plane(name)
        occupied = level.board[..., plane].reshape(-1).astype(jnp.int32)
        exists, cells = jax.lax.top_k(occupied, most)
        for thing in range(most):
            cell = jnp.stack(jnp.divmod(cells[thing], world.shape[1]))
            things.append((plane, cell.astype(jnp.int32), exists[thing] > 0))
    return things
