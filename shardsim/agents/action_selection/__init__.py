"""How D and V choose an action. V has to steer, else its shape can't matter.

Symbols: B environments, A actions.
"""

import dataclasses
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from shardsim.agents.action_selection.q_values import (
    ActionLogits,
    ActionSample,
    ActionValues,
    action_values,
    combine,
)
from shardsim.agents.action_selection.search import Search, search
from shardsim.agents.agent import Agent
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


@dataclasses.dataclass(frozen=True)
class PolicyOnly:
    """pi = D: V has no effect (control)."""

    kind: Literal["policy_only"] = "policy_only"


@dataclasses.dataclass(frozen=True)
class Lookahead:
    """pi(a|s) proportional to D(a|s) exp(Q_V(s, a) / tau)."""

    kind: Literal["lookahead"] = "lookahead"
    temperature: float = 0.01
    """tau, in units of reward. It has to be small against the gap between the best
    action and the next, about (1 - gamma) V = 0.05 at gamma .95: 0.01 learns, at 0.05
    V hardly steers. The report shows the gap that was measured beside tau."""

    def __post_init__(self) -> None:
        _positive(self.temperature)


@dataclasses.dataclass(frozen=True)
class ValueOnly:
    """pi(a|s) proportional to exp(Q_V(s, a) / tau): V alone (control)."""

    kind: Literal["value_only"] = "value_only"
    temperature: float = 0.01
    """tau, as for `lookahead`."""

    def __post_init__(self) -> None:
        _positive(self.temperature)


ActionSelection: TypeAlias = PolicyOnly | Lookahead | ValueOnly | Search


def _positive(temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature: got {temperature}; allowed: more than 0")


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
