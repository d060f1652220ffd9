"""A population of N seeds, trained together: the seed is a mapped axis of the update.

A chunk of updates is one compiled call. On CPUs the seeds of a device train one after
another, each to the end of the chunk, so that its weights and minibatches stay in the
cache. The program that trains a seed is then the same whatever trains beside it, and so
are its bits. On other devices all seeds of a device train together.

Memory: for each seed, 4 bytes x parameters x 3 (with Adam); for each seed that trains
at a time, three trajectories of T x B observations and the activations of a minibatch.
Symbols: N seeds (times the points of a sweep), T steps, B environments.
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
from shardsim.core import backends
from shardsim.core.jit import jit
from shardsim.core.types import Params, Trainable, Trajectory

RESET_SALT = 2**31 - 1
"""Folded into the data key of an update to draw the levels at the start of a phase.

It is far from the numbers of the keys that the data key is split into.
"""
READOUT = 2**31 - 2
"""Folded into the key of a seed to draw the last layer of an untrained head."""


def seed_keys(seed: int, num_seeds: int, points: int = 1, first: int = 0) -> Array:
    """[N] the root key of each seed; the same for every arm and point of a sweep.

    Args:
      seed: root of all keys of training.
      num_seeds: number of seeds at each point.
      points: number of points of the sweep.
      first: number of the first seed.
    """
    root = jax.random.key(seed)
    seeds = jnp.tile(jnp.arange(first, first + num_seeds), points)
    return jax.vmap(lambda n: jax.random.fold_in(root, n))(seeds)


class InitConfig(NamedTuple):
    """What a new population depends on in addition to its keys. Static."""

    agent: agents.AgentConfig
    optimizer: optimizers.OptimizerConfig
    env: Trainable
    num_envs: int
    objectives: tuple[str, ...] = ()
    """Self-supervised losses that need an auxiliary decoder."""
    devices: int = 1
    """Devices that the seeds are spread over."""


@functools.partial(jit, static_argnums=(0, 1, 2))
def init(
    config: InitConfig,
    head: value.HeadConfig,
    width: int,
    params: Params,
    keys: Key[Array, " N"],
    hyper: Hyperparameters,
) -> update_step.TrainState:
    """New agents of one arm and their environments, leaves [N, ...].

    The seeds are initialised one after another, which halves the compile time and gives
    the same bits.

    Args:
      head: config of the arm's value head.
      width: hidden units of the head (of each shard).
      params: parameters of the environment in the first phase.
      keys: root keys of the seeds.
      hyper: hyperparameters, leaves [N].
    """

    def one(
        params: Params, inputs: tuple[Array, Hyperparameters]
    ) -> update_step.TrainState:
        key, hyper = inputs
        agent_key, env_key, run_key = jax.random.split(key, 3)
        agent = agents.build(
            config.agent, head, width, config.env, agent_key, config.objectives
        )
        optimizer_state = optimizers.init(config.optimizer, agent)
        learner = update_step.Learner(agent, optimizer_state, hyper)
        pool = autoreset.make_pool(config.env, env_key, params, config.num_envs)
        failed = jnp.full((1,), -1, jnp.int32)
        return update_step.TrainState(
            (learner,), pool.states, run_key, jnp.int32(0), failed
        )

    def init_all(
        inputs: tuple[Array, Hyperparameters], params: Params
    ) -> update_step.TrainState:
        state: update_step.TrainState
        state = _one_by_one(functools.partial(one, params), inputs)
        return state

    return _over_devices(init_all, config.devices, 1)((keys, hyper), params)


@functools.partial(jit, static_argnums=(0, 1, 2))
def heads(
    config: InitConfig,
    kinds: tuple[value.HeadConfig, ...],
    widths: tuple[int, ...],
    keys: Key[Array, " N"],
) -> tuple[tuple[value.ValueHead, PyTree], ...]:
    """A new V of each arm and its optimizer state, bit for bit those of `init`.

    Args:
      kinds: config of the value head of each arm.
      widths: hidden units of each head (of each shard).
      keys: root keys of the seeds.
    """

    def one(key: Array) -> tuple[tuple[value.ValueHead, PyTree], ...]:
        agent_key, *_ = jax.random.split(key, 3)
        heads = []
        for head, width in zip(kinds, widths, strict=True):
            module = agents.build_head(config.agent, head, width, config.env, agent_key)
            heads.append((module, optimizers.init_part(config.optimizer, module)))
        return tuple(heads)

    return _over_devices(functools.partial(_one_by_one, one), config.devices, 0)(keys)


def with_fresh_heads(
    shared: update_step.TrainState,
    fresh: tuple[tuple[value.ValueHead, PyTree], ...],
    hypers: tuple[Hyperparameters, ...],
) -> update_step.TrainState:
    """The state of a group of arms after the shared phases.

    Every arm gets a copy of the shared E, D, optimizer state and environments, and its
    own new head.

    Args:
      shared: state at the end of the shared phases, of a single arm.
      fresh: head and optimizer state of each arm, as `heads` returns them.
      hypers: hyperparameters of each arm, leaves [N].
    """
    learner = shared.learners[0]
    learners = []
    for (module, head_state), hyper in zip(fresh, hypers, strict=True):
        agent = agents.Agent(
            learner.agent.encoder,
            learner.agent.decoder,
            module,
            learner.agent.auxiliary,
        )
        optimizer = {**learner.optimizer, "value": head_state}
        learners.append(update_step.Learner(agent, optimizer, hyper))
    # a seed whose E diverged in the shared phases has diverged in every arm
    failed = jnp.tile(shared.failed, (1, len(fresh)))
    state = shared._replace(learners=tuple(learners), failed=failed)
    # a chunk donates its input buffers, so no two arms may share an array
    return jax.tree.map(jnp.copy, state)


def with_random_readout(
    state: update_step.TrainState, keys: Key[Array, " N"]
) -> update_step.TrainState:
    """The state of one untrained arm, whose V is a random function of the features.

    Args:
      keys: of the seeds; the last layers are drawn from keys that are folded from them.
    """
    (learner,) = state.learners
    agent = learner.agent
    own = jax.vmap(lambda key: jax.random.fold_in(key, READOUT))(keys)
    head = jax.vmap(value.random_readout)(agent.value, own)
    drawn = agents.Agent(agent.encoder, agent.decoder, head, agent.auxiliary)
    return state._replace(learners=(learner._replace(agent=drawn),))


@functools.partial(jit, static_argnums=0, donate_argnums=1)
def update_arms(
    config: update_step.UpdateConfig,
    state: update_step.TrainState,
    trajectory: Trajectory,
) -> tuple[update_step.TrainState, PyTree]:
    """One update of all seeds on given trajectories, leaves [N, T, B, ...].

    Returns:
      The new state, and for each arm the metrics [N, M].
    """
    return _for_all_seeds(functools.partial(_learn, config), state, trajectory)


@functools.partial(jit, static_argnums=0, donate_argnums=1)
def chunk(
    config: update_step.UpdateConfig,
    state: update_step.TrainState,
    inputs: update_step.PhaseInputs,
    updates: Int[Array, ""],
) -> tuple[update_step.TrainState, PyTree]:
    """Run some updates of all seeds, in one program for any number of updates.

    With several devices, each runs its share of the seeds without communication.

    Args:
      config: what is fixed during the phase.
      state: leaves [N, ...]; its buffers are donated.
      inputs: parameters of the environment, and the dataset.
      updates: number of updates.

    Returns:
      The new state, and for each arm the metrics [N, M] summed over updates.
    """
    run = _over_devices(functools.partial(_run, config), config.devices, 2)
    return run(state, inputs, updates)


@functools.partial(jit, static_argnums=0, donate_argnums=1)
def chunk_each(
    config: update_step.UpdateConfig,
    state: update_step.TrainState,
    inputs: update_step.PhaseInputs,
    updates: Int[Array, ""],
    rows: Int[Array, " devices"],
) -> tuple[update_step.TrainState, PyTree]:
    """Run some updates of rows that each have an environment of their own.

    As `chunk`, for agents whose histories differ. A block that is not full is trained
    by the program of a full one.

    Args:
      config: what is fixed during the phase.
      state: leaves [N, ...]; its buffers are donated.
      inputs: parameters of the environment of each row, leaves [N, ...].
      updates: number of updates.
      rows: of each device, how many of its rows are trained where they train one after
        another; those after them return zeros.

    Returns:
      The new state, and for each arm the metrics [N, M] summed over updates.
    """

    def run(
        state: update_step.TrainState,
        inputs: update_step.PhaseInputs,
        rows: Array,
        updates: Array,
    ) -> tuple[update_step.TrainState, PyTree]:
        def one(
            state: update_step.TrainState, inputs: update_step.PhaseInputs
        ) -> tuple[update_step.TrainState, PyTree]:
            return _updates(config, state, inputs, updates)

        if backends.choices().seeds_together:
            return jax.vmap(one)(state, inputs)
        results: tuple[update_step.TrainState, PyTree] = _one_by_one(
            one, state, inputs, count=rows[0]
        )
        return results

    spread = _over_devices(run, config.devices, 1, by_row=3)
    return spread(state, inputs, rows, updates)


@functools.partial(jit, static_argnums=0, optimize=True)
def collect(
    config: update_step.UpdateConfig,
    state: update_step.TrainState,
    inputs: update_step.PhaseInputs,
) -> tuple[update_step.TrainState, Trajectory]:
    """Collect the data of one update of all seeds, without training.

    It is optimised at the compiler's own level, because it compiles quickly and is
    called often: tree search is 3 % faster so.

    Returns:
      The state with the environments after the data, and the trajectories, leaves
      [N, T, B, ...].
    """

    def collect_all(
        state: update_step.TrainState, inputs: update_step.PhaseInputs
    ) -> tuple[update_step.TrainState, Trajectory]:
        one = functools.partial(update_step.collect, config, inputs=inputs)
        return _for_all_seeds(one, state)

    return _over_devices(collect_all, config.devices, 1)(state, inputs)


@functools.partial(jit, static_argnums=(0, 1))
def restart_each(
    env: Trainable,
    num_envs: int,
    params: Params,
    keys: Key[Array, " N"],
    update: Int[Array, " N"],
) -> PyTree:
    """As `restart`, for rows that each have an environment of their own.

    Args:
      params: parameters of the environment of each row, leaves [N, ...].
      keys: root keys of the seeds, as in `TrainState`.
      update: number of updates so far, as in `TrainState`.
    """
    return jax.vmap(functools.partial(_restart, env, num_envs))(params, keys, update)


def _restart(
    env: Trainable, num_envs: int, params: Params, root: Array, update: Array
) -> PyTree:
    """Environment states [B, ...] of one seed."""
    key = jax.random.fold_in(update_step.data_key(root, update), RESET_SALT)
    return autoreset.make_pool(env, key, params, num_envs).states


@functools.partial(jit, static_argnums=(0, 1, 2))
def restart(
    env: Trainable,
    num_envs: int,
    devices: int,
    params: Params,
    keys: Key[Array, " N"],
    update: Int[Array, " N"],
) -> PyTree:
    """Environment states [N, B, ...] at the start of new levels, for any arm.

    Args:
      params: parameters of the environment.
      keys: root keys of the seeds, as in `TrainState`.
      update: number of updates so far, as in `TrainState`.
    """

    def one(root: Array, update: Array) -> PyTree:
        return _restart(env, num_envs, params, root, update)

    def restart_all(roots: tuple[Array, Array], params: Params) -> PyTree:
        return jax.vmap(one)(*roots)

    return _over_devices(restart_all, devices, 1)((keys, update), params)


def _over_devices(
    run: Callable[..., Any], devices: int, shared: int, by_row: int = 1
) -> Callable:
    """Run a function on each device, for its share of the seeds.

    Args:
      run: its first arguments and its results have leaves [N, ...].
      shared: number of its last arguments, which are the same for all devices.
      by_row: number of its first arguments.
    """
    if devices == 1:
        return run
    seeds, replicated = PartitionSpec("seed"), PartitionSpec()
    return jax.shard_map(
        run,
        mesh=mesh(devices),
        in_specs=(*(seeds,) * by_row, *(replicated,) * shared),
        out_specs=seeds,
        check_vma=False,
    )


def mesh(devices: int) -> Mesh:
    """A mesh of devices with one axis, `seed`."""
    return jax.make_mesh((devices,), ("seed",), axis_types=(AxisType.Auto,))


def _run(
    config: update_step.UpdateConfig,
    state: update_step.TrainState,
    inputs: update_step.PhaseInputs,
    updates: Int[Array, ""],
) -> tuple[update_step.TrainState, PyTree]:
    def one(state: update_step.TrainState) -> tuple[update_step.TrainState, PyTree]:
        return _updates(config, state, inputs, updates)

    return _for_all_seeds(one, state)


def _updates(
    config: update_step.UpdateConfig,
    state: update_step.TrainState,
    inputs: update_step.PhaseInputs,
    updates: Int[Array, ""],
) -> tuple[update_step.TrainState, PyTree]:
    """Some updates of one seed, and its metrics summed over them."""
    # traced once, for the shapes of the metrics and for the loop
    step = jax.jit(functools.partial(_update, config), inline=True)
    _, shapes = jax.eval_shape(step, state, inputs)
    zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

    def body(
        _: Array, loop: tuple[update_step.TrainState, PyTree]
    ) -> tuple[update_step.TrainState, PyTree]:
        state, total = loop
        state, metrics = step(state, inputs)
        return state, jax.tree.map(jnp.add, total, metrics)

    result: tuple[update_step.TrainState, PyTree] = jax.lax.fori_loop(
        0, updates, body, (state, zero)
    )
    return result


def _update(
    config: update_step.UpdateConfig,
    state: update_step.TrainState,
    inputs: update_step.PhaseInputs,
) -> tuple[update_step.TrainState, PyTree]:
    """One update of one seed."""
    return _learn(config, *update_step.collect(config, state, inputs))


def _learn(
    config: update_step.UpdateConfig,
    state: update_step.TrainState,
    trajectory: Trajectory,
) -> tuple[update_step.TrainState, PyTree]:
    """`update_step.update_arms` of one seed, and its new state."""
    result = update_step.update_arms(config, state, trajectory)
    learners = tuple(
        update_step.Learner(agent, optimizer, learner.hyper)
        for agent, optimizer, learner in zip(
            result.agents, result.optimizers, state.learners, strict=True
        )
    )
    state = state._replace(
        learners=learners, update=state.update + 1, failed=result.failed
    )
    return state, result.metrics


def _for_all_seeds(one: Callable[..., PyTree], *args: PyTree) -> PyTree:
    """Apply a function of one seed to all seeds of a device.

    Args:
      args: leaves [N, ...].
    """
    if backends.choices().seeds_together:
        return jax.vmap(one)(*args)
    return _one_by_one(one, *args)


def _one_by_one(
    one: Callable[..., PyTree], *args: PyTree, count: Int[Array, ""] | None = None
) -> PyTree:
    """Apply a function to one seed after another, with bits that no other changes.

    Args:
      args: leaves [N, ...].
      count: how many seeds it is applied to, the others get zeros; None: all.
    """
    seeds: int = jax.tree.leaves(args)[0].shape[0]
    # the compiler must not see that there is one seed: it would leave the loop and the
    # axis out, and add up in another order than for several seeds
    rows = max(seeds, 2)
    steps = jax.lax.optimization_barrier(jnp.int32(seeds) if count is None else count)
    if seeds < rows:
        args = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), args)

    def seed(number: Array) -> PyTree:
        return one(*jax.tree.map(lambda leaf: leaf[number], args))

    shapes = jax.eval_shape(seed, jnp.int32(0))

    def step(number: Array, results: PyTree) -> PyTree:
        return jax.tree.map(
            lambda leaf, new: leaf.at[number].set(new), results, seed(number)
        )

    empty = jax.tree.map(lambda shape: _empty((rows, *shape.shape), shape), shapes)
    results = jax.lax.fori_loop(0, steps, step, empty)
    return jax.tree.map(lambda leaf: leaf[:seeds], results)


def _empty(shape: tuple[int, ...], like: jax.ShapeDtypeStruct) -> Array:
    """An array to be filled, which may hold keys."""
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), shape)
    return jnp.zeros(shape, like.dtype)
