"""Convolutional encoder, whose weights are the same at every cell of the board.

Symbols: H, W, P height, width and planes of the board; C channels; D features.
"""

import dataclasses
import itertools
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Num
from pydantic import PositiveInt

from shardsim.agents import chain, layers
from shardsim.agents.encoders import base, convolution_ops
from shardsim.core import fields


@fields.record
class ConvEncoder:
    """3x3 convolutions that keep the size of the board, then two dense layers.

    It suits GPUs, and CPUs if sample efficiency matters more than steps per second.
    """

    kind: Literal["conv"] = "conv"
    channels: fields.Sizes = (16, 16)
    """Output channels of each convolution."""
    hidden: PositiveInt = 128
    """Units of the dense layer between the last convolution and the features."""
    features: PositiveInt = 128
    """Number of features."""
    implementation: convolution_ops.Form = "auto"
    """How convolutions are computed: by XLA (`conv`), as matrix products (`patches`),
    or as suits the device (`auto`). The result is the same."""
    budget: PositiveInt | None = None
    """Number of parameters of E. If given, channels and hidden units are scaled to
    it."""

    @property
    def sizes(self) -> tuple[int, ...]:
        return (*self.channels, self.hidden)

    def resized(self, sizes: tuple[int, ...]) -> "ConvEncoder":
        *channels, hidden = sizes
        return dataclasses.replace(
            self, channels=tuple(channels), hidden=hidden, budget=None
        )

    def parameters(self, observation_shape: tuple[int, ...]) -> int:
        height, width, planes = base.board_of(self.kind, observation_shape)
        sizes = (planes, *self.channels)
        convolutions = sum((9 * a + 1) * b for a, b in itertools.pairwise(sizes))
        flat = height * width * self.channels[-1]
        return (
            convolutions + (flat + 1) * self.hidden + (self.hidden + 1) * self.features
        )

    def build(self, observation_shape: tuple[int, ...], rngs: nnx.Rngs) -> "Conv":
        shape = base.board_of(self.kind, observation_shape)
        return Conv(base.to_budget(self, shape), shape, rngs)


class Conv(nnx.Module):
    """z_{i+1} = relu(kernel_i * z_i + b_i), z_0 = x; h = relu(W z_n + b).

    features = relu(W' h + b').
    Activations: the boards z_1, ..., z_n [H, W, C]; h [hidden]; the features [D].
    """

    def __init__(
        self, config: ConvEncoder, board: tuple[int, int, int], rngs: nnx.Rngs
    ) -> None:
        height, width, planes = board
        self.convolutions = nnx.List(
            [
                convolution_ops.Convolution(a, b, config.implementation, rngs)
                for a, b in itertools.pairwise((planes, *config.channels))
            ]
        )
        flat = height * width * config.channels[-1]
        self.hidden = layers.Linear(flat, config.hidden, rngs=rngs)
        self.readout = layers.Linear(config.hidden, config.features, rngs=rngs)

    def stages(self) -> tuple[chain.Stage, ...]:
        convolutions = [
            lambda z, layer=layer: jax.nn.relu(layer(z)) for layer in self.convolutions
        ]
        return (
            *convolutions,
            lambda z: jax.nn.relu(self.hidden(z.reshape(-1))),
            lambda h: jax.nn.relu(self.readout(h)).astype(jnp.float32),
        )

    def __call__(self, observation: Num[Array, "H W P"]) -> Float[Array, " D"]:
        return chain.run(self.stages(), observation)
