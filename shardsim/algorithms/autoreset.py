"""A pool of ready starts: what an episode's end is followed by.

A reset under vmap is computed for every environment at every step and thrown away
almost always. A pool is filled once for many steps; a reset is then a look-up.
Symbols: Q starts in the pool.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key, PyTree

from shardsim.core.types import Params, State, Trainable


class ResetPool(NamedTuple):
    """Ready starts; memory is Q times one state."""

    states: PyTree
    """States with a leading axis Q."""

    @property
    def size(self) -> int:
        """Q."""
        leaves: list[Array] = jax.tree.leaves(self.states)
        return leaves[0].shape[0]


def make_pool(
    env: Trainable, key: Key[Array, ""], params: Params, size: int
) -> ResetPool:
    """Q fresh levels, each at its start."""
    keys = jax.random.split(key, size)
    return ResetPool(jax.vmap(lambda k: env.reset(k, params)[1])(keys))


def reset_done(
    pool: ResetPool,
    pool_index: Int[Array, " B"],
    states: State,
    done: Bool[Array, " B"],
) -> State:
    """Where B environments go on: from a start of the pool where an episode ended.

    Where none ended, nothing is looked up: a step of all costs a third of what it costs
    with a look-up at every step. Under `jax.vmap` this stays one decision for all.

    Args:
      starts: which start would be next, in [0, Q). Drawn by the caller, for all steps
        at once.
      states: after the step, leaves [B, ...].
    """
    return _onward(pool.states, pool_index, states, done)


@jax.custom_batching.custom_vmap
def _onward(pool: State, starts: Array, states: State, ended: Array) -> State:
    def look_up() -> State:
        def one(fresh: Array, old: Array) -> Array:
            there = ended.reshape(-1, *(1,) * (old.ndim - 1))
            return jnp.where(there, fresh[starts], old)

        return jax.tree.map(one, pool, states)

    return jax.lax.cond(ended.any(), look_up, lambda: states)


@_onward.def_vmap
def _onward_of_many(
    size: int, which: Any, pool: State, starts: Array, states: State, ended: Array
) -> tuple[State, Any]:
    """Of N pools and N batches one pool and one batch are made."""

    def all_mapped(tree: Any, mapped: Any) -> Any:
        return jax.tree.map(
            lambda leaf, there: (
                leaf if there else jnp.broadcast_to(leaf[None], (size, *leaf.shape))
            ),
            tree,
            mapped,
        )

    def merged(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)

    trees = (pool, starts, states, ended)
    pool, starts, states, ended = map(all_mapped, trees, which)
    pool_size = jax.tree.leaves(pool)[0].shape[1]
    first = pool_size * jnp.arange(size, dtype=starts.dtype)
    merged_starts = merged(starts + first[:, None])
    out = _onward(merged(pool), merged_starts, merged(states), merged(ended))
    apart = jax.tree.map(lambda leaf: leaf.reshape(size, -1, *leaf.shape[1:]), out)
    return apart, jax.tree.map(lambda _: True, apart)
