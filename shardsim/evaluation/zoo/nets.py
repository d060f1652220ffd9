"""A member of the zoo as a network of the features of E, and how each is built.

Symbols: D features, C contexts, K parts, width hidden units of each part.
"""

from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from shardsim.agents import chain, layers, value
from shardsim.agents.value import base


@runtime_checkable
class Adapter(Protocol):
    """What lies between E and V: part of E."""

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> Float[Array, " D"]:
        """The features that V reads, from those of the shared E."""
        ...


class Identity(nnx.Module):
    """V reads the shared features."""

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> Float[Array, " D"]:
        del context
        return features


class Rotation(nnx.Module):
    """V reads Q z, Q orthogonal."""

    def __init__(self, features: int, key: Key[Array, ""]) -> None:
        self.matrix = nnx.Param(jax.random.orthogonal(key, features))

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> Float[Array, " D"]:
        del context
        return self.matrix[...] @ features


class Modules(nnx.Module):
    """One module of features for each context; only that of the context is open.

    z' = (c_1 relu(W_1 z + b_1), ..., c_C relu(W_C z + b_C)), each of D / C features.
    """

    def __init__(self, features: int, contexts: int, rngs: nnx.Rngs) -> None:
        self.contexts = contexts
        self.hidden = layers.Linear(features, features, rngs=rngs)

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> Float[Array, " D"]:
        hidden = jax.nn.relu(self.hidden(features)).reshape(self.contexts, -1)
        return (hidden * context[:, None]).reshape(-1)


class Net(nnx.Module):
    """A member: an adapter and a head."""

    def __init__(self, adapter: Adapter, head: value.ValueHead) -> None:
        self.adapter = adapter
        self.head = head

    def __call__(
        self,
        features: Float[Array, " D"],
        context: Float[Array, " C"],
        given: Float[Array, " C"],
    ) -> value.ValueOutput:
        """V of one state.

        Args:
          features: of the shared E.
          context: the true context, for the adapter.
          given: the context that the gates of the head get.
        """
        return self.head(self.adapter(features, context), given)


class BlendedHead(nnx.Module):
    """V = lambda V_1 + (1 - lambda) V_2: the parts of both heads, under both gates."""

    def __init__(
        self, first: base.GatedHead, second: base.GatedHead, weight: float
    ) -> None:
        self.first = first
        self.second = second
        self.weight = weight

    @property
    def kernel(self) -> Float[Array, "K width"]:
        return jnp.concatenate([self.first.kernel[...], self.second.kernel[...]])

    @property
    def bias(self) -> Float[Array, " K"]:
        return jnp.concatenate([self.first.bias[...], self.second.bias[...]])

    @property
    def unit_shard(self) -> Int[Array, " U"]:
        return base.unit_shards(*self.kernel.shape)

    def stages(self) -> tuple[chain.Stage, ...]:
        def both(z: Array) -> Array:
            parts = [chain.run(h.stages(), z) for h in (self.first, self.second)]
            return jnp.concatenate(parts)

        return (both,)

    def gates(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> Float[Array, " K"]:
        first = self.weight * self.first.gates(features, context)
        second = (1 - self.weight) * self.second.gates(features, context)
        return jnp.concatenate([first, second])

    def __call__(
        self, features: Float[Array, " D"], context: Float[Array, " C"]
    ) -> value.ValueOutput:
        gates = self.gates(features, context)
        hidden = chain.run(self.stages(), features)
        return base.assemble(hidden, self.kernel, self.bias, gates)


READERS = ("hidden", "gate", "code")
"""Layers of heads that read the features, by the name of the attribute."""


def rotated(net: Net, features: int, key: Key[Array, ""]) -> Net:
    """The same V behind Q z: the first layers of the head read Q' (Q z).

    Args:
      net: a member whose head reads the shared features by its layers `READERS`.
      features: D.
    """
    rotation = Rotation(features, key)
    turn = rotation.matrix[...]
    graph, state = nnx.split(net.head)
    flat = [
        # kernels are transposed: y = K' z = (Q K)' (Q z)
        (path, leaf.replace(turn @ leaf[...]))
        if path[0] in READERS and path[-1] == "kernel"
        else (path, leaf)
        for path, leaf in nnx.to_flat_state(state)
    ]
    return Net(rotation, nnx.merge(graph, nnx.from_flat_state(flat)))


class Sized(NamedTuple):
    """The config of a head, and its width."""

    head: value.HeadConfig
    width: int
