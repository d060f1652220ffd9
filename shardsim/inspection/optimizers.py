"""Small optimisers that run inside a compiled program, under `vmap`, without LAPACK.

Symbols: T steps, B any number of batch axes.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

GOLDEN = 0.6180339887498949
"""(sqrt 5 - 1) / 2: the fraction of a bracket that a golden-section step leaves."""


class Minimum(NamedTuple):
    """The last point of a descent, and the losses on the way."""

    parameters: PyTree
    losses: Float[Array, " T"]
    """The objective before each step."""


def adam(
    objective: Callable[[Any, Int[Array, ""]], Float[Array, ""]],
    start: PyTree,
    steps: int,
    rate: float | Float[Array, ""],
    decay: Literal["linear", "cosine"],
    *,
    b2: float = 0.999,
    eps: float = 1e-8,
    tangent: Callable[[Any, Any], Any] = lambda parameters, gradient: gradient,
    retract: Callable[[Any], Any] = lambda parameters: parameters,
) -> Minimum:
    """Minimise by `steps` steps of Adam (optax) with a learning rate that falls to 0.

      x <- retract(x - rate_t m / (sqrt(v) + eps))

    m and v are Adam's moments of tangent(x, gradient). Runs inside a compiled program
    and under `jax.vmap`.

    Args:
      objective: (parameters, step number from 0) -> loss. The number lets the objective
        draw a batch.
      start: the first parameters, floating-point arrays.
      steps: T, at least 1.
      rate: the learning rate of the first step, above 0.
      decay: "linear" or "cosine" (half a period).
      b2: decay of the mean of squared gradients, in [0, 1).
      eps: added to the square root of that mean.
      tangent: (parameters, gradient) -> the part of the gradient along a manifold.
      retract: maps parameters back onto the manifold after a step.

    Returns:
      The last parameters and all losses.

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
    value_and_grad = jax.value_and_grad(objective)

    def step(state: tuple[Any, Any], number: Array) -> tuple[tuple[Any, Any], Array]:
        parameters, moments = state
        loss, gradient = value_and_grad(parameters, number)
        gradient = tangent(parameters, gradient)
        # optax mixes Python and array numbers, which strict promotion refuses
        with jax.numpy_dtype_promotion("standard"):
            change, moments = rule.update(gradient, moments)
            parameters = optax.apply_updates(parameters, change)
        return (retract(parameters), moments), loss

    with jax.numpy_dtype_promotion("standard"):
        first = (start, rule.init(start))
    (last, _), losses = jax.lax.scan(step, first, jnp.arange(steps))
    return Minimum(last, losses)


def golden(
    objective: Callable[[Float[Array, "*B"]], Float[Array, "*B"]],
    low: Float[Array, "*B"],
    high: Float[Array, "*B"],
    steps: int = 30,
) -> Float[Array, "*B"]:
    """Minimise a function with a single minimum in [low, high], by golden section.

    Each step shrinks the bracket by a factor of .618; thirty steps leave 5e-7 of it. A
    function with several minima gives one of them.

    Args:
      objective: maps points [*B] to values [*B], each from its own point alone.
      low: lower ends of the brackets.
      high: upper ends of the brackets.
      steps: how often each bracket shrinks.

    Returns:
      The middle of the last bracket, for each batch entry.
    """

    def step(number: Int[Array, ""], state: tuple[Array, ...]) -> tuple[Array, ...]:
        low, high, left, right, f_left, f_right = state
        left_is_lower = f_left < f_right
        # the first two steps only evaluate the two inner points, so that the compiled
        # program holds the objective once
        shrinks = number >= 2
        low = jnp.where(shrinks & ~left_is_lower, left, low)
        high = jnp.where(shrinks & left_is_lower, right, high)
        width = GOLDEN * (high - low)
        probes_left = jnp.where(shrinks, left_is_lower, number == 0)
        probe = jnp.where(probes_left, high - width, low + width)
        value = objective(probe)
        # an inner point that stays in the bracket becomes the other inner point
        old_left = jnp.where(shrinks, left, right), jnp.where(shrinks, f_left, f_right)
        old_right = jnp.where(shrinks, right, left), jnp.where(shrinks, f_right, f_left)
        return (
            low,
            high,
            jnp.where(probes_left, probe, old_right[0]),
            jnp.where(probes_left, old_left[0], probe),
            jnp.where(probes_left, value, old_right[1]),
            jnp.where(probes_left, old_left[1], value),
        )

    not_evaluated = jnp.full_like(low, jnp.inf)
    start = (low, high, low, high, not_evaluated, not_evaluated)
    low, high, *_ = jax.lax.fori_loop(0, steps + 2, step, start)
    return (low + high) / 2
