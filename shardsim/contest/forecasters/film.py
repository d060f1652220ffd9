"""FILM: what is wanted depends on the context smoothly, without shards.

Symbols: C contexts, F sources of reward, K rank, E events, G sets.
"""

from typing import ClassVar, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from pydantic import PositiveInt

from shardsim.contest import events, planning
from shardsim.contest.events import Events, Sizes
from shardsim.contest.forecasters import base
from shardsim.contest.forecasters.base import Question
from shardsim.core import fields

STEPS = 4
"""Steps in which an event moves the weights: its sets are learned side by side."""

State: TypeAlias = tuple[Float[Array, " F"], Float[Array, "F K"]]
"""b and B."""


class FilmParameters(NamedTuple):
    """Free numbers of FILM."""

    weights: Float[Array, " F"]
    """b before the first event."""
    modulation: Float[Array, "F K"]
    """B before the first event."""
    code: Float[Array, "K C"]
    bias: Float[Array, " K"]
    rate: Float[Array, ""]
    """Before the sigmoid: share by which the longest event moves the weights."""
    generalisation: Float[Array, ""]
    """Before the sigmoid: share of a change that is made in b, for all contexts."""
    acting: base.Acting


@fields.record
class Film:
    """Weights of the sources with a modulation of low rank by what a level shows.

      w(x) = b + B m(x), m(x) = tanh(A x + d)

    An event moves w(x) of the sets that it shows towards what they paid. A fitted share
    of the change is made in b, which all contexts have in common, and the rest in B:

      b <- b + share * delta, B <- B + (1 - share) delta m(x) / |m(x)|^2

    Bids are those of SHARD: sum_f w_f(x) Q_f(s, a).

    Reference: Perez et al., FiLM: Visual Reasoning with a General Conditioning Layer,
    2018.
    """

    kind: Literal["film"] = "film"
    rank: PositiveInt = 1
    """K, rank of the modulation."""

    HOLDS_OUT: ClassVar[bool] = False
    RATE: ClassVar[float] = 0.1

    def start(self, key: Key[Array, ""], sizes: Sizes) -> FilmParameters:
        keys = jax.random.split(key, 5)
        noise = base.SPREAD * jax.random.normal(keys[3], (2,))
        return FilmParameters(
            0.5 + base.SPREAD * jax.random.normal(keys[0], (sizes.sources,)),
            base.SPREAD * jax.random.normal(keys[1], (sizes.sources, self.rank)),
            # a context that no evidence shows is hardly told from none
            0.1 * jax.random.normal(keys[2], (self.rank, sizes.contexts)),
            jnp.zeros(self.rank),
            noise[0],
            noise[1],
            base.start_acting(keys[4]),
        )

    def log_policy(
        self, parameters: FilmParameters, question: Question
    ) -> Float[Array, "S A"]:
        weights, modulation = self.after(parameters, question.events)
        code = _code(parameters, question.board.shown)
        wanted = weights + modulation @ code
        discount = base.discount_of(parameters.acting)
        bid = planning.goal_values(question.board, discount) @ wanted
        return base.act(parameters.acting, bid, wanted, question)

    def after(self, parameters: FilmParameters, history: Events) -> State:
        """b and B after a history."""
        rate = base.rate_of(parameters.rate)
        general = jax.nn.sigmoid(parameters.generalisation)

        def move(state: State, event: Events) -> tuple[State, None]:
            codes = jax.vmap(lambda x: _code(parameters, x))(event.sets)
            paid = events.set_rewards(event)
            moved = events.share(rate, event.duration * event.weight / STEPS)
            sizes = jnp.square(codes).sum(axis=1, keepdims=True)
            reads = codes / jnp.maximum(sizes, 1e-3)

            def step(state: State, _: None) -> tuple[State, None]:
                weights, modulation = state
                change = moved[:, None] * (paid - weights[None] - codes @ modulation.T)
                weights = weights + general * change.sum(axis=0)
                modulation = modulation + (1 - general) * change.T @ reads
                return (weights, modulation), None

            return jax.lax.scan(step, state, None, length=STEPS)

        start = (parameters.weights, parameters.modulation)
        return jax.lax.scan(move, start, history)[0]


def _code(parameters: FilmParameters, shown: Float[Array, " C"]) -> Float[Array, " K"]:
    return jnp.tanh(parameters.code @ shown + parameters.bias)
