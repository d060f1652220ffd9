"""Maximum likelihood of the families, each in a fixed number of steps.

Closed forms where there are any (normal, Laplace), else Newton's method (logistic) and
golden section (shape of the generalised normal, degrees of Student's t); mixtures of
normals take a fixed number of steps of expectation maximisation. No LAPACK and no
data-dependent loop, so that fits can be mapped over contexts, parts, resamples and
seeds.

A weight a sample lets one compiled program fit subsets (contexts, halves, resamples)
side by side: a weight of 0 leaves a sample out, 2 counts it twice. Weights that are all
0 give a fit of no meaning, but no error.

A constant input has no density: every scale is held at `FLOOR` of the size of the
numbers, so that fits stay finite and the log density is large where the constant is.

Symbols: n samples, k components of a mixture.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy import special
from jaxtyping import Array

from shardsim.inspection import optimizers, validation
from shardsim.inspection.tails import families
from shardsim.inspection.tails.families import Sample, Scalar

FLOOR = 1e-6
"""Least scale, as a share of the largest number's size."""
SHAPES = (0.25, 20.0)
"""Where the shape of the generalised normal is looked for."""
DEGREES = (0.5, 1000.0)
"""Where Student's degrees of freedom are looked for; 1000 is as good as normal."""


def mean_of(x: Array, weights: Sample) -> Array:
    """Weighted mean over samples; 0 if all weights are 0."""
    total = weights.sum()
    return jnp.sum(weights * x) / jnp.where(total == 0, 1.0, total)


def median_of(x: Sample, weights: Sample) -> Scalar:
    """Weighted median; between the two middle samples if half the weight is on each."""
    order = jnp.argsort(x)
    x, up_to = x[order], jnp.cumsum(weights[order])
    half = up_to[-1] / 2
    last = x.shape[0] - 1
    low = jnp.minimum(jnp.searchsorted(up_to, half, side="left"), last)
    high = jnp.minimum(jnp.searchsorted(up_to, half, side="right"), last)
    return (x[low] + x[high]) / 2


def least_scale(x: Sample, weights: Sample) -> Scalar:
    """`FLOOR` of the largest number that counts, so that no scale is 0."""
    size = jnp.max(jnp.where(weights > 0, jnp.abs(x), 0.0))
    return FLOOR * jnp.where(size == 0, 1.0, size)


def ready(x: Sample, weights: Sample | None) -> Sample:
    """Weights of 1 where none are given; refuses what can't be fitted."""
    validation.shaped("x", x, None)
    validation.finite("x", x)
    validation.at_least("x.shape[0]", x.shape[0], 1)
    if weights is None:
        return jnp.ones_like(x)
    validation.shaped("weights", weights, x.shape[0])
    validation.finite("weights", weights)
    return weights.astype(x.dtype)


def normal(x: Sample, weights: Sample | None = None) -> families.Normal:
    """Mean and standard deviation (divided by n).

    Raises:
      ValueError: x is no vector of finite numbers, or weights don't fit. All fits do.
    """
    weights = ready(x, weights)
    mean = mean_of(x, weights)
    scale = jnp.sqrt(mean_of(jnp.square(x - mean), weights))
    return families.Normal(mean, jnp.maximum(scale, least_scale(x, weights)))


def laplace(x: Sample, weights: Sample | None = None) -> families.Laplace:
    """Median and mean distance from it."""
    weights = ready(x, weights)
    median = median_of(x, weights)
    scale = mean_of(jnp.abs(x - median), weights)
    return families.Laplace(median, jnp.maximum(scale, least_scale(x, weights)))


@partial(jax.jit, static_argnames="steps")
def _logistic(x: Sample, weights: Sample, steps: int) -> families.Logistic:
    start = normal(x, weights)
    z = (x - start.mean) / start.scale
    sizes = jnp.asarray([1.0, 0.5, 0.25, 0.0625, 0.0], x.dtype)

    def cost(slope: Array, shift: Array) -> Array:
        """Mean -log p of u = slope z - shift, which is convex in both."""
        u = jnp.abs(slope * z - shift)
        cost = mean_of(u + 2 * jnp.log1p(jnp.exp(-u)), weights) - jnp.log(slope)
        return jnp.where(slope > 0, cost, jnp.inf)

    def step(_: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        slope, shift = at
        tilt = jnp.tanh((slope * z - shift) / 2)
        bend = (1 - tilt**2) / 2
        g_slope, g_shift = (
            mean_of(tilt * z, weights) - 1 / slope,
            -mean_of(tilt, weights),
        )
        h_slope = mean_of(bend * z**2, weights) + 1 / slope**2
        h_both, h_shift = -mean_of(bend * z, weights), mean_of(bend, weights)
        area = jnp.maximum(h_slope * h_shift - h_both**2, jnp.finfo(x.dtype).tiny)
        d_slope = (h_shift * g_slope - h_both * g_shift) / area
        d_shift = (h_slope * g_shift - h_both * g_slope) / area
        slopes, shifts = slope - sizes * d_slope, shift - sizes * d_shift
        best = jnp.argmin(jax.vmap(cost)(slopes, shifts))
        return slopes[best], shifts[best]

    begin = (jnp.full((), 1.8, x.dtype), jnp.zeros((), x.dtype))
    slope, shift = jax.lax.fori_loop(0, steps, step, begin)
    return families.Logistic(
        start.mean + start.scale * shift / slope,
        jnp.maximum(start.scale / slope, least_scale(x, weights)),
    )


def logistic(
    x: Sample, weights: Sample | None = None, steps: int = 15
) -> families.Logistic:
    """Newton's method in 1 / scale and mean / scale, where the cost is convex."""
    return _logistic(x, ready(x, weights), steps)


@partial(jax.jit, static_argnames=("steps", "inner"))
def _student(x: Sample, weights: Sample, steps: int, inner: int) -> families.Student:
    start = normal(x, weights)
    centre = median_of(x, weights)
    width = jnp.maximum(mean_of(jnp.abs(x - centre), weights), least_scale(x, weights))
    least = least_scale(x, weights)

    def given(log_nu: Array) -> families.Student:
        nu = jnp.exp(log_nu)

        def step(_: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
            mean, scale = at
            pull = (nu + 1) / (nu + jnp.square((x - mean) / scale)) * weights
            mean = mean_of(x, pull)
            # dividing by the sum of pulls, not by n, gets there sooner
            scale = jnp.sqrt(mean_of(jnp.square(x - mean), pull))
            return mean, jnp.maximum(scale, least)

        mean, scale = jax.lax.fori_loop(0, inner, step, (centre, width))
        return families.Student(mean, scale, nu)

    def cost(log_nu: Array) -> Array:
        return -mean_of(given(log_nu).log_density(x), weights)

    low, high = (jnp.full((), jnp.log(d), x.dtype) for d in DEGREES)
    found = given(optimizers.golden(cost, low, high, steps))
    constant = start.scale <= least
    return families.Student(
        jnp.where(constant, start.mean, found.mean),
        jnp.where(constant, start.scale, found.scale),
        found.degrees,
    )


def student(
    x: Sample, weights: Sample | None = None, steps: int = 25, inner: int = 25
) -> families.Student:
    """Golden section over log degrees; mean and scale by reweighting at each.

    Normal numbers run to the upper end of `DEGREES`.

    Reference: Kent, Tyler and Vardi, A curious likelihood identity for the multivariate
    t-distribution, 1994, for the quicker scale.
    """
    return _student(x, ready(x, weights), steps, inner)


@partial(jax.jit, static_argnames=("rounds", "steps"))
def _generalised(
    x: Sample, weights: Sample, rounds: int, steps: int
) -> families.GeneralisedNormal:
    keep = weights > 0
    low = jnp.min(jnp.where(keep, x, jnp.inf))
    high = jnp.max(jnp.where(keep, x, -jnp.inf))
    median = median_of(x, weights)

    def turn(
        _: Array, at: tuple[Array, Array, Array, Array]
    ) -> tuple[Array, Array, Array, Array]:
        mean, shape, low, high = at
        shape = shape_about(x, mean, weights, steps)
        unit = jnp.maximum(mean_of(jnp.abs(x - mean), weights), least_scale(x, weights))

        def cost(mean: Array) -> Array:
            return mean_of((jnp.abs(x - mean) / unit) ** shape, weights)

        found = optimizers.golden(cost, low, high, steps)
        found = jnp.where(cost(found) < cost(mean), found, mean)
        width = 0.1 * (high - low)
        return found, shape, found - width, found + width

    start = (median, jnp.ones_like(median), low, high)
    mean, *_ = jax.lax.fori_loop(0, rounds, turn, start)
    shape = shape_about(x, mean, weights, steps)
    return families.GeneralisedNormal(mean, scale_about(x, mean, shape, weights), shape)


def generalised(
    x: Sample, weights: Sample | None = None, rounds: int = 5, steps: int = 24
) -> families.GeneralisedNormal:
    """Shape and mean in turns, each by golden section; the scale is a closed form.

    Below shape 1 the likelihood has a spike at every sample, and the mean that is found
    is one of many. The shape is looked for within `SHAPES`.
    """
    return _generalised(x, ready(x, weights), rounds, steps)


def scale_about(x: Sample, mean: Scalar, shape: Scalar, weights: Sample) -> Scalar:
    """(shape mean |x - mean|^shape)^(1 / shape), of a generalised normal."""
    unit = jnp.maximum(mean_of(jnp.abs(x - mean), weights), least_scale(x, weights))
    power = mean_of((jnp.abs(x - mean) / unit) ** shape, weights)
    return jnp.maximum(unit * (shape * power) ** (1 / shape), least_scale(x, weights))


def shape_about(x: Sample, mean: Scalar, weights: Sample, steps: int = 24) -> Scalar:
    """Shape of a generalised normal whose mean is given: 2 normal, 1 Laplace.

    A constant input has no shape: it ends within `SHAPES` and says nothing.
    """
    unit = jnp.maximum(mean_of(jnp.abs(x - mean), weights), least_scale(x, weights))
    far = jnp.log(jnp.maximum(jnp.abs(x - mean) / unit, jnp.finfo(x.dtype).tiny))

    def cost(log_shape: Array) -> Array:
        shape = jnp.exp(log_shape)
        power = mean_of(jnp.exp(shape * far), weights)
        power = jnp.maximum(power, jnp.finfo(x.dtype).tiny)
        scale = jnp.log(shape * power) / shape
        return scale + 1 / shape - jnp.log(shape) + special.gammaln(1 / shape)

    low, high = (jnp.full((), jnp.log(s), x.dtype) for s in SHAPES)
    return jnp.exp(optimizers.golden(cost, low, high, steps))


@partial(jax.jit, static_argnames=("room", "steps"))
def _mixture(
    x: Sample, weights: Sample, components: Array, room: int, steps: int
) -> families.Mixture:
    """`components` of them in `room` places; places that stay empty have share 0."""
    whole = normal(x, weights)
    order = jnp.argsort(x)
    up_to = jnp.cumsum(weights[order])
    place = jnp.arange(room, dtype=x.dtype)
    level = jnp.minimum((place + 0.5) / components, 1.0)
    at = jnp.minimum(jnp.searchsorted(up_to, level * up_to[-1]), x.shape[0] - 1)
    # unequal widths, so that peaks and tails over one middle can come apart
    width = whole.scale * (0.5 + 0.5 * place / jnp.maximum(components - 1, 1.0))
    least = jnp.maximum(0.01 * whole.scale, least_scale(x, weights))
    share = jnp.where(place < components, 1 / components, 0.0)
    total = jnp.where(up_to[-1] == 0, 1.0, up_to[-1])
    tiny = jnp.finfo(x.dtype).tiny

    def step(_: Array, now: families.Mixture) -> families.Mixture:
        belongs = jax.nn.softmax(now.joint(x), axis=-1) * weights[:, None]
        count = belongs.sum(axis=0)
        mean = x @ belongs / jnp.maximum(count, tiny)
        square = jnp.sum(belongs * jnp.square(x[:, None] - mean[None]), axis=0)
        scale = jnp.maximum(jnp.sqrt(square / jnp.maximum(count, tiny)), least)
        return families.Mixture(count / total, mean, scale)

    start = families.Mixture(share, x[order][at], width)
    return jax.lax.fori_loop(0, steps, step, start)


def fit_mixture(
    x: Sample, components: int, weights: Sample | None = None, steps: int = 200
) -> families.Mixture:
    """Expectation maximisation from quantiles, the widths unequal at the start.

    A component is at least 1% as wide as all numbers together: without a floor the
    likelihood has no maximum. `steps` are enough for 1e-3 in the mean log density where
    components overlap little.

    Args:
      components: k, from 1 to 8.

    Raises:
      ValueError: as `normal`; a number of components out of range.
    """
    validation.one_of("components", components, range(1, 9))
    number = jnp.full((), components, x.dtype)
    return _mixture(x, ready(x, weights), number, components, steps)


def fit_mixture_to(
    x: Sample, most: int, weights: Sample | None = None, steps: int = 200
) -> tuple[families.Mixture, ...]:
    """Mixtures of 2, 3 and so on to `most` components, side by side in one program.

    All have room for `most`; the places that a smaller one leaves empty have share 0.
    """
    validation.one_of("most", most, range(2, 9))
    weights = ready(x, weights)
    numbers = jnp.arange(2, most + 1, dtype=x.dtype)
    found = jax.vmap(lambda k: _mixture(x, weights, k, most, steps))(numbers)
    return tuple(
        families.Mixture(found.share[i], found.mean[i], found.scale[i])
        for i in range(most - 1)
    )
