"""How D and V choose an action. V has to steer, else its shape can't matter.

Symbols: A actions.
"""

import dataclasses
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt8

from shardsim.acting.base import Bids, Choice, bids, combine
from shardsim.agent import Agent
from shardsim.types import Params, State, Trainable

__all__ = [
    "Acting",
    "Bids",
    "Choice",
    "Lookahead",
    "Prior",
    "Value",
    "bids",
    "choose",
    "combine",
]


@dataclasses.dataclass(frozen=True)
class Prior:
    """pi = D: V has no effect (control)."""

    kind: Literal["prior"] = "prior"


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
class Value:
    """pi(a|s) proportional to exp(Q_V(s, a) / tau): V alone (control)."""

    kind: Literal["value"] = "value"
    temperature: float = 0.01
    """tau, as for `lookahead`."""

    def __post_init__(self) -> None:
        _positive(self.temperature)


Acting: TypeAlias = Prior | Lookahead | Value


def _positive(temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"temperature: got {temperature}; allowed: more than 0")


def choose(
    acting: Acting,
    agent: Agent,
    env: Trainable,
    params: Params,
    state: State,
    observation: UInt8[Array, "H W P"],
    discount: float,
) -> Choice:
    """Logits of the next action in one state."""
    prior = jax.nn.log_softmax(agent.decoder(agent.encoder(observation)))
    match acting:
        case Prior():
            return Choice(prior, prior)
        case Lookahead(temperature=temperature):
            q = bids(agent, env, params, state, discount).q
            return Choice(combine(prior, q, temperature), prior)
        case Value(temperature=temperature):
            q = bids(agent, env, params, state, discount).q
            return Choice(combine(jnp.zeros_like(prior), q, temperature), prior)
