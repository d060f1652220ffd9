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
    objective: Callable[[Any, Array], Array], start: PyTree, steps: int, rate: Any
) -> PyTree:
    """`steps` steps of Adam, its rate falling to 0 along a line.

    Args:
      objective: of the parameters and the number of the step, from 0, by which a batch
        can be drawn.

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

        g = gradient(x, number)
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

    def step(turn: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, left, right, f_left, f_right = state
        down = f_left < f_right
        # the first two turns only measure both inner points, so that the program
        # holds the objective once
        moving = turn >= 2
        low = jnp.where(moving & ~down, left, low)
        high = jnp.where(moving & down, right, high)
        width = GOLDEN * (high - low)
        go_left = jnp.where(moving, down, turn == 0)
        probe = jnp.where(go_left, high - width, low + width)
        value = objective(probe)
        shifted = (jnp.where(moving, left, right), jnp.where(moving, f_left, f_right))
        kept = (jnp.where(moving, right, left), jnp.where(moving, f_right, f_left))
        return (
            low,
            high,
            jnp.where(go_left, probe, kept[0]),
            jnp.where(go_left, shifted[0], probe),
            jnp.where(go_left, value, kept[1]),
            jnp.where(go_left, shifted[1], value),
        )

    unknown = jnp.full_like(low, jnp.inf)
    start = (low, high, low, high, unknown, unknown)
    low, high, *_ = jax.lax.fori_loop(0, steps + 2, step, start)
    return (low + high) / 2
