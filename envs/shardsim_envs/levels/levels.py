"""Levels as text and as files, in numpy on the host. `edits` changes levels.

Every level that comes from outside is checked. A level that is not playable (a thing
nobody can reach, no free cell, nothing to earn) raises a `ValueError` that says why.
"""

import functools
import json
import operator
import typing
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Key

from shardsim.core import files, json_text
from shardsim.core.types import Whole
from shardsim_envs.gridworld import grid
from shardsim_envs.gridworld.records import Level
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.rendering import sprites

FORMAT = 1
"""Number of the file format of `save`."""
SPARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
"""Letters for cells that hold several things."""
Cell: typing.TypeAlias = tuple[int, int]
"""(row, column)."""


class LevelSet(NamedTuple):
    """Levels with their origin."""

    world: GridWorld
    seed: int | None
    """Seed of `generate`; None if they come from elsewhere."""
    levels: Level
    """Leaves [L, ...]."""


def check(world: GridWorld, level: Level) -> None:
    """Check that a level is playable.

    Raises:
      ValueError: naming the plane, its content and what is allowed.
    """
    board = np.asarray(level.board)
    shape = (*world.shape, len(world.board_planes))
    if board.shape != shape:
        raise ValueError(f"board: got shape {board.shape}; allowed: {shape}")
    start = tuple(np.asarray(level.start).tolist())
    agents = [tuple(cell) for cell in np.argwhere(board[..., -1]).tolist()]
    if agents != [start]:
        raise ValueError(f"agent: got cells {agents}; allowed: the start, {start}")
    if walls_of(world, level)[start]:
        raise ValueError(f"agent: got {start}, a wall; allowed: a free cell")
    steps = distances(world, level, start)
    for name in world.things:
        for cell in np.argwhere(board[..., world.plane(name)]).tolist():
            if steps[tuple(cell)] >= grid.FAR:
                raise ValueError(
                    f"{name}: got {tuple(cell)}, which nobody can reach from "
                    f"{start}; allowed: a cell that is connected to the start"
                )
    for name in world.required_planes:
        if not board[..., world.plane(name)].any():
            raise ValueError(f"{name}: got none; allowed: at least one")
    for name, most in world.takeable:
        count = int(board[..., world.plane(name)].sum())
        if count > most:
            raise ValueError(f"{name}: got {count}; allowed: at most {most}")
    allowed, got = (
        jax.tree.map(_dtype_and_shape, x.memory) for x in (_shapes(world), level)
    )
    if got != allowed:
        raise ValueError(f"memory: got {got}; allowed: {allowed}")
    error = world.board_error(board)
    if error:
        raise ValueError(error)


def walls_of(world: GridWorld, level: Level) -> Bool[np.ndarray, "H W"]:
    """Walls of a level, on the host: no program is run for them."""
    if not world.has_walls:
        return np.zeros(world.shape, bool)
    return np.asarray(level.board)[..., world.plane("wall")] > 0


def distances(world: GridWorld, level: Level, cell: Cell) -> np.ndarray:
    """[H, W] steps from a cell over free cells; `grid.FAR` if there is no way."""
    goal = grid.plane(world.shape, jnp.asarray(cell, jnp.int32))
    return np.asarray(_distances(walls_of(world, level), goal))


_distances = jax.jit(grid.distances)


def to_text(world: GridWorld, level: Level) -> str:
    """Write a level as text that `from_text` reads: one letter for each cell.

    Lines below the board explain the letters of cells with several things, and name the
    planes that fill the board. Memory that the board does not show is lost: which of
    two boxes is full, in which order beacons light up.
    """
    board = np.asarray(level.board) > 0
    names = np.asarray(world.board_planes, dtype=object)
    fills_board = board.all(axis=(0, 1))
    letters, used = _letters(world), set(_letters(world).values())
    rows = []
    for row in board & ~fills_board:
        line = ""
        for cell in row:
            planes = tuple(names[cell])
            if planes not in letters:
                letters[planes] = next(s for s in SPARE if s not in used)
                used.add(letters[planes])
            line += letters[planes]
        rows.append(line)
    notes = [
        f"{letter} = {' + '.join(planes)}"
        for planes, letter in letters.items()
        if len(planes) > 1
    ]
    if fills_board.any():
        notes.append(f"everywhere: {', '.join(names[fills_board])}")
    return "\n".join([*rows, *notes]) + "\n"


def from_text(world: GridWorld, text: str) -> Level:
    """Read a level from text.

    Raises:
      ValueError: an unknown letter, a board of another size, or a level that is not
        playable.
    """
    meaning = {letter: planes for planes, letter in _letters(world).items()}
    rows, full_planes = [], []
    for line in (line.strip() for line in text.strip().splitlines()):
        if line.startswith("everywhere: "):
            full_planes = [plane_of(world, name) for name in line[12:].split(", ")]
        elif line[1:4] == " = ":
            planes = tuple(line[4:].split(" + "))
            meaning[line[0]] = planes
        elif line:
            rows.append(line)
    height, width = world.shape
    if len(rows) != height or any(len(row) != width for row in rows):
        sizes = sorted({len(row) for row in rows})
        raise ValueError(
            f"text: got {len(rows)} rows of {sizes} letters; allowed: {height} rows of "
            f"{width}"
        )
    board = np.zeros((height, width, len(world.board_planes)), np.uint8)
    board[..., full_planes] = 1
    for at in np.ndindex(height, width):
        letter = rows[at[0]][at[1]]
        if letter not in meaning:
            allowed = ", ".join(
                f"{each} {' + '.join(planes) or 'free'}"
                for each, planes in meaning.items()
            )
            raise ValueError(
                f"text: got {letter!r} in row {at[0]}, column {at[1]}; allowed: "
                f"{allowed}"
            )
        for name in meaning[letter]:
            board[(*at, plane_of(world, name))] = 1
    starts = np.argwhere(board[..., -1])
    if len(starts) != 1:
        raise ValueError(f"text: got {len(starts)} agents (@); allowed: one")
    return from_board(world, board, tuple(starts[0].tolist()))


def save(path: Path | str, level_set: LevelSet, overwrite: bool = False) -> None:
    """Write levels with their world and seed into one .npz file.

    Args:
      overwrite: replace an existing file.

    Raises:
      ValueError: the file exists.
    """
    files.check_new(path, overwrite, "path")
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(level_set.levels)]
    about = {
        "format": FORMAT,
        "world": level_set.world,
        "seed": level_set.seed,
    }
    arrays = {f"leaf {i}": leaf for i, leaf in enumerate(leaves)}
    arrays["about"] = np.asarray(json_text.dumps(about))
    with files.replacing(Path(path)) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load(path: Path | str, worlds: Iterable[type[GridWorld]]) -> LevelSet:
    """Read levels that `save` wrote, and check every one.

    Args:
      worlds: the allowed worlds, e.g. `typing.get_args(shardsim_envs.World)`.

    Raises:
      ValueError: the file holds no levels, or one that is not playable.
    """
    no_levels = f"{path}: got no levels; allowed: a file of `save`"
    with Path(path).open("rb") as source:
        if not zipfile.is_zipfile(source):
            raise ValueError(no_levels)
    with np.load(path, allow_pickle=False) as file:
        if "about" not in file:
            raise ValueError(no_levels)
        about = json.loads(str(file["about"]))
        leaves = [file[f"leaf {i}"] for i in range(len(file.files) - 1)]
    if about["format"] != FORMAT:
        raise ValueError(f"{path}: got format {about['format']}; allowed: {FORMAT}")
    kinds = {typing.cast(Any, world).kind: world for world in worlds}
    fields = to_tuples(about["world"])
    if fields["kind"] not in kinds:
        allowed = ", ".join(kinds)
        raise ValueError(f"{path}: got world {fields['kind']!r}; allowed: {allowed}")
    world = kinds[fields["kind"]](**fields)
    shapes = _shapes(world)
    count = len(jax.tree.leaves(shapes))
    if len(leaves) != count:
        raise ValueError(
            f"{path}: got levels of {len(leaves)} arrays; allowed: {count}, as "
            f"{fields['kind']} has now"
        )
    levels = jax.tree.unflatten(jax.tree.structure(shapes), map(jnp.asarray, leaves))
    for level in each(levels):
        check(world, level)
    return LevelSet(world, about["seed"], levels)


def generate(world: GridWorld, seed: Whole, count: Whole) -> LevelSet:
    """Generate `count` levels; they depend on the world and the seed alone.

    Args:
      seed: 0 to 2^32 - 1.
      count: at least 1.
    """
    number, count = check_seed(seed), operator.index(count)
    if count < 1:
        raise ValueError(f"count: got {count}; allowed: at least 1")
    keys = jax.random.split(jax.random.key(number), count)
    many = jax.jit(jax.vmap(world.generate, in_axes=(0, None)))
    return LevelSet(world, number, many(keys, world.params()))


def key_of(seed: Whole) -> Key[Array, ""]:
    """The random key of a seed, 0 to 2^32 - 1."""
    return jax.random.key(check_seed(seed))


def check_seed(seed: Any) -> int:
    """Check that a seed has 32 bits: a key would silently drop the others.

    Returns:
      The seed as a number of Python.

    Raises:
      ValueError: no whole number, or one outside 0 to 2^32 - 1.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 2**32:
        raise ValueError(f"seed: got {seed}; allowed: 0 to {2**32 - 1}")
    return number


@functools.cache
def _shapes(world: GridWorld) -> Level:
    """A level with shapes and dtypes in place of arrays."""
    shapes: Level = jax.eval_shape(world.generate, jax.random.key(0), world.params())
    return shapes


def _dtype_and_shape(leaf: Any) -> str:
    leaf = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return f"{leaf.dtype}{list(leaf.shape)}"


def each(levels: Level) -> Iterator[Level]:
    """The levels one by one, in numpy.

    Args:
      levels: leaves [L, ...].
    """
    host = jax.tree.map(np.asarray, levels)
    for number in range(len(host.board)):
        yield jax.tree.map(lambda leaf, n=number: leaf[n], host)


def from_board(
    world: GridWorld, board: np.ndarray, start: Cell, memory: Any = None
) -> Level:
    """Build a level from a board, complete its memory, and check it.

    Args:
      board: [H, W, P], the agent on the last plane.
      memory: what the board does not determine, e.g. of the level before an edit; None:
        zeros.

    Raises:
      ValueError: the level is not playable.
    """
    if memory is None:
        shapes = _shapes(world).memory
        memory = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
    level = Level(jnp.asarray(board), jnp.asarray(start, jnp.int32), memory)
    check(world, level)
    complete: Level = jax.tree.map(np.asarray, world.fill_memory(level))
    return complete


def letters(world: GridWorld) -> dict[str, str]:
    """What each letter of a drawing stands for: the name of a plane, or "free"."""
    named = _letters(world)
    return {letter: planes[0] if planes else "free" for planes, letter in named.items()}


def _letters(world: GridWorld) -> dict[tuple[str, ...], str]:
    """The letter of a cell with no thing, and with one thing."""
    letters: dict[tuple[str, ...], str] = {(): "."}
    letters |= {(name,): sprites.sprite(name).letter for name in world.board_planes}
    return letters


def on_board(world: GridWorld, name: str, cell: Cell) -> None:
    """Check that a cell is on the board; `name` is the argument's, for the error."""
    height, width = world.shape
    if not (0 <= cell[0] < height and 0 <= cell[1] < width):
        raise ValueError(
            f"{name}: got {cell}; allowed: rows 0 to {height - 1}, columns 0 to "
            f"{width - 1}"
        )


def plane_of(world: GridWorld, name: str) -> int:
    """The index of a plane.

    Raises:
      ValueError: the world has no such plane.
    """
    if name not in world.board_planes:
        allowed = ", ".join(world.board_planes)
        raise ValueError(f"plane: got {name!r}; allowed: {allowed}")
    return world.plane(name)


def to_tuples(value: Any) -> Any:
    """Turn lists back into tuples, which JSON does not have."""
    if isinstance(value, dict):
        return {name: to_tuples(field) for name, field in value.items()}
    return tuple(map(to_tuples, value)) if isinstance(value, list) else value
