"""The tail card: how V's contributions are distributed, pooled and per context.

Every seed, in the last checkpoint; levels are the clusters. Only what the card
shows is measured, by one program that both sides share: `inspection.tails` knows more.
Symbols: N seeds, n states, K parts, G groups (pooled, then every context), Q quantiles.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jaxtyping import Array, Float

from shardsim.core import jit
from shardsim.evaluation import battery
from shardsim.inspection.tails import fitting, model_comparison, shapes, summary
from shardsim.reports.explorer.forward import Whole
from shardsim.reports.explorer.panels import curves

BINS = 24
QUANTILES = 41
RESAMPLES = 100
"""Of levels, for the intervals."""


def card(whole: Whole, condition: battery.Condition) -> dict[str, Any]:
    """Fits of the sum over shards (V less its mean), with what is drawn of them."""
    mask = condition.reachable
    each = (whole.gates[-1] * whole.parts[-1])[:, mask].astype(np.float64)
    each = (each - each.mean(axis=1, keepdims=True)).astype(np.float32)
    levels = np.broadcast_to(np.arange(len(mask))[:, None], mask.shape)[mask]
    kinds, context = np.unique(condition.context[mask], axis=0, return_inverse=True)
    total = each.sum(axis=-1)
    fine = np.isfinite(total).all(axis=1)
    fine &= np.ptp(np.where(fine[:, None], total, 0), axis=1) > 0
    if len(np.unique(levels)) < 2 or not fine.any():
        return {}
    inside = context.reshape(-1)[None] == np.arange(len(kinds))[:, None]
    groups = np.concatenate([np.ones((1, total.shape[1]), bool), inside])
    _, whose = np.unique(levels, return_inverse=True)
    found = _measured(
        # a seed without numbers, or of one value, has those of another: told below
        jnp.asarray(np.where(fine[:, None], total, total[fine.argmax()])),
        jnp.asarray(groups, np.float32),
        jnp.asarray(whose.reshape(-1)),
        int(whose.max()) + 1,
    )
    excess, excess_in = (np.asarray(leaf) for leaf in (found[1], found[5]))
    ratio = np.array(
        [[_variance_ratio(one[group]) for group in groups] for one in each], np.float32
    )

    def kept(x: Any) -> np.ndarray:
        x = np.asarray(x)
        return np.where(fine.reshape(-1, *[1] * (x.ndim - 1)), x, np.nan)

    shape, shape_in = kept(found[0]), kept(found[4])
    return {
        "groups": ["pooled", *(_name(kind) for kind in kinds)],
        "shape": shape,
        "shape interval": shape_in,
        "shape over seeds": [curves.interval(row) for row in shape[fine].T],
        "terms": kept(shapes.effective_terms(jnp.asarray(excess))),
        # of the excess, so the other way round
        "terms interval": kept(shapes.effective_terms(jnp.asarray(excess_in[..., ::-1]))),
        "variance ratio": ratio,
        "n": np.asarray(found[3]),
        "clusters": len(mask),
        "vuong": kept(found[2]),
        "reading": [
            summary.reading(*one) if ok else "no distribution"
            for ok, *one in zip(fine, shape_in, excess_in, ratio, excess, strict=True)
        ],
        "drawn": [
            [_drawn(one[group]) for group in groups] if ok else []
            for ok, one in zip(fine, total, strict=True)
        ],
    }


@functools.partial(jit.jit, static_argnames="clusters")
def _measured(
    total: Float[Array, "N n"],
    groups: Float[Array, "G n"],
    cluster: Array,
    clusters: int,
) -> tuple[Array, ...]:
    """Shape, excess, Vuong's z of normal against Laplace, n; intervals of the first
    two; of every seed."""

    def seed(total: Array) -> tuple[Array, ...]:
        kept = jnp.where((total == 0)[None], 0.0, groups)

        def one(weights: Array) -> tuple[Array, ...]:
            normal, laplace = model_comparison.densities(
                total, model_comparison.fit_families(total, weights, 2)
            )
            nearer = model_comparison.vuong(
                normal, laplace, (2, 2), weights, cluster, clusters
            )
            middle = fitting.generalised(total, weights).mean
            shape = shapes.shape(total, middle, weights)
            excess = shapes.excess(total, weights)
            return shape, excess, nearer.z, weights.sum(), middle

        shape, excess, z, n, middle = jax.lax.map(one, kept)
        key = jax.random.key(0)
        ends = shapes.intervals(
            total, kept, cluster, clusters, key, RESAMPLES, about=middle
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


def _drawn(x: np.ndarray) -> dict[str, Any]:
    """Histogram, and quantiles beside those of the families fitted to the sample."""
    x = x.astype(np.float64)
    spread = x.std() or 1.0
    count, edges = np.histogram((x - x.mean()) / spread, BINS, (-4, 4))
    share = (np.arange(QUANTILES) + 0.5) / QUANTILES
    scale = np.abs(x - np.median(x)).mean() / spread
    middle = (np.median(x) - x.mean()) / spread
    return {
        "edges": edges,
        "density": count / max(len(x), 1) / np.diff(edges),
        "quantiles": np.quantile((x - x.mean()) / spread, share),
        "normal": scipy.stats.norm.ppf(share),
        "laplace": scipy.stats.laplace.ppf(share, middle, max(scale, 1e-9)),
        "laplace scale": max(float(scale), 1e-9),
        "middle": float(middle),
    }
