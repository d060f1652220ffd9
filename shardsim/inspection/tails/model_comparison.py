"""Which family describes numbers better: held-out likelihood, Vuong, goodness of fit.

With many numbers every family is rejected, so that the difference in held-out log
likelihood a sample, an effect size, stands before every p.

Symbols: n samples, F families, G clusters.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy import special
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import validation
from shardsim.inspection.tails import families, fitting
from shardsim.inspection.tails.families import Sample, Scalar

FAMILIES = (
    "normal",
    "Laplace",
    "logistic",
    "Student",
    "generalised normal",
    "mixture of 2",
    "mixture of 3",
    "mixture of 4",
)
"""The order of every axis F. Fits of the first three take next to no time."""
QUICK = 3
RIVALS = ((0, 1), (0, 2), (1, 2))
"""Families that do not contain each other, the only ones Vuong's test is for."""


class Vuong(NamedTuple):
    """Which of two families that don't contain each other is nearer to the truth."""

    z: Scalar
    """Above 0 the first is nearer; about standard normal if both are equally near and
    clusters are many."""
    p: Scalar
    """Two-sided, by Student's t with as many degrees as clusters less 1."""

    def summary(self) -> str:
        side = "first" if self.z > 0 else "second"
        return f"Vuong z = {float(self.z):.2f}, p = {float(self.p):.3g}: the {side}"


class Goodness(NamedTuple):
    """Could these numbers have been drawn from the family that was fitted to them?"""

    statistic: Scalar
    """Anderson and Darling's A^2, which looks at the tails."""
    p: Scalar
    """Share of refitted draws from the fit that lie at least as far off."""

    def summary(self) -> str:
        return f"A^2 = {float(self.statistic):.3g}, p = {float(self.p):.3g}"


def fits(
    x: Sample, weights: Sample | None = None, count: int = len(FAMILIES)
) -> tuple[families.Family, ...]:
    """The first `count` of `FAMILIES`, fitted."""
    validation.one_of("count", count, range(1, len(FAMILIES) + 1))
    fitters: tuple[Callable[..., families.Family], ...] = (
        fitting.normal,
        fitting.laplace,
        fitting.logistic,
        fitting.student,
        fitting.generalised,
    )
    found = [fit(x, weights) for fit in fitters[:count]]
    mixed = fitting.fit_mixture_to(x, count - 4, weights) if count > 5 else ()
    return (*found, *mixed)


def densities(x: Sample, fitted: tuple[families.Family, ...]) -> Float[Array, "F n"]:
    """Log density of each sample under each fit."""
    return jnp.stack([family.log_density(x) for family in fitted])


class HeldOut(NamedTuple):
    """Log likelihood by family. NaN if a fold has no weight."""

    held_out: Float[Array, " F"]
    """Mean over samples that the fit has not seen, nats a sample."""
    densities: Float[Array, "F n"]
    """Of each sample under the fit to all of them: what `vuong` takes."""


def held_out(
    x: Sample,
    fold: Int[Array, " n"],
    weights: Sample | None = None,
    count: int = len(FAMILIES),
) -> HeldOut:
    """Mean log likelihood of samples that the fit has not seen.

    Fitted on fold 0 and held against fold 1, and the other way round. Samples of one
    cluster belong in one fold.

    Args:
      x: numbers.
      fold: 0 or 1 of each.
      weights: 0 leaves a sample out.
      count: how many of `FAMILIES`.

    Raises:
      ValueError: arrays that don't fit or are not finite.
    """
    validation.shaped("x", x, None)
    validation.finite("x", x)
    validation.shaped("fold", fold, x.shape[0])
    weights = jnp.ones_like(x) if weights is None else weights
    validation.shaped("weights", weights, x.shape[0])
    sides = [jnp.where(fold == side, weights, 0.0) for side in (0, 1)]
    # both folds and all samples at once: one program of fits
    masks = jnp.stack([*sides, weights])
    log_p = jax.vmap(lambda mask: densities(x, fits(x, mask, count)))(masks)
    sums = log_p[0] @ sides[1] + log_p[1] @ sides[0]
    both = jnp.all(masks.sum(axis=1) > 0)
    total = jnp.where(both, weights.sum(), 1.0)
    return HeldOut(jnp.where(both, sums / total, jnp.nan), log_p[2])


def vuong(
    first: Sample,
    second: Sample,
    parameters: tuple[int, int] = (2, 2),
    weights: Sample | None = None,
    cluster: Int[Array, " n"] | None = None,
    clusters: int | None = None,
) -> Vuong:
    """Vuong's test of two families that don't contain each other.

    m_i = first_i - second_i; z = (sum m - (k1 - k2) / 2 ln n) / sd(sum m). The
    variance of the sum is that of G cluster sums, sum_g (m_g - n_g mean m)^2; with
    every sample its own cluster it is Vuong's n var(m).

    Equal densities everywhere (0 / 0) give z = 0 and p = 1. Not for nested families:
    normal lies within Student, the generalised normal and mixtures, and z is then not
    normal.

    Measured on 2,000 draws from the generalised normal that is as far from normal as
    from Laplace (shape 1.416): p < .05 in 6.4, 6.2 and 5.5% at n = 100, 300 and 1,000,
    and in 5.8 and 6.0% at 20 and 50 clusters of 25, half of them copies (by the normal
    table 7.8 and 6.6%). Four in five of these say that the first, normal, is nearer.

    Args:
      first: log density of each sample under the first fit to these very samples.
      second: the same under the second.
      parameters: k1 and k2, how many each fit has.
      weights: 0 leaves a sample out.
      cluster: number of the cluster of each sample, from 0 to G - 1.
      clusters: G.

    Raises:
      ValueError: arrays that don't fit or are not finite.

    Reference: Vuong, Likelihood Ratio Tests for Model Selection, 1989.
    """
    validation.shaped("first", first, None)
    validation.shaped("second", second, first.shape[0])
    validation.finite("first", first)
    validation.finite("second", second)
    weights = jnp.ones_like(first) if weights is None else weights
    validation.shaped("weights", weights, first.shape[0])
    if cluster is None:
        cluster, clusters = jnp.arange(first.shape[0]), first.shape[0]
    validation.shaped("cluster", cluster, first.shape[0])
    validation.at_least("clusters", clusters or 0, 1)
    apart = first - second
    mean = fitting.mean_of(apart, weights)
    sums = jax.ops.segment_sum(weights * (apart - mean), cluster, clusters)
    sd = jnp.sqrt(jnp.sum(jnp.square(sums)))
    n = jnp.maximum(weights.sum(), 1.0)
    excess = n * mean - (parameters[0] - parameters[1]) / 2 * jnp.log(n)
    # rounding of equal densities is no evidence
    size = jnp.max(jnp.abs(first) + jnp.abs(second), initial=0.0)
    same = sd <= 8 * jnp.finfo(first.dtype).eps * size * jnp.sqrt(n)
    z = jnp.where(same, 0.0, excess / jnp.where(same, 1.0, sd))
    seen = jax.ops.segment_max((weights > 0).astype(jnp.int32), cluster, clusters)
    return Vuong(z, two_sided(z, (seen > 0).sum() - 1))


def two_sided(z: Scalar, degrees: Int[Array, ""]) -> Scalar:
    """Chance that Student's t lies further from 0 than z; of many degrees, normal's."""
    nu = jnp.maximum(degrees, 1).astype(z.dtype)
    far = -jnp.abs(z)
    t = families.Student(jnp.zeros_like(z), jnp.ones_like(z), nu).cdf(far)
    # rounding would show in t of many degrees
    return 2 * jnp.where(nu > 1000, special.ndtr(far), t)


def anderson_darling(x: Sample, family: families.Family, weights: Sample) -> Scalar:
    """A^2 = -n - sum_i [(2i - 1) ln F_i + (2n + 1 - 2i) ln(1 - F_i)] / n, sorted.

    Weights are 0 or 1 here.
    """
    order = jnp.argsort(jnp.where(weights > 0, x, jnp.inf))
    x, weights = x[order], weights[order]
    below = family.cdf(x)
    small = jnp.finfo(x.dtype)
    low = jnp.log(jnp.maximum(below, small.tiny))
    high = jnp.log(jnp.maximum(1 - below, small.eps / 2))
    n = jnp.maximum(weights.sum(), 1.0)
    rank = jnp.cumsum(weights)
    each = (2 * rank - 1) * low + (2 * n + 1 - 2 * rank) * high
    return -n - jnp.sum(weights * each) / n


def goodness(
    x: Sample,
    fit: Callable[[Sample, Sample], families.Family],
    key: Key[Array, ""],
    *,
    draws: int = 199,
    weights: Sample | None = None,
) -> Goodness:
    """Parametric bootstrap: draw from the fit, refit, and see how far off draws lie.

    The null is refitted, for a fit is nearer to its own numbers than the truth is; the
    usual tables without that never reject. Measured on 400 draws each of normal,
    Laplace and logistic at n = 50 and 400: p <= .05 in 4.0 to 6.2%, <= .5 in 44 to 55%.
    It takes samples for independent: of
    clustered ones it rejects too often. p = (1 + #{draws as far off}) / (draws + 1).

    Args:
      x: numbers; a constant gives p of no meaning.
      fit: as in `fitting`, from numbers and weights to a family.
      key: for the draws.
      draws: how many, at least 19.
      weights: 0 leaves a sample out, 1 keeps it.

    Raises:
      ValueError: x is no vector of finite numbers; fewer than 19 draws.
    """
    validation.shaped("x", x, None)
    validation.finite("x", x)
    validation.at_least("draws", draws, 19)
    keep = jnp.ones_like(x) if weights is None else weights
    validation.shaped("weights", keep, x.shape[0])
    fitted = fit(x, keep)

    def draw(key: Array) -> Array:
        again = fitted.sample(key, x.shape[0])
        return anderson_darling(again, fit(again, keep), keep)

    observed = anderson_darling(x, fitted, keep)
    null = jax.lax.map(draw, jax.random.split(key, draws))
    beyond = jnp.sum(null >= observed).astype(x.dtype)
    return Goodness(observed, (1 + beyond) / (draws + 1))
