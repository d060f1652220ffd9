"""Affine layers whose gradients are as fast as XLA lets them be, and activations.

The gradient of y = x W is x' g for W. JAX writes it as (g' x)', which XLA for CPUs
computes up to ten times slower when W has fewer rows than columns (2048 samples, W
4 x 64: 135 us for 19). Derivatives of `product` choose the faster of the orders; they
are the same numbers to rounding. It is a primitive of its own because the sum over
samples is formed where JAX transposes a mapped product: no function with derivatives of
its own (`custom_vjp`) sees that place.

Symbols: n samples, I inputs, O outputs; ... mapped axes in front, the same of both.
"""

import functools
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from shardsim.agents import chain

Activation: TypeAlias = Literal["relu", "tanh"]
ACTIVATIONS: dict[Activation, chain.Stage] = {"relu": jax.nn.relu, "tanh": jnp.tanh}

NARROW = 8
"""Outputs below which W' is laid out afresh for the gradient to x."""
_product = Primitive("product")


def product(
    x: Float[Array, "... n I"], w: Float[Array, "... I O"]
) -> Float[Array, "... n O"]:
    """x W in the types' common type, differentiable any number of times, mappable."""
    out: Array = _product.bind(x, w)
    return out


def _forward(x: Array, w: Array) -> Array:
    front = tuple(range(x.ndim - 2))
    return lax.dot_general(x, w, (((x.ndim - 1,), (w.ndim - 2,)), (front, front)))


def _shape(x: Any, w: Any) -> jax.core.ShapedArray:
    dtype = jnp.promote_types(x.dtype, w.dtype)
    return jax.core.ShapedArray((*x.shape[:-1], w.shape[-1]), dtype)


def _to_x(g: Array, x: Any, w: Array) -> Array:
    """g W', in the type of x."""
    turned = jnp.swapaxes(w, -1, -2)
    if w.shape[-1] < NARROW:
        # else XLA reads W across its rows: 14 times slower at 2 outputs
        turned = lax.optimization_barrier(turned)
    return product(g, turned).astype(x.aval.dtype)


def _to_w(g: Array, x: Array, w: Any) -> Array:
    """x' g, in the type of W, with the longer side of W last."""
    inputs, outputs = w.aval.shape[-2:]
    if inputs < outputs:
        return product(jnp.swapaxes(x, -1, -2), g).astype(w.aval.dtype)
    turned = product(jnp.swapaxes(g, -1, -2), x)
    # else XLA turns the product itself around again, where seeds are mapped
    return jnp.swapaxes(lax.optimization_barrier(turned), -1, -2).astype(w.aval.dtype)


def _mapped(args: tuple[Array, Array], axes: tuple[Any, Any]) -> tuple[Array, int]:
    """A mapped axis of both goes in front; one of x is more samples, of W outputs."""
    (x, w), (of_x, of_w) = args, axes
    if of_x is not None and of_w is not None:
        return product(jnp.moveaxis(x, of_x, 0), jnp.moveaxis(w, of_w, 0)), 0
    if of_w is None:
        x = jnp.moveaxis(x, of_x, x.ndim - 3)
        *front, count, rows, inputs = x.shape
        out = product(x.reshape(*front, count * rows, inputs), w)
        return out.reshape(*front, count, rows, out.shape[-1]), len(front)
    w = jnp.moveaxis(w, of_w, w.ndim - 2)
    *front, inputs, count, outputs = w.shape
    out = product(x, w.reshape(*front, inputs, count * outputs))
    return out.reshape(*out.shape[:-1], count, outputs), out.ndim - 1


_product.def_impl(_forward)
_product.def_abstract_eval(_shape)
mlir.register_lowering(_product, mlir.lower_fun(_forward, multiple_results=False))
ad.defbilinear(_product, _to_x, _to_w)
batching.primitive_batchers[_product] = _mapped


def _dot_general(inputs: Array, kernel: Array, dims: Any, **rest: Any) -> Array:
    """What `nnx.Linear` calls: [..., I] times [I, O]."""
    del dims, rest
    rows = inputs.reshape(-1, inputs.shape[-1])
    return product(rows, kernel).reshape(*inputs.shape[:-1], kernel.shape[-1])


Linear = functools.partial(nnx.Linear, dot_general=_dot_general)
"""`nnx.Linear`, by way of `product`."""


def hidden_stages(
    layers: Iterable[nnx.Linear], activation: Activation
) -> list[chain.Stage]:
    """h <- f(W h + b) for each of the layers."""
    return [chain.joined(layer, ACTIVATIONS[activation]) for layer in layers]
