"""Sharded head: V is a sum of K small networks, gated by functions of the features.

Symbols: D features, C contexts, K shards, U units.
"""

from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from shardsim.agents import chain, layers
from shardsim.agents.value import base
from shardsim.core import fields


@fields.record
class Routing:
    """Gradient routing: the gradient of a labelled reward reaches only its own shard.

    The label of a reward is its source, in the order of the environment's
    `reward_sources`; shard r is the expert of source r. All steps of the episode that
    lead to the reward carry its label. Where the label is known, only that expert is
    trained on the return. The gates learn the probability of each label, and nothing
    else (`losses.routed_loss`).

    Reference: Cloud et al., Gradient routing, 2024 (arXiv 2410.04332).
    """

    label_fraction: fields.Fraction = 1.0
    """Probability that a reward comes with its label."""
    oversight_context: NonNegativeInt | None = None
    """Context in which labels are known, by number; null: in all contexts."""
    gate_weight: PositiveFloat = 0.01
    """Loss weight of training the gates to predict the label (cross-entropy)."""


GATE_FIELDS = ("num_shards", "gate", "top_k", "aggregation", "stop_gate_gradient")


@fields.record
class Sharded:
    """K small value networks (shards) under gates that read the features."""

    kind: Literal["sharded"] = "sharded"
    num_shards: PositiveInt = 4
    """K, the number of shards."""
    gate: Literal["softmax", "sigmoid", "top_k"] = "softmax"
    """How gates are computed: a softmax over shards, independent sigmoids, or the
    `top_k` largest of a softmax with all others closed."""
    top_k: PositiveInt = 1
    """Number of shards that gate `top_k` leaves open; 1 with any other gate. With 1 and
    aggregation `convex` the open gate is always 1, so no gradient moves the gates."""
    aggregation: Literal["sum", "convex", "winner"] = "sum"
    """How V is made of shard values: `sum` of gate times value; `convex`: the same with
    gates divided by their sum; `winner`: the value of the shard with the largest
    gate."""
    stop_gate_gradient: bool = False
    """Whether the gates get no gradient from the loss of V."""
    td_error: Literal["joint", "per_shard"] = "joint"
    """One TD error of the whole V (`joint`), or one for each shard, weighted by its
    share of the gates (`per_shard`): sum_k w_k (G - v_k)^2."""
    load_balance: NonNegativeFloat = 0.0
    """Loss weight of uneven use of the shards, K sum_k (mean share of shard k)^2 - 1.
    It can create shards that nothing else would create."""
    routing: Routing | None = None
    """Gradient routing: labelled rewards train the shard of their source alone. It
    needs td_error `per_shard` and makes shards by construction, a positive control."""

    @fields.rule("top_k", "num_shards", "gate")
    def _top_k_of_shards(self) -> Iterator[str]:
        if self.top_k > self.num_shards:
            yield f"top_k: got {self.top_k}; allowed: 1 to {self.num_shards}"
        elif self.top_k != 1 and self.gate != "top_k":
            yield (
                f"top_k: got {self.top_k}; allowed with gate {self.gate!r}, which "
                "leaves all shards open: 1"
            )

    @fields.rule("gate", "top_k", "num_shards", "aggregation", "td_error")
    def _whole_returns(self) -> Iterator[str]:
        if self.td_error == "per_shard" and not self.gates_sum_to_one:
            yield (
                f"aggregation: got 'sum' with gate {self.gate!r} and td_error "
                "'per_shard'; allowed: 'convex' or 'winner', because each shard "
                "predicts the whole return and the gates must sum to 1"
            )

    @fields.rule(*GATE_FIELDS, "load_balance")
    def _balance(self) -> Iterator[str]:
        if self.load_balance > 0 and not self.shares_move:
            yield (
                f"load_balance: got {self.load_balance}; allowed: 0, because with "
                f"{self._describe_gates} the shares of the gates have no gradient"
            )

    @fields.rule(*GATE_FIELDS, "load_balance", "td_error", "routing")
    def _routed(self) -> Iterator[str]:
        if self.routing is None:
            return
        if self.num_shards == 1:
            yield "num_shards: got 1; allowed with routing: at least 2"
        elif self.gate == "top_k" or not self.shares_move:
            yield (
                f"routing: got values; allowed: null, because with "
                f"{self._describe_gates} labels cannot train all gates"
            )
        if self.load_balance > 0:
            yield (
                f"load_balance: got {self.load_balance}; allowed with routing, where "
                "the gates learn from labels alone: 0"
            )
        if self.td_error == "joint":
            yield (
                "td_error: got 'joint'; allowed with routing: 'per_shard', because a "
                "shard that no label names does not converge with a joint error"
            )

    @property
    def _describe_gates(self) -> str:
        return (
            f"gate {self.gate!r} (top {self.top_k} of {self.num_shards}), aggregation "
            f"{self.aggregation!r} and stop_gate_gradient {self.stop_gate_gradient}"
        )

    @property
    def gates_sum_to_one(self) -> bool:
        """Whether the gates sum to 1 in every state."""
        some_closed = self.gate == "top_k" and self.top_k < self.num_shards
        return self.aggregation != "sum" or not (self.gate == "sigmoid" or some_closed)

    @property
    def shares_move(self) -> bool:
        """Whether a loss on the shares of the gates has a gradient.

        It has none if one shard alone is open, because its share is always 1.
        """
        one_open = self.num_shards == 1 or (self.gate == "top_k" and self.top_k == 1)
        winner = self.aggregation == "winner"
        return not self.stop_gate_gradient and not (one_open or winner)

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> "ShardedHead":
        del contexts
        return ShardedHead(self, features, width, rngs)


class ShardedHead(nnx.Module):
    """V = sum_k g_k(z) v_k(z), v_k = w_k . relu(W_k z + b_k) + c_k."""

    def __init__(
        self, config: Sharded, features: int, width: int, rngs: nnx.Rngs
    ) -> None:
        self.config = config
        self.width = width
        self.hidden = layers.Linear(features, config.num_shards * width, rngs=rngs)
        self.kernel = nnx.Param(jnp.zeros((config.num_shards, width)))
        self.bias = nnx.Param(jnp.zeros((config.num_shards,)))
        self.gate = layers.Linear(features, config.num_shards, rngs=rngs)

    @property
    def unit_shard(self) -> Int[Array, " U"]:
        return base.unit_shards(self.config.num_shards, self.width)

    def stages(self) -> tuple[chain.Stage, ...]:
        shape = (self.config.num_shards, self.width)
        return (lambda z: jax.nn.relu(self.hidden(z)).reshape(shape),)

    def gates(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> Float[Array, " K"]:
        del context
        return gate(self.gate(features), self.config)

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> base.ValueOutput:
        return base.evaluate(self, features, context)


def gate(logits: Float[Array, " K"], config: Sharded) -> Float[Array, " K"]:
    """The gates g_k in [0, 1] that multiply the values of the shards.

    With aggregation `winner`, the largest gate becomes 1 and the others 0. Its gradient
    is that of the logarithm of the gate, so that the gates can be trained. Ties go to
    the first shard.

    Args:
      logits: one for each shard.
      config: gate and aggregation.
    """
    sigmoid = config.gate == "sigmoid"
    log_gates = jax.nn.log_sigmoid(logits) if sigmoid else jax.nn.log_softmax(logits)
    if config.aggregation == "winner":
        # compare logits: the gates themselves round to 0 and 1, which makes ties
        winner = jax.nn.one_hot(jnp.argmax(logits), config.num_shards)
        gates = winner * jnp.exp(log_gates - jax.lax.stop_gradient(log_gates))
    elif sigmoid and config.aggregation == "convex":
        gates = jax.nn.softmax(log_gates)  # exact, even if all gates are nearly closed
    else:
        gates = jax.nn.sigmoid(logits) if sigmoid else jax.nn.softmax(logits)
    if config.gate == "top_k":
        _, best = jax.lax.top_k(logits, config.top_k)
        gates = gates * jax.nn.one_hot(best, config.num_shards).sum(axis=0)
        if config.aggregation == "convex":
            gates = gates / gates.sum()
    if config.stop_gate_gradient:
        gates = jax.lax.stop_gradient(gates)
    return gates
