"""Readouts of activations: mixed inputs, distances of outputs, and sensitivity.

A readout is a function from one activation to V, to logits, or to any other output.

Symbols: n samples, d features, k directions, A outputs.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

ReadOut: TypeAlias = Callable[[Float[Array, " d"]], Float[Array, "..."]]
"""From one activation to V, to logits, or to any output that is to be swapped. Pure."""
Distance: TypeAlias = Callable[[Array, Array], Float[Array, ""]]
"""Between two outputs of one sample; 0 if they are equal, and smooth there."""
EIGENVALUE_CUT = 1e-5
"""Eigenvalues below this fraction of the largest are treated as rounding."""
JACOBIAN_SAMPLES = 256
"""Samples of each side at which the Jacobian of the readout is computed."""


def squared(one: Float[Array, "*A"], other: Float[Array, "*A"]) -> Float[Array, ""]:
    """Sum of squared differences of the outputs; for V."""
    return jnp.sum(jnp.square(one - other))


def symmetric_kl(
    one: Float[Array, " A"], other: Float[Array, " A"]
) -> Float[Array, ""]:
    """KL(p, q) + KL(q, p) in nats, for the softmax p and q of two vectors of logits.

    It is infinite if only one of the logits of an action is -inf.
    """
    # logits of -inf are actions that neither takes: their part is 0 times NaN
    is_open = (one > -jnp.inf) | (other > -jnp.inf)
    one, other = (jnp.where(is_open, logits, 0.0) for logits in (one, other))
    p, q = (
        jax.nn.log_softmax(logits, where=is_open, axis=-1) for logits in (one, other)
    )
    p, q = (jnp.where(is_open, logs, 0.0) for logs in (p, q))
    return jnp.sum((jnp.exp(p) - jnp.exp(q)) * (p - q))


def mix_component(
    write: Float[Array, "k d"],
    read: Float[Array, "k d"],
    a: Float[Any, "*n d"],
    b: Float[Any, "*n d"],
) -> Float[Array, "*n d"]:
    """Component of a along the directions, everything else of b.

      b + write' read (a - b)

    For orthonormal directions `write` and `read` are the same rows.

    Args:
      write: [k, d] directions along which x is changed.
      read: [k, d] directions that measure the component.
      a: [n, d] source of the component.
      b: [n, d] source of the rest.
    """
    return b + (a - b) @ read.T @ write


def jacobian_moment(
    read_out: ReadOut,
    distance: Distance,
    a: Float[Any, "n d"],
    b: Float[Any, "n d"],
) -> Float[Array, "d d"]:
    """Mean over samples of J' M J: sensitivity of the output to a small step.

    J is the Jacobian of the readout and M the Hessian of the distance between equal
    outputs (2 I for `squared`). For logits, M ignores what shifts all of them alike.

    Args:
      read_out: from an activation [d] to an output.
      distance: between two outputs.
      a: [n, d] activations; the first `JACOBIAN_SAMPLES` are used.
      b: [n, d] likewise.
    """

    def one(x: Array) -> tuple[Array, Array]:
        output, slopes = read_out(x), jax.jacrev(read_out)(x)
        hessian = jax.hessian(lambda other: distance(output, other))(output)
        slopes = slopes.reshape(output.size, len(x))
        return slopes, hessian.reshape(output.size, output.size) @ slopes

    points = jnp.concatenate([a[:JACOBIAN_SAMPLES], b[:JACOBIAN_SAMPLES]])
    slopes, weighted_slopes = jax.lax.map(one, points, batch_size=32)
    # a single product, because averaging many matrices adds rounding errors
    rows = slopes.shape[0] * slopes.shape[1], slopes.shape[2]
    return slopes.reshape(rows).T @ weighted_slopes.reshape(rows) / len(points)


def top_eigenvectors(
    matrix: Float[Array, "d d"], k: int
) -> tuple[Float[Array, "{k} d"], Int[Array, ""]]:
    """The k leading eigenvectors of a symmetric matrix, and its numerical rank.

    The rank counts eigenvalues above 1e-5 of the largest: slopes (or differences) below
    1/300 of the largest change the loss by no more than that.

    Args:
      matrix: [d, d] symmetric.
      k: in [1, d].
    """
    values, axes = jnp.linalg.eigh((matrix + matrix.T) / 2)
    rank = ((values > EIGENVALUE_CUT * values[-1]) & (values > 0)).sum()
    return axes[:, -k:].T[::-1], rank
