"""CONSTANT: each action has the same probability everywhere."""

from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from shardsim.contest.events import Sizes
from shardsim.contest.forecasters.base import Question
from shardsim.core import fields


@fields.record
class Constant:
    """Each action has one probability, whatever the level and the history."""

    kind: Literal["constant"] = "constant"

    HOLDS_OUT: ClassVar[bool] = False
    RATE: ClassVar[float] = 0.05

    def start(self, key: Key[Array, ""], sizes: Sizes) -> Float[Array, " A"]:
        """Logits of the actions."""
        return 0.1 * jax.random.normal(key, (sizes.actions,))

    def log_policy(
        self, parameters: Float[Array, " A"], question: Question
    ) -> Float[Array, "S A"]:
        states = question.board.successor.shape[0]
        logits = jax.nn.log_softmax(parameters)
        return jnp.broadcast_to(logits, (states, *logits.shape))
