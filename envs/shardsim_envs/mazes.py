"""Mazes without cycles, and the cell where two ways through one part.

A maze is a spanning tree over rooms. Rooms lie at even rows and columns, a passage
between two rooms is the cell between them, and every other cell is wall.
Symbols: R rooms on a side, M = R^2 rooms, H = W = 2R - 1 board, L levels.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from shardsim_envs import grid

NONE = np.uint32(2**32 - 1)
"""Weight of an edge that is not there, and the link of a room not yet joined."""


class Decision(NamedTuple):
    """Where the ways from the start to the cheese and to the corner part."""

    cell: Int[Array, "2"]
    """The last cell that both ways share."""
    exists: Bool[Array, ""]
    """False where one way holds the other: there is nothing to decide then, and
    both actions are 0 and mean nothing."""
    to_cheese: Int[Array, ""]
    """Action that leads from `cell` towards the cheese."""
    to_corner: Int[Array, ""]
    """Action that leads from `cell` towards the corner."""
    steps_to_cheese: Int[Array, ""]
    """Steps from `cell` to the cheese."""
    steps_to_corner: Int[Array, ""]
    """Steps from `cell` to the corner."""
    cheese_from_corner: Float[Array, ""]
    """Euclidean distance of the cheese and the corner, in cells."""
    cheese_from_cell: Float[Array, ""]
    """Euclidean distance of the cheese and `cell`, in cells."""


def generate(key: Key[Array, ""], size: int) -> Bool[Array, "H W"]:
    """Walls of a random maze: the lightest spanning tree over the rooms.

    The weights of the edges are independent and uniform on 23 or more bits; equal
    ones (fewer than one maze in 150 has any, at 25 cells a side) are told apart by
    the number of the edge.

    Args:
      size: cells on a side, odd.

    Returns:
      True at walls; the 2 M - 1 free cells hang together and have no cycle.
    """
    rooms = (size + 1) // 2
    right, down = _weights(key, rooms)
    link = _tree(right, down).reshape(rooms, rooms)
    right = right.reshape(rooms, rooms)[:, :-1]
    down = down.reshape(rooms, rooms)[:-1]
    across = (right == link[:, :-1]) | (right == link[:, 1:])
    along = (down == link[:-1]) | (down == link[1:])
    # interior padding puts the rooms and the passages on the cells of the board
    wall, room, passage = jnp.bool_(False), (0, 0, 1), (1, 1, 1)
    free = jax.lax.pad(jnp.ones((rooms, rooms), bool), wall, (room, room))
    free |= jax.lax.pad(across, wall, (room, passage))
    free |= jax.lax.pad(along, wall, (passage, room))
    return ~free


def decide(
    walls: Bool[Array, "H W"],
    start: Int[Array, "2"],
    cheese: Int[Array, "2"],
    corner: Int[Array, "2"],
) -> Decision:
    """The last common cell of the ways start-cheese and start-corner.

    In a tree the three ways between three cells meet in one cell, which is also
    the one with the smallest sum of distances to the three:

        cell = argmin_x d(x, start) + d(x, cheese) + d(x, corner).

    Args:
      walls: a maze without cycles in which the three cells hang together.
    """
    # no vmap over the three: of nested ones the innermost would be the long axis
    goals = [grid.plane(walls.shape, end) for end in (start, cheese, corner)]
    fields = jnp.stack([grid.distances(walls, goal) for goal in goals])
    lowest = jnp.argmin(fields.sum(axis=0))
    columns = walls.shape[1]
    cell = jnp.stack([lowest // columns, lowest % columns]).astype(jnp.int32)
    steps = fields[:, cell[0], cell[1]]
    actions = jax.vmap(grid.shortest_path_logits, in_axes=(0, None, None))(
        fields, walls, cell
    ).argmax(axis=-1)
    exists = (steps[1] > 0) & (steps[2] > 0)
    return Decision(
        cell=cell,
        exists=exists,
        to_cheese=jnp.where(exists, actions[1], 0),
        to_corner=jnp.where(exists, actions[2], 0),
        steps_to_cheese=steps[1],
        steps_to_corner=steps[2],
        cheese_from_corner=_euclidean(cheese, corner),
        cheese_from_cell=_euclidean(cheese, cell),
    )


def _euclidean(a: Int[Array, "2"], b: Int[Array, "2"]) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum((a - b) ** 2).astype(jnp.float32))


def _weights(
    key: Key[Array, ""], rooms: int
) -> tuple[UInt32[Array, " M"], UInt32[Array, " M"]]:
    """Weights of the edges from each room to the right and down, all different.

    The low bits hold the number of the edge, from 1, so that none is 0 (the link of
    the room where the tree begins) or NONE (the count of edges is even).
    """
    each = rooms * (rooms - 1)
    number = jnp.arange(1, 2 * each + 1, dtype=jnp.uint32)
    low = jnp.uint32(2 ** (2 * each).bit_length() - 1)
    weight = (jax.random.bits(key, (2 * each,), jnp.uint32) & ~low) | number
    right = weight[:each].reshape(rooms, rooms - 1)
    right = jnp.pad(right, ((0, 0), (0, 1)), constant_values=NONE).reshape(-1)
    return right, jnp.pad(weight[each:], (0, rooms), constant_values=NONE)


@grid.side_by_side
def _tree(
    right: UInt32[Array, "M L"], down: UInt32[Array, "M L"]
) -> UInt32[Array, "M L"]:
    """The edge by which each room joined the lightest tree, given by its weight.

    Prim's way: from room 0 the tree grows M - 1 times by the lightest edge that
    leaves it. No other edge of the level has this edge's weight, and of its two
    rooms only one is not yet joined, so a comparison finds the room without an index.

    Reference: Prim, "Shortest connection networks and some generalizations", 1957.
    """
    count, levels = right.shape
    rooms = math.isqrt(count)

    def none(rows: int) -> Array:
        return jnp.full((rows, levels), NONE, jnp.uint32)

    left = jnp.concatenate([none(1), right[:-1]])
    up = jnp.concatenate([none(rooms), down[:-rooms]])

    def join(_: Array, link: Array) -> Array:
        joined = link != NONE
        leaves = joined[:-1] != joined[1:]
        across = jnp.where(leaves, right[:-1], NONE).min(axis=0)
        leaves = joined[:-rooms] != joined[rooms:]
        along = jnp.where(leaves, down[:-rooms], NONE).min(axis=0)
        best = jnp.minimum(across, along)[None]
        touched = (right == best) | (left == best) | (down == best) | (up == best)
        return jnp.where(touched & ~joined, best, link)

    link = none(count).at[0].set(0)
    return jax.lax.fori_loop(0, count - 1, join, link)
