"""Decoders on E: D predicts actions, the auxiliary one the next observation.

Symbols: D features, A actions, H, W, P board and planes.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int


class ActionDecoder(nnx.Module):
    """Logits of the next action; uniform at initialisation."""

    def __init__(self, features: int, actions: int, width: int, rngs: nnx.Rngs) -> None:
        self.hidden = nnx.Linear(features, width, rngs=rngs)
        self.readout = nnx.Linear(
            width, actions, kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(self, features: Float[Array, " D"]) -> Float[Array, " A"]:
        return self.readout(jax.nn.relu(self.hidden(features)))


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
        size = 1
        for side in observation_shape:
            size *= side
        self.hidden = nnx.Linear(features + actions, width, rngs=rngs)
        self.readout = nnx.Linear(width, size, rngs=rngs)

    def __call__(
        self, features: Float[Array, " D"], action: Int[Array, ""]
    ) -> Float[Array, "H W P"]:
        choice = jax.nn.one_hot(action, self.actions)
        hidden = jax.nn.relu(self.hidden(jnp.concatenate([features, choice])))
        return self.readout(hidden).reshape(self.shape)
