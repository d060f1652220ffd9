"""A pool of ready starts: what an episode's end is followed by.

A reset under vmap is computed for every environment at every step and thrown away
almost always. A pool is filled once for many steps; a reset is then a look-up.
Symbols: Q starts in the pool.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from shardsim.types import Params, State, TimeStep, Trainable


class Pool(NamedTuple):
    """Ready starts; memory is Q times one state."""

    states: PyTree
    """States with a leading axis Q."""

    @property
    def size(self) -> int:
        """Q."""
        leaves: list[Array] = jax.tree.leaves(self.states)
        return leaves[0].shape[0]


def fill(env: Trainable, key: Key[Array, ""], params: Params, size: int) -> Pool:
    """Q fresh levels, each at its start."""
    keys = jax.random.split(key, size)
    return Pool(jax.vmap(lambda k: env.reset(k, params)[1])(keys))


def step(
    env: Trainable,
    pool: Pool,
    start: Int[Array, ""],
    key: Key[Array, ""],
    state: State,
    action: Int[Array, ""],
    params: Params,
) -> tuple[TimeStep, State]:
    """Step the world; where the episode ended, go on from a start of the pool.

    Args:
      start: which start would be next, in [0, Q). It is drawn by the caller, for all
        steps at once.

    Returns:
      What the world said, before any reset, and the state to go on from.
    """
    out = env.step(key, state, action, params)
    ended = out.terminated | out.truncated
    fresh = jax.tree.map(lambda leaf: leaf[start], pool.states)
    going_on = jax.tree.map(lambda a, b: jnp.where(ended, a, b), fresh, out.state)
    return out, going_on
