"""Action selection: how D and V together choose an action.

The structure of V can matter only if V has an effect on the actions.
Symbols: B environments; A actions; H, W, P height, width and planes of the board.
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Num
from pydantic import PositiveFloat

from shardsim.agents.action_selection.q_values import (
    ActionLogits,
    ActionSample,
    ActionValues,
    action_values,
    combine,
)
from shardsim.agents.action_selection.search import Search, search
from shardsim.agents.agent import Agent
from shardsim.core import fields
from shardsim.core.types import Params, State, Trainable

__all__ = [
    "ActionLogits",
    "ActionSample",
    "ActionSelection",
    "ActionValues",
    "Lookahead",
    "PolicyOnly",
    "Search",
    "ValueOnly",
    "act",
    "action_values",
    "choose",
    "combine",
    "search",
]


@fields.record
class PolicyOnly:
    """pi = D: the policy prior acts alone, V has no effect (control)."""

    kind: Literal["policy_only"] = "policy_only"


@fields.record
class Lookahead:
    """pi(a|s) proportional to D(a|s) exp(Q_V(s, a) / tau): one-step lookahead."""

    kind: Literal["lookahead"] = "lookahead"
    temperature: PositiveFloat = 0.01
    """tau, in units of reward. Keep it small against the gap in Q between the best and
    the second-best action, about (1 - gamma) V, or V hardly influences the action."""


@fields.record
class ValueOnly:
    """pi(a|s) proportional to exp(Q_V(s, a) / tau): V alone (control)."""

    kind: Literal["value_only"] = "value_only"
    temperature: PositiveFloat = 0.01
    """tau, in units of reward."""


ActionSelection: TypeAlias = PolicyOnly | Lookahead | ValueOnly | Search


def choose(
    selection: PolicyOnly | Lookahead | ValueOnly,
    agent: Agent,
    env: Trainable,
    params: Params,
    state: State,
    observation: Num[Array, "*shape"],
    discount: float,
    temperature: Float[Array, ""],
) -> ActionLogits:
    """Logits of the next action in one state.

    Args:
      selection: how D and V are combined.
      params: parameters of the environment.
      discount: gamma in [0, 1).
      temperature: tau, in units of reward; used in place of `selection.temperature`.
    """
    prior = jax.nn.log_softmax(agent.decoder(agent.encoder(observation)))
    match selection:
        case PolicyOnly():
            return ActionLogits(prior, prior)
        case Lookahead():
            q = action_values(agent, env, params, state, discount).q
            return ActionLogits(combine(prior, q, temperature), prior)
        case ValueOnly():
            q = action_values(agent, env, params, state, discount).q
            return ActionLogits(combine(jnp.zeros_like(prior), q, temperature), prior)


def act(
    selection: ActionSelection,
    agent: Agent,
    env: Trainable,
    params: Params,
    states: State,
    observations: Num[Array, "B *shape"],
    discount: float,
    temperature: Float[Array, ""],
    noise: Float[Array, "B A"],
    key: Key[Array, ""],
) -> ActionSample:
    """Sample the next action in each of B states.

    Args:
      selection: how D and V are combined.
      params: parameters of the environment.
      states: environment states, leaves [B, ...].
      discount: gamma in [0, 1).
      temperature: tau, in units of reward; used in place of `selection.temperature`.
      noise: standard Gumbel; the action is argmax(logits + noise).
      key: for the noise of a tree search, which does not use `noise`.
    """
    if isinstance(selection, Search):
        result = search(
            selection,
            agent,
            env,
            params,
            states,
            observations,
            discount,
            temperature,
            key,
        )
        return ActionSample(result.action, result.logits)

    def one(state: State, observation: Array, noise: Array) -> ActionSample:
        logits = choose(
            selection, agent, env, params, state, observation, discount, temperature
        ).logits
        action = jnp.argmax(logits + noise)
        return ActionSample(action, jax.nn.log_softmax(logits))

    return jax.vmap(one)(states, observations, noise)
