"""Small optimisers that run inside a compiled program, over seeds, without LAPACK.

Symbols: d parameters, B batch axes of any number.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

GOLDEN = 0.6180339887498949
"""(sqrt 5 - 1) / 2: what is left of a bracket after a step of golden section."""


class Minimum(NamedTuple):
    """Where a descent ended, and how it went there."""

    parameters: PyTree
    losses: Float[Array, " T"]
    """Of the objective before each step."""


def adam(
    objective: Callable[[Any, Int[Array, ""]], Float[Array, ""]],
    start: PyTree,
    steps: int,
    rate: float | Float[Array, ""],
    decay: Literal["linear", "cosine"],
    *,
    b2: float = 0.999,
    eps: float = 1e-8,
    tangent: Callable[[Any, Any], Any] = lambda at, slope: slope,
    retract: Callable[[Any], Any] = lambda at: at,
) -> Minimum:
    """`steps` steps of Adam whose rate falls to 0, by optax.

      x <- retract(x - rate_t m / (sqrt(v) + eps)), m and v of tangent(x, gradient)

    Runs inside a compiled program and under `jax.vmap`.

    Args:
      objective: of the parameters and of the number of the step, from 0, by which a
        batch can be drawn.
      start: floating-point arrays.
      steps: T, at least 1.
      rate: the learning rate at the first step, above 0.
      decay: along a line or along half a cosine.
      b2: decay of the mean of squares, in [0, 1).
      eps: what is added to the root of that mean.
      tangent: (parameters, gradient) -> the part of the gradient along a manifold.
      retract: brings parameters back to the manifold after a step.

    Reference: Kingma and Ba, Adam, 2015 (arXiv 1412.6980).
    """
    schedules = {
        "linear": lambda: optax.linear_schedule(rate, 0.0, steps),
        "cosine": lambda: optax.cosine_decay_schedule(rate, steps),
    }
    rule = optax.chain(
        optax.scale_by_adam(b2=b2, eps=eps),
        optax.scale_by_learning_rate(schedules[decay]()),
    )
    value_and_slope = jax.value_and_grad(objective)

    def step(state: tuple[Any, Any], number: Array) -> tuple[tuple[Any, Any], Array]:
        at, memory = state
        loss, slope = value_and_slope(at, number)
        slope = tangent(at, slope)
        # optax mixes Python and array numbers, which strict promotion refuses
        with jax.numpy_dtype_promotion("standard"):
            move, memory = rule.update(slope, memory)
            at = optax.apply_updates(at, move)
        return (retract(at), memory), loss

    with jax.numpy_dtype_promotion("standard"):
        first = (start, rule.init(start))
    (end, _), losses = jax.lax.scan(step, first, jnp.arange(steps))
    return Minimum(end, losses)


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
