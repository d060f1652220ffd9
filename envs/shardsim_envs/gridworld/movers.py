"""Things that move by themselves: a leader on a tour, monsters that chase the agent."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim_envs.gridworld import grid


def tour_order(
    key: Key[Array, ""], stops: int, reliability: Float[Array, ""]
) -> Int[Array, " stops"]:
    """The order 0, 1, 2, ... with probability `reliability`, otherwise another order.

    The other order is uniform over the permutations that do not begin with 0: a shuffle
    that begins with 0 gets its first entry swapped with a random other one.

    Args:
      stops: number of stops, at least 2.
      reliability: in [0, 1].
    """
    reliability_key, order_key, swap_key = jax.random.split(key, 3)
    same = jnp.arange(stops)
    other = jax.random.permutation(order_key, same)
    place = jax.random.randint(swap_key, (), 1, stops)
    swapped = other.at[0].set(other[place]).at[place].set(other[0])
    other = jnp.where(other[0] == 0, swapped, other)
    return jnp.where(jax.random.bernoulli(reliability_key, reliability), same, other)


def tour(
    walls: Bool[Array, "H W"],
    stops: Int[Array, "stops 2"],
    start: Int[Array, "2"],
    length: int,
) -> Int[Array, "T 2"]:
    """The cells of a walker that visits the stops in turn, again and again.

    It takes a shortest path, and of several the first in the order of the actions.

    Args:
      stops: cells, in the order of the visits.
      length: T, number of times.

    Returns:
      [T, 2] its cell at each time; the first is `start`.
    """
    count = stops.shape[0]
    fields = jnp.stack(
        [grid.distances(walls, grid.plane(walls.shape, stops[i])) for i in range(count)]
    )

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        cell, goal = carry
        logits = grid.shortest_path_logits(fields[goal], walls, cell)
        new = grid.move(walls, cell, jnp.argmax(logits))
        arrived = fields[goal][new[0], new[1]] == 0
        return (new, (goal + arrived.astype(jnp.int32)) % count), cell

    _, way = jax.lax.scan(step, (start, jnp.int32(0)), None, length=length)
    return way


def chase(
    key: Key[Array, ""] | None,
    walls: Bool[Array, "H W"],
    cells: Int[Array, "M 2"],
    moving: Bool[Array, " M"],
    prey: Int[Array, "2"],
    sharpness: Float[Array, ""],
) -> Int[Array, "M 2"]:
    """The next cells of M chasers. They move one after the other.

    Each stays or takes one of four moves a, with probability

        p(a) ~ exp(-sharpness * |cell after a - prey|_1).

    A move into a wall, off the board or onto another chaser leaves it where it is.

    Args:
      key: None makes the most likely move.
      cells: cells of the chasers.
      moving: chasers that move and block others; the rest are ignored.
      prey: cell of the agent.
      sharpness: inverse temperature, per step; 0 is a random walk.
    """
    moves = jnp.asarray((*grid.MOVES, (0, 0)), jnp.int32)
    targets = cells[:, None] + moves[None]
    distance = jnp.abs(targets - prey[None, None]).sum(axis=-1)
    logits = -sharpness * distance.astype(jnp.float32)
    if key is None:
        chosen = jnp.argmax(logits, axis=-1)
    else:
        # one random number for each chaser, not for each move: drawing is what costs
        triangle = jax.nn.softmax(logits)[:, None] * jnp.tri(len(moves))[None]
        drawn = jax.random.uniform(key, (len(cells), 1))
        chosen = jnp.sum(triangle.sum(axis=-1)[:, :-1] <= drawn, axis=-1)
    number = jnp.arange(cells.shape[0])
    target = targets[number, chosen]
    edge = jnp.asarray(walls.shape, jnp.int32)[None] - 1
    inside = jnp.clip(target, 0, edge)
    free = jnp.all(inside == target, axis=-1) & ~walls[inside[:, 0], inside[:, 1]]
    for m in range(cells.shape[0]):
        others = moving & (number != m)
        blocked = jnp.any(others & jnp.all(cells == target[m][None], axis=-1))
        moves_on = free[m] & moving[m] & ~blocked
        cells = cells.at[m].set(jnp.where(moves_on, target[m], cells[m]))
    return cells
