"""The states of a level in a list: every cell, by what is taken, by what is recalled.

number = cell + cells * (rank of the set of taken things + sets * (memory digits)).
Symbols: S states.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from shardsim_envs.gridworld import grid, rules
from shardsim_envs.gridworld.records import Level, State


def count(world: rules.Rules) -> int:
    """S. Nothing is listed here, so that it may be more than anyone could list."""
    things = sum(number for _, number in world.takeable)
    most = things if world.most_taken is None else world.most_taken - 1
    sets = sum(math.comb(things, taken) for taken in range(most + 1))
    return math.prod(world.shape) * sets * math.prod(world.memory_sizes)


@functools.cache
def _sets(world: rules.Rules) -> tuple[int, ...]:
    """Bit masks of what may be taken while the episode goes on, in order."""
    things = sum(number for _, number in world.takeable)
    most = things if world.most_taken is None else world.most_taken - 1
    return tuple(m for m in range(2**things) if m.bit_count() <= most)


def states(world: rules.Rules, level: Level) -> State:
    """Every state of a level; leaves are [S, ...].

    No episode enters a wall or goes on from where it ended; the numbers that a table
    gives for those states are of no use.
    """
    numbers = jnp.arange(count(world), dtype=jnp.int32)
    return jax.vmap(lambda number: state_at(world, level, number))(numbers)


def state_at(world: rules.Rules, level: Level, number: Int[Array, ""]) -> State:
    """The state that stands at `number`."""
    sets = _sets(world)
    level = jax.tree.map(jnp.asarray, level)  # levels that were drawn are numpy
    number, cell = jnp.divmod(number, math.prod(world.shape))
    position = jnp.stack(jnp.divmod(cell, world.shape[1])).astype(jnp.int32)
    agent = grid.plane(world.shape, position).astype(jnp.uint8)
    board = level.board.at[..., -1].set(agent)
    number, rank = jnp.divmod(number, len(sets))
    taken = jnp.asarray(sets, jnp.int32)[rank]
    for index, (plane, at, there) in enumerate(_slots(world, level)):
        gone = there & ((taken >> index) & 1 == 1)
        was = board[at[0], at[1], plane]
        board = board.at[at[0], at[1], plane].set(jnp.where(gone, 0, was))
    state = State(board, position, level.memory, jnp.int32(0), jnp.bool_(False))
    digits = []
    for size in world.memory_sizes:
        number, digit = jnp.divmod(number, size)
        digits.append(digit)
    return world.recall(level, state, tuple(digits))


def index(world: rules.Rules, level: Level, state: State) -> Int[Array, ""]:
    """Where a state stands in `states` of its level, in [0, S).

    Sets of things that end the episode are not listed and count as the empty one.
    """
    sets = _sets(world)
    things = sum(number for _, number in world.takeable)
    rank = {mask: i for i, mask in enumerate(sets)}
    ranks = jnp.asarray([rank.get(m, 0) for m in range(2**things)], jnp.int32)
    taken = jnp.int32(0)
    for bit, (plane, at, there) in enumerate(_slots(world, level)):
        gone = there & (state.board[at[0], at[1], plane] == 0)
        taken = taken + jnp.where(gone, 1 << bit, 0)
    number, radix = ranks[taken], len(sets)
    if world.memory_sizes:
        digits = world.digits(state)
        for digit, size in zip(digits, world.memory_sizes, strict=True):
            number, radix = number + radix * digit, radix * size
    height, width = world.shape
    cell = state.position[0] * width + state.position[1]
    return (cell + height * width * number).astype(jnp.int32)


def _slots(world: rules.Rules, level: Level) -> list[tuple[int, Array, Array]]:
    """(plane, cell, is it there?) of each thing that may be taken."""
    slots = []
    for name, number in world.takeable:
        plane = world.plane(name)
        shown = level.board[..., plane].reshape(-1).astype(jnp.int32)
        there, cells = jax.lax.top_k(shown, number)
        for one in range(number):
            cell = jnp.stack(jnp.divmod(cells[one], world.shape[1]))
            slots.append((plane, cell.astype(jnp.int32), there[one] > 0))
    return slots
