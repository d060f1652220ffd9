"""V is a neural network: one hidden layer, one part."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from shardsim.value import base


@dataclasses.dataclass(frozen=True)
class MLP:
    """A monolithic V; its width is solved from the budget."""

    kind: Literal["mlp"] = "mlp"

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> "MLPHead":
        del contexts
        return MLPHead(features, width, rngs)


class MLPHead(nnx.Module):
    """V = w . relu(W z + b) + c."""

    def __init__(self, features: int, width: int, rngs: nnx.Rngs) -> None:
        self.width = width
        self.hidden = nnx.Linear(features, width, rngs=rngs)
        self.kernel = nnx.Param(jnp.zeros((1, width)))
        self.bias = nnx.Param(jnp.zeros((1,)))

    @property
    def owners(self) -> Int[Array, " U"]:
        return jnp.zeros(self.width + 1, jnp.int32)

    def activations(self, features: Float[Array, " D"]) -> Float[Array, "K width"]:
        return jax.nn.relu(self.hidden(features))[None]

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
