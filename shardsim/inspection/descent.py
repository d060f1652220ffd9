"""Small optimisers that run inside a compiled program, over seeds, without LAPACK.

Symbols: d parameters, B batch axes of any number.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

GOLDEN = 0.6180339887498949
"""(sqrt 5 - 1) / 2: what is left of a bracket after a step of golden section."""


def adam(
    objective: Callable[[Any], Array], start: PyTree, steps: int, rate: Any
) -> PyTree:
    """`steps` steps of Adam, its rate falling to 0 along a line.

    Reference: Kingma and Ba, Adam, arXiv 1412.6980.
    """
    first, second, small = 0.9, 0.999, 1e-8
    gradient = jax.grad(objective)

    def step(number: Array, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        x, mean, square = state

        def move(x: Array, m: Array, v: Array) -> Array:
            count = (number + 1).astype(x.dtype)
            size = rate * (1 - number.astype(x.dtype) / steps)
            m, v = m / (1 - first**count), v / (1 - second**count)
            return x - size.astype(x.dtype) * m / (jnp.sqrt(v) + small)

        g = gradient(x)
        mean = jax.tree.map(lambda m, g: first * m + (1 - first) * g, mean, g)
        square = jax.tree.map(lambda v, g: second * v + (1 - second) * g**2, square, g)
        return jax.tree.map(move, x, mean, square), mean, square

    zero = jax.tree.map(jnp.zeros_like, start)
    return jax.lax.fori_loop(0, steps, step, (start, zero, zero))[0]


def golden(
    objective: Callable[[Array], Array],
    low: Float[Array, "*B"],
    high: Float[Array, "*B"],
    steps: int = 30,
) -> Float[Array, "*B"]:
    """The lowest point of a function with one valley in [low, high], by golden section.

    The bracket shrinks by .618 a step: thirty leave 5e-7 of it. With several valleys it
    ends in one of them.
    """

    def inner(low: Array, high: Array) -> tuple[Array, Array]:
        width = GOLDEN * (high - low)
        return high - width, low + width

    def step(_: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, left, right, f_left, f_right = state
        down = f_left < f_right
        low, high = jnp.where(down, low, left), jnp.where(down, right, high)
        new_left, new_right = inner(low, high)
        probe = jnp.where(down, new_left, new_right)
        value = objective(probe)
        return (
            low,
            high,
            jnp.where(down, probe, right),
            jnp.where(down, left, probe),
            jnp.where(down, value, f_right),
            jnp.where(down, f_left, value),
        )

    left, right = inner(low, high)
    start = (low, high, left, right, objective(left), objective(right))
    low, high, *_ = jax.lax.fori_loop(0, steps, step, start)
    return (low + high) / 2
