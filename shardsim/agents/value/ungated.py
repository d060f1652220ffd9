"""Ungated head: V is a sum, or a mean, of K small networks that are always open.

It is made of parts as a sharded head is, but no part belongs to a context: the control
that tells parts from gates. Symbols: D features, C contexts, K parts.
"""

from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from pydantic import NonNegativeInt, PositiveInt

from shardsim.agents import chain, layers
from shardsim.agents.value import base
from shardsim.core import fields


@fields.record
class Labels:
    """Labelled rewards: each part learns the return of one source of reward.

    A label is the source of the next reward of the episode, as for gradient routing
    (`Routing`), but there are no gates that could use it: the same knowledge for a head
    without shards.
    """

    label_fraction: fields.Fraction = 1.0
    """Probability that a reward comes with its label."""
    oversight_context: NonNegativeInt | None = None
    """Context in which labels are known, by number; null: in all contexts."""


@fields.record
class Ungated:
    """K small value networks that all count in every state (control)."""

    kind: Literal["ungated"] = "ungated"
    num_parts: PositiveInt = 4
    """K, the number of parts."""
    aggregation: Literal["sum", "mean"] = "sum"
    """How V is made of the values of the parts. A `sum` of parts is one network of as
    many units, unless each part has a target of its own; a `mean` is an ensemble."""
    td_error: Literal["joint", "per_shard"] = "joint"
    """One TD error of the whole V (`joint`), or one for each part (`per_shard`)."""

    labels: Labels | None = None
    """Labels of rewards: part k learns the return of source k, and V is the sum. null:
    rewards have no labels."""

    @fields.rule("aggregation", "td_error", "labels")
    def _parts_of_sources(self) -> Iterator[str]:
        if self.labels is not None and (self.aggregation, self.td_error) != (
            "sum",
            "joint",
        ):
            yield (
                f"labels: got values with aggregation {self.aggregation!r} and "
                f"td_error {self.td_error!r}; allowed: 'sum' and 'joint', because the "
                "returns of the sources add up"
            )

    @fields.rule("aggregation", "td_error")
    def _parts_predict_the_return(self) -> Iterator[str]:
        if self.td_error == "per_shard" and self.aggregation == "sum":
            yield (
                "td_error: got 'per_shard'; allowed with aggregation 'sum', where V is "
                "the sum of the parts: 'joint'"
            )

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> "UngatedHead":
        del contexts
        return UngatedHead(self, features, width, rngs)


class UngatedHead(nnx.Module):
    """V = sum_k v_k(z), or its mean over k; v_k = w_k . relu(W_k z + b_k) + c_k.

    Reference: van Seijen et al., Hybrid Reward Architecture for Reinforcement Learning,
    2017 (arXiv 1706.04208), where each part has the return of one source of reward.
    """

    def __init__(
        self, config: Ungated, features: int, width: int, rngs: nnx.Rngs
    ) -> None:
        self.config = config
        self.width = width
        self.hidden = layers.Linear(features, config.num_parts * width, rngs=rngs)
        self.kernel = nnx.Param(jnp.zeros((config.num_parts, width)))
        self.bias = nnx.Param(jnp.zeros((config.num_parts,)))

    @property
    def unit_shard(self) -> Int[Array, " U"]:
        return base.unit_shards(self.config.num_parts, self.width)

    def stages(self) -> tuple[chain.Stage, ...]:
        shape = (self.config.num_parts, self.width)
        return (lambda z: jax.nn.relu(self.hidden(z)).reshape(shape),)

    def gates(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> Float[Array, " K"]:
        del features, context
        parts, is_mean = self.config.num_parts, self.config.aggregation == "mean"
        return jnp.full((parts,), 1 / parts if is_mean else 1.0)

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> base.ValueOutput:
        return base.evaluate(self, features, context)
