"""One update of every arm: gather, find targets, descend. The only training loop.

All functions are for one seed; `population` maps them. Symbols: T steps, B
environments, n = T * B samples, K parts.
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
    rollout,
    targets,
)
from shardsim.algorithms import (
    optimizers as optimize,
)
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core.types import Environment, Params, State, Trainable, Trajectory


class UpdateConfig(NamedTuple):
    """What is fixed while a phase runs; static, so one program each."""

    env: Trainable
    heads: tuple[value.Head, ...]
    """Head of each arm that is trained together."""
    action_selection: action_selection.ActionSelection
    algorithm: algorithms.Algorithm
    random_walker: rollout.RandomWalker
    optimizer: optimize.OptimizerConfig
    losses: losses.LossWeights
    collect: Literal["random_walker", "agent", "dataset"]
    num_envs: int
    num_steps: int
    epochs: int
    minibatches: int
    num_reset_states: int
    discount: float
    total_updates: int
    """Of the run: what the learning rate's schedule goes by."""
    mask_fraction: float
    precision: Literal["float32", "bfloat16"]
    devices: int = 1
    """Devices over which the seeds are spread."""
    balanced: bool = False
    """Whether uneven gates cost something in some seed."""


class Learner(NamedTuple):
    """What learns in one arm."""

    agent: Agent
    optimizer: dict[str, PyTree]
    hyper: Hyperparameters


class TrainState(NamedTuple):
    """All that changes, for one seed."""

    learners: tuple[Learner, ...]
    """One for each arm; the first one acts."""
    states: State
    """Environments, leaves [B, ...]."""
    key: Key[Array, ""]
    """Root of the seed; every update folds its number in."""
    update: Int[Array, ""]
    failed: Int[Array, " arms"]
    """The update at which a loss or its slope was first not finite, or -1."""


class PhaseInputs(NamedTuple):
    """What a phase draws its data from, the same for all seeds."""

    params: Params
    """Of the world."""
    kept: Trajectory | None = None
    """Stored trajectories, for phases that learn from them."""


def collect(
    setting: UpdateConfig, carry: TrainState, source: PhaseInputs
) -> tuple[TrainState, Trajectory]:
    """The T x B steps of an update, and the worlds as they stand after them."""
    key = data_key(carry.key, carry.update)
    if setting.collect == "dataset":
        kept = typing.cast(Trajectory, source.kept)  # `schedule.kept` loads it
        return carry, rollout.draw(kept, setting.num_steps, setting.num_envs, key)
    trajectory, states = collect_rollout(
        setting, carry.learners[0], carry.states, key, source
    )
    return carry._replace(states=states), trajectory


class UpdateResult(NamedTuple):
    """What an update changes in the arms, for one seed."""

    agents: tuple[Agent, ...]
    optimizers: tuple[dict[str, PyTree], ...]
    failed: Int[Array, " arms"]
    metrics: tuple[metrics.Metrics, ...]
    """Of this update, for each arm."""


def update_arms(
    setting: UpdateConfig, carry: TrainState, trajectory: Trajectory
) -> UpdateResult:
    """Let every arm learn from T x B steps, wherever they come from.

    An arm whose loss or gradient is not finite keeps what it had before, for good; from
    the next update on so do those for which it acts. The carry's worlds are not read.
    """
    _, order_key = _keys(carry.key, carry.update)
    shared = _episodes(trajectory)
    kept, noted, failed = [], [], []
    for index, (head, learner) in enumerate(
        zip(setting.heads, carry.learners, strict=True)
    ):
        new, measured = update_arm(
            setting, head, learner, trajectory, carry.update, order_key
        )
        sound = carry.failed[index] < 0
        fine = sound & jnp.isfinite(measured["loss"] + measured["gradient_norm"])
        both = (new.agent, new.optimizer), (learner.agent, learner.optimizer)
        kept.append(jax.tree.map(lambda a, b, ok=fine: jnp.where(ok, a, b), *both))
        failed.append(jnp.where(sound & ~fine, carry.update, carry.failed[index]))
        noted.append(metrics.pack({**shared, **measured}))
    if setting.collect == "agent" and len(failed) > 1:
        actor = failed[0]
        failed = [jnp.where((f < 0) & (actor >= 0), actor, f) for f in failed]
    trained, optimizers = zip(*kept, strict=True)
    return UpdateResult(trained, optimizers, jnp.stack(failed), tuple(noted))


def data_key(root: Key[Array, ""], update: Int[Array, ""]) -> Key[Array, ""]:
    """The key with which the data of an update are collected."""
    return _keys(root, update)[0]


def _keys(root: Key[Array, ""], update: Int[Array, ""]) -> tuple[Array, Array]:
    data, order = jax.random.split(jax.random.fold_in(root, update))
    return data, order


def collect_rollout(
    setting: UpdateConfig,
    actor: Learner,
    states: State,
    key: Key[Array, ""],
    source: PhaseInputs,
) -> tuple[Trajectory, State]:
    """T x B steps of whoever acts in this phase, and where the worlds stand then."""
    env, params = setting.env, source.params
    pool_key, goal_key, act_key = jax.random.split(key, 3)
    pool = autoreset.make_pool(env, pool_key, params, setting.num_reset_states)
    if setting.collect == "random_walker":
        board = typing.cast(Environment, env)  # a walker walks on boards only
        policy = rollout.walker_policy(board)
        plan: Any = rollout.walker_plan(setting.random_walker, board, states, goal_key)
    else:
        policy = rollout.agent_policy(
            setting.action_selection,
            agents.in_type(actor.agent, setting.precision),
            env,
            params,
            setting.discount,
            actor.hyper.temperature,
        )
        plan = None
    return rollout.collect(
        env, params, policy, plan, states, act_key, setting.num_steps, pool
    )


def update_arm(
    setting: UpdateConfig,
    head: value.Head,
    learner: Learner,
    trajectory: Trajectory,
    update: Int[Array, ""],
    key: Key[Array, ""],
) -> tuple[Learner, dict[str, Array]]:
    """Epochs of minibatches over one trajectory.

    A minibatch is some of the T steps, drawn anew in each epoch, of all B environments:
    whole rows lie together in memory, and even few environments mix.
    """
    hyper = learner.hyper
    terms = _terms(setting, head)
    lesson = targets.compute_targets(
        _wanted(terms),
        agents.in_type(learner.agent, setting.precision),
        trajectory,
        setting.discount,
        hyper,
        jax.random.fold_in(key, setting.epochs),
    )
    step = optimize.rate(
        setting.optimizer, hyper.learning_rate, update, setting.total_updates
    )
    minibatch = functools.partial(_minibatch, setting, terms, step)

    def epoch(learner: Learner, key: Array) -> tuple[Learner, metrics.Metrics]:
        whole = (trajectory, lesson)
        if setting.minibatches == 1:  # one batch has no order
            return minibatch(learner, whole, key)
        order = jax.random.permutation(key, setting.num_steps)
        rows = order.reshape(setting.minibatches, -1)
        keys = jax.random.split(jax.random.fold_in(key, 0), setting.minibatches)
        return jax.lax.scan(
            lambda learner, each: minibatch(
                learner, jax.tree.map(lambda x: x[each[0]], whole), each[1]
            ),
            learner,
            (rows, keys),
        )

    learner, measured = jax.lax.scan(
        epoch, learner, jax.random.split(key, setting.epochs)
    )
    return learner, metrics.means(measured)


def _minibatch(
    setting: UpdateConfig,
    terms: objective.Terms,
    step: Float[Array, ""],
    learner: Learner,
    part: tuple[Trajectory, Targets],
    key: Key[Array, ""],
) -> tuple[Learner, metrics.Metrics]:
    """One gradient step on some of the samples, leaves [T, b, ...]."""
    batch, lesson = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), part)
    slope = jax.grad(objective.loss, argnums=2, has_aux=True)
    by_leaf, measured = slope(terms, learner.hyper, learner.agent, batch, lesson, key)
    gradients = optimize.by_part(by_leaf)
    measured["gradient_norm"] = optimize.global_norm(gradients)
    rows = setting.losses.rows
    moved = frozenset(p for p in PARTS if any(getattr(row, p) > 0 for row in rows))
    agent, state = optimize.apply(
        setting.optimizer, learner.agent, gradients, learner.optimizer, moved, step
    )
    return Learner(agent, state, learner.hyper), metrics.pack(measured)


def _terms(setting: UpdateConfig, head: value.Head) -> objective.Terms:
    return objective.Terms(
        setting.losses,
        setting.algorithm,
        head,
        setting.balanced and isinstance(head, value.Sharded),
        setting.mask_fraction,
        setting.precision,
    )


def _wanted(terms: objective.Terms) -> targets.RequiredTargets:
    """What the losses in use read of a lesson."""
    table, head = terms.table, terms.head
    by_gain = isinstance(terms.learn, algorithms.PPO | algorithms.Reinforce)
    return targets.RequiredTargets(
        target=table.value.any or (table.policy.any and by_gain),
        value=by_gain and (table.value.any or table.policy.any),
        routing=head.routing if isinstance(head, value.Sharded) else None,
    )


def _episodes(trajectory: Trajectory) -> dict[str, Array]:
    """Sums over the trajectory; means would hide how many episodes they rest on."""
    ended = trajectory.terminated | trajectory.truncated
    return {
        "reward": trajectory.reward.sum(),
        "episodes": ended.sum().astype(jnp.float32),
        "truncated": trajectory.truncated.sum().astype(jnp.float32),
        "rewards": trajectory.rewards.sum(axis=(0, 1)),
    }
