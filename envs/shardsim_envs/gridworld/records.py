"""What passes between the core and the rules of a world. Symbols: as in `world`."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt8


class Level(NamedTuple):
    """A level as data: what `reset_to` starts from."""

    board: UInt8[Array, "H W P"]
    """What lies where, the agent at its start."""
    start: Int[Array, "2"]
    memory: PyTree
    """What the world knows at the start besides the board; small arrays."""


class State(NamedTuple):
    """A moment of an episode."""

    board: UInt8[Array, "H W P"]
    position: Int[Array, "2"]
    memory: PyTree
    time: Int[Array, ""]
    terminated: Bool[Array, ""]
    """The end is absorbing: no step from here changes or pays anything."""


class Moved(NamedTuple):
    """Where an action led, before the rules speak."""

    before: Int[Array, "2"]
    position: Int[Array, "2"]
    here: UInt8[Array, " P"]
    """What lies where the agent stands now."""

    def enters(self, cell: tuple[int, int]) -> Bool[Array, ""]:
        """Whether the agent stands on `cell` now and did not before."""
        target = jnp.asarray(cell, jnp.int32)
        now = jnp.all(self.position == target)
        return now & ~jnp.all(self.before == target)


class Outcome(NamedTuple):
    """What the rules make of a move."""

    board: UInt8[Array, "H W P"]
    position: Int[Array, "2"]
    memory: PyTree
    rewards: Float[Array, " R"]
    terminated: Bool[Array, ""]
    proxies: tuple[Bool[Array, ""] | Float[Array, ""], ...] = ()
    """What the proxies of the goal would pay, in the order of `proxy_names`."""
