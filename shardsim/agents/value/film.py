"""FiLM head: V depends on context, but not sparsely. Every unit is modulated smoothly.

This is the decisive negative control. A measure that tells shards from a network has to
tell them from this head too; otherwise it detects context dependence, not sharding.
Symbols: D features, C contexts, K = 1 shard, U units.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int
from pydantic import PositiveInt

from shardsim.agents import chain, layers
from shardsim.agents.value import base
from shardsim.core import fields


@fields.record
class FiLM:
    """A value head whose units are all scaled smoothly by a low-rank code (control)."""

    kind: Literal["film"] = "film"
    rank: PositiveInt = 4
    """Rank of the modulation. The number of shards makes the fairest control."""

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> "FiLMHead":
        del contexts
        return FiLMHead(self, features, width, rngs)


class FiLMHead(nnx.Module):
    """V = w . relu((1 + A m) * (W z + b) + B m) + c, m = tanh(M z + d).

    Reference: Perez et al., FiLM: Visual Reasoning with a General Conditioning
    Layer, 2018.
    """

    def __init__(self, config: FiLM, features: int, width: int, rngs: nnx.Rngs) -> None:
        self.width = width
        self.hidden = layers.Linear(features, width, rngs=rngs)
        self.code = layers.Linear(features, config.rank, rngs=rngs)
        self.scale = layers.Linear(config.rank, width, use_bias=False, rngs=rngs)
        self.shift = layers.Linear(config.rank, width, use_bias=False, rngs=rngs)
        self.kernel = nnx.Param(jnp.zeros((1, width)))
        self.bias = nnx.Param(jnp.zeros((1,)))

    @property
    def unit_shard(self) -> Int[Array, " U"]:
        return base.unit_shards(1, self.width)

    def stages(self) -> tuple[chain.Stage, ...]:
        return (self._modulated,)

    def _modulated(self, features: Float[Array, " D"]) -> Float[Array, "1 width"]:
        code = jnp.tanh(self.code(features))
        linear = (1.0 + self.scale(code)) * self.hidden(features) + self.shift(code)
        return jax.nn.relu(linear)[None]

    gates = staticmethod(base.always_open)

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> base.ValueOutput:
        return base.evaluate(self, features, context)
