"""Small optimisers that run inside a compiled program, under `vmap`, without LAPACK.

Every iterative fit goes on until it has converged, within a stated maximum, and says
whether it has. Code under `jax.jit` cannot warn, so the answer is a field of its
record. Outside of a compiled program the tool passes it to `warn_unconverged`.

Symbols: T steps, B any number of batch axes.
"""

import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PyTree

Decay = Literal["linear", "cosine"]
"""How a learning rate falls to 0; the cosine is half a period."""

GOLDEN = 0.6180339887498949
"""(sqrt 5 - 1) / 2: the fraction of a bracket that a golden-section step leaves."""
LBFGS_MEMORY = 10
"""Changes of the slope that L-BFGS remembers."""
LINE_SEARCH = 12
"""Most losses of a search along a line."""
STUCK = 2
"""Steps in a row that do not lower the loss: rounding is larger than any gain."""


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
    decay: Decay,
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

    def step(state: Any, number: Array) -> tuple[Any, Array]:
        return _adam_step(
            objective, number, steps, rate, decay, (b2, eps), (tangent, retract), state
        )

    first = (start, _first_moments(start, b2, eps))
    (last, _), losses = jax.lax.scan(step, first, jnp.arange(steps))
    return Minimum(last, losses)


def _first_moments(start: PyTree, b2: float, eps: float) -> Any:
    with jax.numpy_dtype_promotion("standard"):
        return optax.scale_by_adam(b2=b2, eps=eps).init(start)


def _adam_step(
    objective: Callable[[Any, Int[Array, ""]], Float[Array, ""]],
    number: Int[Array, ""],
    steps: int | Int[Array, ""],
    rate: float | Float[Array, ""],
    decay: Decay,
    moment_settings: tuple[float, float],
    manifold: tuple[Callable[[Any, Any], Any], Callable[[Any], Any]],
    state: tuple[Any, Any],
) -> tuple[tuple[Any, Any], Float[Array, ""]]:
    """One step: the new parameters and moments, and the loss before the step."""
    (b2, eps), (tangent, retract), (parameters, moments) = (
        moment_settings,
        manifold,
        state,
    )
    loss, gradient = jax.value_and_grad(objective)(parameters, number)
    gradient = tangent(parameters, gradient)
    # optax mixes Python and array numbers, which strict promotion refuses
    with jax.numpy_dtype_promotion("standard"):
        done = number / steps
        size = {
            "linear": lambda: rate * (1 - done),
            "cosine": lambda: rate * (0.5 * (1 + jnp.cos(jnp.pi * done))),
        }[decay]()
        rule = optax.scale_by_adam(b2=b2, eps=eps)
        change, moments = rule.update(gradient, moments)
        change = jax.tree.map(lambda leaf: (-size * leaf).astype(leaf.dtype), change)
        parameters = optax.apply_updates(parameters, change)
    return (retract(parameters), moments), loss


class Descent(NamedTuple):
    """The best end of all rounds of a descent, and whether it is a minimum."""

    parameters: PyTree
    loss: Float[Array, ""]
    """Over all samples."""
    converged: Bool[Array, ""]
    """Whether the slope was below the tolerance, or the last round, which is as long as
    all earlier rounds together, lowered the loss by less."""
    steps: Int[Array, ""]
    """Steps of all rounds."""


def descend(
    objective: Callable[[Any, Int[Array, ""]], Float[Array, ""]],
    full: Callable[[Any], Float[Array, ""]],
    start: PyTree,
    steps: int,
    max_steps: int,
    rate: float | Float[Array, ""],
    decay: Decay,
    tolerance: float,
    *,
    b2: float = 0.999,
    eps: float = 1e-8,
    tangent: Callable[[Any, Any], Any] = lambda parameters, gradient: gradient,
    retract: Callable[[Any], Any] = lambda parameters: parameters,
) -> Descent:
    """Rounds of Adam, each from the best end so far, until another one gains nothing.

    The first round has `steps` steps, and each further one has as many as all rounds
    before it. The learning rate restarts in each round. The end of a round is judged
    by the loss over all samples. Runs inside a compiled program and under `jax.vmap`,
    where all runs go on until the last one has converged, and each keeps its own end.

    Args:
      objective: (parameters, step number from 0 over all rounds) -> loss, of all
        samples or of a batch.
      full: parameters -> loss over all samples, in a unit in which 1 is much.
      start: the first parameters, floating-point arrays.
      steps: of the first round, at least 1.
      max_steps: no round starts that would exceed this number in all; the first one
        always runs.
      rate: the learning rate of the first step of each round, above 0.
      decay: of the learning rate within a round.
      tolerance: a slope of `full` (its norm) or a gain below this ends the descent.
      b2: see `adam`.
      eps: see `adam`.
      tangent: see `adam`.
      retract: see `adam`.
    """
    full_slope = jax.value_and_grad(full)

    def one_round(state: Any) -> Any:
        best, best_loss, done, _ = state
        length = jnp.maximum(done, steps)

        def step(number: Array, state: tuple[Any, Any]) -> tuple[Any, Any]:
            # counted over all rounds, so that each draws other batches
            new, _ = _adam_step(
                lambda parameters, at: objective(parameters, done + at),
                number,
                length,
                rate,
                decay,
                (b2, eps),
                (tangent, retract),
                state,
            )
            return new

        first = (best, _first_moments(best, b2, eps))
        end, _ = jax.lax.fori_loop(0, length, step, first)
        loss, gradient = full_slope(end)
        slope = optax.tree.norm(tangent(end, gradient))
        # a smaller gain is not taken, so that what has converged stays as it is
        is_better = (best_loss - loss > tolerance) | (done == 0)
        is_converged = ~is_better | (slope <= tolerance)
        better = jax.tree.map(lambda a, b: jnp.where(is_better, a, b), end, best)
        return (
            better,
            jnp.where(is_better, loss, best_loss),
            done + length,
            is_converged,
        )

    def is_running(state: Any) -> Array:
        _, _, done, is_converged = state
        return ~is_converged & ((done == 0) | (2 * done <= max_steps))

    zero = jnp.zeros((), int)
    first = (start, full(start), zero, jnp.zeros((), bool))
    parameters, loss, done, converged = jax.lax.while_loop(is_running, one_round, first)
    return Descent(parameters, loss, converged, done)


def lbfgs(
    objective: Callable[[Any], Float[Array, ""]],
    start: PyTree,
    steps: int,
    max_steps: int,
    tolerance: float,
    *,
    retract: Callable[[Any], Any] = lambda parameters: parameters,
) -> Descent:
    """L-BFGS (optax) in rounds, until another one gains nothing.

    The first round has `steps` steps, and each further one has as many as all rounds
    before it. Where the valley of the loss is long and flat, it takes a hundredth of
    the steps of `descend`; it needs the loss over all samples at each of them. Runs
    inside a compiled program, one fit after the other: under `jax.vmap` every search
    along a line lasts as long as the longest.

    Args:
      objective: parameters -> loss over all samples, in a unit in which 1 is much.
      start: the first parameters, floating-point arrays.
      steps: of the first round, at least 1.
      max_steps: no round starts that would exceed this number in all; the first one
        always runs.
      tolerance: a slope (its norm) or a gain of a round below this ends the descent, as
        does a loss whose rounding is larger than any gain.
      retract: maps parameters to where the objective is defined, such as a sphere; the
        search goes through the objective of what it returns.

    Reference: Liu and Nocedal, On the limited memory BFGS method, 1989.
    """

    def loss_at(parameters: Any) -> Array:
        return objective(retract(parameters))

    rule = optax.lbfgs(
        memory_size=LBFGS_MEMORY,
        linesearch=optax.scale_by_zoom_linesearch(
            LINE_SEARCH, initial_guess_strategy="one"
        ),
    )
    slope_at = optax.value_and_grad_from_state(loss_at)

    def step(state: Any) -> Any:
        parameters, memory, number, before, stuck, _ = state
        loss, gradient = slope_at(parameters, state=memory)
        change, memory = rule.update(
            gradient,
            memory,
            parameters,
            value=loss,
            grad=gradient,
            value_fn=loss_at,
        )
        moved = optax.apply_updates(parameters, change)
        new, slope = optax.tree.get(memory, "value"), optax.tree.get(memory, "grad")
        number = number + 1
        # a round ends after `steps`, 2 `steps`, 4 `steps` ...
        ends = (number % steps == 0) & _is_power_of_two(number // steps)
        is_flat = optax.tree.norm(slope) <= tolerance
        gains_nothing = ends & (before - new <= tolerance)
        # where rounding hides every gain, searches along a line last longest
        stuck = jnp.where(new < loss, 0, stuck + 1)
        return (
            moved,
            memory,
            number,
            jnp.where(ends, new, before),
            stuck,
            is_flat | gains_nothing | (stuck == STUCK),
        )

    def is_running(state: Any) -> Array:
        _, _, number, _, _, is_converged = state
        starts = (number % steps == 0) & _is_power_of_two(number // steps)
        return ~is_converged & ~(starts & (2 * number > max_steps))

    loss, gradient = jax.value_and_grad(loss_at)(start)
    with jax.numpy_dtype_promotion("standard"):
        first = (
            start,
            rule.init(start),
            jnp.zeros((), int),
            jnp.full_like(loss, jnp.inf),
            jnp.zeros((), int),
            optax.tree.norm(gradient) <= tolerance,
        )
        last, _, done, _, _, converged = jax.lax.while_loop(is_running, step, first)
    end = retract(last)
    return Descent(end, objective(end), converged, done)


def _is_power_of_two(number: Int[Array, ""]) -> Bool[Array, ""]:
    return (number > 0) & (number & (number - 1) == 0)


def iterate(
    step: Callable[[Array], Array],
    start: Array,
    max_steps: int,
    *,
    tolerance: float = 0.0,
) -> tuple[Array, Bool[Array, ""]]:
    """Repeat a step until it changes nothing, and say whether that point was reached.

    Runs inside a compiled program and under `jax.vmap`.

    Args:
      step: maps a point to the next one, of the same shape and dtype.
      start: the first point.
      max_steps: at least 1.
      tolerance: a change of at most this, relative to the new point (norms), is none.

    Returns:
      The last point, and whether the last step changed nothing.
    """

    def size(x: Array) -> Array:
        return jnp.sqrt(jnp.square(x.astype(float)).sum())

    def move(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        point, number, _ = state
        new = step(point)
        change = size(new - point)
        return new, number + 1, change <= tolerance * size(new)

    def is_running(state: tuple[Array, Array, Array]) -> Array:
        _, number, is_still = state
        return ~is_still & (number < max_steps)

    first = (start, jnp.zeros((), int), jnp.zeros((), bool))
    point, _, is_still = jax.lax.while_loop(is_running, move, first)
    return point, is_still


def warn_unconverged(name: str, converged: Any, advice: str) -> None:
    """Warn that a fit, or some of several, has not converged. Silent for traced flags.

    Args:
      name: of the fit.
      converged: flags of any shape.
      advice: the setting that allows more.
    """
    if isinstance(converged, jax.core.Tracer):
        return
    flags = np.asarray(converged)
    if flags.all():
        return
    several = (
        f" in {int((~flags).sum())} of {flags.size} fits" if flags.size > 1 else ""
    )
    warnings.warn(f"{name}: not converged{several}; {advice}", UserWarning, 3)


def golden(
    objective: Callable[[Float[Array, "*B"]], Float[Array, "*B"]],
    low: Float[Array, "*B"],
    high: Float[Array, "*B"],
    *,
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
