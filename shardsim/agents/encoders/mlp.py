"""MLP encoder: the fastest encoder on CPUs, for observations of any shape.

Symbols: H, W, P height, width and planes of the board; D features.
"""

import dataclasses
import itertools
import math
from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Num
from pydantic import PositiveInt

from shardsim.agents import chain, layers
from shardsim.agents.encoders import base
from shardsim.core import fields


@fields.record
class MLPEncoder:
    """Dense layers on the flattened observation, which may be a board or a vector.

    It suits CPUs, because it consists of a few matrix products.
    """

    kind: Literal["mlp"] = "mlp"
    widths: fields.Sizes = (128, 128)
    """Units of each layer; the last one is the number of features."""
    activation: layers.Activation = "relu"
    """Nonlinearity after each layer."""
    budget: PositiveInt | None = None
    """Number of parameters of E. If given, all widths but the last are scaled to it."""

    @property
    def features(self) -> int:
        """D, the number of features."""
        return self.widths[-1]

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.widths[:-1]

    def resized(self, sizes: tuple[int, ...]) -> "MLPEncoder":
        return dataclasses.replace(self, widths=(*sizes, self.features), budget=None)

    def parameters(self, observation_shape: tuple[int, ...]) -> int:
        sizes = (math.prod(observation_shape), *self.widths)
        return sum((a + 1) * b for a, b in itertools.pairwise(sizes))

    def build(self, observation_shape: tuple[int, ...], rngs: nnx.Rngs) -> "MLP":
        widths = base.to_budget(self, observation_shape).widths
        return MLP((math.prod(observation_shape), *widths), self.activation, rngs)


class MLP(nnx.Module):
    """z_0 = x, z_{i+1} = f(W_i z_i + b_i), f = relu or tanh.

    Activations: z_1, ..., z_n, each of its own width; z_n are the features.
    """

    def __init__(
        self,
        sizes: tuple[int, ...],
        activation: layers.Activation,
        rngs: nnx.Rngs,
    ) -> None:
        self.activation = activation
        self.layers = nnx.List(
            [layers.Linear(a, b, rngs=rngs) for a, b in itertools.pairwise(sizes)]
        )

    def stages(self) -> tuple[chain.Stage, ...]:
        dtype = self.layers[0].kernel.dtype
        stages = layers.hidden_stages(self.layers, self.activation)
        stages[0] = chain.joined(lambda x: x.reshape(-1).astype(dtype), stages[0])
        stages[-1] = chain.joined(stages[-1], lambda z: z.astype(jnp.float32))
        return tuple(stages)

    def __call__(
        self, observation: Num[Array, "H W P"] | Float[Array, " size"]
    ) -> Float[Array, " D"]:
        return chain.run(self.stages(), observation)
