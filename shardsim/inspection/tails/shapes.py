"""Measures of how heavy tails are, with intervals over clusters.

States of one maze are dependent, so resampling them one by one would make intervals too
narrow. Whole clusters are resampled instead. Each cluster enters by a few sums that are
computed once, so the cost of a resample does not grow with the number of samples.

Symbols: n samples, G groups, C clusters, B resamples, L candidate shapes.
"""

from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import validation
from shardsim.inspection.tails import families, fitting
from shardsim.inspection.tails.families import Sample, Scalar
from shardsim.inspection.validation import Numbers

BINS = 12
"""Number of bins of |x - median|, from 0 to the quantile below."""
MAX_QUANTILE = 0.99
"""Of |x - median|: values beyond it are not binned."""
MIN_COUNT = 5
"""Samples that a bin needs: the log of a smaller count is mostly noise."""


def excess(x: Sample, weights: Sample) -> Scalar:
    """Excess kurtosis, mean (x - m)^4 / (mean (x - m)^2)^2 - 3; NaN for a constant.

    It is 0 for a normal, 3 for Laplace, and 3 / K for a sum of K Laplace terms. For n
    samples it is at most n - 2 - 1 / (n - 1), and for heavy tails it is mostly too
    small.
    """
    centred = x - fitting.weighted_mean(x, weights)
    scale = jnp.sqrt(fitting.weighted_mean(jnp.square(centred), weights))
    varies = is_varying(x, weights)
    z = centred / jnp.where(varies, scale, 1.0)
    return jnp.where(varies, fitting.weighted_mean(z**4, weights) - 3, jnp.nan)


def effective_terms(excess: Float[Array, "..."]) -> Float[Array, "..."]:
    """K_eff = 3 / excess: how many Laplace terms add up to such tails.

    Infinite without excess (normal or lighter tails).

    Args:
      excess: excess kurtosis; NaN gives NaN.
    """
    is_heavy = excess > 0
    k_eff = jnp.where(is_heavy, 3 / jnp.where(is_heavy, excess, 1.0), jnp.inf)
    return jnp.where(jnp.isnan(excess), jnp.nan, k_eff)


def shape(x: Sample, about: Scalar, weights: Sample) -> Scalar:
    """Shape of the generalised normal around a given centre; NaN for a constant."""
    shape = fitting.shape_about(x, about, weights)
    return jnp.where(is_varying(x, weights), shape, jnp.nan)


def straightness(x: Sample, weights: Sample) -> Float[Array, "2"]:
    """R^2 of straight lines through the log density, over |x| and over x^2.

    This is a numeric version of looking at a log plot. |x - median| is put into equal
    bins up to its 99% quantile, and the log of the counts is fitted by least squares,
    weighted by counts. Exponential tails are straight over |x|, normal ones over x^2.
    Bins with fewer than five samples are left out. Fewer than three remaining bins give
    NaN.
    """
    distance = jnp.abs(x - fitting.weighted_median(x, weights))
    order = jnp.argsort(distance)
    cumulative = jnp.cumsum(weights[order])
    index = jnp.searchsorted(cumulative, MAX_QUANTILE * cumulative[-1])
    width = distance[order][jnp.minimum(index, x.shape[0] - 1)]
    width = jnp.where(width == 0, 1.0, width)
    bins = jnp.floor(distance / width * BINS).astype(jnp.int32)
    counts = jax.ops.segment_sum(
        jnp.where(bins < BINS, weights, 0.0), jnp.minimum(bins, BINS - 1), BINS
    )
    bin_weight = jnp.where(counts >= MIN_COUNT, counts, 0.0)
    log_count = jnp.log(jnp.maximum(counts, 1.0))
    centre = (jnp.arange(BINS, dtype=x.dtype) + 0.5) / BINS
    enough = (bin_weight > 0).sum() >= 3
    fits = [
        _r_squared(centre, log_count, bin_weight),
        _r_squared(centre**2, log_count, bin_weight),
    ]
    return jnp.where(enough, jnp.stack(fits), jnp.nan)


def _r_squared(x: Array, y: Array, weights: Array) -> Array:
    x, y = x - fitting.weighted_mean(x, weights), y - fitting.weighted_mean(y, weights)
    covariance, variance = (
        fitting.weighted_mean(x * y, weights),
        fitting.weighted_mean(x * x, weights),
    )
    product = variance * fitting.weighted_mean(y * y, weights)
    return jnp.where(
        product > 0, covariance**2 / jnp.where(product > 0, product, 1.0), jnp.nan
    )


def intervals(
    x: Annotated[Numbers, "n"],
    groups: Annotated[Numbers, "G n"],
    cluster: Annotated[Numbers, "n"],
    clusters: int | None,
    key: Key[Array, ""],
    *,
    resamples: int = 200,
    level: float = 0.95,
    about: Float[Array, " G"] | None = None,
) -> tuple[Float[Array, "G 2"], Float[Array, "G 2"]]:
    """Intervals of shape and excess kurtosis that are valid for clustered samples.

    Four groups of 100,000 samples in 2,000 clusters take 5 s of processor time,
    compiling included, and 0.2 GB.

    Args:
      x: [n] finite numbers.
      groups: [G, n] weights of the samples in each group.
      cluster: [n] label of the cluster of each sample, any integers or texts.
      clusters: number of clusters, needed for traced labels only; then these are 0 to
        clusters - 1. None counts the labels.
      key: for the resamples.
      resamples: of clusters, for the shape; at least 20.
      level: in (0, 1).
      about: [G] centre of each group, fixed in all resamples; None fits them.

    Returns:
      [G, 2] low and high of the shape, and of the excess kurtosis. `shape_interval` and
      `excess_interval` list their measured coverage. NaN for a group that is constant
        or lies in one cluster.

    Raises:
      ValueError: the arrays do not fit or are not finite, or there are too few
        resamples.
    """
    x, _ = fitting.as_sample(x, None)
    groups = validation.floats("groups", groups, None, x.shape[0]).astype(x.dtype)
    labels = validation.labels("cluster", cluster, x.shape[0], least=1, count=clusters)
    cluster, clusters = jnp.asarray(labels.index), labels.count
    resamples = validation.integer("resamples", resamples, 20)
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}; allowed: between 0 and 1")
    if about is None:
        about = jax.vmap(lambda w: fitting.generalised(x, w).mean)(groups)
    drawn = jax.random.randint(key, (resamples, clusters), 0, clusters)
    counts = jax.vmap(lambda row: jnp.bincount(row, length=clusters))(drawn)
    counts = counts.astype(x.dtype)

    def group_intervals(group: tuple[Array, Array]) -> tuple[Array, Array]:
        weights, centre = group
        return (
            shape_interval(x, centre, weights, cluster, counts, level),
            excess_interval(x, weights, cluster, clusters, level=level),
        )

    return jax.lax.map(group_intervals, (groups, about))


LOG_SHAPES = np.linspace(np.log(fitting.SHAPES[0]), np.log(fitting.SHAPES[1]), 97)
"""Candidate log shapes. A parabola through the best and its neighbours is exact to
1e-3."""


MAX_POWER = 60.0
"""Cap of log |x|^shape. It keeps sums finite for shapes that are far too large."""


def excess_interval(
    x: Sample,
    weights: Sample,
    cluster: Int[Array, " n"],
    clusters: int,
    *,
    level: float = 0.95,
) -> Float[Array, "2"]:
    """Low and high of the excess kurtosis; high may be infinite.

      low  = k exp(-t se) - 2
      high = k / (1 - t' se) - 2

    with k = kurtosis - 1 and se(log k) = sqrt(sum_c u_c^2), where u_c is the influence
    of cluster c on log k (the infinitesimal jackknife). t is Student's quantile with
    (clusters - 1) degrees of freedom. t' has the effective degrees of freedom of se,
    (sum u^2)^2 / sum u^4 - 1 and at least 1: if a few clusters dominate, they are few
    and high is large.

    Measured coverage on 400 draws each at level 95%, with 25 samples per cluster and K
    Laplace terms (inf: normal), for independent samples and for clusters of which half
    are copies of their first sample; in brackets the percentile bootstrap:

      K     clusters 20, 50, 200            with copies
      1     .89 .92 .94 (.71 .83 .86)       .94 .88 .85 (.80 .77 .77)
      2     .91 .92 .92 (.79 .82 .89)       .92 .89 .90 (.81 .78 .81)
      4     .93 .93 .95 (.81 .88 .92)       .93 .91 .90 (.84 .84 .82)
      16    .93 .94 .94 (.84 .89 .92)       .96 .92 .95 (.90 .90 .90)
      inf   .95 .93 .95 (.88 .90 .92)       .97 .95 .95 (.93 .91 .92)

    Most misses lie above the interval: a sample without tail events carries no
    information about the tail. For normals 0.5 to 4% have a low above 0.
    """
    centred = x - fitting.weighted_mean(x, weights)
    scale = jnp.sqrt(fitting.weighted_mean(jnp.square(centred), weights))
    z = centred / jnp.where(scale > 0, scale, 1.0)
    m3, m4 = (fitting.weighted_mean(z**power, weights) for power in (3, 4))
    k = m4 - 1
    share = weights / jnp.maximum(weights.sum(), 1.0)
    influence = (z**4 - m4 - 4 * m3 * z - 2 * m4 * (z**2 - 1)) / jnp.where(
        k > 0, k, 1.0
    )
    square = jnp.square(jax.ops.segment_sum(share * influence, cluster, clusters))
    variance = square.sum()
    safe = jnp.where(variance > 0, variance, 1.0)
    effective_clusters = 1 / jnp.maximum(jnp.square(square / safe).sum(), 1e-9)
    is_present = jax.ops.segment_max((weights > 0).astype(jnp.int32), cluster, clusters)
    count = (is_present > 0).sum().astype(x.dtype)
    tail, error = (1 + level) / 2, jnp.sqrt(variance)
    low = k * jnp.exp(-student_quantile(tail, count - 1) * error)
    denominator = jnp.maximum(
        1 - student_quantile(tail, effective_clusters - 1) * error, 0.0
    )
    interval = jnp.stack([low, k / denominator]) - 2
    is_defined = is_varying(x, weights) & (count >= 2) & (variance > 0)
    return jnp.where(is_defined, interval, jnp.nan)


def shape_interval(
    x: Sample,
    middle: Scalar,
    weights: Sample,
    cluster: Int[Array, " n"],
    counts: Float[Array, "B C"],
    level: float,
) -> Float[Array, "2"]:
    """Low and high of the shape of a generalised normal: percentiles of resamples.

    Measured coverage as in `excess_interval`, on 200 draws each:

      clusters    20, 50, 200     with copies
      normal      .88 .93 .93     .85 .86 .93
      Laplace     .93 .89 .94     .90 .93 .92

    Most misses lie below the interval: with few clusters, tails look lighter than they
    are.

    Args:
      x: [n] finite numbers.
      middle: centre of the distribution.
      weights: [n] of the samples.
      cluster: [n] from 0 to C - 1.
      counts: [B, C] how often each resample contains each cluster.
      level: in (0, 1).
    """
    shapes = on_resamples(x, middle, weights, cluster, counts)
    tail = (1 - level) / 2
    interval = jnp.nanquantile(shapes, jnp.asarray([tail, 1 - tail], x.dtype))
    cluster_weight = jax.ops.segment_sum(weights, cluster, counts.shape[1])
    is_defined = is_varying(x, weights) & ((cluster_weight > 0).sum() >= 2)
    return jnp.where(is_defined, interval, jnp.nan)


def on_resamples(
    x: Sample,
    middle: Scalar,
    weights: Sample,
    cluster: Int[Array, " n"],
    counts: Float[Array, "B C"],
) -> Float[Array, " B"]:
    """Shape of the generalised normal in each resample; NaN in one without samples.

    Args:
      x: [n] finite numbers.
      middle: centre of the distribution.
      weights: [n] of the samples.
      cluster: [n] from 0 to C - 1.
      counts: [B, C] how often each resample contains each cluster.
    """
    distance = jnp.abs(x - middle)
    unit = jnp.maximum(
        fitting.weighted_mean(distance, weights), fitting.least_scale(x, weights)
    )
    log_distance = jnp.log(jnp.maximum(distance / unit, jnp.finfo(x.dtype).tiny))
    log_shapes = jnp.asarray(LOG_SHAPES, x.dtype)
    clusters = counts.shape[1]

    def power_sums(log_shape: Array) -> Array:
        power = jnp.exp(jnp.minimum(jnp.exp(log_shape) * log_distance, MAX_POWER))
        return jax.ops.segment_sum(weights * power, cluster, clusters)

    table = jax.lax.map(power_sums, log_shapes).T
    cluster_weight = jax.ops.segment_sum(weights, cluster, clusters)
    n = counts @ cluster_weight
    power = counts @ table / jnp.where(n > 0, n, jnp.nan)[:, None]
    shape = jnp.exp(log_shapes)[None]
    cost = jnp.log(shape * jnp.maximum(power, jnp.finfo(x.dtype).tiny)) / shape
    cost = cost + 1 / shape - log_shapes[None] + special.gammaln(1 / shape)
    return jnp.where(n > 0, jax.vmap(_minimum)(cost), jnp.nan)


def _minimum(cost: Float[Array, " L"]) -> Scalar:
    """Shape at the lowest cost, from a parabola through it and its neighbours."""
    index = jnp.argmin(cost)
    last = len(LOG_SHAPES) - 1
    below, lowest, above = (
        cost[jnp.clip(index + step, 0, last)] for step in (-1, 0, 1)
    )
    curvature = below - 2 * lowest + above
    step = jnp.where(
        curvature > 0, (below - above) / 2 / jnp.where(curvature > 0, curvature, 1), 0.0
    )
    is_inside = (index > 0) & (index < last)
    log_shape = LOG_SHAPES[0] + (LOG_SHAPES[1] - LOG_SHAPES[0]) * (
        index.astype(cost.dtype) + jnp.where(is_inside, step, 0.0)
    )
    return jnp.exp(log_shape.astype(cost.dtype))


def is_varying(x: Sample, weights: Sample) -> Array:
    """Whether the samples with a weight differ by more than rounding."""
    values = jnp.where(weights > 0, x, fitting.weighted_median(x, weights))
    largest = jnp.max(jnp.abs(values))
    return jnp.ptp(values) > 8 * jnp.finfo(x.dtype).eps * largest


def student_quantile(level: float, degrees: Float[Array, ""]) -> Scalar:
    """Quantile of Student's t, by bisection.

    Args:
      level: in (0.5, 1).
      degrees: degrees of freedom; below 1 counts as 1.
    """
    standard = families.Student(
        jnp.zeros_like(degrees), jnp.ones_like(degrees), jnp.maximum(degrees, 1.0)
    )

    def bisect(_: Array, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        midpoint = jnp.sqrt(low * high)
        below = standard.cdf(midpoint) < level
        return jnp.where(below, midpoint, low), jnp.where(below, high, midpoint)

    first = jnp.full_like(degrees, 1e-3), jnp.full_like(degrees, 1e4)
    low, high = jax.lax.fori_loop(0, 40, bisect, first)
    return jnp.sqrt(low * high)
