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


class ShardParameters(NamedTuple):
    """Free numbers of SHARD."""

    weights: Float[Array, "C F"]
    """W before the first event: how much each shard wants each source."""
    rate: Float[Array, ""]
    """Before the sigmoid: share by which the longest event strengthens a shard."""
    extinction_rate: Float[Array, ""]
    """Before the sigmoid: the same where reward is below what the shard expects."""
    log_gate_temperature: Float[Array, ""]
    acting: base.Acting


@fields.record
class Shards:
    """A sum of the bids of gated shards.

    An event moves only the shards of contexts that it shows, towards what their
    contexts paid, with one rate upwards and another downwards:

      W[c] <- W[c] + (1 - (1 - rate)^(duration * share of levels with c)) (r_c - W[c])

    Gates are a softmax of the similarity of what a level shows to the context of each
    shard. Each source has a plan of its own, and bids are added, not planned anew:

      bid(s, a) = sum_c g_c sum_f W[c, f] Q_f(s, a)
    """

    kind: Literal["shards"] = "shards"

    HOLDS_OUT: ClassVar[bool] = False
    RATE: ClassVar[float] = 0.05

    def start(self, key: Key[Array, ""], sizes: Sizes) -> ShardParameters:
        weight_key, number_key, acting_key = jax.random.split(key, 3)
        noise = base.SPREAD * jax.random.normal(number_key, (3,))
        shape = (sizes.contexts, sizes.sources)
        return ShardParameters(
            0.5 + base.SPREAD * jax.random.normal(weight_key, shape),
            noise[0],
            noise[1],
            -1.0 + noise[2],
            base.start_acting(acting_key),
        )

    def log_policy(
        self, parameters: ShardParameters, question: Question
    ) -> Float[Array, "S A"]:
        wanted = gates(parameters, question.board.shown) @ self.after(
            parameters, question.events
        )
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


def gates(parameters: ShardParameters, shown: Float[Array, " C"]) -> Float[Array, " C"]:
    """How open each shard is; they sum to 1.

    The similarity of a level to context c is the cosine of what it shows with c.
    """
    similarity = shown / jnp.sqrt(jnp.maximum(shown.sum(), 1.0))
    return jax.nn.softmax(similarity * jnp.exp(-parameters.log_gate_temperature))
