"""IMPALA encoder: a residual network, sized for boards of 5x5 to 25x25 cells.

Symbols: H, W, P height, width and planes of the board; C channels; D features.
"""

import dataclasses
import itertools
import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float
from pydantic import PositiveInt

from shardsim.agents import chain, layers
from shardsim.agents.encoders import base, convolution_ops
from shardsim.core import fields


@fields.record
class ImpalaEncoder:
    """Stages of convolution, max-pooling and residual blocks; then a dense layer.

    Each stage halves the board. It suits GPUs, because it has the most convolutions of
    all kinds.

    Reference: Espeholt et al. 2018, IMPALA, arXiv:1802.01561 (figure 3, right).
    """

    kind: Literal["impala"] = "impala"
    channels: fields.Sizes = (16, 32)
    """Channels of each stage. The paper's (16, 32, 32) are for images of 72 x 96."""
    blocks: PositiveInt = 1
    """Residual blocks of each stage; the paper has 2."""
    features: PositiveInt = 128
    """Number of features."""
    implementation: convolution_ops.Form = "auto"
    """How convolutions are computed: by XLA (`conv`), as matrix products (`patches`),
    or as suits the device (`auto`). The result is the same."""
    budget: PositiveInt | None = None
    """Number of parameters of E. If given, the channels are scaled to it."""

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.channels

    def resized(self, sizes: tuple[int, ...]) -> "ImpalaEncoder":
        return dataclasses.replace(self, channels=sizes, budget=None)

    def parameters(self, observation_shape: tuple[int, ...]) -> int:
        *sides, planes = base.board_of(self.kind, observation_shape)
        sizes = (planes, *self.channels)
        entry = sum((9 * a + 1) * b for a, b in itertools.pairwise(sizes))
        residual = sum(2 * self.blocks * (9 * c + 1) * c for c in self.channels)
        flat = _cells(sides, len(self.channels)) * self.channels[-1]
        return entry + residual + (flat + 1) * self.features

    def build(self, observation_shape: tuple[int, ...], rngs: nnx.Rngs) -> "Impala":
        shape = base.board_of(self.kind, observation_shape)
        return Impala(base.to_budget(self, shape), shape, rngs)


def _cells(sides: list[int], stages: int) -> int:
    """Number of cells after each stage has halved the sides, rounding up."""
    return math.prod(-(-side // 2**stages) for side in sides)


class Residual(nnx.Module):
    """y = x + k_2 * relu(k_1 * relu(x) + b_1) + b_2."""

    def __init__(
        self, channels: int, form: convolution_ops.Form, rngs: nnx.Rngs
    ) -> None:
        self.first = convolution_ops.Convolution(channels, channels, form, rngs)
        self.second = convolution_ops.Convolution(channels, channels, form, rngs)

    def __call__(self, board: Float[Array, "H W C"]) -> Float[Array, "H W C"]:
        inner = jax.nn.relu(self.first(jax.nn.relu(board)))
        return board + self.second(inner)


class Group(nnx.Module):
    """One stage: a convolution, max-pooling, then residual blocks."""

    def __init__(
        self, planes: int, channels: int, config: ImpalaEncoder, rngs: nnx.Rngs
    ) -> None:
        self.entry = convolution_ops.Convolution(
            planes, channels, config.implementation, rngs
        )
        self.blocks = nnx.List(
            [
                Residual(channels, config.implementation, rngs)
                for _ in range(config.blocks)
            ]
        )

    def stages(self) -> tuple[chain.Stage, ...]:
        return (lambda z: convolution_ops.pool(self.entry(z)), *self.blocks)


class Impala(nnx.Module):
    """Groups of layers, then features = relu(W relu(z) + b).

    Activations: for each group, the pooled board and the board after each residual
    block [H, W, C]; last the features [D].
    """

    def __init__(
        self, config: ImpalaEncoder, board: tuple[int, int, int], rngs: nnx.Rngs
    ) -> None:
        *sides, planes = board
        self.groups = nnx.List(
            [
                Group(a, b, config, rngs)
                for a, b in itertools.pairwise((planes, *config.channels))
            ]
        )
        flat = _cells(sides, len(config.channels)) * config.channels[-1]
        self.readout = layers.Linear(flat, config.features, rngs=rngs)

    def stages(self) -> tuple[chain.Stage, ...]:
        inner = (stage for group in self.groups for stage in group.stages())

        def read(board: Array) -> Array:
            features = jax.nn.relu(self.readout(jax.nn.relu(board.reshape(-1))))
            return features.astype(jnp.float32)

        return (*inner, read)

    def __call__(self, observation: Array) -> Float[Array, " D"]:
        return chain.run(self.stages(), observation)
