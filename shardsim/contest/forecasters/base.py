"""What all forecasters share: the interface, and how a forecast of values acts.

A forecaster turns what happened in training into a policy on a board. Its parameters
are free real numbers, fitted by the log-loss of its forecasts.

Symbols: S states, A actions, C contexts, F sources of reward, R restarts.
"""

from typing import ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from shardsim.contest.events import Events, Sizes
from shardsim.contest.planning import Board

MAX_RATE = 0.999
"""Largest share by which the longest event moves a weight."""
DISCOUNT = 2.2
"""Where fits of a discount start, before the sigmoid: 0.9."""
TEMPERATURE = -2.3
"""Where fits of the log of a temperature start: 0.1, in units of reward."""
LAPSE = -3.0
"""Where fits of the share of random actions start, before the sigmoid: 0.05."""
SPREAD = 0.5
"""Standard deviation of the starts of a fit."""

Parameters: TypeAlias = PyTree
"""Free real numbers."""


class Question(NamedTuple):
    """What a forecast is about: a level, after a history."""

    board: Board
    """No leading axis."""
    events: Events
    """No leading axis."""
    reward: Float[Array, " F"]
    """What a take of each source pays in this level: an agent that looks one step
    ahead knows it."""
    one_take: bool
    """See `planning.Layout`."""
    sweeps: int
    """See `planning.Layout`."""


@runtime_checkable
class Fittable(Protocol):
    """A forecaster that is fitted: a view of what training does, as its settings."""

    HOLDS_OUT: ClassVar[bool]
    """Whether each restart keeps part of its evidence apart to stop early, and all
    restarts are mixed; else all evidence is fitted, and the best restart is chosen."""
    RATE: ClassVar[float]
    """Learning rate of the first step of a fit."""

    @property
    def kind(self) -> str:
        """Its name in a union."""

    def start(self, key: Key[Array, ""], sizes: Sizes) -> Parameters:
        """Parameters of one restart before the fit."""

    def log_policy(
        self, parameters: Parameters, question: Question
    ) -> Float[Array, "S A"]:
        """Log-probability of every action in every state of the level."""


class Acting(NamedTuple):
    """How values become actions, fitted for every forecaster alike."""

    log_temperature: Float[Array, ""]
    """Log of tau, in units of reward."""
    foresight: Float[Array, ""]
    """Before the sigmoid: how far the reward that a take pays in this level stands in
    the place of the value that the forecaster expects the agent to give it."""
    lapse: Float[Array, ""]
    """Before the sigmoid: share of random actions."""
    discount: Float[Array, ""]
    """Before the sigmoid."""


def start_acting(key: Key[Array, ""]) -> Acting:
    """The parameters of acting before a fit."""
    noise = SPREAD * jax.random.normal(key, (4,))
    return Acting(
        TEMPERATURE + noise[0], noise[1], LAPSE + noise[2], DISCOUNT + noise[3]
    )


def discount_of(acting: Acting) -> Float[Array, ""]:
    """The discount, above 0 and below 1."""
    return 0.001 + 0.998 * jax.nn.sigmoid(acting.discount)


def rate_of(parameter: Float[Array, ""]) -> Float[Array, ""]:
    """The share by which the longest event moves a weight, from a free number."""
    return MAX_RATE * jax.nn.sigmoid(parameter)


def act(
    acting: Acting,
    values: Float[Array, "S A"],
    weights: Float[Array, " F"],
    question: Question,
) -> Float[Array, "S A"]:
    """The policy that follows values.

      pi = (1 - lapse) softmax((Q + m sum_f taken_f (r_f - w_f)) / tau) + lapse / A

    Args:
      values: Q(s, a) that the forecaster expects.
      weights: w_f, the value of a take of each source that is part of Q.

    Returns:
      Log-probabilities.
    """
    foresight = jax.nn.sigmoid(acting.foresight)
    known = question.board.taken @ (question.reward - weights)
    logits = (values + foresight * known) * jnp.exp(-acting.log_temperature)
    lapse = jax.nn.sigmoid(acting.lapse)
    policy = jax.nn.softmax(logits, axis=-1)
    return jnp.log((1 - lapse) * policy + lapse / logits.shape[-1])
