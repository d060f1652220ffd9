"""Affine layers with fast gradients, and activation functions.

The gradient of y = x W with respect to W is x' g. JAX computes it as (g' x)'. On CPUs,
XLA is up to ten times slower at this if W has fewer rows than columns (2048 samples, W
4 x 64: 135 us in place of 19 us). There the derivatives of `product` choose the faster
order; the results are equal up to rounding. `product` is a primitive because the sum
over samples arises where JAX transposes a mapped product, and a function with a
`custom_vjp` cannot intervene there.

Symbols: n samples, I inputs, O outputs; ... leading mapped axes, the same for both.
"""

import functools
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from shardsim.agents import chain
from shardsim.core import backends

Activation: TypeAlias = Literal["relu", "tanh"]
ACTIVATIONS: dict[Activation, chain.Stage] = {"relu": jax.nn.relu, "tanh": jnp.tanh}

NARROW = 8
"""Outputs below which W' is copied to row-major order for the gradient of x."""
Concrete: TypeAlias = Array | np.ndarray
"""What the rules of a primitive get: outside `jit`, as the caller gave it."""

_product = Primitive("product")


def product(
    x: Float[Concrete, "... n I"], w: Float[Concrete, "... I O"]
) -> Float[Array, "... n O"]:
    """The matrix product x W, in the common type of x and W.

    It can be differentiated any number of times, and mapped with `jax.vmap`.
    """
    out: Array = _product.bind(x, w)
    return out


def _forward(x: Concrete, w: Concrete) -> Array:
    batch = tuple(range(x.ndim - 2))
    return lax.dot_general(x, w, (((x.ndim - 1,), (w.ndim - 2,)), (batch, batch)))


def _shape(x: Any, w: Any) -> jax.core.ShapedArray:
    dtype = jnp.promote_types(x.dtype, w.dtype)
    return jax.core.ShapedArray((*x.shape[:-1], w.shape[-1]), dtype)


def _x_gradient(g: Concrete, x: Any, w: Concrete) -> Array:
    """The gradient of x: g W', in the type of x."""
    transposed = jnp.swapaxes(w, -1, -2)
    if w.shape[-1] < NARROW and backends.choices().orders_factors:
        # without the barrier XLA reads W across its rows: 14 times slower at 2 outputs
        transposed = lax.optimization_barrier(transposed)
    return product(g, transposed).astype(x.aval.dtype)


def _w_gradient(g: Concrete, x: Concrete, w: Any) -> Array:
    """The gradient of W: x' g in the type of W, on CPUs with the longer side last."""
    inputs, outputs = w.aval.shape[-2:]
    if inputs < outputs or not backends.choices().orders_factors:
        return product(jnp.swapaxes(x, -1, -2), g).astype(w.aval.dtype)
    transposed = product(jnp.swapaxes(g, -1, -2), x)
    # without the barrier XLA swaps the factors back if seeds are mapped
    gradient = jnp.swapaxes(lax.optimization_barrier(transposed), -1, -2)
    return gradient.astype(w.aval.dtype)


def _batch(args: tuple[Concrete, Concrete], axes: tuple[Any, Any]) -> tuple[Array, int]:
    """The batching rule.

    An axis of both becomes a leading axis. An axis of x alone becomes more samples, an
    axis of W alone more outputs.
    """
    (x, w), (x_axis, w_axis) = args, axes
    if x_axis is not None and w_axis is not None:
        return product(jnp.moveaxis(x, x_axis, 0), jnp.moveaxis(w, w_axis, 0)), 0
    if w_axis is None:
        x = jnp.moveaxis(x, x_axis, x.ndim - 3)
        *leading, count, rows, inputs = x.shape
        out = product(x.reshape(*leading, count * rows, inputs), w)
        return out.reshape(*leading, count, rows, out.shape[-1]), len(leading)
    w = jnp.moveaxis(w, w_axis, w.ndim - 2)
    *leading, inputs, count, outputs = w.shape
    out = product(x, w.reshape(*leading, inputs, count * outputs))
    return out.reshape(*out.shape[:-1], count, outputs), out.ndim - 1


_product.def_impl(_forward)
_product.def_abstract_eval(_shape)
mlir.register_lowering(_product, mlir.lower_fun(_forward, multiple_results=False))
ad.defbilinear(_product, _x_gradient, _w_gradient)
batching.primitive_batchers[_product] = _batch


def _dot_general(inputs: Array, kernel: Array, dims: Any, **rest: Any) -> Array:
    """The product in `nnx.Linear`: [..., I] times [I, O]."""
    del dims, rest
    rows = inputs.reshape(-1, inputs.shape[-1])
    return product(rows, kernel).reshape(*inputs.shape[:-1], kernel.shape[-1])


Linear = functools.partial(nnx.Linear, dot_general=_dot_general)
"""`nnx.Linear`, computed by `product`."""


def hidden_stages(
    layers: Iterable[nnx.Linear], activation: Activation
) -> list[chain.Stage]:
    """A stage h -> f(W h + b) for each layer."""
    return [chain.joined(layer, ACTIVATIONS[activation]) for layer in layers]
