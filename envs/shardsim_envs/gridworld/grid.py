"""The board: moves, windows, distances. Symbols: H, W board; P planes; A actions.

A cell is (row, column), row 0 on top. Actions are up, right, down, left; a move
into a wall or off the board leaves the agent where it is.
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
"""Distance of a cell that can't be reached; far below the int32 limit."""


def move(
    walls: Bool[Array, "H W"], position: Int[Array, "2"], action: Int[Array, ""]
) -> Int[Array, "2"]:
    """The cell that `action` leads to."""
    height, width = walls.shape
    target = position + jnp.asarray(MOVES, jnp.int32)[action]
    inside = jnp.clip(target, 0, jnp.asarray([height - 1, width - 1], jnp.int32))
    free = jnp.all(target == inside) & ~walls[inside[0], inside[1]]
    return jnp.where(free, target, position)


def plane(shape: tuple[int, ...], cell: Int[Array, "2"]) -> Bool[Array, "H W"]:
    """True at one cell."""
    rows, columns = jnp.ogrid[: shape[0], : shape[1]]
    return (rows == cell[0]) & (columns == cell[1])


def cell(plane: Bool[Array, "H W"]) -> Int[Array, "2"]:
    """The first cell, row by row, at which a plane is true."""
    return jnp.stack(jnp.divmod(jnp.argmax(plane), plane.shape[1])).astype(jnp.int32)


def mark(
    shape: tuple[int, int], cells: Int[Array, "n 2"], there: Bool[Array, " n"]
) -> Bool[Array, "H W"]:
    """True at those of the cells that are there."""
    flat = jnp.zeros(shape[0] * shape[1], bool)
    # distinct cells; those not there go off the end, where they are dropped
    at = jnp.where(there, cells[:, 0] * shape[1] + cells[:, 1], flat.size)
    return flat.at[at].set(True, mode="drop").reshape(shape)


def window(
    board: UInt8[Array, "H W P"], centre: Int[Array, "2"]
) -> UInt8[Array, "Hv Wv P"]:
    """The board seen by the agent: it stands in the middle, zeros lie outside.

    The window is (2H - 1) x (2W - 1), so that the whole board is always in it.
    """
    height, width, planes = board.shape
    padded = jnp.pad(board, ((height - 1,) * 2, (width - 1,) * 2, (0, 0)))
    start = (centre[0], centre[1], jnp.int32(0))
    return jax.lax.dynamic_slice(padded, start, (2 * height - 1, 2 * width - 1, planes))


def side_by_side(many: Callable[..., Array]) -> Callable[..., Array]:
    """A function of one level, out of one of L levels that lie on the last axis.

    Under `jax.vmap` the levels go to the last axis and `many` runs once, on long
    rows: for small boards two to three times as fast on a CPU as levels on the
    first axis. Of nested vmaps the innermost one gives the last axis.
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
    """Steps to the nearest goal over free cells; FAR where there is no way.

    Relaxation until nothing changes: one sweep a step of the longest path.
    """
    return _distances(walls, goals)


@side_by_side
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

    The caller sees to it that there are enough: this is checked when a world is
    made, because no error can be raised inside a compiled program.
    """
    height, width = allowed.shape
    score = jax.random.uniform(key, (height * width,))
    score = jnp.where(allowed.reshape(-1), score, -1.0)
    _, chosen = jax.lax.top_k(score, count)
    return jnp.stack([chosen // width, chosen % width], axis=-1).astype(jnp.int32)


def bar_end(
    before: Int[Array, ""], after: Int[Array, ""], width: int
) -> tuple[Int[Array, "2"], Bool[Array, ""]]:
    """The cell in which a bar that shows a count changes, and whether it is shown.

    The bar fills the top row from the left. A count changes by at most one a step.

    Args:
      before: the count that the board shows.
      after: the count that it is to show.
      width: of the board.
    """
    column = jnp.clip(jnp.minimum(before, after), 0, width - 1)
    return jnp.stack([jnp.int32(0), column]), column < after


def drawing(picture: tuple[str, ...], marks: str) -> Bool[Array, "H W"]:
    """Where a picture, given as its rows, holds one of the marks."""
    return jnp.asarray([[mark in marks for mark in row] for row in picture])


def slipped(
    key: Key[Array, ""] | None, action: Int[Array, ""], chance: Float[Array, ""]
) -> Int[Array, ""]:
    """The action, or with some chance one drawn with equal chances."""
    if key is None:
        return action
    slip_key, action_key = jax.random.split(key)
    other = jax.random.randint(action_key, (), 0, len(ACTIONS))
    return jnp.where(jax.random.bernoulli(slip_key, chance), other, action)


def random_cell(key: Key[Array, ""], allowed: Bool[Array, "H W"]) -> Int[Array, "2"]:
    """One cell, uniform over the allowed ones, of which there must be one or more.

    A rank is drawn, then the row that holds it, then the cell: a third of the time
    of `random_cells`, for it takes one random number and no sorting.
    """

    def up_to(counts: Int[Array, " n"]) -> Int[Array, " n"]:
        # the sum over the triangle is far faster than a cumsum under vmap on a CPU
        size = counts.shape[0]
        return jnp.where(jnp.tri(size, dtype=bool), counts[None], 0).sum(axis=1)

    cells = allowed.astype(jnp.int32)
    rows = up_to(cells.sum(axis=1))
    rank = jax.random.randint(key, (), 0, rows[-1])
    row = jnp.sum(rows <= rank)
    inside = rank - jnp.where(row > 0, rows[row - 1], 0)
    column = jnp.sum(up_to(cells[row]) <= inside)
    return jnp.stack([row, column]).astype(jnp.int32)


def shortest_path_logits(
    field: Int[Array, "H W"],
    walls: Bool[Array, "H W"],
    position: Int[Array, "2"],
) -> Float[Array, " A"]:
    """Logits of a walker that goes down a distance field, ties at random.

    Where the field is 0 (arrived) or FAR (no way) all actions are equal.
    """
    here = field[position[0], position[1]]
    cells = jax.vmap(lambda a: move(walls, position, a))(jnp.arange(len(MOVES)))
    closer = field[cells[:, 0], cells[:, 1]] < here
    walking = (here > 0) & (here < FAR)
    return jnp.where(walking & ~closer, -1e9, 0.0).astype(jnp.float32)
