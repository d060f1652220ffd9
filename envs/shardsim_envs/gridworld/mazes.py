"""Walls in five layouts, and the cell at which two ways through a maze part.

In every layout all free cells are connected; cells that are cut off become wall. The
layout `tree` is a maze without cycles: a spanning tree over rooms. Rooms are the cells
at even rows and columns, a passage is the cell between two rooms, and all other cells
are wall. Symbols: R rooms on a side, M = R^2 rooms, H = W = 2R - 1 board, L levels.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8, UInt32

from shardsim_envs.gridworld import grid

Layout: TypeAlias = Literal["tree", "blocks", "edges", "open", "noise"]
BLOCKS, EDGES, NOISE = 0.25, 0.75, 0.25
"""Probability of a wall in `blocks` and of a passage in `edges`; threshold of the noise
above which `noise` has a wall. The numbers are those of jaxgmg's generators."""
NONE = np.uint32(2**32 - 1)
"""Weight of an edge that does not exist."""


class Decision(NamedTuple):
    """The cell at which the ways from the start to the cheese and the corner part."""

    cell: Int[Array, "2"]
    """The last cell that both ways share."""
    exists: Bool[Array, ""]
    """False if one way contains the other. Then there is nothing to decide, and both
    actions are 0 and mean nothing."""
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


def layout(
    key: Key[Array, ""],
    kind: Layout,
    size: int,
    free: Sequence[tuple[int, int]] = (),
) -> Bool[Array, "H W"]:
    """Random walls of a board, with a border of wall.

    Args:
      kind: `tree`: a maze without cycles; `blocks`: single random walls; `edges`: rooms
        with random passages; `noise`: lakes of wall; `open`: the border alone.
      size: cells on a side, odd, with the border.
      free: rooms (odd row and column) that are never wall.

    Returns:
      True at walls. The free cells are connected. There are at least as many as rooms,
      ((size - 1) / 2)^2: a board with fewer becomes `open`.
    """
    inner = size - 2
    if kind == "tree":
        return jnp.pad(generate(key, inner), 1, constant_values=True)
    if kind == "open":
        return jnp.pad(jnp.zeros((inner, inner), bool), 1, constant_values=True)
    if kind == "blocks":
        walls = jax.random.bernoulli(key, BLOCKS, (inner, inner))
    elif kind == "edges":
        shut = ~jax.random.bernoulli(key, EDGES, (inner, inner))
        rows, columns = jnp.ogrid[:inner, :inner]
        odd = rows % 2 + columns % 2
        walls = (odd == 2) | ((odd == 1) & shut)
    else:
        walls = noise(key, inner) > NOISE
    for row, column in free:
        walls &= ~grid.plane(walls.shape, jnp.asarray([row - 1, column - 1]))
    main = _largest_component(~walls)
    enough = main.sum() >= ((inner + 1) // 2) ** 2
    for row, column in free:
        enough &= main[row - 1, column - 1]
    return jnp.pad(~main & enough, 1, constant_values=True)


def noise(key: Key[Array, ""], size: int) -> Float[Array, "H W"]:
    """Perlin's gradient noise with a lattice of 2 x 2 cells, in [-1, 1].

    Reference: Perlin, "Improving noise", 2002.
    """
    cells = (size + 1) // 2
    angle = jax.random.uniform(key, (cells + 1, cells + 1), maxval=2 * jnp.pi)
    place = jnp.arange(size)
    low, part = place // 2, (place % 2) / 2
    total = jnp.zeros((size, size))
    for down in (0, 1):
        for right in (0, 1):
            corner = angle[low[:, None] + down, low[None] + right]
            y, x = part[:, None] - down, part[None] - right
            ramp = jnp.sin(corner) * y + jnp.cos(corner) * x
            total += _smooth(1 - jnp.abs(y)) * _smooth(1 - jnp.abs(x)) * ramp
    return math.sqrt(2) * total


def _smooth(t: Array) -> Array:
    return t * t * t * (t * (t * 6 - 15) + 10)


def _largest_component(free: Bool[Array, "H W"]) -> Bool[Array, "H W"]:
    """The largest connected set of free cells; of equally large ones the first."""
    labels = _labels(free)
    count = jnp.zeros(free.size + 1, jnp.int32).at[labels.reshape(-1)].add(1)
    return labels == jnp.argmax(count[1:]) + 1


@grid.levels_last
def _labels(free: Bool[Array, "H W L"]) -> Int[Array, "H W L"]:
    """Label of the component of each free cell: its highest cell number; 0 at walls."""
    height, width, _ = free.shape
    number = jnp.arange(1, height * width + 1, dtype=jnp.int32)
    start = jnp.where(free, number.reshape(height, width, 1), 0)

    def sweep(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        labels, _ = carry
        around = jnp.pad(labels, ((1, 1), (1, 1), (0, 0)))
        highest = jnp.maximum(
            jnp.maximum(around[:-2, 1:-1], around[2:, 1:-1]),
            jnp.maximum(around[1:-1, :-2], around[1:-1, 2:]),
        )
        new = jnp.where(free, jnp.maximum(labels, highest), 0)
        return new, jnp.any(new != labels)

    labels, _ = jax.lax.while_loop(lambda c: c[1], sweep, (start, jnp.bool_(True)))
    return labels


def generate(key: Key[Array, ""], size: int) -> Bool[Array, "H W"]:
    """Walls of a random maze: the minimum spanning tree over rooms, random weights.

    The weights of the edges are independent and uniform on 23 bits or more. The number
    of the edge breaks ties, which fewer than one maze in 150 has at 25 cells a side.

    Args:
      size: cells on a side, odd.

    Returns:
      True at walls; the 2 M - 1 free cells are connected and have no cycle.
    """
    rooms = (size + 1) // 2
    right, down = _weights(key, rooms)
    is_open = _tree(right, down).reshape(2, rooms, rooms)
    across, along = is_open[0, :, :-1], is_open[1, :-1]
    # interior padding places rooms and passages on their cells of the board
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
    """The last cell that the ways start-cheese and start-corner share.

    In a tree the ways between three cells meet in one cell, which has the smallest sum
    of distances to the three:

        cell = argmin_x d(x, start) + d(x, cheese) + d(x, corner).

    Args:
      walls: a maze without cycles that connects the three cells.
    """
    # no vmap over the three goals: as the innermost vmap it would take the last axis
    # from the levels, see `grid.levels_last`
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

    The low bits are the number of the edge, counted from 1. So no weight is 0, which
    marks the room where the tree begins, or NONE, because the count of edges is even.
    """
    each = rooms * (rooms - 1)
    number = jnp.arange(1, 2 * each + 1, dtype=jnp.uint32)
    low = jnp.uint32(2 ** (2 * each).bit_length() - 1)
    weight = (jax.random.bits(key, (2 * each,), jnp.uint32) & ~low) | number
    right = weight[:each].reshape(rooms, rooms - 1)
    right = jnp.pad(right, ((0, 0), (0, 1)), constant_values=NONE).reshape(-1)
    return right, jnp.pad(weight[each:], (0, rooms), constant_values=NONE)


@grid.levels_last
def _tree(
    right: UInt32[Array, "M L"], down: UInt32[Array, "M L"]
) -> Bool[Array, "2 M L"]:
    """Whether the passages from each room to the right and down are in the tree.

    Prim's algorithm: the tree starts at room 0 and grows M - 1 times by the lightest
    edge that leaves it. Weights are unique, and only one of the edge's two rooms is not
    in the tree yet, so comparing weights finds that room without an index.

    Reference: Prim, "Shortest connection networks and some generalizations", 1957.
    """
    count = right.shape[0]
    rooms = math.isqrt(count)
    if 2 * rooms * (rooms - 1) < np.iinfo(np.uint8).max:
        # one-byte ranks in place of the weights make this loop twice as fast
        right, down = _ranks(right, down)
    none = jnp.full_like(right, jnp.iinfo(right.dtype).max)
    left = jnp.concatenate([none[:1], right[:-1]])
    up = jnp.concatenate([none[:rooms], down[:-rooms]])

    def join(_: Array, link: Array) -> Array:
        joined = link != none
        leaves = joined[:-1] != joined[1:]
        across = jnp.where(leaves, right[:-1], none[:-1]).min(axis=0)
        leaves = joined[:-rooms] != joined[rooms:]
        along = jnp.where(leaves, down[:-rooms], none[:-rooms]).min(axis=0)
        best = jnp.minimum(across, along)[None]
        touched = (right == best) | (left == best) | (down == best) | (up == best)
        return jnp.where(touched & ~joined, best, link)

    # the weight of the edge by which each room joined the tree
    link = jax.lax.fori_loop(0, count - 1, join, none.at[0].set(0))
    after = jnp.concatenate([link[1:], none[:1]])
    below = jnp.concatenate([link[rooms:], none[:rooms]])
    across = (right != none) & ((right == link) | (right == after))
    along = (down != none) & ((down == link) | (down == below))
    return jnp.stack([across, along])


def _ranks(
    right: UInt32[Array, "M L"], down: UInt32[Array, "M L"]
) -> tuple[UInt8[Array, "M L"], UInt8[Array, "M L"]]:
    """Ranks of the weights of each level, counted from 1; NONE becomes 255."""
    count, levels = right.shape
    rooms = math.isqrt(count)
    across = right.reshape(rooms, rooms, levels)[:, :-1].reshape(-1, levels)
    weight = jnp.concatenate([across, down[:-rooms]])
    less = weight[None] < weight[:, None]
    rank = less.sum(axis=1, dtype=jnp.uint8) + jnp.uint8(1)
    each, last = across.shape[0], jnp.iinfo(jnp.uint8).max
    across = rank[:each].reshape(rooms, rooms - 1, levels)
    across = jnp.pad(across, ((0, 0), (0, 1), (0, 0)), constant_values=last)
    along = jnp.pad(rank[each:], ((0, rooms), (0, 0)), constant_values=last)
    return across.reshape(count, levels), along
