"""The mean of two networks. Symbols: D features, C contexts, U units."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

import shardsim
from shardsim.agents.value import base


@shardsim.record
class TwoNetworks:
    """The mean of two networks with their own weights: one V, without shards."""

    kind: Literal["two_networks"] = "two_networks"

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> "TwoNetworksHead":
        del contexts
        return TwoNetworksHead(features, width, rngs)


class TwoNetworksHead(nnx.Module):
    """V = (w1 . tanh(W1 z + b1) + w2 . tanh(W2 z + b2)) / 2 + c.

    Both networks lie side by side in one hidden layer; the half is in the read-out.
    """

    def __init__(self, features: int, width: int, rngs: nnx.Rngs) -> None:
        self.width = width
        self.first = nnx.Linear(features, width, rngs=rngs)
        self.second = nnx.Linear(features, width, rngs=rngs)
        self.kernel = nnx.Param(jnp.zeros((1, 2 * width)))
        self.bias = nnx.Param(jnp.zeros((1,)))

    @property
    def unit_shard(self) -> Int[Array, " U"]:
        return base.unit_shards(1, 2 * self.width)

    def stages(self):
        def hidden(z: Float[Array, " D"]) -> Float[Array, "1 width"]:
            both = jnp.concatenate([self.first(z), self.second(z)])
            return jax.nn.tanh(both)[None] / 2

        return (hidden,)

    gates = staticmethod(base.always_open)

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> base.ValueOutput:
        return base.evaluate(self, features, context)
