"""What a trajectory teaches: targets of V, and which expert an event belongs to.

All functions are for one seed. Symbols: T steps, B environments, R reward sources.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.agents import value
from shardsim.agents.agent import Agent
from shardsim.algorithms import Targets
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core import returns
from shardsim.core.types import Trajectory

UNKNOWN = -1
"""The label of a step whose expert is not known."""


class RequiredTargets(NamedTuple):
    """What the losses in use will read; the rest is not computed. Static."""

    target: bool
    value: bool
    routing: value.Routing | None


def compute_targets(
    wanted: RequiredTargets,
    agent: Agent,
    trajectory: Trajectory,
    discount: float,
    hyper: Hyperparameters,
    key: Key[Array, ""],
) -> Targets:
    """Targets from the agent's own V, as it stands before it learns from them."""
    zero = jnp.zeros_like(trajectory.reward)
    target = (
        value_targets(agent, trajectory, discount, hyper) if wanted.target else zero
    )
    said = (
        values(agent, trajectory.observation, trajectory.context)
        if wanted.value
        else zero
    )
    label = jnp.full(zero.shape, UNKNOWN, jnp.int32)
    if wanted.routing is not None:
        label = labels(wanted.routing, trajectory, key)
    return Targets(target, said, label)


def values(agent: Agent, seen: Array, context: Array) -> Float[Array, "T B"]:
    """V of T x B observations."""

    def one(seen: Array, context: Array) -> Array:
        return agent.value(agent.encoder(seen), context).value

    return jax.vmap(jax.vmap(one))(seen, context)


def value_targets(
    agent: Agent, trajectory: Trajectory, discount: float, hyper: Hyperparameters
) -> Float[Array, "T B"]:
    """The lambda-return of every step, bootstrapped from the agent's own V."""
    beyond = values(agent, trajectory.next_observation, trajectory.next_context)
    back = jax.vmap(
        returns.lambda_returns, in_axes=(1, 1, 1, 1, None, None), out_axes=1
    )
    return back(
        trajectory.reward,
        beyond,
        trajectory.terminated,
        trajectory.truncated,
        discount,
        hyper.td_lambda,
    )


def labels(
    routing: value.Routing, trajectory: Trajectory, key: Key[Array, ""]
) -> Int[Array, "T B"]:
    """The source of the next event of each step's episode, where it is known.

    An event is a step with a reward of some source; the largest in size names it.
    Whether it is labelled is drawn once an event, and where `overseen` is asked for,
    that context has to be there after it.
    """
    size = jnp.abs(trajectory.rewards)
    event = size.max(axis=-1) > 0
    source = jnp.argmax(size, axis=-1).astype(jnp.int32)
    told = jax.random.uniform(key, event.shape) < routing.label_fraction
    if routing.oversight_context is not None:
        told &= trajectory.next_context[..., routing.oversight_context] > 0
    named = jnp.where(told, source, UNKNOWN)
    ended = trajectory.terminated | trajectory.truncated

    def back(
        later: Int[Array, " B"], step: tuple[Bool[Array, " B"], ...]
    ) -> tuple[Array, Array]:
        event, named, ended = step
        label = jnp.where(event, named, jnp.where(ended, UNKNOWN, later))
        return label, label

    start = jnp.full(event.shape[1:], UNKNOWN, jnp.int32)
    _, found = jax.lax.scan(back, start, (event, named, ended), reverse=True)
    return found
