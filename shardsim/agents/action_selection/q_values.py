"""One-step Q-values of V, computed with the step function of the environment.

Also the records that action selection returns. Symbols: A actions, K shards,
B environments.
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
    """Q_V(s, a) in one state, and what each shard contributes to it.

    q[a] = reward[a] + sum_k shard_q[a, k]
    """

    q: Float[Array, " A"]
    """Q_V(s, a), in units of reward."""
    reward: Float[Array, " A"]
    """Expected reward of the step, which belongs to no shard."""
    shard_q: Float[Array, "A K"]
    """gamma (1 - terminated) g_k(s') v_k(s')."""


class ActionLogits(NamedTuple):
    """The policy of an agent in one state."""

    logits: Float[Array, " A"]
    """Logits that the action is sampled from; not normalised."""
    prior: Float[Array, " A"]
    """Log-probabilities of D alone."""


class ActionSample(NamedTuple):
    """An action in each of B states; of one state, without the axis B."""

    action: Int[Array, "*B"]
    """In [0, A)."""
    logits: Float[Array, "*B A"]
    """Log-probabilities of the policy that acted; with search, its improved policy."""


def combine(
    prior: Float[Numbers, "..."],
    q: Float[Numbers, "..."],
    temperature: float | Float[Array, ""],
) -> Float[Numbers, "..."]:
    """Logits of the policy D(a|s) exp(Q(s, a) / tau): log D(a|s) + Q(s, a) / tau.

    Args:
      prior: log D(a|s); 0 leaves D out.
      q: Q(s, a), of the same shape.
      temperature: tau > 0, in the unit of q.
    """
    logits: Numbers = prior + q / temperature
    return logits


def action_values(
    agent: Agent, env: Trainable, params: Params, state: State, discount: float
) -> ActionValues:
    """Q_V(s, a) = r + gamma (1 - terminated) V(s'), one step ahead for every action.

    The lookahead is without chance: r is the expected reward, and s' is the next state
    before any random event.

    Args:
      params: parameters of the environment.
      state: one environment state.
      discount: gamma in [0, 1).
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
    shard_q = returns.one_step_return(
        jnp.zeros(()), terminated[:, None], output.gates * output.shard_values, discount
    )
    return ActionValues(q, reward, shard_q)
