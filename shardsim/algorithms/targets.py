"""Training targets from a trajectory: lambda-returns for V, and labels of experts.

All functions are for one seed. Symbols: T steps, B environments, R reward sources.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from shardsim.agents import value
from shardsim.agents.agent import Agent
from shardsim.algorithms import Targets
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core import returns
from shardsim.core.types import Trajectory

UNKNOWN = -1
"""The label of a step whose expert is unknown."""


class RequiredTargets(NamedTuple):
    """Which targets the losses in use read; the others are not computed. Static."""

    target: bool
    """Whether lambda-returns are read."""
    value: bool
    """Whether V before the update is read."""
    labels: value.Routing | value.Labels | None
    """Which rewards have labels; None: labels are not read."""


def compute_targets(
    required: RequiredTargets,
    agent: Agent,
    trajectory: Trajectory,
    discount: float,
    hyper: Hyperparameters,
    key: Key[Array, ""],
) -> Targets:
    """The training targets of a trajectory, from the agent's V before the update.

    Args:
      trajectory: leaves [T, B, ...].
      discount: gamma in [0, 1).
      hyper: hyperparameters; its `td_lambda` is used.
      key: draws which rewards are labelled.
    """
    target = v = jnp.zeros_like(trajectory.reward)
    label = jnp.full(target.shape, UNKNOWN, jnp.int32)
    if required.target:
        target = value_targets(agent, trajectory, discount, hyper)
    if required.value:
        v = values(agent, trajectory.observation, trajectory.context)
    if required.labels is not None:
        label = labels(required.labels, trajectory, key)
    return Targets(target, v, label)


def values(agent: Agent, observation: Array, context: Array) -> Float[Array, "T B"]:
    """V of T x B observations.

    Args:
      observation: [T, B, ...].
      context: [T, B, C], the true context.
    """

    def one(observation: Array, context: Array) -> Array:
        return agent.value(agent.encoder(observation), context).value

    return jax.vmap(jax.vmap(one))(observation, context)


def value_targets(
    agent: Agent, trajectory: Trajectory, discount: float, hyper: Hyperparameters
) -> Float[Array, "T B"]:
    """The lambda-return of every step, bootstrapped from the agent's own V.

    Args:
      trajectory: leaves [T, B, ...].
      discount: gamma in [0, 1).
      hyper: hyperparameters; its `td_lambda` is used.
    """
    next_value = values(agent, trajectory.next_observation, trajectory.next_context)
    lambda_returns = jax.vmap(
        returns.lambda_returns, in_axes=(1, 1, 1, 1, None, None), out_axes=1
    )
    return lambda_returns(
        trajectory.reward,
        next_value,
        trajectory.terminated,
        trajectory.truncated,
        discount,
        hyper.td_lambda,
    )


def labels(
    labelled: value.Routing | value.Labels, trajectory: Trajectory, key: Key[Array, ""]
) -> Int[Array, "T B"]:
    """The label of each step: the reward source of the next event of its episode.

    An event is a step with a non-zero reward of some source. Its label is the source of
    the largest absolute reward. Each event is labelled with probability
    `label_fraction`; with an `oversight_context`, only if that context holds after the
    event.

    Args:
      labelled: config of the labels.
      trajectory: leaves [T, B, ...]; rewards [T, B, R].
      key: draws which events are labelled.

    Returns:
      Source in [0, R), or -1 (`UNKNOWN`) if the next event is unlabelled or no event
      follows in the episode.
    """
    size = jnp.abs(trajectory.rewards)
    event = size.max(axis=-1) > 0
    source = jnp.argmax(size, axis=-1).astype(jnp.int32)
    is_labelled = jax.random.uniform(key, event.shape) < labelled.label_fraction
    if labelled.oversight_context is not None:
        is_labelled &= trajectory.next_context[..., labelled.oversight_context] > 0
    event_label = jnp.where(is_labelled, source, UNKNOWN)
    done = trajectory.terminated | trajectory.truncated

    def backward(
        next_label: Int[Array, " B"], step: tuple[Array, Array, Array]
    ) -> tuple[Array, Array]:
        event, event_label, done = step
        label = jnp.where(event, event_label, jnp.where(done, UNKNOWN, next_label))
        return label, label

    last = jnp.full(event.shape[1:], UNKNOWN, jnp.int32)
    steps = (event, event_label, done)
    _, label = jax.lax.scan(backward, last, steps, reverse=True)
    return label
