"""V is a linear function of the features: the smallest head."""

import dataclasses
from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from shardsim.agents.value import base


@dataclasses.dataclass(frozen=True)
class Linear:
    """A linear read-out. It has no width, so no budget can be met by it."""

    kind: Literal["linear"] = "linear"

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> "LinearHead":
        del contexts, width, rngs
        return LinearHead(features)


class LinearHead(nnx.Module):
    """V = w . z + c; a unit is a feature of E."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.kernel = nnx.Param(jnp.zeros((1, features)))
        self.bias = nnx.Param(jnp.zeros((1,)))

    @property
    def unit_shard(self) -> Int[Array, " U"]:
        return jnp.zeros(self.features + 1, jnp.int32)

    def activations(self, features: Float[Array, " D"]) -> Float[Array, "K width"]:
        return features[None]

    def gates(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> Float[Array, " K"]:
        del features, context
        return jnp.ones((1,))

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> base.ValueOutput:
        gates = self.gates(features, context)
        return base.assemble(
            self.activations(features), self.kernel[...], self.bias[...], gates
        )
