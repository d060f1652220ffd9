"""E is a multilayer perceptron: the fastest there is on a CPU, on any observation.

Symbols: H, W, P board and planes; D features.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, UInt8

from shardsim.agents import layers
from shardsim.agents.encoders import base


@dataclasses.dataclass(frozen=True)
class MLPEncoder:
    """Layers of units over the flattened observation; boards or vectors.

    The choice for CPUs: matrix products alone, and few of them.
    """

    kind: Literal["mlp"] = "mlp"
    widths: tuple[int, ...] = (128, 128)
    """Units of each layer; the last is D, the features that D and V read."""
    activation: Literal["relu", "tanh"] = "relu"
    budget: int | None = None
    """Parameters of E. If given, all widths but the last are scaled to meet it."""

    def __post_init__(self) -> None:
        base.check_sizes("widths", self.widths)
        base.check_numbers(self, "budget")

    @property
    def features(self) -> int:
        """D."""
        return self.widths[-1]

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.widths[:-1]

    def resized(self, sizes: tuple[int, ...]) -> "MLPEncoder":
        return dataclasses.replace(self, widths=(*sizes, self.features), budget=None)

    def parameters(self, observation_shape: tuple[int, ...]) -> int:
        chain = (math.prod(observation_shape), *self.widths)
        return sum((a + 1) * b for a, b in itertools.pairwise(chain))

    def build(self, observation_shape: tuple[int, ...], rngs: nnx.Rngs) -> "MLP":
        widths = base.to_budget(self, observation_shape).widths
        return MLP((math.prod(observation_shape), *widths), self.activation, rngs)


class MLP(nnx.Module):
    """z_0 = x, z_{i+1} = f(W_i z_i + b_i), f = relu or tanh.

    Layers: z_1, ..., z_n, each of its own width.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        activation: Literal["relu", "tanh"],
        rngs: nnx.Rngs,
    ) -> None:
        self.activation = activation
        self.layers = nnx.List(
            [layers.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)]
        )

    def stages(self) -> tuple[base.Step, ...]:
        bend = jnp.tanh if self.activation == "tanh" else jax.nn.relu

        def step(number: int) -> Callable[[Array], Array]:
            layer = self.layers[number]
            if number:
                return lambda z: bend(layer(z))
            return lambda x: bend(layer(x.reshape(-1).astype(layer.kernel.dtype)))

        return tuple(step(number) for number in range(len(self.layers)))

    def activations(self, observation: Array) -> tuple[Array, ...]:
        return base.activations(self.stages(), observation)

    def run_from(self, layer: Array, number: int) -> Float[Array, " D"]:
        return base.run_from(self.stages(), layer, number)

    def __call__(
        self, observation: UInt8[Array, "H W P"] | Float[Array, " size"]
    ) -> Float[Array, " D"]:
        return self.activations(observation)[-1].astype(jnp.float32)
