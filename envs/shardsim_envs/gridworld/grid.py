"""Geometry of the board: moves, windows, distances, random cells.

A cell is (row, column) with row 0 at the top. Actions are up, right, down, left. A move
into a wall or off the board leaves the agent where it is. Symbols: H, W board,
P planes, A actions, L levels.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

View: TypeAlias = Literal["agent", "board"]

ACTIONS = ("up", "right", "down", "left")
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
FAR = 1_000_000
"""Distance of a cell that cannot be reached; far below the int32 limit."""


def move(
    walls: Bool[Array, "H W"], position: Int[Array, "2"], action: Int[Array, ""]
) -> Int[Array, "2"]:
    """The cell to which `action` leads, in [0, A)."""
    height, width = walls.shape
    target = position + jnp.asarray(MOVES, jnp.int32)[action]
    inside = jnp.clip(target, 0, jnp.asarray([height - 1, width - 1], jnp.int32))
    free = jnp.all(target == inside) & ~walls[inside[0], inside[1]]
    return jnp.where(free, target, position)


def plane(shape: tuple[int, ...], cell: Int[Array, "2"]) -> Bool[Array, "H W"]:
    """A plane that is true at one cell."""
    rows, columns = jnp.ogrid[: shape[0], : shape[1]]
    return (rows == cell[0]) & (columns == cell[1])


def cell(plane: Bool[Array, "H W"]) -> Int[Array, "2"]:
    """The first cell, row by row, at which a plane is true; (0, 0) if none is."""
    return jnp.stack(jnp.divmod(jnp.argmax(plane), plane.shape[1])).astype(jnp.int32)


def mark(
    shape: tuple[int, int], cells: Int[Array, "n 2"], selected: Bool[Array, " n"]
) -> Bool[Array, "H W"]:
    """A plane that is true at the selected cells, which must all differ."""
    flat = jnp.zeros(shape[0] * shape[1], bool)
    # cells that are not selected get an index past the end, which `drop` ignores
    index = jnp.where(selected, cells[:, 0] * shape[1] + cells[:, 1], flat.size)
    return flat.at[index].set(True, mode="drop").reshape(shape)


def window(
    board: UInt8[Array, "H W P"], centre: Int[Array, "2"]
) -> UInt8[Array, "Hv Wv P"]:
    """The board centred on the agent, with zeros outside the board.

    Returns:
      A window of Hv = 2H - 1 rows and Wv = 2W - 1 columns, which always contains the
      whole board.
    """
    height, width, planes = board.shape
    padded = jnp.pad(board, ((height - 1,) * 2, (width - 1,) * 2, (0, 0)))
    start = (centre[0], centre[1], jnp.int32(0))
    return jax.lax.dynamic_slice(padded, start, (2 * height - 1, 2 * width - 1, planes))


def levels_last(many: Callable[..., Array]) -> Callable[..., Array]:
    """Turn a function of L levels on the last axis into a function of one level.

    Under `jax.vmap` the levels go to the last axis and `many` runs once, on long
    rows. For small boards on a CPU this is two to three times as fast as levels on
    the first axis. Of nested vmaps, the innermost one becomes the last axis.

    Args:
      many: takes and returns arrays [..., L].
    """

    @jax.custom_batching.custom_vmap
    def one(*arrays: Array) -> Array:
        return many(*(array[..., None] for array in arrays))[..., 0]

    @one.def_vmap
    def batched(size: int, which: list[bool], *arrays: Array) -> tuple[Array, bool]:
        last = [
            jnp.moveaxis(array, 0, -1)
            if moves
            else jnp.broadcast_to(array[..., None], (*array.shape, size))
            for array, moves in zip(arrays, which, strict=True)
        ]
        return jnp.moveaxis(many(*last), -1, 0), True

    return one


def distances(
    walls: Bool[Array, "H W"], goals: Bool[Array, "H W"]
) -> Int[Array, "H W"]:
    """Steps from each cell to the nearest goal over free cells; FAR if there is no way.

    Repeats d(x) <- min(d(x), 1 + min over neighbours d) until nothing changes, which
    takes as many sweeps as the longest shortest path has steps.
    """
    return _distances(walls, goals)


@levels_last
def _distances(
    walls: Bool[Array, "H W L"], goals: Bool[Array, "H W L"]
) -> Int[Array, "H W L"]:
    height, width, levels = walls.shape
    row = jnp.full((1, width, levels), FAR, jnp.int32)
    column = jnp.full((height, 1, levels), FAR, jnp.int32)

    def sweep(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        field, _ = carry
        vertical = jnp.minimum(
            jnp.concatenate([row, field[:-1]]), jnp.concatenate([field[1:], row])
        )
        horizontal = jnp.minimum(
            jnp.concatenate([column, field[:, :-1]], axis=1),
            jnp.concatenate([field[:, 1:], column], axis=1),
        )
        nearest = jnp.minimum(vertical, horizontal) + 1
        new = jnp.where(walls, FAR, jnp.minimum(field, nearest))
        return new, jnp.any(new != field)

    start = jnp.where(goals & ~walls, 0, FAR).astype(jnp.int32)
    field, _ = jax.lax.while_loop(lambda c: c[1], sweep, (start, jnp.bool_(True)))
    return field


def random_cells(
    key: Key[Array, ""], allowed: Bool[Array, "H W"], count: int
) -> Int[Array, "count 2"]:
    """`count` different cells, uniform over the allowed ones.

    There must be enough allowed cells. Worlds check this when they are built, because
    compiled code cannot raise errors.
    """
    height, width = allowed.shape
    score = jax.random.uniform(key, (height * width,))
    score = jnp.where(allowed.reshape(-1), score, -1.0)
    _, chosen = jax.lax.top_k(score, count)
    return jnp.stack([chosen // width, chosen % width], axis=-1).astype(jnp.int32)


def bar_end(
    before: Int[Array, ""], after: Int[Array, ""], width: int
) -> tuple[Int[Array, "2"], Bool[Array, ""]]:
    """The change of a bar that shows a count in the top row, filled from the left.

    Args:
      before: the count that the board shows.
      after: the new count; it differs from `before` by at most 1.
      width: columns of the board.

    Returns:
      The cell that changes, and its new content.
    """
    column = jnp.clip(jnp.minimum(before, after), 0, width - 1)
    return jnp.stack([jnp.int32(0), column]), column < after


def drawing(picture: tuple[str, ...], marks: str) -> Bool[Array, "H W"]:
    """The cells at which a picture, given as rows of text, has one of the marks."""
    return jnp.asarray([[mark in marks for mark in row] for row in picture])


def slipped(
    key: Key[Array, ""] | None, action: Int[Array, ""], chance: Float[Array, ""]
) -> Int[Array, ""]:
    """Replace the action by a uniformly random one, with probability `chance`.

    Args:
      key: None keeps the action.
      chance: in [0, 1].
    """
    if key is None:
        return action
    slip_key, action_key = jax.random.split(key)
    other = jax.random.randint(action_key, (), 0, len(ACTIONS))
    return jnp.where(jax.random.bernoulli(slip_key, chance), other, action)


def random_cell(key: Key[Array, ""], allowed: Bool[Array, "H W"]) -> Int[Array, "2"]:
    """One cell, uniform over the allowed ones; there must be at least one.

    Draws a rank among the allowed cells, then finds its row and its column. This takes
    a third of the time of `random_cells`: one random number and no sorting.
    """

    def cumulative(counts: Int[Array, " n"]) -> Int[Array, " n"]:
        # this sum over a triangle is far faster than cumsum under vmap on a CPU
        size = counts.shape[0]
        return jnp.where(jnp.tri(size, dtype=bool), counts[None], 0).sum(axis=1)

    cells = allowed.astype(jnp.int32)
    rows = cumulative(cells.sum(axis=1))
    rank = jax.random.randint(key, (), 0, rows[-1])
    row = jnp.sum(rows <= rank)
    rank_in_row = rank - jnp.where(row > 0, rows[row - 1], 0)
    column = jnp.sum(cumulative(cells[row]) <= rank_in_row)
    return jnp.stack([row, column]).astype(jnp.int32)


def shortest_path_logits(
    field: Int[Array, "H W"],
    walls: Bool[Array, "H W"],
    position: Int[Array, "2"],
) -> Float[Array, " A"]:
    """Logits of a walker on a shortest path to the goal of a distance field.

    Actions that lead closer are equally likely. At the goal (field 0), or without a way
    to it (FAR), all actions are equally likely.

    Args:
      field: result of `distances`.
      position: cell of the walker.
    """
    distance = field[position[0], position[1]]
    cells = jax.vmap(lambda a: move(walls, position, a))(jnp.arange(len(MOVES)))
    closer = field[cells[:, 0], cells[:, 1]] < distance
    walking = (distance > 0) & (distance < FAR)
    return jnp.where(walking & ~closer, -1e9, 0.0).astype(jnp.float32)
