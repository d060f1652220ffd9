"""Convolutions in forms that give the same numbers, and pooling.

XLA for CPUs calls its fast convolution only for one order of axes: NHWC boards, HWIO
kernels. It reorders what it finds into that order, but not inside loops (`lax.scan`,
`lax.fori_loop`), where all training happens: there the gradients of a convolution, as
JAX writes them, run ten times slower than outside. Two forms stay fast:

    conv     a real convolution whose derivatives are written so that each gradient
             comes out in the fast order. Best for kernels that nothing is mapped over.
    patches  neighbourhoods side by side, times the kernel as a matrix. Best for kernels
             with a mapped axis (a population): a mapped convolution is a grouped one.

Symbols: H, W board; P planes in; C planes out; k side of the kernel.
"""

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

Form: TypeAlias = Literal["auto", "conv", "patches"]


def chosen(form: Form, backend: str | None = None) -> Form:
    """`auto` as one of the forms: patches on CPUs, convolutions elsewhere.

    Args:
      backend: as `jax.default_backend()` names it; None asks it.
    """
    if form != "auto":
        return form
    return "patches" if (backend or jax.default_backend()) == "cpu" else "conv"


def convolve(
    board: Float[Array, "H W P"], kernel: Float[Array, "k k P C"], form: Form = "auto"
) -> Float[Array, "H W C"]:
    """y[u, v] = sum_{i, j} x[u + i - k // 2, v + j - k // 2] kernel[i, j]; 0 outside.

    Args:
      kernel: of odd side.
      form: how it is computed; the numbers are the same to rounding.
    """
    if chosen(form) == "patches":
        return _patches(board, kernel)
    if jax.default_backend() == "cpu":
        return ordered(board, kernel)
    return plain(board, kernel)


def plain(
    board: Float[Array, "H W P"], kernel: Float[Array, "k k P C"]
) -> Float[Array, "H W C"]:
    """The convolution with JAX's own derivatives."""
    return _convolved(board[None], kernel, ("NHWC", "HWIO", "NHWC"))[0]


def _convolved(left: Array, right: Array, order: tuple[str, str, str]) -> Array:
    return lax.conv_general_dilated(
        left, right, (1, 1), "SAME", dimension_numbers=order
    )


@jax.custom_jvp
def ordered(
    board: Float[Array, "H W P"], kernel: Float[Array, "k k P C"]
) -> Float[Array, "H W C"]:
    """The convolution with derivatives whose transposes have the fast order of axes."""
    return plain(board, kernel)


def _ordered_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    board, kernel = primals
    move, turn = tangents
    out = ordered(board, kernel)
    slope = jnp.zeros_like(out)
    # dimension numbers such that the gradient, which swaps them, is NHWC and HWIO
    if not isinstance(move, SymbolicZero):
        swapped = kernel.transpose(0, 1, 3, 2)
        slope += _convolved(move[None], swapped, ("NHWC", "HWOI", "NHWC"))[0]
    if not isinstance(turn, SymbolicZero):
        planes = board.transpose(2, 0, 1)[..., None]
        turned = turn.transpose(2, 0, 1, 3)
        slope += _convolved(planes, turned, ("CHWN", "IHWO", "HWNC"))[:, :, 0]
    return out, slope


ordered.defjvp(_ordered_jvp, symbolic_zeros=True)


def _patches(
    board: Float[Array, "H W P"], kernel: Float[Array, "k k P C"]
) -> Float[Array, "H W C"]:
    side, planes, out = kernel.shape[0], *kernel.shape[2:]
    height, width, _ = board.shape
    edge = side // 2
    padded = jnp.pad(board, ((edge, edge), (edge, edge), (0, 0)))
    beside = [
        padded[i : i + height, j : j + width] for i in range(side) for j in range(side)
    ]
    rows = jnp.concatenate(beside, axis=-1).reshape(height * width, -1)
    flat = rows @ kernel.reshape(side * side * planes, out)
    return flat.reshape(height, width, out)


def pool(board: Float[Array, "H W C"]) -> Float[Array, "half_H half_W C"]:
    """y[u, v] = max of x over the 3x3 cells round (2u, 2v); half the size, rounded up.

    As maxima of slices, so that no window has to be differentiated. Where cells tie,
    the gradient is shared.
    """
    for axis in (0, 1):
        size = board.shape[axis]
        edges = [(1, 1) if axis == each else (0, 0) for each in range(3)]
        padded = jnp.pad(board, edges, constant_values=-jnp.inf)
        first, middle, last = (
            lax.slice_in_dim(padded, start, start + size, 2, axis) for start in range(3)
        )
        board = jnp.maximum(jnp.maximum(first, middle), last)
    return board


class Convolution(nnx.Module):
    """y = x * kernel + bias on a board that keeps its size; He's initialiser."""

    def __init__(
        self, planes: int, out: int, form: Form, rngs: nnx.Rngs, side: int = 3
    ) -> None:
        self.form = form
        draw = nnx.initializers.he_normal()
        self.kernel = nnx.Param(draw(rngs.params(), (side, side, planes, out)))
        self.bias = nnx.Param(jnp.zeros((out,)))

    def __call__(self, board: Float[Array, "H W P"]) -> Float[Array, "H W C"]:
        kernel, bias = self.kernel[...], self.bias[...]
        return (
            convolve(board.astype(kernel.dtype), kernel, self.form) + bias[None, None]
        )
