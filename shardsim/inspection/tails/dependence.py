"""Whether contributions to V vary independently, and how many there really are.

"Many small independent heuristics" says three things; a histogram shows the first two
at best. This measures the third.

Symbols: n samples, P contributions.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from shardsim.inspection import validation
from shardsim.inspection.tails import fitting
from shardsim.inspection.tails.families import Sample, Scalar


class Dependence(NamedTuple):
    """How contributions vary together. Fields have a leading axis if mapped."""

    variance_ratio: Scalar
    """Var(sum) / sum Var: 1 if uncorrelated, P if all alike, 0 if they cancel."""
    correlation: Scalar
    """Mean |correlation| of two different contributions."""
    chance_correlation: Scalar
    """What n independent samples give: sqrt(2 / (pi n))."""
    total_correlation: Scalar
    """-1/2 log det of the correlations, in nats: 0 if uncorrelated. Infinite if one is
    a sum of others, as when n <= P."""
    chance_total: Scalar
    """What n independent samples give, about P (P - 1) / (4 n)."""
    breadth: Scalar
    """(sum Var)^2 / sum Var^2: how many contributions the variance is spread over."""
    active: Scalar
    """Mean over samples of (sum c^2)^2 / sum c^4: how many speak at once. Equal sizes
    give P, independent normals about P / 3. Samples where all are 0 don't count."""

    def summary(self) -> str:
        return (
            f"Var(sum) / sum Var = {float(self.variance_ratio):.2f}, "
            f"mean |correlation| {float(self.correlation):.3f} (by chance "
            f"{float(self.chance_correlation):.3f}), total correlation "
            f"{float(self.total_correlation):.3g} nats (by chance "
            f"{float(self.chance_total):.2g}); variance spread over "
            f"{float(self.breadth):.1f}, {float(self.active):.1f} speak at once"
        )


def log_determinant(matrix: Float[Array, "P P"]) -> Scalar:
    """log det of a positive semidefinite matrix by elimination; -inf if singular."""
    size = matrix.shape[0]
    # an eliminated diagonal below this is rounding of 0
    small = 4 * size * jnp.finfo(matrix.dtype).eps * jnp.max(jnp.abs(matrix))

    def step(i: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        rest, total = state
        pivot = rest[i, i]
        good = pivot > small
        total = total + jnp.where(good, jnp.log(jnp.where(good, pivot, 1)), -jnp.inf)
        row = jnp.where(good, rest[i] / jnp.where(good, pivot, 1), 0)
        return rest - row[:, None] * rest[i][None], total

    zero = jnp.zeros((), matrix.dtype)
    return jax.lax.fori_loop(0, size, step, (matrix, zero))[1]


def measure(
    contributions: Float[Array, "n P"], weights: Sample | None = None
) -> Dependence:
    """Var(sum) / sum Var, correlations and effective numbers of contributions.

    A contribution that does not vary is uncorrelated with all others. If none varies
    the ratio and the breadth are 0 / 0: NaN. One contribution has ratio 1 and
    correlations 0.

    Args:
      contributions: c[s, j], what part j adds to V in sample s, in units of V.
      weights: 0 leaves a sample out.

    Raises:
      ValueError: not a matrix of finite numbers, or weights that don't fit.
    """
    validation.shaped("contributions", contributions, None, None)
    validation.finite("contributions", contributions)
    validation.sized("contributions", contributions)
    contributions = validation.wide(contributions)
    samples, parts = contributions.shape
    validation.at_least("contributions.shape[0]", samples, 1)
    validation.at_least("contributions.shape[1]", parts, 1)
    if weights is None:
        weights = jnp.ones_like(contributions[:, 0])
    validation.shaped("weights", weights, samples)
    n = weights.sum()
    share = (weights / jnp.where(n == 0, 1.0, n))[:, None]
    centred = contributions - jnp.sum(share * contributions, axis=0)[None]
    cov = (share * centred).T @ centred
    own = jnp.diagonal(cov)
    size = jnp.max(jnp.where(weights[:, None] > 0, jnp.abs(contributions), 0), axis=0)
    varies = own > jnp.square(8 * jnp.finfo(own.dtype).eps * size)
    scale = jnp.sqrt(jnp.where(varies, own, 1.0))
    both = varies[:, None] & varies[None]
    eye = jnp.eye(parts, dtype=bool)
    corr = jnp.where(both & ~eye, cov / scale[:, None] / scale[None], 0.0)
    pairs = max(parts * (parts - 1), 1)
    own = jnp.where(varies, own, 0.0)
    nothing = ~jnp.any(varies)
    total = jnp.where(nothing, jnp.nan, own.sum())
    # numbers without a unit, whose fourth powers might be 0
    own = own / jnp.where(nothing, 1.0, own.max())
    loudest = jnp.abs(contributions).max(axis=1, keepdims=True)
    square = jnp.square(contributions / jnp.where(loudest > 0, loudest, 1.0))
    fourth = jnp.square(square).sum(axis=1)
    speaks = fourth > 0
    active = jnp.square(square.sum(axis=1)) / jnp.where(speaks, fourth, 1.0)
    return Dependence(
        variance_ratio=jnp.where(both, cov, 0.0).sum() / total,
        correlation=jnp.abs(corr).sum() / pairs,
        chance_correlation=jnp.sqrt(2 / (jnp.pi * jnp.maximum(n, 1.0))),
        total_correlation=-log_determinant(jnp.where(eye, 1.0, corr)) / 2,
        chance_total=parts * (parts - 1) / (4 * jnp.maximum(n, 1.0)),
        breadth=jnp.square(own.sum()) / jnp.square(own).sum(),
        active=fitting.mean_of(active, jnp.where(speaks, weights, 0.0)),
    )
