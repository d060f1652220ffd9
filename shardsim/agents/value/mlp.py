"""V is a neural network: one part."""

import dataclasses
import itertools
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from shardsim.agents import layers
from shardsim.agents.value import base


@dataclasses.dataclass(frozen=True)
class MLP:
    """A monolithic V; the width of its last layer is solved from the budget."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[int, ...] = ()
    """Units of layers before the last one."""
    activation: Literal["relu", "tanh"] = "relu"

    def __post_init__(self) -> None:
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"before: got {self.hidden}; allowed: numbers >= 1")

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> "MLPHead":
        del contexts
        return MLPHead(self, features, width, rngs)


class MLPHead(nnx.Module):
    """V = w . f(W z + b) + c; with layers before, z goes through them first."""

    def __init__(self, config: MLP, features: int, width: int, rngs: nnx.Rngs) -> None:
        self.width = width
        self.activation = config.activation
        sizes = (features, *config.hidden)
        self.hidden = layers.Linear(sizes[-1], width, rngs=rngs)
        self.before = nnx.List(
            [layers.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)]
        )
        self.kernel = nnx.Param(jnp.zeros((1, width)))
        self.bias = nnx.Param(jnp.zeros((1,)))

    @property
    def unit_shard(self) -> Int[Array, " U"]:
        return jnp.zeros(self.width + 1, jnp.int32)

    def activations(self, features: Float[Array, " D"]) -> Float[Array, "K width"]:
        act = jax.nn.relu if self.activation == "relu" else jnp.tanh
        for layer in self.before:
            features = act(layer(features))
        return act(self.hidden(features))[None]

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
