"""Records of levels, states and moves. Symbols: H, W board, P planes, R rewards."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt8


class Level(NamedTuple):
    """A level as data; `reset_to` starts an episode from it."""

    board: UInt8[Array, "H W P"]
    """1 where a plane has something; the agent, on the last plane, is at its start."""
    start: Int[Array, "2"]
    """Cell of the agent."""
    memory: PyTree
    """What the rules need at the start besides the board; small arrays."""


class State(NamedTuple):
    """A state of an episode."""

    board: UInt8[Array, "H W P"]
    position: Int[Array, "2"]
    """Cell of the agent."""
    memory: PyTree
    time: Int[Array, ""]
    """Steps since the start of the episode."""
    terminated: Bool[Array, ""]
    """A terminated state is absorbing: steps from it change nothing and reward is 0."""


class Moved(NamedTuple):
    """The result of an action before the rules of the world apply."""

    before: Int[Array, "2"]
    """Cell of the agent before the move."""
    position: Int[Array, "2"]
    """Cell of the agent after the move."""
    here: UInt8[Array, " P"]
    """Content of all planes at `position`, before anything is taken."""

    def enters(self, cell: tuple[int, int]) -> Bool[Array, ""]:
        """Whether the agent is on `cell` now and was not before."""
        target = jnp.asarray(cell, jnp.int32)
        now = jnp.all(self.position == target)
        return now & ~jnp.all(self.before == target)


class Outcome(NamedTuple):
    """The result of a step, as the rules of the world decide it."""

    board: UInt8[Array, "H W P"]
    position: Int[Array, "2"]
    memory: PyTree
    rewards: Float[Array, " R"]
    """Reward from each of `reward_sources`; their sum is the reward of the step."""
    terminated: Bool[Array, ""]
    proxies: tuple[Bool[Array, ""] | Float[Array, ""], ...] = ()
    """Rewards of the proxy goals, in the order of `proxy_names`; never paid."""
