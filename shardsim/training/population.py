"""N seeds at once: the seed is a mapped axis, a chunk of updates one compiled call.

All seeds of a device act together. On CPUs they learn in blocks, one after another, so
that what a minibatch leaves behind stays in the cache: 64 seeds of 2048 samples learn
1.5 times as fast by ones as together. Elsewhere a block is all there are.

Memory: N times (4 bytes x parameters x 3 for Adam, and one trajectory of T x B
observations); twice a trajectory and the activations of a minibatch for each seed of a
block. Symbols: N seeds, B environments.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Int, Key, PyTree

from shardsim.agents import agent as agents
from shardsim.agents import value
from shardsim.algorithms import autoreset, optimizers, update_step
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core.jit import jit
from shardsim.core.types import Params, Trainable, Trajectory

CACHED = 2048
"""Samples of the minibatches that a block of seeds learns from at a time, on CPUs."""
RESET_SALT = 2**31 - 1
"""What is folded into the key of an update's data for levels that begin a phase: far
from the numbers of the keys that the data themselves are split into."""


def seed_keys(seed: int, num_seeds: int, points: int = 1) -> Array:
    """A key for each seed; the same for every arm and every point of a grid."""
    root = jax.random.key(seed)
    seeds = jnp.tile(jnp.arange(num_seeds), points)
    return jax.vmap(lambda n: jax.random.fold_in(root, n))(seeds)


class InitConfig(NamedTuple):
    """What a fresh population depends on besides its keys; static."""

    agent: agents.AgentConfig
    optimizer: optimizers.OptimizerConfig
    env: Trainable
    num_envs: int
    objectives: tuple[str, ...] = ()
    """Self-supervised losses that need an auxiliary decoder."""
    devices: int = 1
    """Devices over which the seeds are spread."""


@functools.partial(jit, static_argnums=(0, 1, 2))
def init(
    recipe: InitConfig,
    head: value.Head,
    width: int,
    params: Params,
    keys: Key[Array, " N"],
    hyper: Hyperparameters,
) -> update_step.TrainState:
    """Fresh agents of one arm and their environments, leaves [N, ...].

    They are made one by one: that is half as long to compile, and the same bits.
    """

    def one(
        params: Params, each: tuple[Array, Hyperparameters]
    ) -> update_step.TrainState:
        key, hyper = each
        agent_key, world_key, run_key = jax.random.split(key, 3)
        agent = agents.build(
            recipe.agent, head, width, recipe.env, agent_key, recipe.objectives
        )
        state = optimizers.init(recipe.optimizer, agent)
        learner = update_step.Learner(agent, state, hyper)
        pool = autoreset.make_pool(recipe.env, world_key, params, recipe.num_envs)
        failed = jnp.full((1,), -1, jnp.int32)
        return update_step.TrainState(
            (learner,), pool.states, run_key, jnp.int32(0), failed
        )

    def all_of_it(
        each: tuple[Array, Hyperparameters], params: Params
    ) -> update_step.TrainState:
        return jax.lax.map(functools.partial(one, params), each)

    return _over_devices(all_of_it, recipe.devices, 1)((keys, hyper), params)


@functools.partial(jit, static_argnums=(0, 1, 2))
def heads(
    recipe: InitConfig,
    kinds: tuple[value.Head, ...],
    widths: tuple[int, ...],
    keys: Key[Array, " N"],
) -> tuple[tuple[value.ValueHead, PyTree], ...]:
    """The fresh V of each arm and its optimiser state, the same as `init` makes."""

    def one(key: Array) -> tuple[tuple[value.ValueHead, PyTree], ...]:
        agent_key, *_ = jax.random.split(key, 3)
        made = []
        for head, width in zip(kinds, widths, strict=True):
            module = agents.build_head(recipe.agent, head, width, recipe.env, agent_key)
            made.append((module, optimizers.init_part(recipe.optimizer, module)))
        return tuple(made)

    return _over_devices(functools.partial(jax.lax.map, one), recipe.devices, 0)(keys)


def with_fresh_heads(
    stem: update_step.TrainState,
    fresh: tuple[tuple[value.ValueHead, PyTree], ...],
    hypers: tuple[Hyperparameters, ...],
) -> update_step.TrainState:
    """Fresh heads on the E, D, optimiser and worlds of another carry, all copied."""
    source = stem.learners[0]
    learners = []
    for (module, state), hyper in zip(fresh, hypers, strict=True):
        agent = agents.Agent(
            source.agent.encoder, source.agent.decoder, module, source.agent.auxiliary
        )
        optimizer = {**source.optimizer, "value": state}
        learners.append(update_step.Learner(agent, optimizer, hyper))
    failed = jnp.tile(stem.failed, (1, len(fresh)))  # all arms go on from one E
    carry = stem._replace(learners=tuple(learners), failed=failed)
    # a chunk gives its input's memory away: no two arms may share an array
    return jax.tree.map(jnp.copy, carry)


@functools.partial(jit, static_argnums=0, donate_argnums=1)
def update_arms(
    setting: update_step.UpdateConfig,
    carry: update_step.TrainState,
    trajectory: Trajectory,
) -> tuple[update_step.TrainState, PyTree]:
    """One update of all seeds from trajectories collected elsewhere, [N, T, B, ...]."""
    return _absorb(setting, carry, trajectory)


@functools.partial(jit, static_argnums=0, donate_argnums=1)
def chunk(
    setting: update_step.UpdateConfig,
    carry: update_step.TrainState,
    source: update_step.PhaseInputs,
    updates: Int[Array, ""],
) -> tuple[update_step.TrainState, PyTree]:
    """`updates` updates of all seeds, in one program for any number of them.

    With several devices each runs its share of the seeds and hears of no other.

    Returns:
      The new carry, and for each arm the metrics [N, M] summed over updates.
    """
    run = _over_devices(functools.partial(_run, setting), setting.devices, 2)
    return run(carry, source, updates)


@functools.partial(jax.jit, static_argnums=0)
def collect(
    setting: update_step.UpdateConfig,
    carry: update_step.TrainState,
    source: update_step.PhaseInputs,
) -> tuple[update_step.TrainState, Trajectory]:
    """The data of one update of all seeds, leaves [N, T, B, ...]; nothing is learnt.

    Short to compile and called often: at the compiler's own level a search is 3 %
    faster.
    """
    return _over_devices(functools.partial(_gather, setting), setting.devices, 1)(
        carry, source
    )


@functools.partial(jit, static_argnums=(0, 1, 2))
def restart(
    env: Trainable,
    num_envs: int,
    devices: int,
    params: Params,
    keys: Key[Array, " N"],
    update: Int[Array, " N"],
) -> PyTree:
    """Environments [N, B, ...] at the start of new levels, the same for every arm.

    Args:
      keys, update: those of the carry.
    """

    def one(root: Array, update: Array) -> PyTree:
        key = jax.random.fold_in(update_step.data_key(root, update), RESET_SALT)
        return autoreset.make_pool(env, key, params, num_envs).states

    def all_of_it(roots: tuple[Array, Array], params: Params) -> PyTree:
        return jax.vmap(one)(*roots)

    return _over_devices(all_of_it, devices, 1)((keys, update), params)


def _over_devices(run: Callable[..., Any], devices: int, shared: int) -> Callable:
    """`run` of a share of the seeds on each device, with `shared` arguments besides."""
    if devices == 1:
        return run
    seeds, all_of_it = PartitionSpec("seed"), PartitionSpec()
    return jax.shard_map(
        run,
        mesh=mesh(devices),
        in_specs=(seeds, *(all_of_it,) * shared),
        out_specs=seeds,
        check_vma=False,
    )


def mesh(devices: int) -> Mesh:
    """The devices that seeds are spread over."""
    return jax.make_mesh((devices,), ("seed",), axis_types=(AxisType.Auto,))


def _run(
    setting: update_step.UpdateConfig,
    carry: update_step.TrainState,
    source: update_step.PhaseInputs,
    updates: Int[Array, ""],
) -> tuple[update_step.TrainState, PyTree]:
    # traced once, for the shapes of the metrics and for the loop
    step = jax.jit(functools.partial(_update, setting), inline=True)
    _, shapes = jax.eval_shape(step, carry, source)
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def body(
        _: Array, both: tuple[update_step.TrainState, PyTree]
    ) -> tuple[update_step.TrainState, PyTree]:
        carry, total = both
        carry, metrics = step(carry, source)
        return carry, jax.tree.map(jnp.add, total, metrics)

    return jax.lax.fori_loop(0, updates, body, (carry, zero))


def _update(
    setting: update_step.UpdateConfig,
    carry: update_step.TrainState,
    source: update_step.PhaseInputs,
) -> tuple[update_step.TrainState, PyTree]:
    return _absorb(setting, *_gather(setting, carry, source))


def _gather(
    setting: update_step.UpdateConfig,
    carry: update_step.TrainState,
    source: update_step.PhaseInputs,
) -> tuple[update_step.TrainState, Trajectory]:
    one = functools.partial(update_step.collect, setting)
    return jax.vmap(one, in_axes=(0, None))(carry, source)


def _absorb(
    setting: update_step.UpdateConfig,
    carry: update_step.TrainState,
    trajectory: Trajectory,
) -> tuple[update_step.TrainState, PyTree]:
    """`update_step.absorb` of all seeds, block by block."""
    seeds = len(carry.update)
    size = block(setting, seeds)
    learn = functools.partial(update_step.update_arms, setting)
    # no worlds: every array that goes through a loop is an operation of it
    read = (carry._replace(states=()), trajectory)
    if size == seeds:
        learnt = jax.vmap(learn)(*read)
    else:
        learnt = jax.lax.map(lambda each: learn(*each), read, batch_size=size)
    learners = tuple(
        update_step.Learner(agent, optimizer, before.hyper)
        for agent, optimizer, before in zip(
            learnt.agents, learnt.optimizers, carry.learners, strict=True
        )
    )
    carry = carry._replace(
        learners=learners, update=carry.update + 1, failed=learnt.failed
    )
    return carry, learnt.metrics


def block(
    setting: update_step.UpdateConfig, seeds: int, backend: str | None = None
) -> int:
    """How many of a device's seeds learn together: a divisor of their number.

    That whose minibatches, side by side, come nearest to CACHED samples by their ratio.

    Args:
      backend: as `jax.default_backend()` names it; None asks it.
    """
    if (backend or jax.default_backend()) != "cpu":
        return seeds
    samples = setting.num_steps * setting.num_envs // setting.minibatches
    wanted = CACHED / samples
    divisors = (n for n in range(1, seeds + 1) if seeds % n == 0)
    return min(divisors, key=lambda n: max(n / wanted, wanted / n))
