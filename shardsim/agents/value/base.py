"""The interface of value heads, and the forward pass that they share.

Symbols: D features, C contexts, K shards, U units. A head without shards has K = 1.
"""

from collections.abc import Hashable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from shardsim.agents import chain


class ValueOutput(NamedTuple):
    """V of one state and two exact decompositions of it.

    value = sum_k gates[k] * shard_values[k] = sum_u units[u], each to 1e-6.
    """

    value: Float[Array, ""]
    """V, in units of reward."""
    shard_values: Float[Array, " K"]
    """v_k, the value of each shard without its gate."""
    gates: Float[Array, " K"]
    """g_k, the gate of each shard in this state, after aggregation."""
    units: Float[Array, " U"]
    """Contribution of each last-layer unit to V, including the gate."""


@runtime_checkable
class HeadConfig(Hashable, Protocol):
    """The config of a head: frozen and hashable."""

    @property
    def kind(self) -> str:
        """Name of the kind of head."""
        ...

    def build(
        self, features: int, contexts: int, width: int, rngs: nnx.Rngs
    ) -> "ValueHead":
        """A new head, whose V is 0 everywhere.

        Args:
          features: D, the number of features of E.
          contexts: C, the number of contexts of the environment.
          width: hidden units (of each shard).
          rngs: keys of its parameters.
        """
        ...


@runtime_checkable
class ValueHead(Protocol):
    """V: a pure function of the features, which returns its internal values as well."""

    @property
    def unit_shard(self) -> Int[Array, " U"]:
        """The shard, in [0, K), that each unit belongs to."""
        ...

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> ValueOutput:
        """V and its decompositions.

        Args:
          context: true context, which only the `oracle_gated` head may read.
        """
        ...


@runtime_checkable
class GatedHead(chain.Chain, Protocol):
    """A head whose hidden units can be read and patched; `evaluate` computes its V.

    The stages lead from the features [D] to the hidden units of each shard [K, width].
    """

    kernel: nnx.Param[Array]
    bias: nnx.Param[Array]

    def gates(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> Float[Array, " K"]:
        """The gate of each shard, after aggregation."""
        ...


def unit_shards(num_shards: int, width: int) -> Int[Array, " U"]:
    """The shard of each unit: every shard has `width` hidden units and a bias."""
    return jnp.repeat(jnp.arange(num_shards), width + 1)


def always_open(
    features: Float[Array, " D"], context: Float[Array, " C"]
) -> Float[Array, " 1"]:
    """The gate of a head without shards: always 1."""
    del features, context
    return jnp.ones((1,))


def evaluate(
    head: GatedHead, features: Float[Array, " D"], context: Float[Array, " C"]
) -> ValueOutput:
    """V of one state: the forward pass of every head that has stages.

    Args:
      context: true context, for the gates of the `oracle_gated` head.
    """
    gates = head.gates(features, context)
    hidden = chain.run(head.stages(), features)
    return assemble(hidden, head.kernel[...], head.bias[...], gates)


def assemble(
    hidden: Float[Array, "K width"],
    kernel: Float[Array, "K width"],
    bias: Float[Array, " K"],
    gates: Float[Array, " K"],
) -> ValueOutput:
    """V from the hidden units of K shards.

    v_k = hidden[k] . kernel[k] + bias[k],  V = sum_k g_k v_k

    The bias of a shard counts as its last unit.
    """
    shard_values = jnp.sum(hidden * kernel, axis=-1) + bias
    ungated = jnp.concatenate([hidden * kernel, bias[:, None]], axis=-1)
    units = (ungated * gates[:, None]).reshape(-1)
    return ValueOutput(jnp.sum(gates * shard_values), shard_values, gates, units)


def random_readout(head: ValueHead, key: Key[Array, ""]) -> ValueHead:
    """The head with a random last layer, which makes V a random function.

      w ~ N(0, 1 / width), c = 0

    Args:
      key: of one seed.
    """
    graphdef, state = nnx.split(head)
    weights = nnx.to_pure_dict(state)
    shape = weights["kernel"].shape
    weights["kernel"] = jax.random.normal(key, shape) / jnp.sqrt(shape[-1])
    nnx.replace_by_pure_dict(state, weights)
    drawn: ValueHead = nnx.merge(graphdef, state)
    return drawn


def mask_units(
    output: ValueOutput, unit_shard: Int[Array, " U"], keep: Float[Array, " U"]
) -> ValueOutput:
    """The output with some units ablated, for any head.

    The gates do not change. The value of a shard becomes that of its remaining units,
    so that both decompositions still hold; a shard with a closed gate has value 0.

    Args:
      output: of the intact head.
      unit_shard: the shard of each unit, in [0, K).
      keep: 1 keeps a unit, 0 ablates it; numbers between scale it.
    """
    units = output.units * keep
    num_shards = output.shard_values.shape[0]
    gated_values = jax.ops.segment_sum(units, unit_shard, num_shards)
    closed = output.gates == 0
    shard_values = jnp.where(
        closed, 0.0, gated_values / jnp.where(closed, 1.0, output.gates)
    )
    return ValueOutput(jnp.sum(units), shard_values, output.gates, units)
