"""The tail card: how V's contributions are distributed, pooled and per context.

One seed, the first, in the last checkpoint; levels are the clusters. Symbols: n states,
G groups (pooled, then every context), B bins, Q quantiles.
"""

from typing import Any

import jax
import numpy as np
import scipy.stats

from shardsim.comparison import battery
from shardsim.inspection import tails
from shardsim.viewer.reading import Whole

BINS = 24
QUANTILES = 41


def card(whole: Whole, condition: battery.Condition) -> dict[str, Any]:
    """Fits of the sum over shards (V less its mean), with what is drawn of them."""
    mask = condition.reachable
    each = (whole.gates[-1, 0] * whole.parts[-1, 0])[mask].astype(np.float64)
    each = (each - each.mean(axis=0)).astype(np.float32)
    levels = np.broadcast_to(np.arange(len(mask))[:, None], mask.shape)[mask]
    shown = condition.context[mask]
    kinds, context = np.unique(shown, axis=0, return_inverse=True)
    context = context.reshape(-1)
    total = each.sum(axis=-1)
    if len(np.unique(levels)) < 2 or np.ptp(total) == 0:
        return {}
    key = jax.random.key(0)
    found = tails.fit(each, context, key, levels, resamples=100, draws=49)
    groups = [total, *(total[context == c] for c in range(len(kinds)))]
    names = ["pooled", *(_name(kind) for kind in kinds)]
    return {
        "groups": names[: len(np.asarray(found.total.shape))],
        "shape": np.asarray(found.total.shape),
        "shape interval": np.asarray(found.shape_interval),
        "terms": np.asarray(found.total.k_eff),
        "terms interval": np.asarray(found.k_eff_interval),
        "variance ratio": np.asarray(found.dependence.variance_ratio),
        "n": np.asarray(found.total.n),
        "clusters": len(mask),
        "vuong": np.asarray(found.vuong.z),
        "reading": found.reading(),
        "drawn": [_drawn(group) for group in groups],
    }


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
