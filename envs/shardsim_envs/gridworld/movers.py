"""What moves by itself: a leader on its tour, monsters that chase."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim_envs.gridworld import grid


def tour_order(
    key: Key[Array, ""], stops: int, trust: Float[Array, ""]
) -> Int[Array, " stops"]:
    """The order 0, 1, 2..., or with chance 1 - trust one that does not begin with 0.

    All such orders have the same chance: each is the swap of one shuffle.
    """
    trust_key, order_key, swap_key = jax.random.split(key, 3)
    same = jnp.arange(stops)
    other = jax.random.permutation(order_key, same)
    place = jax.random.randint(swap_key, (), 1, stops)
    swapped = other.at[0].set(other[place]).at[place].set(other[0])
    other = jnp.where(other[0] == 0, swapped, other)
    return jnp.where(jax.random.bernoulli(trust_key, trust), same, other)


def tour(
    walls: Bool[Array, "H W"],
    stops: Int[Array, "stops 2"],
    start: Int[Array, "2"],
    length: int,
) -> Int[Array, "T 2"]:
    """Where somebody is at each time who goes from stop to stop, round and round.

    Always a shortest way; of several the first in the order of the actions.
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
    goes: Bool[Array, " M"],
    prey: Int[Array, "2"],
    sharpness: Float[Array, ""],
) -> Int[Array, "M 2"]:
    """Where chasers are next: one after the other, none into a wall or onto another.

    Each takes one of four moves or none with chances softmax(-sharpness distance), the
    steps from there to the prey, walls left aside.

    Args:
      key: None: each makes its likeliest move.
      goes: chasers that move; no other one is in anybody's way.
    """
    moves = jnp.asarray((*grid.MOVES, (0, 0)), jnp.int32)
    targets = cells[:, None] + moves[None]
    distance = jnp.abs(targets - prey[None, None]).sum(axis=-1)
    logits = -sharpness * distance.astype(jnp.float32)
    if key is None:
        chosen = jnp.argmax(logits, axis=-1)
    else:
        # one random number a chaser, not one a move: what is drawn is what costs
        upto = jax.nn.softmax(logits)[:, None] * jnp.tri(len(moves))[None]
        drawn = jax.random.uniform(key, (len(cells), 1))
        chosen = jnp.sum(upto.sum(axis=-1)[:, :-1] <= drawn, axis=-1)
    number = jnp.arange(cells.shape[0])
    wanted = targets[number, chosen]
    edge = jnp.asarray(walls.shape, jnp.int32)[None] - 1
    inside = jnp.clip(wanted, 0, edge)
    free = jnp.all(inside == wanted, axis=-1) & ~walls[inside[:, 0], inside[:, 1]]
    for m in range(cells.shape[0]):
        others = goes & (number != m)
        taken = jnp.any(others & jnp.all(cells == wanted[m][None], axis=-1))
        moves_on = free[m] & goes[m] & ~taken
        cells = cells.at[m].set(jnp.where(moves_on, wanted[m], cells[m]))
    return cells
