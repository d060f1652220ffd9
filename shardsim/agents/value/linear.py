"""Linear head: V is a linear function of the features, the smallest head."""

from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from shardsim.agents import chain
from shardsim.agents.value import base
from shardsim.core import fields


@fields.record
class Linear:
    """A linear value head. It has no width, so it can't meet a parameter budget."""

    kind: Literal["linear"] = "linear"

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> "LinearHead":
        del contexts, width, rngs
        return LinearHead(features)


class LinearHead(nnx.Module):
    """V = w . z + c; the units are the features of E, and the bias c."""

    def __init__(self, features: int) -> None:
        self.features = features
        self.kernel = nnx.Param(jnp.zeros((1, features)))
        self.bias = nnx.Param(jnp.zeros((1,)))

    @property
    def unit_shard(self) -> Int[Array, " U"]:
        return base.unit_shards(1, self.features)

    def stages(self) -> tuple[chain.Stage, ...]:
        return (lambda z: z[None],)

    gates = staticmethod(base.always_open)

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> base.ValueOutput:
        return base.evaluate(self, features, context)
