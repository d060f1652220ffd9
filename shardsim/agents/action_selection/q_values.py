"""What acting returns, and Q of V through the world's own step.

Symbols: A actions, K parts of V.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shardsim.agents.agent import Agent
from shardsim.core import returns
from shardsim.core.returns import Numbers
from shardsim.core.types import Params, State, Trainable


class ActionValues(NamedTuple):
    """What every part of V wants in one state.

    q[a] = reward[a] + sum_k bids[a, k].
    """

    q: Float[Array, " A"]
    reward: Float[Array, " A"]
    """Reward of the step itself, which no part owns."""
    shard_q: Float[Array, "A K"]
    """gamma (1 - terminated) g_k(s') v_k(s')."""


class ActionLogits(NamedTuple):
    """How an agent chooses in one state."""

    logits: Float[Array, " A"]
    """Of the action that is taken."""
    prior: Float[Array, " A"]
    """Log-probabilities of D alone."""


class ActionSample(NamedTuple):
    """What is done in each of B states."""

    action: Int[Array, " B"]
    logits: Float[Array, "B A"]
    """Log-probabilities by which it was chosen; with a search, its improved policy."""


def combine(
    prior: Float[Numbers, "..."],
    q: Float[Numbers, "..."],
    temperature: float | Float[Array, ""],
) -> Float[Numbers, "..."]:
    """log D(a|s) + Q(s, a) / tau."""
    logits: Numbers = prior + q / temperature
    return logits


def action_values(
    agent: Agent, env: Trainable, params: Params, state: State, discount: float
) -> ActionValues:
    """Q_V(s, a) = r + gamma (1 - terminated) V(s') over the world's own step.

    The world's chance is left out of the look ahead: it sees expected rewards and the
    state before any coin falls.
    """

    def after(action: Array) -> tuple[Array, Bool[Array, ""], Array, Array]:
        step = env.step(None, state, action, params)
        return (
            step.reward,
            step.terminated,
            step.observation,
            env.context(step.state),
        )

    reward, terminated, observation, context = jax.vmap(after)(
        jnp.arange(env.num_actions)
    )
    features = jax.vmap(agent.encoder)(observation)
    output = jax.vmap(agent.value)(features, context)
    q = returns.one_step_return(reward, terminated, output.value, discount)
    each = returns.one_step_return(
        jnp.zeros(()), terminated[:, None], output.gates * output.shard_values, discount
    )
    return ActionValues(q, reward, each)
