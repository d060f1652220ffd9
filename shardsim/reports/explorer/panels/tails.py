"""How V is distributed over states, pooled and within each context.

Every seed, last checkpoint; levels are the clusters of the bootstrap. Only what the
page shows is fitted, by one program for both sides; `inspection.tails` has more.

Symbols: N seeds, n states, K shards, G groups (pooled, then every
context), Q quantiles.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Float

from shardsim.core import jit
from shardsim.inspection.tails import (
    fitting,
    model_comparison,
    readings,
    shapes,
    within,
)
from shardsim.reports.explorer.panels import base

BINS = 24
QUANTILES = 41
RESAMPLES = 100
"""Bootstrap samples of levels, for the intervals."""


@dataclasses.dataclass(frozen=True)
class Histogram:
    """V of one group, standardised, with quantiles of the sample and of both fits."""

    edges: Float[np.ndarray, " bins_1"]
    density: Float[np.ndarray, " bins"]
    quantiles: Float[np.ndarray, " Q"]
    normal: Float[np.ndarray, " Q"]
    laplace: Float[np.ndarray, " Q"]
    laplace_scale: float
    laplace_mean: float


@dataclasses.dataclass(frozen=True)
class Tails:
    """Fits to V less its mean over states; NaN for a seed that is not finite."""

    groups: list[str]
    shape: Float[np.ndarray, "N G"]
    """Of the generalised normal distribution: 2 is normal, 1 Laplace."""
    shape_interval: Float[np.ndarray, "N G 2"]
    shape_over_seeds: list[base.Estimate]
    terms: Float[np.ndarray, "N G"]
    """K_eff: Laplace terms of one scale whose sum has the same excess kurtosis."""
    terms_interval: Float[np.ndarray, "N G 2"]
    variance_ratio: Float[np.ndarray, "N G"]
    """Var(sum of contributions) / sum of their variances."""
    vuong: Float[np.ndarray, "N G"]
    """z of Vuong's test; positive where the normal fits better than the Laplace."""
    num_states: Float[np.ndarray, "N G"]
    num_levels: int
    summary: list[str]
    """By seed, in words."""
    histograms: list[list[Histogram]]
    """By seed and group; none for a seed that is constant or not finite."""


def compute(context: base.PanelContext) -> Tails | None:
    """None where there are too few levels, or no seed whose V varies."""
    predictions, condition = context.curve_predictions, context.curve_condition
    mask = condition.reachable
    each = predictions.gates[-1] * predictions.shard_values[-1]
    each = each[:, mask].astype(np.float64)
    each = (each - each.mean(axis=1, keepdims=True)).astype(np.float32)
    levels = np.broadcast_to(np.arange(len(mask))[:, None], mask.shape)[mask]
    kinds, kind = np.unique(condition.context[mask], axis=0, return_inverse=True)
    total = each.sum(axis=-1)
    is_usable = np.isfinite(total).all(axis=1)
    is_usable &= np.ptp(np.where(is_usable[:, None], total, 0), axis=1) > 0
    if len(np.unique(levels)) < 2 or not is_usable.any():
        return None
    in_context = kind.reshape(-1)[None] == np.arange(len(kinds))[:, None]
    groups = np.concatenate([np.ones((1, total.shape[1]), bool), in_context])
    _, cluster = np.unique(levels, return_inverse=True)
    fits = _fit(
        # a seed that cannot be fitted gets the numbers of another, set to NaN below
        jnp.asarray(np.where(is_usable[:, None], total, total[is_usable.argmax()])),
        jnp.asarray(groups, np.float32),
        jnp.asarray(cluster.reshape(-1)),
        int(cluster.max()) + 1,
    )
    excess, excess_interval = np.asarray(fits[1]), np.asarray(fits[5])
    ratio = np.array(
        [[_variance_ratio(one[group]) for group in groups] for one in each], np.float32
    )

    def usable(x: Any) -> np.ndarray:
        x = np.asarray(x)
        return np.where(is_usable.reshape(-1, *[1] * (x.ndim - 1)), x, np.nan)

    shape, shape_interval = usable(fits[0]), usable(fits[4])
    key = jax.random.key(0)
    said = [
        readings.read(
            shape_interval[n, 0],
            excess_interval[n, 0],
            within.measure(
                one, kind.reshape(-1), key, cluster=levels, resamples=RESAMPLES
            ),
        )
        if is_usable[n]
        else "no distribution"
        for n, one in enumerate(each)
    ]
    return Tails(
        groups=["all contexts", *(_name(kind) for kind in kinds)],
        shape=shape,
        shape_interval=shape_interval,
        shape_over_seeds=[base.estimate(row) for row in shape[is_usable].T],
        terms=usable(shapes.effective_terms(jnp.asarray(excess))),
        # terms decrease with the excess, so that the ends of the interval swap
        terms_interval=usable(
            shapes.effective_terms(jnp.asarray(excess_interval[..., ::-1]))
        ),
        variance_ratio=ratio,
        vuong=usable(fits[2]),
        num_states=np.asarray(fits[3]),
        num_levels=len(mask),
        summary=said,
        histograms=[
            [_histogram(one[group]) for group in groups] if ok else []
            for ok, one in zip(is_usable, total, strict=True)
        ],
    )


@functools.partial(jit.jit, static_argnames="clusters")
def _fit(
    total: Float[Array, "N n"],
    groups: Float[Array, "G n"],
    cluster: Array,
    clusters: int,
) -> tuple[Array, ...]:
    """Fits of every seed and group.

    Returns:
      Shape, excess kurtosis, Vuong's z of normal against Laplace, number of states;
      intervals of the first two.
    """

    def seed(total: Array) -> tuple[Array, ...]:
        weights_of = jnp.where((total == 0)[None], 0.0, groups)

        def one(weights: Array) -> tuple[Array, ...]:
            normal, laplace = model_comparison.densities(
                total, model_comparison.fit_families(total, weights, count=2)
            )
            test = model_comparison.vuong(
                normal, laplace, weights=weights, cluster=cluster, clusters=clusters
            )
            middle = fitting.generalised(total, weights).mean
            shape = shapes.shape(total, middle, weights)
            excess = shapes.excess(total, weights)
            return shape, excess, test.z, weights.sum(), middle

        shape, excess, z, n, middle = jax.lax.map(one, weights_of)
        key = jax.random.key(0)
        ends = shapes.intervals(
            total,
            weights_of,
            cluster,
            clusters,
            key,
            resamples=RESAMPLES,
            about=middle,
        )
        return shape, excess, z, n, *ends

    return jax.lax.map(seed, total)


def _variance_ratio(each: Float[np.ndarray, "n K"]) -> float:
    """Var(sum) / sum Var; NaN where nothing varies."""
    own = each.var(axis=0, dtype=np.float64).sum()
    whole = each.sum(axis=1).var(dtype=np.float64)
    return float(whole / own) if own > 0 else float("nan")


def _name(kind: np.ndarray) -> str:
    return "context " + "+".join(map(str, np.flatnonzero(kind)))


def _histogram(x: Float[np.ndarray, " n"]) -> Histogram:
    x = x.astype(np.float64)
    spread = x.std() or 1.0
    standard = (x - x.mean()) / spread
    count, edges = np.histogram(standard, BINS, (-4, 4))
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    scale = max(float(np.abs(x - np.median(x)).mean() / spread), 1e-9)
    mean = float((np.median(x) - x.mean()) / spread)
    return Histogram(
        edges=edges,
        density=count / max(len(x), 1) / np.diff(edges),
        quantiles=np.quantile(standard, levels),
        normal=scipy.stats.norm.ppf(levels),
        laplace=scipy.stats.laplace.ppf(levels, mean, scale),
        laplace_scale=scale,
        laplace_mean=mean,
    )
