"""MLP encoder: the fastest encoder on CPUs, for observations of any shape.

Symbols: H, W, P height, width and planes of the board; D features.
"""

import dataclasses
import functools
import itertools
import math
from typing import Literal, cast

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Num
from pydantic import PositiveInt

from shardsim.agents import chain, layers
from shardsim.agents.encoders import base
from shardsim.core import fields, sparse


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
        first = self.layers[0]
        dtype = first.kernel.dtype
        return self.stages_after(lambda x: first(x.reshape(-1).astype(dtype)))

    def stages_after(self, first: chain.Stage) -> tuple[chain.Stage, ...]:
        """All stages, with another way to compute the first layer, W_0 x + b_0."""
        stages = layers.hidden_stages((first, *self.layers[1:]), self.activation)
        stages[-1] = chain.joined(stages[-1], lambda z: z.astype(jnp.float32))
        return tuple(stages)

    def on_rows(self, patterns: sparse.Patterns) -> "RowMLP":
        """The same network, for observations that are row numbers."""
        return RowMLP(self, patterns)

    def __call__(
        self, observation: Num[Array, "H W P"] | Float[Array, " size"]
    ) -> Float[Array, " D"]:
        return chain.run(self.stages(), observation)


class RowMLP(nnx.Module):
    """An MLP whose first layer adds up the rows of its weights that are in use.

    W'x + b for x = sum_j P[r_j], by gathers; see `shardsim.core.sparse`. The result is
    that of the MLP up to rounding, and so is the gradient of its weights.
    """

    def __init__(self, dense: MLP, patterns: sparse.Patterns) -> None:
        self.dense = dense
        self.num_cells = patterns.num_cells
        self.num_inputs = patterns.num_inputs
        kernel = dense.layers[0].kernel[...]
        board = kernel.reshape(*patterns.shape, kernel.shape[-1])
        shown = board[:, :, np.asarray(patterns.area_planes, np.int32)]
        self.areas = nnx.Param(_sums(shown, patterns).reshape(-1, kernel.shape[-1]))

    def stages(self) -> tuple[chain.Stage, ...]:
        first = self.dense.layers[0]
        bias = cast(nnx.Param[Array], first.bias)[...]

        def added(rows: Array) -> Array:
            pairs = (
                (first.kernel[...], rows[: self.num_cells]),
                (self.areas[...], rows[self.num_cells :]),
            )
            z = bias.astype(jnp.float32)
            for table, numbers in pairs:
                for number in numbers:  # in this order, whatever is mapped
                    row = table.at[number].get(mode="fill", fill_value=0)
                    z = z + row.astype(jnp.float32)
            return z.astype(first.kernel.dtype)

        return self.dense.stages_after(added)

    def __call__(self, observation: Int[Array, " rows"]) -> Float[Array, " D"]:
        return chain.run(self.stages(), observation)


def _sums(
    weights: Float[Array, "H W U D"], patterns: sparse.Patterns
) -> Float[Array, "rows columns U D"]:
    """Sums of the weights over the rectangle, at each of its places.

    Sums over rows, then over columns, each in a fixed order: a product with a matrix of
    masks would add up in an order that depends on what is mapped.
    """
    (height, width), (rows, columns) = patterns.area, patterns.places
    down = _added([weights[i : i + rows] for i in range(height)])
    return _added([down[:, i : i + columns] for i in range(width)])


def _added(terms: list[Array]) -> Array:
    """The sum of some arrays, in their order."""
    return functools.reduce(jnp.add, terms)
