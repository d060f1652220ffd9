"""What a value head returns. Symbols: D features, C contexts, K parts, U units."""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from shardsim.agents import chain


class ValueOutput(NamedTuple):
    """V of one state and how it came about: two exact decompositions.

    value = sum_k gates[k] * parts[k] = sum_u units[u], each to 1e-6.
    """

    value: Float[Array, ""]
    shard_values: Float[Array, " K"]
    """What each part says by itself."""
    gates: Float[Array, " K"]
    """How much each part counts in this state, after aggregation."""
    units: Float[Array, " U"]
    """What each last-layer unit adds to the value, gate included."""


@runtime_checkable
class ValueHead(Protocol):
    """V on top of E: a pure function of features, with its insides as data."""

    @property
    def unit_shard(self) -> Int[Array, " U"]:
        """The part, in [0, K), that each unit belongs to."""
        ...

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> ValueOutput:
        """V and its parts. `context` is the truth: only `planted` may read it."""
        ...


@runtime_checkable
class GatedHead(chain.Chain, Protocol):
    """A head that `evaluate` reads out of hidden units: what can be patched inside.

    Its stages lead from features [D] to the hidden units of each part [K width].
    """

    kernel: nnx.Param[Array]
    bias: nnx.Param[Array]

    def gates(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> Float[Array, " K"]:
        """How much each part counts, after aggregation."""
        ...


def unit_shards(parts: int, width: int) -> Int[Array, " U"]:
    """The part of each unit: `width` hidden units and a bias for each part."""
    return jnp.repeat(jnp.arange(parts), width + 1)


def always_open(
    features: Float[Array, " D"], context: Float[Array, " C"]
) -> Float[Array, " 1"]:
    """The gate of a head that has but one part."""
    del features, context
    return jnp.ones((1,))


def evaluate(
    head: GatedHead, features: Float[Array, " D"], context: Float[Array, " C"]
) -> ValueOutput:
    """V of one state: the one forward pass of all heads that have stages."""
    gates = head.gates(features, context)
    hidden = chain.run(head.stages(), features)
    return assemble(hidden, head.kernel[...], head.bias[...], gates)


def assemble(
    hidden: Float[Array, "K width"],
    kernel: Float[Array, "K width"],
    bias: Float[Array, " K"],
    gates: Float[Array, " K"],
) -> ValueOutput:
    """Read K parts out of their hidden units and add them up under the gates.

    parts[k] = hidden[k] . kernel[k] + bias[k]; the bias of a part is its last unit.
    """
    parts = jnp.sum(hidden * kernel, axis=-1) + bias
    each = jnp.concatenate([hidden * kernel, bias[:, None]], axis=-1)
    units = (each * gates[:, None]).reshape(-1)
    return ValueOutput(jnp.sum(gates * parts), parts, gates, units)


def mask_units(
    output: ValueOutput, owners: Int[Array, " U"], keep: Float[Array, " U"]
) -> ValueOutput:
    """The same output with some units switched off: the one ablation of all heads.

    Gates stay as they were; a part keeps what its remaining units say, so that the
    decompositions still hold.

    Args:
      output: of the whole head.
      owners: the part of each unit.
      keep: 1 keeps a unit, 0 switches it off.
    """
    units = output.units * keep
    count = output.shard_values.shape[0]
    said = jax.ops.segment_sum(units, owners, count)
    closed = output.gates == 0
    parts = jnp.where(closed, 0.0, said / jnp.where(closed, 1.0, output.gates))
    return ValueOutput(jnp.sum(units), parts, output.gates, units)
