"""N seeds at once: the seed is a mapped axis, a chunk of updates one compiled call.

Memory: N times (4 bytes x parameters x 3 for Adam, and one trajectory of T x B
observations twice). Symbols: N seeds, B environments.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from shardsim import agent as agents
from shardsim import autoreset, optimize, train, value
from shardsim.types import Environment, Params


def seed_keys(seed: int, num_seeds: int) -> Array:
    """A key for each seed; the same for every arm."""
    root = jax.random.key(seed)
    return jax.vmap(lambda n: jax.random.fold_in(root, n))(jnp.arange(num_seeds))


def init(
    config: agents.AgentConfig,
    optimizer: optimize.OptimizerConfig,
    heads: tuple[value.Head, ...],
    widths: tuple[int, ...],
    env: Environment,
    params: Params,
    num_envs: int,
    keys: Array,
) -> train.Carry:
    """Fresh agents and environments, leaves [N, ...]."""

    def one(key: Array) -> train.Carry:
        agent_key, world_key, run_key = jax.random.split(key, 3)
        learners = []
        for head, width in zip(heads, widths, strict=True):
            agent = agents.build(config, head, width, env, agent_key)
            learners.append(train.Learner(agent, optimize.init(optimizer, agent)))
        pool = autoreset.fill(env, world_key, params, num_envs)
        failed = jnp.full((len(heads),), -1, jnp.int32)
        return train.Carry(tuple(learners), pool.states, run_key, jnp.int32(0), failed)

    return jax.jit(jax.vmap(one))(keys)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def chunk(
    setting: train.Setting, carry: train.Carry, params: Params, updates: Int[Array, ""]
) -> tuple[train.Carry, PyTree]:
    """`updates` updates of all seeds, in one program for any number of them.

    Returns:
      The new carry, and for each arm the metrics [N, ...] summed over updates.
    """
    step = jax.vmap(functools.partial(train.update, setting), in_axes=(0, None))
    _, shapes = jax.eval_shape(step, carry, params)
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def body(_: Array, both: tuple[train.Carry, PyTree]) -> tuple[train.Carry, PyTree]:
        carry, total = both
        carry, metrics = step(carry, params)
        return carry, jax.tree.map(jnp.add, total, metrics)

    return jax.lax.fori_loop(0, updates, body, (carry, zero))
