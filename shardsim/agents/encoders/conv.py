"""E is a convolutional network: what holds at one place of the board holds at all.

Symbols: H, W, P board and planes; C channels; D features.
"""

import dataclasses
import itertools
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt8

from shardsim.agents import chain, layers
from shardsim.agents.encoders import base, convolution_ops


@dataclasses.dataclass(frozen=True)
class ConvEncoder:
    """3x3 convolutions that keep the size of the board, then two dense layers.

    For GPUs, and for CPUs where few samples count more than many steps.
    """

    kind: Literal["conv"] = "conv"
    channels: tuple[int, ...] = (16, 16)
    """Planes that each convolution gives."""
    hidden: int = 128
    """Units between the last board and the features."""
    features: int = 128
    """D."""
    implementation: convolution_ops.Form = "auto"
    """Which program computes convolutions; see `convolution_ops`. The numbers agree."""
    budget: int | None = None
    """Parameters of E. If given, channels and hidden units are scaled to meet it."""

    def __post_init__(self) -> None:
        base.check_sizes("channels", self.channels)
        base.check_numbers(self, "hidden", "features", "budget")

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
        convolved = sum((9 * a + 1) * b for a, b in itertools.pairwise(sizes))
        flat = height * width * self.channels[-1]
        return convolved + (flat + 1) * self.hidden + (self.hidden + 1) * self.features

    def build(self, observation_shape: tuple[int, ...], rngs: nnx.Rngs) -> "Conv":
        shape = base.board_of(self.kind, observation_shape)
        return Conv(base.to_budget(self, shape), shape, rngs)


class Conv(nnx.Module):
    """z_{i+1} = relu(kernel_i * z_i + b_i), z_0 = x; h = relu(W z_n + b), D alike of h.

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
        convolved = [
            lambda z, layer=layer: jax.nn.relu(layer(z)) for layer in self.convolutions
        ]
        return (
            *convolved,
            lambda z: jax.nn.relu(self.hidden(z.reshape(-1))),
            lambda h: jax.nn.relu(self.readout(h)).astype(jnp.float32),
        )

    def __call__(self, observation: UInt8[Array, "H W P"]) -> Float[Array, " D"]:
        return chain.run(self.stages(), observation)
