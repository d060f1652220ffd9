"""UNI: one utility, planned for as a whole, that every event of training revalues.

Symbols: C contexts, F sources of reward, E events.
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


class UtilityParameters(NamedTuple):
    """Free numbers of UNI."""

    utility: Float[Array, "C F"]
    """u before the first event; [1, F] if it does not depend on the context."""
    rate: Float[Array, ""]
    """Before the sigmoid: share by which the longest event moves u."""
    acting: base.Acting


@fields.record
class Utility:
    """One soft-optimal utility.

    An event moves the whole utility towards its rewards, in all contexts at once:

      u <- u + (1 - (1 - rate)^duration) (rewards - u)

    A level that shows several contexts pays the largest u of them, as the world does.
    The agent acts by a softmax of Q*_u.

    Reference: MacDermott, Fox, Belardinelli and Everitt, Measuring Goal-Directedness,
    2024 (arXiv 2412.04758), for soft-optimal utilities as forecasters.
    """

    kind: Literal["utility"] = "utility"
    by_context: bool = True
    """Whether a take in one context may be worth more than in another; false: one
    weight for each source, moved towards its mean reward in the levels of the event."""

    HOLDS_OUT: ClassVar[bool] = False
    RATE: ClassVar[float] = 0.05

    def start(self, key: Key[Array, ""], sizes: Sizes) -> UtilityParameters:
        utility_key, rate_key, acting_key = jax.random.split(key, 3)
        contexts = sizes.contexts if self.by_context else 1
        return UtilityParameters(
            0.5
            + base.SPREAD * jax.random.normal(utility_key, (contexts, sizes.sources)),
            base.SPREAD * jax.random.normal(rate_key),
            base.start_acting(acting_key),
        )

    def log_policy(
        self, parameters: UtilityParameters, question: Question
    ) -> Float[Array, "S A"]:
        utility = self.after(parameters, question.events)
        weights = utility[0]
        if self.by_context:
            shown = question.board.shown[:, None] > 0
            best = jnp.where(shown, utility, -jnp.inf).max(axis=0)
            weights = jnp.where(shown.any(), best, utility.mean(axis=0))
        values = planning.utility_values(
            question.board,
            weights,
            base.discount_of(parameters.acting),
            question.one_take,
            question.sweeps,
        )
        return base.act(parameters.acting, values, weights, question)

    def after(
        self, parameters: UtilityParameters, history: Events
    ) -> Float[Array, "C F"]:
        """u after a history."""
        rate = base.rate_of(parameters.rate)

        def move(utility: Array, event: Events) -> tuple[Array, None]:
            rewards = event.rewards
            if not self.by_context:
                paid = events.set_rewards(event) * event.weight[:, None]
                rewards = paid.sum(axis=0, keepdims=True)
            moved = events.share(rate, event.duration)
            return utility + moved * (rewards - utility), None

        return jax.lax.scan(move, parameters.utility, history)[0]
