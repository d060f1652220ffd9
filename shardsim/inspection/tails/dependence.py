"""Do contributions to V vary independently, and over how many is the variance spread?

"Many small independent heuristics" makes three claims: many, small and independent. A
histogram can show the first two at best. This module measures the third.

Symbols: n samples, P contributions.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from shardsim.inspection import validation
from shardsim.inspection.tails import fitting
from shardsim.inspection.tails.families import Scalar
from shardsim.inspection.validation import Numbers


class Dependence(NamedTuple):
    """How contributions vary together. Fields have a leading axis if mapped."""

    variance_ratio: Scalar
    """Var(sum) / sum Var: 1 if uncorrelated, P if all equal, 0 if they cancel."""
    correlation: Scalar
    """Mean |correlation| of two different contributions."""
    chance_correlation: Scalar
    """Its value for n independent samples: sqrt(2 / (pi n))."""
    total_correlation: Scalar
    """-1/2 log det of the correlation matrix, in nats: 0 if uncorrelated. Infinite if
    one contribution is a sum of others, as for n <= P."""
    chance_total: Scalar
    """Its value for n independent samples, about P (P - 1) / (4 n)."""
    breadth: Scalar
    """(sum Var)^2 / sum Var^2: how many contributions share the variance."""
    active: Scalar
    """Mean over samples of (sum c^2)^2 / sum c^4: how many contributions are active at
    once. Equal sizes give P, independent normals about P / 3. Samples where all are 0
    do not count."""

    def summary(self) -> str:
        """Correlation against its chance level, and effective numbers."""
        return (
            f"Var(sum) / sum Var = {float(self.variance_ratio):.2f}, "
            f"mean |correlation| {float(self.correlation):.3f} (by chance "
            f"{float(self.chance_correlation):.3f}), total correlation "
            f"{float(self.total_correlation):.3g} nats (by chance "
            f"{float(self.chance_total):.2g}); variance spread over "
            f"{float(self.breadth):.1f}, {float(self.active):.1f} active at once"
        )


def log_determinant(matrix: Float[Array, "P P"]) -> Scalar:
    """log det of a positive semidefinite matrix by elimination; -inf if it is singular.

    Args:
      matrix: [P, P].
    """
    size = matrix.shape[0]
    # an eliminated diagonal entry below this is a rounded 0
    rounding = 4 * size * jnp.finfo(matrix.dtype).eps * jnp.max(jnp.abs(matrix))

    def step(i: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        remainder, total = state
        pivot = remainder[i, i]
        is_positive = pivot > rounding
        total = total + jnp.where(
            is_positive, jnp.log(jnp.where(is_positive, pivot, 1)), -jnp.inf
        )
        row = jnp.where(is_positive, remainder[i] / jnp.where(is_positive, pivot, 1), 0)
        return remainder - row[:, None] * remainder[i][None], total

    zero = jnp.zeros((), matrix.dtype)
    return jax.lax.fori_loop(0, size, step, (matrix, zero))[1]


def measure(
    contributions: Annotated[Numbers, "n P"],
    weights: Annotated[Numbers, "n"] | None = None,
) -> Dependence:
    """Var(sum) / sum Var, correlations and effective numbers of contributions.

    A contribution that does not vary has correlation 0 with all others. If none varies,
    the ratio and the breadth are 0 / 0: NaN. A single contribution has ratio 1 and
    correlations 0.

    Args:
      contributions: [n, P] c[s, j], what part j adds to V in sample s, in units of V.
      weights: [n] 0 leaves a sample out; None counts every sample once.

    Raises:
      ValueError: `contributions` is not a matrix of finite numbers, or `weights` does
        not fit.
    """
    contributions = validation.floats("contributions", contributions, None, None)
    validation.sized("contributions", contributions)
    samples, parts = contributions.shape
    validation.at_least("contributions.shape[0]", samples, 1)
    validation.at_least("contributions.shape[1]", parts, 1)
    _, weights = fitting.as_sample(contributions[:, 0], weights)
    n = weights.sum()
    share = (weights / jnp.where(n == 0, 1.0, n))[:, None]
    centred = contributions - jnp.sum(share * contributions, axis=0)[None]
    cov = (share * centred).T @ centred
    variance = jnp.diagonal(cov)
    size = jnp.max(jnp.where(weights[:, None] > 0, jnp.abs(contributions), 0), axis=0)
    varies = variance > jnp.square(8 * jnp.finfo(variance.dtype).eps * size)
    scale = jnp.sqrt(jnp.where(varies, variance, 1.0))
    both_vary = varies[:, None] & varies[None]
    eye = jnp.eye(parts, dtype=bool)
    correlations = jnp.where(both_vary & ~eye, cov / scale[:, None] / scale[None], 0.0)
    pairs = max(parts * (parts - 1), 1)
    variance = jnp.where(varies, variance, 0.0)
    none_vary = ~jnp.any(varies)
    total = jnp.where(none_vary, jnp.nan, variance.sum())
    # divide by the largest, because fourth powers of small numbers underflow to 0
    variance = variance / jnp.where(none_vary, 1.0, variance.max())
    largest = jnp.abs(contributions).max(axis=1, keepdims=True)
    square = jnp.square(contributions / jnp.where(largest > 0, largest, 1.0))
    fourth = jnp.square(square).sum(axis=1)
    is_active = fourth > 0
    active = jnp.square(square.sum(axis=1)) / jnp.where(is_active, fourth, 1.0)
    return Dependence(
        variance_ratio=jnp.where(both_vary, cov, 0.0).sum() / total,
        correlation=jnp.abs(correlations).sum() / pairs,
        chance_correlation=jnp.sqrt(2 / (jnp.pi * jnp.maximum(n, 1.0))),
        total_correlation=-log_determinant(jnp.where(eye, 1.0, correlations)) / 2,
        chance_total=parts * (parts - 1) / (4 * jnp.maximum(n, 1.0)),
        breadth=jnp.square(variance.sum()) / jnp.square(variance).sum(),
        active=fitting.weighted_mean(active, jnp.where(is_active, weights, 0.0)),
    )
