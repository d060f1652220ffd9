"""Decoders of the features: D predicts actions; auxiliary decoders help to train E.

They compute in the type of their weights and return float32.
Symbols: D features; A actions; H, W, P height, width and planes of the board.
"""

import itertools
import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from shardsim.agents import chain, layers


class ActionDecoder(nnx.Module):
    """D: logits of the next action. The policy is uniform at initialisation."""

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
        # drawn first, so that the last layer does not depend on the number of layers
        self.hidden = layers.Linear(sizes[-1], hidden[-1], rngs=rngs)
        self.readout = layers.Linear(
            hidden[-1], actions, kernel_init=nnx.initializers.zeros, rngs=rngs
        )
        self.before = nnx.List(
            [layers.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)]
        )

    @property
    def hidden_layers(self) -> tuple[nnx.Linear, ...]:
        """Hidden layers in the order of the forward pass."""
        return (*self.before, self.hidden)

    def stages(self) -> tuple[chain.Stage, ...]:
        """Hidden units of each layer after the nonlinearity, then the logits."""
        dtype = self.hidden.kernel.dtype
        stages = layers.hidden_stages(self.hidden_layers, self.activation)
        stages[0] = chain.joined(lambda x: x.astype(dtype), stages[0])
        return (*stages, lambda h: self.readout(h).astype(jnp.float32))

    def __call__(self, features: Float[Array, " D"]) -> Float[Array, " A"]:
        return chain.run(self.stages(), features)


class ObservationDecoder(nnx.Module):
    """Logits of the next observation, from the features and the action."""

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
        one_hot = jax.nn.one_hot(action, self.actions)
        logits = _forward(self.hidden, self.readout, features, one_hot)
        return logits.reshape(self.shape)


class InverseDecoder(nnx.Module):
    """Logits of the action, from the features before and after it."""

    def __init__(self, features: int, actions: int, width: int, rngs: nnx.Rngs) -> None:
        self.hidden = layers.Linear(2 * features, width, rngs=rngs)
        self.readout = layers.Linear(width, actions, rngs=rngs)

    def __call__(
        self, before: Float[Array, " D"], after: Float[Array, " D"]
    ) -> Float[Array, " A"]:
        return _forward(self.hidden, self.readout, before, after)


class MaskedDecoder(nnx.Module):
    """Logits of an observation, from the features of it with some cells hidden."""

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
        return _forward(self.hidden, self.readout, features).reshape(self.shape)


class Auxiliary(nnx.Module):
    """The decoders of the self-supervised losses in use; empty if none is in use."""

    def __init__(
        self,
        objectives: tuple[str, ...],
        features: int,
        actions: int,
        shape: tuple[int, ...],
        width: int,
        key: Key[Array, ""],
    ) -> None:
        # each has a key of its own: adding one does not change the others
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


def _forward(hidden: nnx.Linear, readout: nnx.Linear, *inputs: Array) -> Array:
    """A network with one hidden ReLU layer, applied to the concatenated inputs."""
    dtype = hidden.kernel[...].dtype
    concatenated = jnp.concatenate([x.astype(dtype) for x in inputs])
    out: Array = readout(jax.nn.relu(hidden(concatenated)))
    return out.astype(jnp.float32)
