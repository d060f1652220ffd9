"""MLP head: V is one network without shards."""

import itertools
from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from pydantic import PositiveInt

from shardsim.agents import chain, layers
from shardsim.agents.value import base
from shardsim.core import fields


@fields.record
class MLP:
    """One monolithic value network; its last width is solved from the budget."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] = ()
    """Units of the hidden layers before the last one."""
    activation: layers.Activation = "relu"
    """Nonlinearity of the hidden layers."""

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> "MLPHead":
        del contexts
        return MLPHead(self, features, width, rngs)


class MLPHead(nnx.Module):
    """V = w . f(W z + b) + c, where z are the features after the layers of `hidden`."""

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
        return base.unit_shards(1, self.width)

    def stages(self) -> tuple[chain.Stage, ...]:
        dense = (*self.before, self.hidden)
        stages = layers.hidden_stages(dense, self.activation)
        stages[-1] = chain.joined(stages[-1], lambda h: h[None])
        return tuple(stages)

    gates = staticmethod(base.always_open)

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> base.ValueOutput:
        return base.evaluate(self, features, context)
