"""Decoders on E: D predicts actions, auxiliary ones what trains E by itself.

They compute in the type of their weights and answer in float32.
Symbols: D features, A actions, H, W, P board and planes.
"""

import itertools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from shardsim.agents import chain, layers


class ActionDecoder(nnx.Module):
    """Logits of the next action; uniform at initialisation."""

    def __init__(
        self,
        features: int,
        actions: int,
        hidden: tuple[int, ...],
        rngs: nnx.Rngs,
        activation: layers.Activation = "relu",
    ) -> None:
        self.activation = activation
        sizes = (features, *hidden[:-1])
        # drawn first: D's last layer does not depend on how many lie before it
        self.hidden = layers.Linear(sizes[-1], hidden[-1], rngs=rngs)
        self.readout = layers.Linear(
            hidden[-1], actions, kernel_init=nnx.initializers.zeros, rngs=rngs
        )
        self.before = nnx.List(
            [layers.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)]
        )

    @property
    def hidden_layers(self) -> tuple[nnx.Linear, ...]:
        """In the order in which they are computed."""
        return (*self.before, self.hidden)

    def stages(self) -> tuple[chain.Stage, ...]:
        """Hidden units of each layer, after its activation; then the logits."""
        dtype = self.hidden.kernel.dtype
        stages = layers.hidden_stages(self.hidden_layers, self.activation)
        stages[0] = chain.joined(lambda x: x.astype(dtype), stages[0])
        return (*stages, lambda h: self.readout(h).astype(jnp.float32))

    def __call__(self, features: Float[Array, " D"]) -> Float[Array, " A"]:
        return chain.run(self.stages(), features)


class ObservationDecoder(nnx.Module):
    """Logits of every cell of the next observation, given features and action."""

    def __init__(
        self,
        features: int,
        actions: int,
        observation_shape: tuple[int, ...],
        width: int,
        rngs: nnx.Rngs,
    ) -> None:
        self.actions = actions
        self.shape = observation_shape
        self.hidden = layers.Linear(features + actions, width, rngs=rngs)
        self.readout = layers.Linear(width, math.prod(observation_shape), rngs=rngs)

    def __call__(
        self, features: Float[Array, " D"], action: Int[Array, ""]
    ) -> Float[Array, "H W P"]:
        choice = jax.nn.one_hot(action, self.actions)
        seen = _layers(self.hidden, self.readout, features, choice)
        return seen.reshape(self.shape)


class InverseDecoder(nnx.Module):
    """Logits of the action, given the features before and after it."""

    def __init__(self, features: int, actions: int, width: int, rngs: nnx.Rngs) -> None:
        self.hidden = layers.Linear(2 * features, width, rngs=rngs)
        self.readout = layers.Linear(width, actions, rngs=rngs)

    def __call__(
        self, before: Float[Array, " D"], after: Float[Array, " D"]
    ) -> Float[Array, " A"]:
        return _layers(self.hidden, self.readout, before, after)


class MaskedDecoder(nnx.Module):
    """Logits of every cell, given the features of an observation with some hidden."""

    def __init__(
        self,
        features: int,
        observation_shape: tuple[int, ...],
        width: int,
        rngs: nnx.Rngs,
    ) -> None:
        self.shape = observation_shape
        self.hidden = layers.Linear(features, width, rngs=rngs)
        self.readout = layers.Linear(width, math.prod(observation_shape), rngs=rngs)

    def __call__(self, features: Float[Array, " D"]) -> Float[Array, "H W P"]:
        return _layers(self.hidden, self.readout, features).reshape(self.shape)


class Auxiliary(nnx.Module):
    """The decoders of the self-supervised objectives in use; none, where none is."""

    def __init__(
        self,
        objectives: tuple[str, ...],
        features: int,
        actions: int,
        shape: tuple[int, ...],
        width: int,
        key: Key[Array, ""],
    ) -> None:
        # each draws from a key of its own: one more changes nothing of the others
        inverse_key, masked_key = (jax.random.fold_in(key, n) for n in (1, 2))
        if "observation" in objectives:
            self.observation = ObservationDecoder(
                features, actions, shape, width, nnx.Rngs(key)
            )
        if "inverse" in objectives:
            self.inverse = InverseDecoder(
                features, actions, width, nnx.Rngs(inverse_key)
            )
        if "masked" in objectives:
            self.masked = MaskedDecoder(features, shape, width, nnx.Rngs(masked_key))


def _layers(hidden: nnx.Linear, readout: nnx.Linear, *inputs: Array) -> Array:
    """One hidden layer of ReLU units over what is put side by side."""
    dtype = hidden.kernel[...].dtype
    joined = jnp.concatenate([x.astype(dtype) for x in inputs])
    out: Array = readout(jax.nn.relu(hidden(joined)))
    return out.astype(jnp.float32)
