"""SHARD: goals of their own for each context, opened by similarity to that context.

Symbols: C contexts, one shard for each; F sources of reward; E events; G sets.
"""

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from shardsim.contest import events, planning
from shardsim.contest.events import Events, Sizes
from shardsim.contest.forecasters import base
from shardsim.contest.forecasters.base import Question
from shardsim.core import fields

GATE_TEMPERATURE = -2.0
"""Where fits of the log of the temperature of gates start, in units of similarity."""


class ShardParameters(NamedTuple):
    """Free numbers of SHARD."""

    weights: Float[Array, "C F"]
    """W before the first event: how much each shard wants each source."""
    rate: Float[Array, ""]
    """Before the sigmoid: share by which the longest event strengthens a shard."""
    extinction_rate: Float[Array, ""]
    """Before the sigmoid: the same where reward is below what the shard expects."""
    gate_threshold: Float[Array, ""]
    """Similarity at which an independent gate is half open."""
    log_gate_temperature: Float[Array, ""]
    acting: base.Acting


@fields.record
class Shards:
    """A sum of the bids of gated shards.

    An event moves only the shards of contexts that it shows, towards what their
    contexts paid, with one rate upwards and another downwards:

      W[c] <- W[c] + (1 - (1 - rate)^(duration * share of levels with c)) (r_c - W[c])

    A gate opens by the similarity of what a level shows to the context of its shard.
    Each source has a plan of its own, and bids are added, not planned anew:

      bid(s, a) = sum_c g_c sum_f W[c, f] Q_f(s, a)

    A context that was never reinforced has no shard: W starts at 0, and stays there
    where no evidence moves it.
    """

    kind: Literal["shards"] = "shards"
    gates: Literal["independent", "softmax"] = "independent"
    """Whether shards are active side by side, so that bids add up where contexts meet,
    or share one unit of activity."""

    HOLDS_OUT: ClassVar[bool] = False
    RATE: ClassVar[float] = 0.05

    def start(self, key: Key[Array, ""], sizes: Sizes) -> ShardParameters:
        number_key, acting_key = jax.random.split(key)
        noise = base.SPREAD * jax.random.normal(number_key, (3,))
        return ShardParameters(
            jnp.zeros((sizes.contexts, sizes.sources)),
            noise[0],
            noise[1],
            jnp.float32(0.5),
            GATE_TEMPERATURE + noise[2],
            base.start_acting(acting_key),
        )

    def log_policy(
        self, parameters: ShardParameters, question: Question
    ) -> Float[Array, "S A"]:
        gates = self.gates_of(parameters, question.board.shown)
        wanted = gates @ self.after(parameters, question.events)
        discount = base.discount_of(parameters.acting)
        bid = planning.goal_values(question.board, discount) @ wanted
        return base.act(parameters.acting, bid, wanted, question)

    def after(
        self, parameters: ShardParameters, history: Events
    ) -> Float[Array, "C F"]:
        """W after a history."""
        up, down = (
            base.rate_of(rate) for rate in (parameters.rate, parameters.extinction_rate)
        )

        def move(weights: Array, event: Events) -> tuple[Array, None]:
            # [C, G] share of all levels that have this set and so this context
            met = (event.sets * event.weight[:, None]).T
            often = met.sum(axis=1)
            paid = met @ events.set_rewards(event) / jnp.maximum(often, 1e-6)[:, None]
            rate = jnp.where(paid > weights, up, down)
            moved = events.share(rate, (event.duration * often)[:, None])
            return weights + moved * (paid - weights), None

        return jax.lax.scan(move, parameters.weights, history)[0]

    def gates_of(
        self, parameters: ShardParameters, shown: Float[Array, " C"]
    ) -> Float[Array, " C"]:
        """How open each shard is, in [0, 1].

        The similarity of a level to context c is the cosine of what it shows with c.
        """
        similarity = shown / jnp.sqrt(jnp.maximum(shown.sum(), 1.0))
        above = similarity - parameters.gate_threshold
        logits = above * jnp.exp(-parameters.log_gate_temperature)
        if self.gates == "softmax":
            return jax.nn.softmax(logits)
        return jax.nn.sigmoid(logits)
