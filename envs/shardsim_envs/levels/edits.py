"""Edits of a level: other starts, moved things, matched pairs, mutations.

All in numpy on the host. An edit returns a playable level, or raises a `ValueError`
that says why the level would not be playable.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from shardsim_envs.gridworld import grid
from shardsim_envs.gridworld.records import Level
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.levels import levels

TRIES = 1000
"""Edits that `mutate` tries before it gives up."""


class Pair(NamedTuple):
    """Two levels that differ in the cell of one thing."""

    one: Level
    other: Level
    cells: tuple[levels.Cell, levels.Cell]
    """Cell of the thing in each level."""
    steps: tuple[int, int]
    """Steps from the anchor to the thing, in each level."""
    euclid: tuple[float, float]
    """Euclidean distance from the anchor to the thing, in cells."""


def splay(world: GridWorld, level: Level) -> Level:
    """Copies of a level with the agent at every cell that its start is connected to.

    Returns:
      Levels, leaves [cells, ...], in the order of the cells, row by row.
    """
    start = tuple(np.asarray(level.start).tolist())
    free = np.argwhere(levels.distances(world, level, start) < grid.FAR)
    moved = [moved_agent(world, level, _cell(cell)) for cell in free]
    many: Level = jax.tree.map(lambda *leaves: np.stack(leaves), *moved)
    return many


def moved_agent(world: GridWorld, level: Level, to: levels.Cell) -> Level:
    """The level with the agent at another start."""
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
    """The level with one thing moved; memory follows.

    Args:
      name: plane of the thing.
      at: its cell.
      to: its new cell.
    """
    board = np.array(level.board)
    planes = _planes_of_thing(world, board, name, at)
    levels.on_board(world, "to", to)
    board[(*at, planes)] = 0
    board[(*to, planes)] = 1
    start = tuple(np.asarray(level.start).tolist())
    return levels.from_board(world, board, start, level.memory)


def matched_pairs(
    world: GridWorld,
    level: Level,
    name: str,
    anchor: levels.Cell,
    fixed: str,
) -> list[Pair]:
    """Pairs of levels that differ in one distance of a thing and agree in the other.

    Args:
      name: plane of the thing, which must be the only one of its kind in the level.
      anchor: the cell that distances start from, e.g. the start or a decision square.
      fixed: `steps` fixes the length of the way and varies the Euclidean distance;
        `euclid` fixes the Euclidean distance and varies the length of the way.

    Returns:
      For each value of the fixed distance the two cells that differ most in the other
      one, if any differ. The thing never lies on another thing or on the agent.

    Raises:
      ValueError: no such thing or several, or an anchor that is no free cell.
    """
    if fixed not in ("steps", "euclid"):
        raise ValueError(f"fixed: got {fixed!r}; allowed: 'steps' or 'euclid'")
    board = np.array(level.board)
    cells_of_thing = np.argwhere(board[..., levels.plane_of(world, name)])
    if len(cells_of_thing) != 1:
        raise ValueError(
            f"{name}: got {len(cells_of_thing)} in the level; allowed: one"
        )
    levels.on_board(world, "anchor", anchor)
    if levels.walls_of(world, level)[anchor]:
        raise ValueError(f"anchor: got {anchor}, a wall; allowed: a free cell")
    at = _cell(cells_of_thing[0])
    steps = levels.distances(world, level, anchor)
    rows, columns = np.ogrid[: steps.shape[0], : steps.shape[1]]
    square = (rows - anchor[0]) ** 2 + (columns - anchor[1]) ** 2
    board[(*at, _planes_of_thing(world, board, name, at))] = 0
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
            distances = [(int(steps[c]), float(np.sqrt(square[c]))) for c in both]
            pairs.append(Pair(one, other, both, *zip(*distances, strict=True)))
    return pairs


def _planes_of_thing(
    world: GridWorld, board: np.ndarray, name: str, at: levels.Cell
) -> list[int]:
    """Indices of the planes that show the thing of that name at cell `at`."""
    plane = levels.plane_of(world, name)
    levels.on_board(world, "at", at)
    if not board[(*at, plane)]:
        raise ValueError(f"{name}: got {at}, where there is none; allowed: its cell")
    names = next((group for group in world.thing_groups if name in group), (name,))
    return [world.plane(n) for n in names if board[(*at, world.plane(n))]]


def mutate(world: GridWorld, level: Level, seed: int) -> Level:
    """One random edit: add or remove a wall, or move a thing or the agent.

    The result is playable. Walls change inside the border only.

    Raises:
      ValueError: `TRIES` random edits were not playable.
    """
    random = np.random.default_rng(seed)
    kinds = [_move_thing, _move_agent, *([_toggle_wall] if world.has_walls else [])]
    for _ in range(TRIES):
        to = _cell(random.integers(world.shape))
        try:
            edited = kinds[random.integers(len(kinds))](world, level, to, random)
        except ValueError:
            continue
        if not np.array_equal(edited.board, level.board):
            return edited
    raise ValueError(f"level: got one in which {TRIES} edits failed; allowed: others")


def _cell(position: np.ndarray) -> levels.Cell:
    row, column = position.tolist()
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
    cells = np.argwhere(board[..., things])
    row, column, index = cells[random.integers(len(cells))].tolist()
    if board[to][things].any():
        raise ValueError("the cell is occupied")
    return moved_thing(world, level, world.things[index], (row, column), to)


def _toggle_wall(
    world: GridWorld, level: Level, to: levels.Cell, random: np.random.Generator
) -> Level:
    """Turn a free cell into wall or a wall into a free cell, inside the border."""
    del random
    board, plane = np.array(level.board), world.plane("wall")
    inside = all(0 < x < side - 1 for x, side in zip(to, world.shape, strict=True))
    if not inside or board[to].sum() > board[(*to, plane)]:
        raise ValueError("the cell is occupied")
    board[(*to, plane)] ^= 1
    start = tuple(np.asarray(level.start).tolist())
    return levels.from_board(world, board, start, level.memory)
