"""E: from what is seen to features. Symbols: H, W, P board and planes; D features."""

import dataclasses
import itertools
import math
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt8


@dataclasses.dataclass(frozen=True)
class MLPEncoder:
    """Layers of ReLU units over the flattened observation."""

    kind: Literal["mlp"] = "mlp"
    widths: tuple[int, ...] = (128, 128)
    """Units of each layer; the last is D, the features that D and V read."""

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError(
                f"widths: got {self.widths}; allowed: one or more numbers >= 1"
            )

    @property
    def features(self) -> int:
        """D."""
        return self.widths[-1]

    def build(self, observation_shape: tuple[int, ...], rngs: nnx.Rngs) -> "Encoder":
        size = 1
        for side in observation_shape:
            size *= side
        return Encoder((size, *self.widths), rngs)


class Encoder(nnx.Module):
    """z_0 = x, z_{i+1} = relu(W_i z_i + b_i)."""

    def __init__(self, sizes: tuple[int, ...], rngs: nnx.Rngs) -> None:
        self.layers = nnx.List(
            [nnx.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)]
        )

    def __call__(self, observation: UInt8[Array, "H W P"]) -> Float[Array, " D"]:
        features = observation.reshape(-1).astype(jnp.float32)
        for layer in self.layers:
            features = jax.nn.relu(layer(features))
        return features


@dataclasses.dataclass(frozen=True)
class FlatEncoder:
    """What is seen, as it is: D and V have no layer in common."""

    features: int
    """D: how many numbers an observation has."""
    kind: Literal["flat"] = "flat"

    def build(self, observation_shape: tuple[int, ...], rngs: nnx.Rngs) -> "Flat":
        del rngs
        size = math.prod(observation_shape)
        if size != self.features:
            raise ValueError(
                f"features: got {self.features}; allowed for observations of shape "
                f"{observation_shape}: {size}"
            )
        return Flat()


class Flat(nnx.Module):
    """z = x."""

    def __call__(self, observation: UInt8[Array, "..."]) -> Float[Array, " D"]:
        return observation.reshape(-1).astype(jnp.float32)
