"""Levels as things to write down and to keep. All on the host; edits are in `edits`.

A level that can't be played (something walled in, no free cell, nothing to be had) is
refused with a `ValueError` that says why, wherever it comes from.
"""

import dataclasses
import functools
import json
import typing
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from shardsim_envs.gridworld import grid
from shardsim_envs.gridworld.records import Level
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.rendering import sprites

FORMAT = 1
"""Of the files of `save`."""
SPARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
Cell: typing.TypeAlias = tuple[int, int]


class LevelSet(NamedTuple):
    """Levels with where they come from."""

    world: GridWorld
    seed: int | None
    levels: Level
    """Leaves [L, ...]."""


def check(world: GridWorld, level: Level) -> None:
    """Refuse a level that can't be played.

    Raises:
      ValueError: naming the plane, what was found and what is allowed.
    """
    board = np.asarray(level.board)
    shape = (*world.shape, len(world.board_planes))
    if board.shape != shape:
        raise ValueError(f"board: got shape {board.shape}; allowed: {shape}")
    start = tuple(np.asarray(level.start).tolist())
    agents = [tuple(cell) for cell in np.argwhere(board[..., -1]).tolist()]
    if agents != [start]:
        raise ValueError(f"agent: got cells {agents}; allowed: the start, {start}")
    walls = np.asarray(world.walls(level))
    if walls[start]:
        raise ValueError(f"agent: got {start}, a wall; allowed: a free cell")
    steps = distances(world, level, start)
    for name in world.things:
        for cell in np.argwhere(board[..., world.plane(name)]).tolist():
            if steps[tuple(cell)] >= grid.FAR:
                raise ValueError(
                    f"{name}: got {tuple(cell)}, which nobody can reach from "
                    f"{start}; allowed: a cell that hangs together with the start"
                )
    for name in world.needed:
        if not board[..., world.plane(name)].any():
            raise ValueError(f"{name}: got none; allowed: at least one")
    for name, most in world.takeable:
        count = int(board[..., world.plane(name)].sum())
        if count > most:
            raise ValueError(f"{name}: got {count}; allowed: at most {most}")
    known, got = (jax.tree.map(_form, x.memory) for x in (_shapes(world), level))
    if got != known:
        raise ValueError(f"memory: got {got}; allowed: {known}")
    flaw = world.flaw(board)
    if flaw:
        raise ValueError(flaw)


def distances(world: GridWorld, level: Level, cell: Cell) -> np.ndarray:
    """[H, W] steps from a cell over free ones; `grid.FAR` where there is no way."""
    goal = grid.plane(world.shape, jnp.asarray(cell, jnp.int32))
    return np.asarray(_distances(world.walls(level), goal))


_distances = jax.jit(grid.distances)


def to_text(world: GridWorld, level: Level) -> str:
    """A level as text that `from_text` reads: a letter a cell, and what letters mean.

    A cell with several things has a letter that is explained below the board; planes
    that fill the board are named there too. What memory alone knows (which of two boxes
    is full, in what order beacons light up) is left out.
    """
    board = np.asarray(level.board) > 0
    names = np.asarray(world.board_planes, dtype=object)
    whole = board.all(axis=(0, 1))
    letters, used = _letters(world), set(_letters(world).values())
    rows = []
    for row in board & ~whole:
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
    if whole.any():
        notes.append(f"everywhere: {', '.join(names[whole])}")
    return "\n".join([*rows, *notes]) + "\n"


def from_text(world: GridWorld, text: str) -> Level:
    """Read a level.

    Raises:
      ValueError: a letter that means nothing, a board of another size, or a level that
        can't be played.
    """
    meaning = {letter: planes for planes, letter in _letters(world).items()}
    rows, whole = [], []
    for line in (line.strip() for line in text.strip().splitlines()):
        if line.startswith("everywhere: "):
            whole = [plane_of(world, name) for name in line[12:].split(", ")]
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
    board[..., whole] = 1
    for at in np.ndindex(height, width):
        letter = rows[at[0]][at[1]]
        if letter not in meaning:
            raise ValueError(
                f"text: got {letter!r} in row {at[0]}, column {at[1]}; allowed: "
                f"{' '.join(meaning)}"
            )
        for name in meaning[letter]:
            board[(*at, plane_of(world, name))] = 1
    starts = np.argwhere(board[..., -1])
    if len(starts) != 1:
        raise ValueError(f"text: got {len(starts)} agents (@); allowed: one")
    return finished(world, board, tuple(starts[0].tolist()))


def save(path: Path | str, found: LevelSet) -> None:
    """Keep levels with their generator and seed in one .npz."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(found.levels)]
    about = {
        "format": FORMAT,
        "world": dataclasses.asdict(typing.cast(Any, found.world)),
        "seed": found.seed,
    }
    arrays = {f"leaf {i}": leaf for i, leaf in enumerate(leaves)}
    arrays["about"] = np.asarray(json.dumps(about))
    with Path(path).open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load(path: Path | str, worlds: typing.Iterable[type[GridWorld]]) -> LevelSet:
    """Levels as they were saved; every one is checked.

    Args:
      worlds: the worlds there may be: `typing.get_args(shardsim_envs.World)`.

    Raises:
      ValueError: a file of something else, or a level that can't be played.
    """
    nothing = f"{path}: got no levels; allowed: a file of `save`"
    with Path(path).open("rb") as source:
        if not zipfile.is_zipfile(source):
            raise ValueError(nothing)
    with np.load(path, allow_pickle=False) as file:
        if "about" not in file:
            raise ValueError(nothing)
        about = json.loads(str(file["about"]))
        leaves = [file[f"leaf {i}"] for i in range(len(file.files) - 1)]
    if about["format"] != FORMAT:
        raise ValueError(f"{path}: got format {about['format']}; allowed: {FORMAT}")
    kinds = {typing.cast(Any, world).kind: world for world in worlds}
    fields = frozen(about["world"])
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


def generate(world: GridWorld, seed: int, count: int) -> LevelSet:
    """`count` levels of a world, a function of the seed, 0 to 2^32 - 1."""
    if count < 1:
        raise ValueError(f"count: got {count}; allowed: at least 1")
    keys = jax.random.split(key_of(seed), count)
    many = jax.jit(jax.vmap(world.generate, in_axes=(0, None)))
    return LevelSet(world, seed, many(keys, world.params()))


def key_of(seed: int) -> Key[Array, ""]:
    """The key of a seed that somebody named."""
    check_seed(seed)
    return jax.random.key(seed)


def check_seed(seed: int) -> None:
    """Refuse a seed of which a key would keep no more than the last 32 bits."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed: got {seed}; allowed: 0 to {2**32 - 1}")


@functools.cache
def _shapes(world: GridWorld) -> Level:
    """A level with shapes and types in the place of arrays."""
    shapes: Level = jax.eval_shape(world.generate, jax.random.key(0), world.params())
    return shapes


def _form(leaf: Any) -> str:
    leaf = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return f"{leaf.dtype}{list(leaf.shape)}"


def each(levels: Level) -> Iterator[Level]:
    """The levels of a set, one by one, in numpy."""
    host = jax.tree.map(np.asarray, levels)
    for number in range(len(host.board)):
        yield jax.tree.map(lambda leaf, n=number: leaf[n], host)


def finished(
    world: GridWorld, board: np.ndarray, start: Cell, memory: Any = None
) -> Level:
    """A level of a board that somebody drew, checked.

    Args:
      memory: what is kept of where the board does not tell; None: nothing, zeros.
    """
    if memory is None:
        shapes = _shapes(world).memory
        memory = jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), shapes)
    level = Level(jnp.asarray(board), jnp.asarray(start, jnp.int32), memory)
    check(world, level)
    known: Level = jax.tree.map(np.asarray, world.remember(level))
    return known


def _letters(world: GridWorld) -> dict[tuple[str, ...], str]:
    letters: dict[tuple[str, ...], str] = {(): "."}
    letters |= {(name,): sprites.sprite(name).letter for name in world.board_planes}
    return letters


def on_board(world: GridWorld, name: str, cell: Cell) -> None:
    """Refuse a cell that somebody named and that lies beyond the board."""
    height, width = world.shape
    if not (0 <= cell[0] < height and 0 <= cell[1] < width):
        raise ValueError(
            f"{name}: got {cell}; allowed: rows 0 to {height - 1}, columns 0 to "
            f"{width - 1}"
        )


def plane_of(world: GridWorld, name: str) -> int:
    """The index of a plane that somebody named."""
    if name not in world.board_planes:
        allowed = ", ".join(world.board_planes)
        raise ValueError(f"plane: got {name!r}; allowed: {allowed}")
    return world.plane(name)


def frozen(value: Any) -> Any:
    """Fields of a world as they were before JSON made lists of their tuples."""
    if isinstance(value, dict):
        return {name: frozen(field) for name, field in value.items()}
    return tuple(map(frozen, value)) if isinstance(value, list) else value
