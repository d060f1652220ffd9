"""Convolution, in several implementations with the same result, and max-pooling.

On CPUs, XLA has a fast convolution for one order of axes only: NHWC boards and HWIO
kernels. It brings other convolutions into that order, but not inside loops (`lax.scan`,
`lax.fori_loop`), where all training happens. There JAX's own gradients of a convolution
run ten times slower than outside. Two implementations are fast inside loops:

    conv     a convolution with derivatives such that each gradient has the fast order.
             Best for kernels without a mapped axis.
    patches  the neighbourhood of each cell, times the kernel as a matrix. Best for
             kernels with a mapped axis (a population), because a mapped convolution
             becomes a grouped convolution.

Symbols: H, W height and width of the board; P input planes; C output planes; k side of
the kernel.
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float, Num

from shardsim.core import backends

Form: TypeAlias = Literal["auto", "conv", "patches"]


def resolve(form: Form) -> backends.Convolution:
    """Resolve `auto`: the form that suits the device."""
    return backends.choices().convolution if form == "auto" else form


def convolve(
    board: Float[Array, "H W P"], kernel: Float[Array, "k k P C"], form: Form = "auto"
) -> Float[Array, "H W C"]:
    """Convolve a board with a kernel, padding with 0.

    y[u, v] = sum_{i, j} x[u + i - k // 2, v + j - k // 2] kernel[i, j]

    Args:
      board: x.
      kernel: of odd side k.
      form: implementation; the results are equal up to rounding.
    """
    if resolve(form) == "patches":
        return _patches(board, kernel)
    orders_factors = backends.choices().orders_factors
    return (ordered if orders_factors else plain)(board, kernel)


def plain(
    board: Float[Array, "H W P"], kernel: Float[Array, "k k P C"]
) -> Float[Array, "H W C"]:
    """The convolution with JAX's own derivatives."""
    return _convolve(board[None], kernel, ("NHWC", "HWIO", "NHWC"))[0]


def _convolve(left: Array, right: Array, order: tuple[str, str, str]) -> Array:
    return lax.conv_general_dilated(
        left, right, (1, 1), "SAME", dimension_numbers=order
    )


@jax.custom_jvp
def ordered(
    board: Float[Array, "H W P"], kernel: Float[Array, "k k P C"]
) -> Float[Array, "H W C"]:
    """The convolution with derivatives whose gradients have the fast order of axes."""
    return plain(board, kernel)


def _ordered_jvp(
    primals: tuple[Array, Array],
    tangents: tuple[Array | SymbolicZero, Array | SymbolicZero],
) -> tuple[Array, Array]:
    board, kernel = primals
    board_tangent, kernel_tangent = tangents
    out = ordered(board, kernel)
    tangent = jnp.zeros_like(out)
    # dimension numbers such that the gradient, which swaps them, is NHWC and HWIO
    if not isinstance(board_tangent, SymbolicZero):
        swapped = kernel.transpose(0, 1, 3, 2)
        order = ("NHWC", "HWOI", "NHWC")
        tangent += _convolve(board_tangent[None], swapped, order)[0]
    if not isinstance(kernel_tangent, SymbolicZero):
        planes = board.transpose(2, 0, 1)[..., None]
        swapped = kernel_tangent.transpose(2, 0, 1, 3)
        order = ("CHWN", "IHWO", "HWNC")
        tangent += _convolve(planes, swapped, order)[:, :, 0]
    return out, tangent


ordered.defjvp(_ordered_jvp, symbolic_zeros=True)


def _patches(
    board: Float[Array, "H W P"], kernel: Float[Array, "k k P C"]
) -> Float[Array, "H W C"]:
    side, planes, out = kernel.shape[0], *kernel.shape[2:]
    height, width, _ = board.shape
    margin = side // 2
    padded = jnp.pad(board, ((margin, margin), (margin, margin), (0, 0)))
    shifted = [
        padded[i : i + height, j : j + width] for i in range(side) for j in range(side)
    ]
    rows = jnp.concatenate(shifted, axis=-1).reshape(height * width, -1)
    flat = rows @ kernel.reshape(side * side * planes, out)
    return flat.reshape(height, width, out)


def pool(board: Float[Array, "H W C"]) -> Float[Array, "half_H half_W C"]:
    """Max-pooling: y[u, v] is the maximum of x over the 3x3 cells around (2u, 2v).

    Each side is halved and rounded up. It is computed as the maximum of slices, which
    avoids the gradient of a window reduction. Tied cells share the gradient.
    """
    for axis in (0, 1):
        size = board.shape[axis]
        padding = [(1, 1) if axis == other else (0, 0) for other in range(3)]
        padded = jnp.pad(board, padding, constant_values=-jnp.inf)
        first, middle, last = (
            lax.slice_in_dim(padded, start, start + size, 2, axis) for start in range(3)
        )
        board = jnp.maximum(jnp.maximum(first, middle), last)
    return board


class Convolution(nnx.Module):
    """y = x * kernel + bias, on a board of the same size.

    Kernels are initialised by He et al. 2015 (`he_normal`), biases by 0.
    """

    def __init__(
        self, planes: int, out: int, form: Form, rngs: nnx.Rngs, side: int = 3
    ) -> None:
        self.form = form
        initializer = nnx.initializers.he_normal()
        self.kernel = nnx.Param(initializer(rngs.params(), (side, side, planes, out)))
        self.bias = nnx.Param(jnp.zeros((out,)))

    def __call__(self, board: Num[Array, "H W P"]) -> Float[Array, "H W C"]:
        kernel, bias = self.kernel[...], self.bias[...]
        return (
            convolve(board.astype(kernel.dtype), kernel, self.form) + bias[None, None]
        )
