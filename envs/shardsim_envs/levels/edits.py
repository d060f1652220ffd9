"""Edits of a level: splays, moves, matched pairs, mutations. All on the host.

An edit gives a level that can be played or a `ValueError` that says why not.
"""

import typing
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shardsim_envs.gridworld import grid
from shardsim_envs.gridworld.records import Level
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.levels import levels

TRIES = 1000
"""Edits tried by `mutate` before it gives up."""


class Pair(NamedTuple):
    """Two levels that differ in where one thing lies."""

    one: Level
    other: Level
    cells: tuple[levels.Cell, levels.Cell]
    steps: tuple[int, int]
    """Steps from the anchor to the thing."""
    euclid: tuple[float, float]
    """Straight distance from the anchor to the thing, in cells."""


def splay(world: GridWorld, level: Level) -> Level:
    """One level with the agent at every free cell that hangs together with its start.

    Returns:
      Levels, leaves [cells, ...], row by row.
    """
    start = tuple(np.asarray(level.start).tolist())
    free = np.argwhere(levels.distances(world, level, start) < grid.FAR)
    moved = [moved_agent(world, level, _cell(cell)) for cell in free]
    many: Level = jax.tree.map(lambda *leaves: np.stack(leaves), *moved)
    return many


def moved_agent(world: GridWorld, level: Level, to: levels.Cell) -> Level:
    """The level with another start."""
    levels.on_board(world, "to", to)
    board = np.array(level.board)
    board[..., -1] = 0
    board[(*to, -1)] = 1
    moved = Level(jnp.asarray(board), jnp.asarray(to, jnp.int32), level.memory)
    levels.check(world, moved)
    return moved


def moved_thing(
    world: GridWorld, level: Level, name: str, at: levels.Cell, to: levels.Cell
) -> Level:
    """The level with one thing elsewhere; what memory knows of it follows."""
    board = np.array(level.board)
    planes = _whole(world, board, name, at)
    levels.on_board(world, "to", to)
    board[(*at, planes)] = 0
    board[(*to, planes)] = 1
    start = tuple(np.asarray(level.start).tolist())
    return levels.finished(world, board, start, level.memory)


def matched_pairs(
    world: GridWorld,
    level: Level,
    name: str,
    anchor: levels.Cell,
    fixed: typing.Literal["steps", "euclid"],
) -> list[Pair]:
    """Pairs of levels in which one distance of a thing is the same and the other not.

    Args:
      name: the plane of the thing, of which the level has one.
      anchor: where distances are taken from: the start, a decision square.
      fixed: `steps` keeps the length of the way and varies the straight distance;
        `euclid` the reverse.

    Returns:
      For each value of the fixed distance the two cells that differ most, if any two
      differ; nothing lies on another thing or on the agent.

    Raises:
      ValueError: several things of that name or none, an anchor that is no free cell.
    """
    if fixed not in ("steps", "euclid"):
        raise ValueError(f"fixed: got {fixed!r}; allowed: 'steps' or 'euclid'")
    board = np.array(level.board)
    there = np.argwhere(board[..., levels.plane_of(world, name)])
    if len(there) != 1:
        raise ValueError(f"{name}: got {len(there)} in the level; allowed: one")
    levels.on_board(world, "anchor", anchor)
    if np.asarray(world.walls(level))[anchor]:
        raise ValueError(f"anchor: got {anchor}, a wall; allowed: a free cell")
    at = _cell(there[0])
    steps = levels.distances(world, level, anchor)
    rows, columns = np.ogrid[: steps.shape[0], : steps.shape[1]]
    square = (rows - anchor[0]) ** 2 + (columns - anchor[1]) ** 2
    board[(*at, _whole(world, board, name, at))] = 0
    planes = [world.plane(n) for n in (*world.things, "agent")]
    free = (steps < grid.FAR) & ~board[..., planes].any(axis=-1)
    same, varied = (steps, square) if fixed == "steps" else (square, steps)
    pairs = []
    for value in np.unique(same[free]):
        cells = np.argwhere(free & (same == value))
        order = varied[tuple(cells.T)]
        both = _cell(cells[order.argmin()]), _cell(cells[order.argmax()])
        if order.min() < order.max():
            one, other = (moved_thing(world, level, name, at, to) for to in both)
            found = [(int(steps[c]), float(np.sqrt(square[c]))) for c in both]
            pairs.append(Pair(one, other, both, *zip(*found, strict=True)))
    return pairs


def _whole(
    world: GridWorld, board: np.ndarray, name: str, at: levels.Cell
) -> list[int]:
    """Planes of all that moves with the thing of that name, which lies at `at`."""
    plane = levels.plane_of(world, name)
    levels.on_board(world, "at", at)
    if not board[(*at, plane)]:
        raise ValueError(f"{name}: got {at}, where there is none; allowed: its cell")
    names = next((whole for whole in world.wholes if name in whole), (name,))
    return [world.plane(n) for n in names if board[(*at, world.plane(n))]]


def mutate(world: GridWorld, level: Level, seed: int) -> Level:
    """One random edit: a wall more or less, a thing or the agent elsewhere.

    The result can be played. Walls change inside the border only.

    Raises:
      ValueError: a level to which nothing can be done.
    """
    random = np.random.default_rng(seed)
    kinds = [_move_thing, _move_agent, *([_turn_wall] if world.has_walls else [])]
    for _ in range(TRIES):
        to = _cell(random.integers(world.shape))
        try:
            found = kinds[random.integers(len(kinds))](world, level, to, random)
        except ValueError:
            continue
        if not np.array_equal(found.board, level.board):
            return found
    raise ValueError(f"level: got one in which {TRIES} edits failed; allowed: others")


def _cell(found: np.ndarray) -> levels.Cell:
    row, column = found.tolist()
    return row, column


def _move_agent(
    world: GridWorld, level: Level, to: levels.Cell, random: np.random.Generator
) -> Level:
    del random
    return moved_agent(world, level, to)


def _move_thing(
    world: GridWorld, level: Level, to: levels.Cell, random: np.random.Generator
) -> Level:
    board = np.asarray(level.board)
    things = [world.plane(name) for name in world.things]
    there = np.argwhere(board[..., things])
    row, column, index = there[random.integers(len(there))].tolist()
    if board[to][things].any():
        raise ValueError("something lies there")
    return moved_thing(world, level, world.things[index], (row, column), to)


def _turn_wall(
    world: GridWorld, level: Level, to: levels.Cell, random: np.random.Generator
) -> Level:
    """A wall where there was none or the reverse, inside the border."""
    del random
    board, plane = np.array(level.board), world.plane("wall")
    inside = all(0 < x < side - 1 for x, side in zip(to, world.shape, strict=True))
    if not inside or board[to].sum() > board[(*to, plane)]:
        raise ValueError("something lies there")
    board[(*to, plane)] ^= 1
    start = tuple(np.asarray(level.start).tolist())
    return levels.finished(world, board, start, level.memory)
