"""One update of every arm: collect data, compute targets, take gradient steps.

All functions are for one seed; `training.population` maps them over seeds.
Symbols: T steps, B environments, n = T * B samples.
"""

import functools
import typing
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from shardsim import algorithms
from shardsim.agents import action_selection, value
from shardsim.agents import agent as agents
from shardsim.agents.agent import PARTS, Agent
from shardsim.algorithms import (
    Targets,
    autoreset,
    losses,
    metrics,
    objective,
    optimizers,
    rollout,
    targets,
)
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core import sparse
from shardsim.core.types import Environment, Params, State, Trainable, Trajectory


class UpdateConfig(NamedTuple):
    """What is fixed during a phase. Static: one compiled program for each."""

    env: Trainable
    heads: tuple[value.HeadConfig, ...]
    """Value head of each arm in the group."""
    action_selection: action_selection.ActionSelection
    algorithm: algorithms.Algorithm
    random_walker: rollout.RandomWalker
    optimizer: optimizers.OptimizerConfig
    losses: losses.LossWeights
    collect: Literal["random_walker", "agent", "dataset"]
    num_envs: int
    num_steps: int
    epochs: int
    minibatches: int
    num_reset_states: int
    discount: float
    total_updates: int
    """Updates that the schedule of the learning rate is over."""
    mask_fraction: float
    precision: Literal["float32", "bfloat16"]
    devices: int = 1
    """Devices that the seeds are spread over."""
    first_update: int = 0
    """The first of these updates, counted from the start of the run."""
    balanced: bool = False
    """Whether uneven use of the shards adds to the loss in some seed."""


class Learner(NamedTuple):
    """The trained part of one arm."""

    agent: Agent
    optimizer: dict[str, PyTree]
    """Optimizer state by part of the agent."""
    hyper: Hyperparameters


class TrainState(NamedTuple):
    """Everything that training changes, for one seed. A population: leaves [N, ...]."""

    learners: tuple[Learner, ...]
    """One for each arm of the group; the first one acts."""
    states: State
    """Environment states, leaves [B, ...]."""
    key: Key[Array, ""]
    """Root key of the seed; the key of an update is folded from it and its number."""
    update: Int[Array, ""]
    """Number of updates so far."""
    failed: Int[Array, " arms"]
    """The first update with a loss or gradient that was not finite; -1 if there is
    none."""


class PhaseInputs(NamedTuple):
    """What the data of a phase come from; the same for all seeds, but for histories."""

    params: Params
    """Parameters of the environment."""
    dataset: Trajectory | None = None
    """Trajectories of the dataset file, for phases that learn from it."""


def collect(
    config: UpdateConfig, state: TrainState, inputs: PhaseInputs
) -> tuple[TrainState, Trajectory]:
    """Collect the T x B steps of an update.

    Returns:
      The state with the environments after these steps, and the trajectory.
    """
    key = data_key(state.key, state.update)
    if config.collect == "dataset":
        # `schedule.load_dataset` has loaded it
        dataset = typing.cast(Trajectory, inputs.dataset)
        return state, rollout.draw(dataset, config.num_steps, config.num_envs, key)
    trajectory, states = collect_rollout(
        config, state.learners[0], state.states, key, inputs
    )
    return state._replace(states=states), trajectory


class UpdateResult(NamedTuple):
    """The arms after an update, for one seed; one entry for each arm."""

    agents: tuple[Agent, ...]
    optimizers: tuple[dict[str, PyTree], ...]
    """Optimizer state by part of the agent."""
    failed: Int[Array, " arms"]
    """As in `TrainState`."""
    metrics: tuple[metrics.Metrics, ...]
    """Metrics of this update."""


def update_arms(
    config: UpdateConfig, state: TrainState, trajectory: Trajectory
) -> UpdateResult:
    """Train every arm on the same T x B steps, wherever they come from.

    An arm whose loss or gradient is not finite keeps its parameters from before the
    update, for the rest of the run. If that arm acts for others, they keep theirs from
    the next update on. The environment states are not read.
    """
    _, order_key = _keys(state.key, state.update)
    episode_metrics = _episode_sums(trajectory)
    results, arm_metrics, failed = [], [], []
    for index, (head, learner) in enumerate(
        zip(config.heads, state.learners, strict=True)
    ):
        new, measured = update_arm(
            config, head, learner, trajectory, state.update, order_key
        )
        was_finite = state.failed[index] < 0
        is_finite = was_finite & jnp.isfinite(
            measured["loss"] + measured["gradient_norm"]
        )
        pair = (new.agent, new.optimizer), (learner.agent, learner.optimizer)
        results.append(
            jax.tree.map(lambda a, b, ok=is_finite: jnp.where(ok, a, b), *pair)
        )
        failed.append(
            jnp.where(was_finite & ~is_finite, state.update, state.failed[index])
        )
        arm_metrics.append(metrics.pack({**episode_metrics, **measured}))
    if config.collect == "agent" and len(failed) > 1:
        actor = failed[0]
        failed = [jnp.where((f < 0) & (actor >= 0), actor, f) for f in failed]
    trained, optimizer_states = zip(*results, strict=True)
    return UpdateResult(
        trained, optimizer_states, jnp.stack(failed), tuple(arm_metrics)
    )


def data_key(root: Key[Array, ""], update: Int[Array, ""]) -> Key[Array, ""]:
    """The key that the data of an update are collected with.

    Args:
      root: root key of the seed.
      update: number of the update, from 0.
    """
    return _keys(root, update)[0]


def _keys(root: Key[Array, ""], update: Int[Array, ""]) -> tuple[Array, Array]:
    data, order = jax.random.split(jax.random.fold_in(root, update))
    return data, order


def collect_rollout(
    config: UpdateConfig,
    actor: Learner,
    states: State,
    key: Key[Array, ""],
    inputs: PhaseInputs,
) -> tuple[Trajectory, State]:
    """T x B steps of the random walker or the agent, whichever acts in this phase.

    Returns:
      The trajectory, leaves [T, B, ...], and the environment states after it.
    """
    env, params = config.env, inputs.params
    pool_key, goal_key, rollout_key = jax.random.split(key, 3)
    pool = autoreset.make_pool(env, pool_key, params, config.num_reset_states)
    if config.collect == "random_walker":
        # a config with a random walker has an environment with a board
        board_env = typing.cast(Environment, sparse.board_view(env))
        policy = rollout.walker_policy(board_env)
        plan: Any = rollout.walker_plan(
            config.random_walker, board_env, states, goal_key
        )
    else:
        policy = rollout.agent_policy(
            config.action_selection,
            agents.in_training(actor.agent, config.precision, sparse.patterns_of(env)),
            env,
            params,
            config.discount,
            actor.hyper.temperature,
        )
        plan = None
    return rollout.collect(
        env, params, policy, plan, states, rollout_key, config.num_steps, pool
    )


def update_arm(
    config: UpdateConfig,
    head: value.HeadConfig,
    learner: Learner,
    trajectory: Trajectory,
    update: Int[Array, ""],
    key: Key[Array, ""],
) -> tuple[Learner, dict[str, Array]]:
    """Train one arm on one trajectory, for some epochs of minibatches.

    A minibatch is a random subset of the T steps, drawn again in each epoch, of all B
    environments. So whole rows are contiguous in memory, and minibatches mix steps even
    if there are few environments.

    Args:
      head: config of the arm's value head.
      learner: the arm before the update.
      trajectory: leaves [T, B, ...].
      update: number of the update, from 0.
      key: for the order of the steps, the labels and the hidden cells.

    Returns:
      The arm after the update, and metrics by name, means over all gradient steps.
    """
    hyper = learner.hyper
    terms = _terms(config, head)
    step_targets = targets.compute_targets(
        _required_targets(terms),
        agents.in_training(
            learner.agent, config.precision, sparse.patterns_of(config.env)
        ),
        trajectory,
        config.discount,
        hyper,
        jax.random.fold_in(key, config.epochs),
    )
    learning_rate = optimizers.rate(
        config.optimizer,
        hyper.learning_rate,
        update - config.first_update if config.first_update else update,
        config.total_updates,
    )
    minibatch = functools.partial(_minibatch, config, terms, learning_rate)

    def epoch(learner: Learner, key: Array) -> tuple[Learner, metrics.Metrics]:
        samples = (trajectory, step_targets)
        if config.minibatches == 1:  # the order of the steps does not matter
            return minibatch(learner, samples, key)
        order = jax.random.permutation(key, config.num_steps)
        rows = order.reshape(config.minibatches, -1)
        keys = jax.random.split(jax.random.fold_in(key, 0), config.minibatches)
        return jax.lax.scan(
            lambda learner, inputs: minibatch(
                learner, jax.tree.map(lambda x: x[inputs[0]], samples), inputs[1]
            ),
            learner,
            (rows, keys),
        )

    learner, measured = jax.lax.scan(
        epoch, learner, jax.random.split(key, config.epochs)
    )
    return learner, metrics.means(measured)


def _minibatch(
    config: UpdateConfig,
    terms: objective.Terms,
    learning_rate: Float[Array, ""],
    learner: Learner,
    samples: tuple[Trajectory, Targets],
    key: Key[Array, ""],
) -> tuple[Learner, metrics.Metrics]:
    """One gradient step on some of the T steps; leaves of `samples` [T', B, ...]."""
    batch, batch_targets = jax.tree.map(
        lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), samples
    )
    gradient = jax.grad(objective.loss, argnums=2, has_aux=True)
    agent_gradient, measured = gradient(
        terms, learner.hyper, learner.agent, batch, batch_targets, key
    )
    gradients = optimizers.by_part(agent_gradient)
    measured["gradient_norm"] = optimizers.global_norm(gradients)
    rows = config.losses.rows
    trained = frozenset(p for p in PARTS if any(getattr(row, p) > 0 for row in rows))
    agent, optimizer_state = optimizers.apply(
        config.optimizer,
        learner.agent,
        gradients,
        learner.optimizer,
        trained,
        learning_rate,
    )
    return Learner(agent, optimizer_state, learner.hyper), metrics.pack(measured)


def _terms(config: UpdateConfig, head: value.HeadConfig) -> objective.Terms:
    return objective.Terms(
        config.losses,
        config.algorithm,
        head,
        config.balanced and isinstance(head, value.Balanced),
        config.mask_fraction,
        config.precision,
        sparse.patterns_of(config.env),
    )


def _required_targets(terms: objective.Terms) -> targets.RequiredTargets:
    """Which targets the losses in use read."""
    weights, head = terms.weights, terms.head
    uses_advantage = isinstance(terms.algorithm, algorithms.PPO | algorithms.Reinforce)
    return targets.RequiredTargets(
        target=weights.value.any or (weights.policy.any and uses_advantage),
        value=uses_advantage and (weights.value.any or weights.policy.any),
        labels=value.labels(head),
    )


def _episode_sums(trajectory: Trajectory) -> dict[str, Array]:
    """Sums over the trajectory; means would hide the number of episodes behind them."""
    done = trajectory.terminated | trajectory.truncated
    return {
        "reward": trajectory.reward.sum(),
        "episodes": done.sum().astype(jnp.float32),
        "truncated": trajectory.truncated.sum().astype(jnp.float32),
        "rewards": trajectory.rewards.sum(axis=(0, 1)),
    }
