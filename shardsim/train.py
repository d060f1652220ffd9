"""One update of every arm: collect, find targets, descend. The only training loop.

All functions are for one seed; `population` maps them. Symbols: T steps, B
environments, n = T * B samples, K parts.
"""

import typing
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from shardsim import acting, autoreset, losses, optimize, returns, rollout, value
from shardsim.agent import PARTS, Agent
from shardsim.types import Environment, Params, State, Trainable, Trajectory


class Setting(NamedTuple):
    """What is fixed while a phase runs; static, so one program each."""

    env: Trainable
    heads: tuple[value.Head, ...]
    """Head of each arm that is trained together."""
    acting: acting.Acting
    walker: rollout.Walker
    optimizer: optimize.OptimizerConfig
    table: losses.LossTable
    data: str
    num_envs: int
    num_steps: int
    epochs: int
    minibatches: int
    pool_size: int
    discount: float
    lambda_: float


class Learner(NamedTuple):
    """What learns in one arm."""

    agent: Agent
    optimizer: dict[str, PyTree]


class Carry(NamedTuple):
    """All that changes, for one seed."""

    learners: tuple[Learner, ...]
    """One for each arm; the first one acts."""
    states: State
    """Environments, leaves [B, ...]."""
    key: Key[Array, ""]
    """Root of the seed; every update folds its number in."""
    update: Int[Array, ""]
    failed: Int[Array, " arms"]
    """The update at which a loss was first not finite, or -1."""


def update(setting: Setting, carry: Carry, params: Params) -> tuple[Carry, PyTree]:
    """Collect T x B steps and let every arm learn from them.

    An arm whose loss is not finite keeps what it had before.

    Returns:
      The new carry, and metrics of this update: scalars, `rewards [R]`.
    """
    actor = carry.learners[0].agent
    key = data_key(carry.key, carry.update)
    trajectory, states = _collect(setting, actor, carry.states, key, params)
    return absorb(setting, carry._replace(states=states), trajectory)


def absorb(
    setting: Setting, carry: Carry, trajectory: Trajectory
) -> tuple[Carry, PyTree]:
    """Let every arm learn from T x B steps, wherever they come from; see `update`."""
    _, order_key = _keys(carry.key, carry.update)
    learners, metrics, failed = [], [], []
    for index, (head, learner) in enumerate(
        zip(setting.heads, carry.learners, strict=True)
    ):
        new, measured = learn(setting, head, learner, trajectory, order_key)
        fine = jnp.isfinite(measured["loss"])
        learners.append(
            jax.tree.map(lambda a, b, ok=fine: jnp.where(ok, a, b), new, learner)
        )
        first = (carry.failed[index] < 0) & ~fine
        failed.append(jnp.where(first, carry.update, carry.failed[index]))
        metrics.append(measured)
    shared = _episodes(trajectory)
    carry = Carry(
        tuple(learners),
        carry.states,
        carry.key,
        carry.update + 1,
        jnp.stack(failed),
    )
    return carry, tuple({**shared, **measured} for measured in metrics)


def data_key(root: Key[Array, ""], update: Int[Array, ""]) -> Key[Array, ""]:
    """The key with which the data of an update are collected."""
    return _keys(root, update)[0]


def _keys(root: Key[Array, ""], update: Int[Array, ""]) -> tuple[Array, Array]:
    data, order = jax.random.split(jax.random.fold_in(root, update))
    return data, order


def _collect(
    setting: Setting,
    actor: Agent,
    states: State,
    key: Key[Array, ""],
    params: Params,
) -> tuple[Trajectory, State]:
    env = setting.env
    pool_key, goal_key, act_key = jax.random.split(key, 3)
    pool = autoreset.fill(env, pool_key, params, setting.pool_size)
    if setting.data == "walker":
        board = typing.cast(Environment, env)  # a walker walks on boards only
        policy = rollout.walker_policy(board)
        plan: Any = rollout.walker_plan(setting.walker, board, states, goal_key)
    else:
        policy = rollout.agent_policy(
            setting.acting, actor, env, params, setting.discount
        )
        plan = None
    return rollout.collect(
        env, params, policy, plan, states, act_key, setting.num_steps, pool
    )


def targets(
    setting: Setting, agent: Agent, trajectory: Trajectory
) -> Float[Array, "T B"]:
    """The lambda-return of every step, bootstrapped from the agent's own V."""
    over_all = jax.vmap(jax.vmap(lambda seen: agent.encoder(seen)))
    features = over_all(trajectory.next_observation)
    output = jax.vmap(jax.vmap(agent.value))(features, trajectory.next_context)
    back = jax.vmap(
        returns.lambda_returns, in_axes=(1, 1, 1, 1, None, None), out_axes=1
    )
    return back(
        trajectory.reward,
        output.value,
        trajectory.terminated,
        trajectory.truncated,
        setting.discount,
        setting.lambda_,
    )


def learn(
    setting: Setting,
    head: value.Head,
    learner: Learner,
    trajectory: Trajectory,
    key: Key[Array, ""],
) -> tuple[Learner, dict[str, Array]]:
    """Epochs of minibatches over one trajectory, columns of environments shuffled."""
    learns_value = setting.table.value.any
    target = (
        targets(setting, learner.agent, trajectory)
        if learns_value
        else jnp.zeros_like(trajectory.reward)
    )
    moved = frozenset(
        part
        for part in PARTS
        if any(getattr(row, part) > 0 for row in _rows(setting.table))
    )

    def minibatch(learner: Learner, part: PyTree) -> tuple[Learner, dict[str, Array]]:
        batch, wanted = jax.tree.map(
            lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), part
        )
        slope = jax.grad(loss, argnums=2, has_aux=True)
        gradients, metrics = slope(setting.table, head, learner.agent, batch, wanted)
        metrics["gradient_norm"] = optimize.global_norm(gradients)
        agent, state = optimize.apply(
            setting.optimizer, learner.agent, gradients, learner.optimizer, moved
        )
        return Learner(agent, state), metrics

    def epoch(learner: Learner, key: Array) -> tuple[Learner, dict[str, Array]]:
        if setting.minibatches == 1:  # one batch has no order
            return minibatch(learner, (trajectory, target))
        order = jax.random.permutation(key, setting.num_envs)
        columns = order.reshape(setting.minibatches, -1)
        return jax.lax.scan(
            lambda learner, chosen: minibatch(
                learner, jax.tree.map(lambda x: x[:, chosen], (trajectory, target))
            ),
            learner,
            columns,
        )

    learner, metrics = jax.lax.scan(
        epoch, learner, jax.random.split(key, setting.epochs)
    )
    return learner, jax.tree.map(jnp.mean, metrics)


def loss(
    table: losses.LossTable,
    head: value.Head,
    agent: Agent,
    batch: Trajectory,
    target: Float[Array, " n"],
) -> tuple[Float[Array, ""], dict[str, Array]]:
    """The sum of all losses, each scaled on its way into each part by the table.

    The gradient that loss L sends into part p is table[L][p] dL/dp, exactly.
    """
    features = jax.vmap(agent.encoder)(batch.observation)
    total = jnp.zeros(())
    metrics = {}
    if table.action.any:
        decoder = _scaled(agent.decoder, table.action.decoder)
        logits = jax.vmap(decoder)(_scaled(features, table.action.encoder))
        term = jnp.mean(jax.vmap(losses.action_loss)(logits, batch.action))
        total, metrics["action_loss"] = total + term, term
    if table.observation.any:
        auxiliary = _scaled(agent.auxiliary, table.observation.auxiliary)
        seen = _scaled(features, table.observation.encoder)
        logits = jax.vmap(auxiliary)(seen, batch.action)
        term = jnp.mean(
            jax.vmap(losses.observation_loss)(logits, batch.next_observation)
        )
        total, metrics["observation_loss"] = total + term, term
    if table.value.any:
        critic = _scaled(agent.value, table.value.value)
        output = jax.vmap(critic)(_scaled(features, table.value.encoder), batch.context)
        each = jax.vmap(lambda out, g: losses.value_loss(out, g, head))(output, target)
        term = jnp.mean(each)
        cost = losses.balance_cost(output.gates, head)
        total = total + term + cost
        metrics["value_loss"] = term
        metrics["gate_entropy"] = jnp.mean(_entropy(output.gates))
    metrics["loss"] = total
    return total, metrics


def _scaled(tree: PyTree, weight: float) -> PyTree:
    if weight == 1.0:
        return tree
    if weight == 0.0:
        return jax.tree.map(jax.lax.stop_gradient, tree)
    return jax.tree.map(
        lambda leaf: losses.scale_gradient(leaf, jnp.asarray(weight)), tree
    )


def _rows(table: losses.LossTable) -> tuple[losses.Moves, ...]:
    return table.action, table.observation, table.value


def _entropy(gates: Float[Array, "n K"]) -> Float[Array, " n"]:
    """Entropy of the normalised gates over log K, in [0, 1]; 0 for one part."""
    share = gates / jnp.maximum(gates.sum(axis=-1, keepdims=True), 1e-12)
    nats = -jnp.sum(share * jnp.log(jnp.maximum(share, 1e-12)), axis=-1)
    return nats / jnp.log(max(gates.shape[-1], 2))


def _episodes(trajectory: Trajectory) -> dict[str, Array]:
    """Sums over the trajectory; means would hide how many episodes they rest on."""
    ended = trajectory.terminated | trajectory.truncated
    return {
        "reward": trajectory.reward.sum(),
        "episodes": ended.sum().astype(jnp.float32),
        "truncated": trajectory.truncated.sum().astype(jnp.float32),
        "rewards": trajectory.rewards.sum(axis=(0, 1)),
    }
