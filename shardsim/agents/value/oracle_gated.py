"""Oracle-gated head: one shard for each true context. This is the positive control."""

from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from shardsim.agents import chain, layers
from shardsim.agents.value import base
from shardsim.core import fields


@fields.record
class OracleGated:
    """Shards gated by the true context of the env, which no other head sees."""

    kind: Literal["oracle_gated"] = "oracle_gated"

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> "OracleGatedHead":
        return OracleGatedHead(features, contexts, width, rngs)


class OracleGatedHead(nnx.Module):
    """V = sum_c context_c v_c(z), v_c = w_c . relu(W_c z + b_c) + d_c."""

    def __init__(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> None:
        self.contexts = contexts
        self.width = width
        self.hidden = layers.Linear(features, contexts * width, rngs=rngs)
        self.kernel = nnx.Param(jnp.zeros((contexts, width)))
        self.bias = nnx.Param(jnp.zeros((contexts,)))

    @property
    def unit_shard(self) -> Int[Array, " U"]:
        return base.unit_shards(self.contexts, self.width)

    def stages(self) -> tuple[chain.Stage, ...]:
        shape = (self.contexts, self.width)
        return (lambda z: jax.nn.relu(self.hidden(z)).reshape(shape),)

    def gates(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> Float[Array, " K"]:
        del features
        return context

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> base.ValueOutput:
        return base.evaluate(self, features, context)
