"""Maximum likelihood fits of the families, each in a fixed number of steps.

  normal, Laplace      closed form
  logistic             Newton's method
  Student's t          golden section over the degrees of freedom
  generalised normal   golden section over shape and mean
  mixture of normals   a fixed number of steps of expectation maximisation

There is no LAPACK call and no data-dependent loop, so fits can be mapped over contexts,
parts, resamples and seeds.

Each sample has a weight, so one compiled program fits many subsets (contexts, halves,
resamples) in parallel: weight 0 leaves a sample out, 2 counts it twice. If all weights
are 0 the fit has no meaning, but there is no error.

A constant input has no density. Every scale is at least `FLOOR` of the size of the
numbers, so fits stay finite, and the log density is large at the constant.

Symbols: n samples, k components of a mixture.
"""

from functools import partial
from typing import Annotated

import jax
import jax.numpy as jnp
from jax.scipy import special
from jaxtyping import Array, Float

from shardsim.inspection import optimizers, validation
from shardsim.inspection.tails import families
from shardsim.inspection.tails.families import Sample, Scalar
from shardsim.inspection.validation import Numbers

FLOOR = 1e-6
"""Smallest scale, as a fraction of the largest absolute value."""
SHAPES = (0.25, 20.0)
"""Search interval for the shape of the generalised normal."""
DEGREES = (0.5, 1000.0)
"""Search interval for Student's degrees of freedom; 1000 is practically normal."""


def weighted_mean(x: Float[Array, " n"], weights: Sample) -> Scalar:
    """Weighted mean over samples; 0 if all weights are 0."""
    total = weights.sum()
    return jnp.sum(weights * x) / jnp.where(total == 0, 1.0, total)


def weighted_median(x: Sample, weights: Sample) -> Scalar:
    """Weighted median; the middle of two samples if each side has half the weight."""
    order = jnp.argsort(x)
    x, cumulative = x[order], jnp.cumsum(weights[order])
    half = cumulative[-1] / 2
    last = x.shape[0] - 1
    low = jnp.minimum(jnp.searchsorted(cumulative, half, side="left"), last)
    high = jnp.minimum(jnp.searchsorted(cumulative, half, side="right"), last)
    return (x[low] + x[high]) / 2


def least_scale(x: Sample, weights: Sample) -> Scalar:
    """`FLOOR` of the largest absolute value with a weight, so that no scale is 0."""
    largest = jnp.max(jnp.where(weights > 0, jnp.abs(x), 0.0))
    return FLOOR * jnp.where(largest == 0, 1.0, largest)


def as_sample(
    x: Annotated[Numbers, "n"], weights: Annotated[Numbers, "n"] | None
) -> tuple[Sample, Sample]:
    """x as floats, and the weights in its dtype: 1 for each sample if there are none.

    Raises:
      ValueError: x is not a vector of finite numbers, or the weights do not fit.
    """
    x = validation.floats("x", x, None)
    validation.at_least("x.shape[0]", x.shape[0], 1)
    if weights is None:
        return x, jnp.ones_like(x)
    weights = validation.floats("weights", weights, x.shape[0])
    validation.between("weights", weights, 0)
    return x, weights.astype(x.dtype)


def normal(
    x: Annotated[Numbers, "n"], weights: Annotated[Numbers, "n"] | None = None
) -> families.Normal:
    """Mean and standard deviation (divided by n).

    Args:
      x: [n] finite numbers.
      weights: [n] of the samples; None counts each once. The same for all fits here.

    Raises:
      ValueError: x is not a vector of finite numbers, or the weights do not fit. The
        same holds for all fits here.
    """
    x, weights = as_sample(x, weights)
    mean = weighted_mean(x, weights)
    scale = jnp.sqrt(weighted_mean(jnp.square(x - mean), weights))
    return families.Normal(mean, jnp.maximum(scale, least_scale(x, weights)))


def laplace(
    x: Annotated[Numbers, "n"], weights: Annotated[Numbers, "n"] | None = None
) -> families.Laplace:
    """Median, and mean distance from it."""
    x, weights = as_sample(x, weights)
    median = weighted_median(x, weights)
    scale = weighted_mean(jnp.abs(x - median), weights)
    return families.Laplace(median, jnp.maximum(scale, least_scale(x, weights)))


@partial(jax.jit, static_argnames="steps")
def _logistic(x: Sample, weights: Sample, steps: int) -> families.Logistic:
    start = normal(x, weights)
    z = (x - start.mean) / start.scale
    step_sizes = jnp.asarray([1.0, 0.5, 0.25, 0.0625, 0.0], x.dtype)

    def cost(slope: Array, shift: Array) -> Array:
        """Mean -log p of u = slope z - shift, which is convex in both."""
        u = jnp.abs(slope * z - shift)
        cost = weighted_mean(u + 2 * jnp.log1p(jnp.exp(-u)), weights) - jnp.log(slope)
        return jnp.where(slope > 0, cost, jnp.inf)

    def step(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        slope, shift = state
        tilt = jnp.tanh((slope * z - shift) / 2)
        curvature = (1 - tilt**2) / 2
        g_slope, g_shift = (
            weighted_mean(tilt * z, weights) - 1 / slope,
            -weighted_mean(tilt, weights),
        )
        h_slope = weighted_mean(curvature * z**2, weights) + 1 / slope**2
        h_both, h_shift = (
            -weighted_mean(curvature * z, weights),
            weighted_mean(curvature, weights),
        )
        determinant = jnp.maximum(
            h_slope * h_shift - h_both**2, jnp.finfo(x.dtype).tiny
        )
        d_slope = (h_shift * g_slope - h_both * g_shift) / determinant
        d_shift = (h_slope * g_shift - h_both * g_slope) / determinant
        slopes, shifts = slope - step_sizes * d_slope, shift - step_sizes * d_shift
        best = jnp.argmin(jax.vmap(cost)(slopes, shifts))
        return slopes[best], shifts[best]

    initial = (jnp.full((), 1.8, x.dtype), jnp.zeros((), x.dtype))
    slope, shift = jax.lax.fori_loop(0, steps, step, initial)
    return families.Logistic(
        start.mean + start.scale * shift / slope,
        jnp.maximum(start.scale / slope, least_scale(x, weights)),
    )


def logistic(
    x: Annotated[Numbers, "n"],
    weights: Annotated[Numbers, "n"] | None = None,
    *,
    steps: int = 15,
) -> families.Logistic:
    """Newton's method in 1 / scale and mean / scale, where the cost is convex."""
    return _logistic(*as_sample(x, weights), steps)


@partial(jax.jit, static_argnames=("steps", "inner"))
def _student(x: Sample, weights: Sample, steps: int, inner: int) -> families.Student:
    start = normal(x, weights)
    centre = weighted_median(x, weights)
    width = jnp.maximum(
        weighted_mean(jnp.abs(x - centre), weights), least_scale(x, weights)
    )
    smallest = least_scale(x, weights)

    def fit_given(log_nu: Array) -> families.Student:
        nu = jnp.exp(log_nu)

        def step(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            mean, scale = state
            t_weights = (nu + 1) / (nu + jnp.square((x - mean) / scale)) * weights
            mean = weighted_mean(x, t_weights)
            # dividing by the sum of these weights, not by n, converges faster
            scale = jnp.sqrt(weighted_mean(jnp.square(x - mean), t_weights))
            return mean, jnp.maximum(scale, smallest)

        mean, scale = jax.lax.fori_loop(0, inner, step, (centre, width))
        return families.Student(mean, scale, nu)

    def cost(log_nu: Array) -> Array:
        return -weighted_mean(fit_given(log_nu).log_density(x), weights)

    low, high = (jnp.full((), jnp.log(d), x.dtype) for d in DEGREES)
    best = fit_given(optimizers.golden(cost, low, high, steps=steps))
    is_constant = start.scale <= smallest
    return families.Student(
        jnp.where(is_constant, start.mean, best.mean),
        jnp.where(is_constant, start.scale, best.scale),
        best.degrees,
    )


def student(
    x: Annotated[Numbers, "n"],
    weights: Annotated[Numbers, "n"] | None = None,
    *,
    steps: int = 25,
    inner: int = 25,
) -> families.Student:
    """Golden section over log degrees; for each, mean and scale by reweighting.

    Normal samples end at the upper end of `DEGREES`.

    Args:
      x: [n] finite numbers.
      weights: [n] of the samples; None counts each once.
      steps: of golden section.
      inner: steps of reweighting for each value of the degrees.

    Reference: Kent, Tyler and Vardi, A curious likelihood identity for the multivariate
    t-distribution, 1994, for the faster scale.
    """
    return _student(*as_sample(x, weights), steps, inner)


@partial(jax.jit, static_argnames=("rounds", "steps"))
def _generalised(
    x: Sample, weights: Sample, rounds: int, steps: int
) -> families.GeneralisedNormal:
    is_used = weights > 0
    low = jnp.min(jnp.where(is_used, x, jnp.inf))
    high = jnp.max(jnp.where(is_used, x, -jnp.inf))
    median = weighted_median(x, weights)

    def alternate(
        _: Array, state: tuple[Array, Array, Array, Array]
    ) -> tuple[Array, Array, Array, Array]:
        mean, shape, low, high = state
        shape = shape_about(x, mean, weights, steps=steps)
        unit = jnp.maximum(
            weighted_mean(jnp.abs(x - mean), weights), least_scale(x, weights)
        )

        def cost(mean: Array) -> Array:
            return weighted_mean((jnp.abs(x - mean) / unit) ** shape, weights)

        best = optimizers.golden(cost, low, high, steps=steps)
        best = jnp.where(cost(best) < cost(mean), best, mean)
        width = 0.1 * (high - low)
        return best, shape, best - width, best + width

    start = (median, jnp.ones_like(median), low, high)
    mean, *_ = jax.lax.fori_loop(0, rounds, alternate, start)
    shape = shape_about(x, mean, weights, steps=steps)
    return families.GeneralisedNormal(mean, scale_about(x, mean, shape, weights), shape)


def generalised(
    x: Annotated[Numbers, "n"],
    weights: Annotated[Numbers, "n"] | None = None,
    *,
    rounds: int = 5,
    steps: int = 24,
) -> families.GeneralisedNormal:
    """Shape and mean in alternation, each by golden section; the scale in closed form.

    Below shape 1 the likelihood has a peak at every sample, and the fitted mean is one
    of many. The search interval of the shape is `SHAPES`.

    Args:
      x: [n] finite numbers.
      weights: [n] of the samples; None counts each once.
      rounds: alternations of shape and mean.
      steps: of each golden section.
    """
    return _generalised(*as_sample(x, weights), rounds, steps)


def scale_about(x: Sample, mean: Scalar, shape: Scalar, weights: Sample) -> Scalar:
    """(shape mean |x - mean|^shape)^(1 / shape), the scale of a generalised normal."""
    unit = jnp.maximum(
        weighted_mean(jnp.abs(x - mean), weights), least_scale(x, weights)
    )
    power = weighted_mean((jnp.abs(x - mean) / unit) ** shape, weights)
    return jnp.maximum(unit * (shape * power) ** (1 / shape), least_scale(x, weights))


def shape_about(x: Sample, mean: Scalar, weights: Sample, *, steps: int = 24) -> Scalar:
    """Shape of a generalised normal whose mean is given: 2 normal, 1 Laplace.

    A constant input has no shape; the result lies in `SHAPES` and has no meaning.
    """
    unit = jnp.maximum(
        weighted_mean(jnp.abs(x - mean), weights), least_scale(x, weights)
    )
    log_distance = jnp.log(
        jnp.maximum(jnp.abs(x - mean) / unit, jnp.finfo(x.dtype).tiny)
    )

    def cost(log_shape: Array) -> Array:
        shape = jnp.exp(log_shape)
        power = weighted_mean(jnp.exp(shape * log_distance), weights)
        power = jnp.maximum(power, jnp.finfo(x.dtype).tiny)
        scale = jnp.log(shape * power) / shape
        return scale + 1 / shape - jnp.log(shape) + special.gammaln(1 / shape)

    low, high = (jnp.full((), jnp.log(s), x.dtype) for s in SHAPES)
    return jnp.exp(optimizers.golden(cost, low, high, steps=steps))


@partial(jax.jit, static_argnames=("room", "steps"))
def _mixture(
    x: Sample, weights: Sample, components: Array, room: int, steps: int
) -> families.Mixture:
    """A mixture of `components` normals; the other entries of `room` have share 0."""
    overall = normal(x, weights)
    order = jnp.argsort(x)
    cumulative = jnp.cumsum(weights[order])
    index = jnp.arange(room, dtype=x.dtype)
    level = jnp.minimum((index + 0.5) / components, 1.0)
    position = jnp.minimum(
        jnp.searchsorted(cumulative, level * cumulative[-1]), x.shape[0] - 1
    )
    # unequal widths separate a peak from tails around the same centre
    width = overall.scale * (0.5 + 0.5 * index / jnp.maximum(components - 1, 1.0))
    min_scale = jnp.maximum(0.01 * overall.scale, least_scale(x, weights))
    share = jnp.where(index < components, 1 / components, 0.0)
    total = jnp.where(cumulative[-1] == 0, 1.0, cumulative[-1])
    tiny = jnp.finfo(x.dtype).tiny

    def step(_: Array, mixture: families.Mixture) -> families.Mixture:
        responsibility = jax.nn.softmax(mixture.joint(x), axis=-1) * weights[:, None]
        count = responsibility.sum(axis=0)
        mean = x @ responsibility / jnp.maximum(count, tiny)
        square = jnp.sum(responsibility * jnp.square(x[:, None] - mean[None]), axis=0)
        scale = jnp.maximum(jnp.sqrt(square / jnp.maximum(count, tiny)), min_scale)
        return families.Mixture(count / total, mean, scale)

    start = families.Mixture(share, x[order][position], width)
    return jax.lax.fori_loop(0, steps, step, start)


def fit_mixture_to(
    x: Annotated[Numbers, "n"],
    most: int,
    weights: Annotated[Numbers, "n"] | None = None,
    *,
    steps: int = 200,
) -> tuple[families.Mixture, ...]:
    """Mixtures of 2, 3, ..., `most` components, in parallel in one program.

    Expectation maximisation, started at quantiles with unequal widths. A component is
    at least 1% as wide as all numbers together, because without a floor the likelihood
    has no maximum. The default number of steps reaches 1e-3 in the mean log density
    where components overlap little. Each mixture has room for `most` components; unused
    entries have share 0.

    Args:
      x: [n] finite numbers.
      most: from 2 to 8.
      weights: [n] of the samples; None counts each once.
      steps: of expectation maximisation.
    """
    validation.one_of("most", most, range(2, 9))
    x, weights = as_sample(x, weights)
    numbers = jnp.arange(2, most + 1, dtype=x.dtype)
    mixtures = jax.vmap(lambda k: _mixture(x, weights, k, most, steps))(numbers)
    return tuple(
        families.Mixture(mixtures.share[i], mixtures.mean[i], mixtures.scale[i])
        for i in range(most - 1)
    )
