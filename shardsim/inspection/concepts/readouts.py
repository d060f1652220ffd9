"""What a read-out makes of activations: mixed runs, distances, what it feels at all.

A read-out is a function from one activation to V, to logits, or to whatever is looked
at. Symbols: n samples, d features, k directions, A outputs.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ReadOut: TypeAlias = Callable[[Float[Array, " d"]], Float[Array, "..."]]
"""From one activation to V, to logits, or to whatever is to be swapped. Pure."""
Distance: TypeAlias = Callable[[Array, Array], Float[Array, ""]]
"""Between two outputs of one sample; 0 at no difference, smooth there."""
COUNTS = 1e-5
"""Share of the largest eigenvalue above which another is more than rounding."""
POINTS = 256
"""Samples of each side at which the read-out's slopes are taken."""


def squared(one: Array, other: Array) -> Float[Array, ""]:
    """Sum of squared differences of the outputs: for V."""
    return jnp.sum(jnp.square(one - other))


def symmetric_kl(one: Float[Array, " A"], other: Float[Array, " A"]) -> Array:
    """KL(p, q) + KL(q, p) of the softmax of logits, nats."""
    p, q = jax.nn.log_softmax(one), jax.nn.log_softmax(other)
    return jnp.sum((jnp.exp(p) - jnp.exp(q)) * (p - q))


def mix_component(
    write: Float[Array, "k d"],
    read: Float[Array, "k d"],
    a: Float[Array, "n d"],
    b: Float[Array, "n d"],
) -> Float[Array, "n d"]:
    """The component of a, everything else of b: b + write' read (a - b).

    For orthonormal directions `write` and `read` are the same rows.
    """
    return b + (a - b) @ read.T @ write


def jacobian_moment(
    read_out: ReadOut,
    distance: Distance,
    a: Float[Array, "n d"],
    b: Float[Array, "n d"],
) -> Float[Array, "d d"]:
    """Mean over samples of J' M J: what the distance feels of a small step.

    J is the Jacobian of the read-out, M the curvature of the distance at no difference
    (2 I for `squared`); for logits it is blind to what moves all of them alike.
    """

    def one(x: Array) -> tuple[Array, Array]:
        output, slopes = read_out(x), jax.jacrev(read_out)(x)
        bend = jax.hessian(lambda other: distance(output, other))(output)
        slopes = slopes.reshape(output.size, len(x))
        return slopes, bend.reshape(output.size, output.size) @ slopes

    points = jnp.concatenate([a[:POINTS], b[:POINTS]])
    slopes, bent = jax.lax.map(one, points, batch_size=32)
    # one product, for a mean of many matrices would round each entry once more
    rows = slopes.shape[0] * slopes.shape[1], slopes.shape[2]
    return slopes.reshape(rows).T @ bent.reshape(rows) / len(points)


def top_eigenvectors(
    matrix: Float[Array, "d d"], k: int
) -> tuple[Float[Array, "k d"], Array]:
    """The k leading eigenvectors, and how many eigenvalues count.

    Those above 1e-5 of the largest count: slopes, or differences, of 1/300 the size
    of the largest change the loss by no more than that.
    """
    values, axes = jnp.linalg.eigh((matrix + matrix.T) / 2)
    rank = ((values > COUNTS * values[-1]) & (values > 0)).sum()
    return axes[:, -k:].T[::-1], rank
