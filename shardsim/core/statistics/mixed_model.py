"""A linear mixed model: fixed effects of a design, and random effects of what repeats.

  y = X b + sum_k Z_k u_k + e,   u_k ~ N(0, s_k^2 I),   e ~ N(0, s^2 I)

Z_k says to which level of factor k an observation belongs: which seed, which trained
agent. Observations that share a level are correlated, and those of one seed in two
cells are no two seeds. Variances are fitted by restricted maximum likelihood (REML),
profiled over b and s. Degrees of freedom follow Satterthwaite.

Symbols: n observations, p columns of X, q levels of a factor.

Reference: Bates et al., Fitting Linear Mixed-Effects Models Using lme4, 2015.
Kuznetsova et al., lmerTest: Tests in Linear Mixed Effects Models, 2017.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.stats
from jaxtyping import Float, Int, Shaped

from shardsim.core.statistics import resampling
from shardsim.core.statistics.intervals import Interval


class Test(NamedTuple):
    """An F-test that some linear combinations of the fixed effects are 0."""

    statistic: float
    """F."""
    numerator: float
    """Degrees of freedom of the hypothesis."""
    denominator: float
    """Degrees of freedom of the error, by Satterthwaite."""
    p: float


@dataclasses.dataclass(frozen=True)
class MixedModel:
    """A fitted model; `fit` makes it."""

    effects: Float[np.ndarray, " p"]
    """b, in the unit of y."""
    covariance: Float[np.ndarray, "p p"]
    """Of b."""
    deviations: dict[str, float]
    """Standard deviation of each factor's effects, and of the residual under "", in the
    unit of y; 0 where the data show none."""
    _slopes: Float[np.ndarray, "k p p"]
    """Derivative of `covariance` by the variance of each component."""
    _spread: Float[np.ndarray, "k k"]
    """Asymptotic covariance of these variances."""

    def interval(
        self, weights: Float[np.ndarray, " p"], level: float = 0.95
    ) -> Interval:
        """Estimate and t-interval of w'b.

        Args:
          weights: w.
          level: confidence level in (0, 1).

        Returns:
          The interval; its n is the degrees of freedom, rounded down, plus 1.

        Raises:
          ValueError: the level is out of range.
        """
        resampling.check_level(level)
        estimate = float(weights @ self.effects)
        variance = float(weights @ self.covariance @ weights)
        freedom = self._freedom(weights)
        half = scipy.stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(max(variance, 0.0))
        n = int(min(freedom, 1e9)) + 1
        return Interval(estimate, estimate - half, estimate + half, level, n)

    def test(self, weights: Float[np.ndarray, "m p"]) -> Test:
        """F-test of W b = 0, as lmerTest has it.

          F = sum_j t_j^2 / m,   t_j = v_j'b / sd(v_j'b),   V = eigenvectors of W C W'

        with 2 E / (E - m) degrees of freedom, E = sum_j d_j / (d_j - 2), where d_j > 2
        are Satterthwaite's of each t_j.

        Args:
          weights: W, with independent rows.
        """
        m = len(weights)
        values, vectors = np.linalg.eigh(weights @ self.covariance @ weights.T)
        rows = vectors.T @ weights
        estimates = rows @ self.effects
        if values.min() <= 0:  # all observations are alike
            p = 1.0 if np.allclose(estimates, 0) else 0.0
            return Test(float("inf") if p == 0 else 0.0, m, 1.0, p)
        statistic = float((estimates**2 / values).sum() / m)
        freedom = np.asarray([self._freedom(row) for row in rows])
        if m == 1:
            denominator = float(freedom[0])
        else:
            expected = sum(d / (d - 2) for d in freedom if d > 2)
            denominator = 2 * expected / (expected - m) if expected > m else 1.0
        p = float(scipy.stats.f.sf(statistic, m, denominator))
        return Test(statistic, float(m), denominator, p)

    def _freedom(self, weights: Float[np.ndarray, " p"]) -> float:
        """2 Var^2 / Var(Var) of w'b, at least 1."""
        variance = float(weights @ self.covariance @ weights)
        slope = np.einsum("p,kpr,r->k", weights, self._slopes, weights)
        spread = float(slope @ self._spread @ slope)
        return max(2 * variance**2 / spread, 1.0) if spread > 0 else 1.0


def fit(
    y: Float[np.ndarray, " n"],
    x: Float[np.ndarray, "n p"],
    factors: Mapping[str, Shaped[np.ndarray, " n"]],
) -> MixedModel:
    """Fit the model by REML.

      min over t_k = s_k / s >= 0 of
        (n - p) log r'V^-1 r + log|V| + log|X'V^-1 X|,   V = I + sum_k t_k^2 Z_k Z_k'

    Against ANOVA and statsmodels: see the tests. It takes O(n^2) memory.

    Args:
      y: one finite number for each observation.
      x: X, of full column rank, n > p.
      factors: by name, the level of each observation: any labels.

    Raises:
      ValueError: a number is not finite, or X has not full column rank.
    """
    y = resampling.validated(y, "y")
    n, p = x.shape
    if n <= p or np.linalg.matrix_rank(x) < p:
        raise ValueError(f"x: got rank below {p} columns; allowed: full column rank")
    levels = {
        name: np.unique(given, return_inverse=True)[1].reshape(-1)
        for name, given in factors.items()
    }
    if np.ptp(y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) < 1e-12 * (
        1 + abs(y).max()
    ):
        return _exact(y, x, tuple(levels))
    ratios = np.zeros(0)
    if levels:
        ratios = _Problem(y, x, tuple(levels.values())).solve()
    return _fitted(y, x, levels, ratios)


def _exact(
    y: Float[np.ndarray, " n"], x: Float[np.ndarray, "n p"], names: tuple[str, ...]
) -> MixedModel:
    """The model of observations that X explains without a rest."""
    p = x.shape[1]
    effects = np.linalg.lstsq(x, y, rcond=None)[0]
    nothing = np.zeros((0, p, p))
    deviations = dict.fromkeys((*names, ""), 0.0)
    return MixedModel(effects, np.zeros((p, p)), deviations, nothing, np.zeros((0, 0)))


class _Problem:
    """The profiled REML deviance, from cross products alone."""

    def __init__(
        self,
        y: Float[np.ndarray, " n"],
        x: Float[np.ndarray, "n p"],
        levels: tuple[Int[np.ndarray, " n"], ...],
    ) -> None:
        self.n, self.p = x.shape
        self.sizes = [int(level.max()) + 1 for level in levels]
        z = np.concatenate([_indicator(level) for level in levels], 1)
        self.zz, self.zx, self.zy = z.T @ z, z.T @ x, z.T @ y
        self.xx, self.xy, self.yy = x.T @ x, x.T @ y, float(y @ y)

    def deviance(self, ratios: Float[np.ndarray, " k"]) -> float:
        scale = np.repeat(ratios, self.sizes)
        inner = scale[:, None] * self.zz * scale + np.eye(len(scale))
        root = np.linalg.cholesky(inner)
        zx = scipy.linalg.solve_triangular(root, scale[:, None] * self.zx, lower=True)
        zy = scipy.linalg.solve_triangular(root, scale * self.zy, lower=True)
        xx = np.linalg.cholesky(self.xx - zx.T @ zx)
        xy = scipy.linalg.solve_triangular(xx, self.xy - zx.T @ zy, lower=True)
        rest = max(self.yy - zy @ zy - xy @ xy, np.finfo(float).tiny)
        logs = np.log(np.diag(root)).sum() + np.log(np.diag(xx)).sum()
        return float((self.n - self.p) * np.log(rest) + 2 * logs)

    def solve(self) -> Float[np.ndarray, " k"]:
        """The ratios at the minimum, from several starts."""
        k = len(self.sizes)
        starts = [np.full(k, start) for start in (0.1, 1.0, 5.0)]
        found = [
            scipy.optimize.minimize(
                self.deviance, start, method="L-BFGS-B", bounds=[(0, 1e4)] * k
            )
            for start in starts
        ]
        ratios: Float[np.ndarray, " k"] = min(found, key=lambda each: each.fun).x
        return ratios


def _indicator(level: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n q"]:
    return np.eye(int(level.max()) + 1)[level]


def _fitted(
    y: Float[np.ndarray, " n"],
    x: Float[np.ndarray, "n p"],
    levels: Mapping[str, Int[np.ndarray, " n"]],
    ratios: Float[np.ndarray, " k"],
) -> MixedModel:
    """Effects, their covariance, and how it follows from the variances.

    A variance of 0 keeps its share of the uncertainty: without it, factors that the
    data happen not to show would be claimed away.
    """
    n, p = x.shape
    parts = [np.eye(n)]
    for level in levels.values():
        z = _indicator(level)
        parts.append(z @ z.T)
    shares = np.asarray([1.0, *ratios**2])
    inverse = np.linalg.inv(
        sum(s * part for s, part in zip(shares, parts, strict=True))
    )
    vx = inverse @ x
    inner = np.linalg.inv(x.T @ vx)
    effects = inner @ (vx.T @ y)
    residual = y - x @ effects
    variance = float(residual @ inverse @ residual) / (n - p)
    # P = V^-1 - V^-1 X C X' V^-1, in units of 1 / s^2
    projected = inverse - vx @ inner @ vx.T
    products = [projected @ part for part in parts]
    information = np.asarray(
        [[float((a * b.T).sum()) / 2 for b in products] for a in products]
    )
    deviations = {
        name: float(ratio * np.sqrt(variance))
        for name, ratio in zip(levels, ratios, strict=True)
    }
    return MixedModel(
        effects=effects,
        covariance=variance * inner,
        deviations={**deviations, "": float(np.sqrt(variance))},
        _slopes=np.asarray([inner @ (vx.T @ part @ vx) @ inner for part in parts]),
        _spread=np.linalg.pinv(information) * variance**2,
    )
