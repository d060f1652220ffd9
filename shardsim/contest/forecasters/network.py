"""NN: an ensemble of small networks that reads the same board and the same history.

Symbols: S states, A actions, C contexts, F sources of reward, E events, G sets.
"""

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from pydantic import PositiveInt

from shardsim.contest import planning
from shardsim.contest.events import Events, Sizes
from shardsim.contest.forecasters import base
from shardsim.contest.forecasters.base import Question
from shardsim.core import fields


class NetworkParameters(NamedTuple):
    """Free numbers of one network: D inputs of the situation, W width."""

    situation: Float[Array, "W D"]
    """From what a level shows and the history to the code."""
    situation_bias: Float[Array, " W"]
    action: Float[Array, "W inputs"]
    """From the inputs of an action to the hidden layer."""
    code: Float[Array, "W W"]
    """From the code to the hidden layer."""
    bias: Float[Array, " W"]
    readout: Float[Array, " W"]
    discount: Float[Array, ""]
    """Before the sigmoid."""


@fields.record
class Network:
    """An ensemble of networks, one for each restart of the fit.

      code = tanh(U (shown, history) + u)
      logit(s, a) = v . relu(W (Q_f - max Q_f, max Q_f, r)(s, a) + M code + b)

    Nothing says what an event does: it is learned from other histories. A history is
    its events from the last to the first: how often each context was shown, what was
    paid there, and for how long. Each network stops early, by the loss on histories and
    levels of the evidence that it is not fitted on; the forecast is their mean.
    """

    kind: Literal["network"] = "network"
    width: PositiveInt = 16
    """W, units of the code and of the hidden layer."""

    HOLDS_OUT: ClassVar[bool] = True
    RATE: ClassVar[float] = 0.02

    def start(self, key: Key[Array, ""], sizes: Sizes) -> NetworkParameters:
        keys = jax.random.split(key, 4)
        per_event = sizes.contexts * (1 + sizes.sources) + 1
        inputs = sizes.contexts + sizes.events * per_event
        actions = 2 * sizes.sources + 1

        def draw(key: Array, *shape: int) -> Array:
            return jax.random.normal(key, shape) / shape[-1] ** 0.5

        return NetworkParameters(
            # what no evidence varies, such as a context, hardly moves the code
            0.3 * draw(keys[0], self.width, inputs),
            jnp.zeros(self.width),
            draw(keys[1], self.width, actions),
            draw(keys[2], self.width, self.width),
            jnp.zeros(self.width),
            draw(keys[3], self.width),
            jnp.float32(base.DISCOUNT),
        )

    def log_policy(
        self, parameters: NetworkParameters, question: Question
    ) -> Float[Array, "S A"]:
        board = question.board
        situation = jnp.concatenate([board.shown, summary(question.events)])
        code = jnp.tanh(parameters.situation @ situation + parameters.situation_bias)
        discount = 0.001 + 0.998 * jax.nn.sigmoid(parameters.discount)
        values = planning.goal_values(board, discount)
        best = values.max(axis=1, keepdims=True)
        # the loss by one wrong step is 1 - discount^2 of what a goal is worth
        behind = (values - best) / (1 - discount**2)
        paid = (board.taken @ question.reward)[..., None]
        inputs = jnp.concatenate(
            [behind, jnp.broadcast_to(best, values.shape), paid], axis=-1
        )
        constant = parameters.code @ code + parameters.bias
        hidden = jax.nn.relu(inputs @ parameters.action.T + constant[None, None])
        return jax.nn.log_softmax(hidden @ parameters.readout, axis=-1)


def summary(history: Events) -> Float[Array, " D"]:
    """A history as numbers, from the last event to the first."""
    visits = (history.sets * history.weight[..., None]).sum(axis=1)
    paid = jnp.where(visits[..., None] > 0, history.rewards, 0.0)
    count = history.duration.shape[0]
    rows = jnp.concatenate(
        [visits, paid.reshape(count, -1), history.duration[:, None]], axis=1
    )
    events = (history.duration > 0).sum()
    order = (events - 1 - jnp.arange(count)) % count
    return rows[order].reshape(-1)
