"""How D and V choose an action. V has to steer, else its shape can't matter.

Symbols: B environments, A actions.
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8
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
    acting: PolicyOnly | Lookahead | ValueOnly,
    agent: Agent,
    env: Trainable,
    params: Params,
    state: State,
    observation: UInt8[Array, "H W P"],
    discount: float,
    temperature: Float[Array, ""],
) -> ActionLogits:
    """Logits of the next action in one state.

    Args:
      temperature: tau, in place of the config's own.
    """
    prior = jax.nn.log_softmax(agent.decoder(agent.encoder(observation)))
    match acting:
        case PolicyOnly():
            return ActionLogits(prior, prior)
        case Lookahead():
            q = action_values(agent, env, params, state, discount).q
            return ActionLogits(combine(prior, q, temperature), prior)
        case ValueOnly():
            q = action_values(agent, env, params, state, discount).q
            return ActionLogits(combine(jnp.zeros_like(prior), q, temperature), prior)


def act(
    acting: ActionSelection,
    agent: Agent,
    env: Trainable,
    params: Params,
    states: State,
    observations: UInt8[Array, "B H W P"],
    discount: float,
    temperature: Float[Array, ""],
    noise: Float[Array, "B A"],
    key: Key[Array, ""],
) -> ActionSample:
    """The next action in each of B states.

    Args:
      noise: standard Gumbel; the action is the largest of logits + noise.
      key: of a search's own noise.
    """
    if isinstance(acting, Search):
        found = search(
            acting, agent, env, params, states, observations, discount, temperature, key
        )
        return ActionSample(found.action, found.logits)

    def one(state: State, seen: Array, noise: Array) -> ActionSample:
        found = choose(acting, agent, env, params, state, seen, discount, temperature)
        action = jnp.argmax(found.logits + noise)
        return ActionSample(action, jax.nn.log_softmax(found.logits))

    return jax.vmap(one)(states, observations, noise)
