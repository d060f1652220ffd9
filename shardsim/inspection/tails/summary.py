"""Tails of contributions to V: pooled over states, and within each context.

Many small independent heuristics add up to a normal distribution. Heavy tails seem to
refute them, and don't: a normal whose size depends on the context is Laplace when
contexts are pooled. So everything is measured twice, pooled and per context, and the
independence of the contributions beside it:

    model of V                          pooled   within   Var(sum) / sum Var within
    many small independent heuristics   normal   normal   about 1
    few gated shards of heuristics      heavy    normal   about 1
    few big features, one circuit       heavy    heavy    any
    correlated heuristics               any      any      far from 1

Reference: on tails of activations, Millidge and Winsor, Basic Facts about Language
Model Internals, 2023, and the comments there.

Symbols: n samples, P parts, C contexts, G = 1 + C groups (all samples first, then each
context), F families as in `model_comparison.FAMILIES`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import validation
from shardsim.inspection.tails import dependence, fitting, model_comparison, shapes
from shardsim.inspection.tails.families import Sample


class Tail(NamedTuple):
    """One quantity in one group of samples. Leading axes come from mapping."""

    n: Float[Array, ""]
    """Samples that are not exactly 0; all else is about those."""
    zeros: Float[Array, ""]
    """Share of exact zeros: closed gates, a point mass that no density describes."""
    log_likelihood: Float[Array, " F"]
    """Held out, nats a sample."""
    shape: Float[Array, ""]
    """Of the generalised normal: 2 normal, 1 Laplace. NaN for a constant."""
    excess: Float[Array, ""]
    """Excess kurtosis: 0 normal, 3 Laplace, 3 / K for K added. NaN for a constant."""
    straight: Float[Array, "2"]
    """R^2 of a straight line in the log density over |x| (exponential flanks), and over
    x^2 (normal)."""

    @property
    def k_eff(self) -> Array:
        """How many Laplace terms add up to such tails; infinite without excess."""
        return shapes.terms(self.excess)


class Tails(NamedTuple):
    """The sum of the parts and each part, in all groups."""

    total: Tail
    """Of the sum over parts. Leading axis G."""
    parts: Tail
    """Of each part. Leading axes P, G; only the first three families."""
    shape_interval: Float[Array, "G 2"]
    """95% over clusters, of the sum; NaN for a group that lies in one cluster. Real
    coverage stands in `tail_intervals`."""
    excess_interval: Float[Array, "G 2"]
    vuong: model_comparison.Vuong
    """Of `model_comparison.RIVALS`. Leading axes G, 3."""
    goodness: model_comparison.Goodness
    """Of normal and Laplace. Leading axes G, 2. Takes samples for independent."""
    dependence: dependence.Dependence
    """Leading axis G."""

    @property
    def k_eff_interval(self) -> Float[Array, "G 2"]:
        """From the interval of the excess, so the other way round."""
        return shapes.terms(self.excess_interval[..., ::-1])

    @property
    def heavy(self) -> Bool[Array, " G"]:
        """The interval of the excess lies above 0, that of the shape below 2."""
        return surely_heavy(self.shape_interval, self.excess_interval)

    def reading(self) -> str:
        """The row of the table above that fits. Most contexts decide within."""
        return reading(
            self.shape_interval,
            self.excess_interval,
            self.dependence.variance_ratio,
            self.total.excess,
        )

    def summary(self) -> str:
        shape, interval = self.total.shape, self.shape_interval
        within = np.asarray(shape)[1:]
        ratio = np.asarray(self.dependence.variance_ratio)[1:]
        return (
            f"{self.reading()}; shape pooled {float(shape[0]):.2f} "
            f"({float(interval[0, 0]):.2f} to {float(interval[0, 1]):.2f}), within "
            f"{within.min():.2f} to {within.max():.2f}; Var(sum) / sum Var within "
            f"{ratio.min():.2f} to {ratio.max():.2f}; n = {float(self.total.n[0]):.0f}"
        )


def surely_heavy(shape_interval: Any, excess_interval: Any) -> Any:
    """Of intervals [..., 2] over clusters: the excess above 0, the shape below 2."""
    return (excess_interval[..., 0] > 0) & (shape_interval[..., 1] < 2)


def reading(
    shape_interval: Float[Any, "G 2"],
    excess_interval: Float[Any, "G 2"],
    variance_ratio: Float[Any, " G"],
    excess: Float[Any, " G"],
) -> str:
    """The row of the table at the top that fits. Most contexts decide within.

    Args:
      shape_interval: pooled and within each context, as in `Tails`.
      excess_interval: likewise; NaN where all samples lie in one cluster.
      variance_ratio: Var(sum) / sum Var; NaN where no part varies.
      excess: NaN where nothing varies.
    """
    ends = np.asarray(excess_interval)
    heavy = surely_heavy(np.asarray(shape_interval), ends)
    if len(heavy) < 3:
        return "one context: heavy tails can't be told from a gate"
    ratio = np.asarray(variance_ratio)[1:]
    if np.isnan(np.asarray(excess)).any() or np.isnan(ratio).any():
        return "nothing varies somewhere: no reading"
    if np.isnan(ends).any():
        return "one cluster somewhere: no reading"
    if np.median(np.abs(np.log(np.maximum(ratio, 1e-9)))) > np.log(1.5):
        return "correlated contributions"
    if np.mean(heavy[1:]) > 0.5:
        return "heavy within contexts: few big features"
    if heavy[0]:
        return "gated: heavy pooled, normal within contexts"
    return "many small independent contributions"


def fit(
    contributions: Float[Array, "n P"],
    context: Int[np.ndarray, " n"],
    key: Key[Array, ""],
    cluster: Int[np.ndarray, " n"] | None = None,
    *,
    resamples: int = 200,
    draws: int = 99,
) -> Tails:
    """Tails of the sum and of each part, pooled and per context.

    Labels are looked at before compiling: they are arrays of numbers, not traced. The
    contributions may be mapped over seeds. Folds for held-out likelihood part clusters
    in halves, context by context.

    A sum that never varies has shape and excess NaN; a context with all its samples in
    one cluster has held-out likelihood NaN.

    Args:
      contributions: c[s, j], what unit, shard or feature j adds to V in state s, in
        units of V.
      context: label of each sample, any integers. Groups follow their order.
      key: for resamples and draws.
      cluster: what samples depend on together (maze, episode), any integers; None
        takes each sample for itself.
      resamples: of clusters, for intervals.
      draws: from each fit, for goodness.

    Raises:
      ValueError: arrays that don't fit or are not finite, fewer than two clusters,
        traced labels, too few resamples.
    """
    validation.shaped("contributions", contributions, None, None)
    validation.finite("contributions", contributions)
    contributions = validation.wide(contributions)
    n = contributions.shape[0]
    validation.at_least("contributions.shape[1]", contributions.shape[1], 1)
    validation.at_least("resamples", resamples, 20)
    validation.at_least("draws", draws, 19)
    where = _labels("context", context, n)
    whose = _labels("cluster", np.arange(n) if cluster is None else cluster, n)
    clusters = int(whose.max(initial=-1)) + 1
    validation.at_least("clusters", clusters, 2)
    inside = where[None] == np.arange(where.max() + 1)[:, None]
    groups = jnp.asarray(np.concatenate([np.ones((1, n)), inside]), contributions.dtype)
    fold = jnp.asarray(_folds(where, whose, clusters))
    total = contributions.sum(axis=1)
    # three programs, because the first and longest doesn't depend on how many parts
    whole, vuong, good, shape, excess = _of_total(
        total, groups, jnp.asarray(whose), fold, key, (clusters, resamples, draws)
    )
    return Tails(
        total=whole,
        parts=_of_parts(contributions, fold, groups),
        shape_interval=shape,
        excess_interval=excess,
        vuong=vuong,
        goodness=good,
        dependence=_dependences(contributions, groups),
    )


def _labels(name: str, labels: Any, n: int) -> np.ndarray:
    if isinstance(labels, jax.core.Tracer):
        raise ValueError(f"{name}: got a traced array; allowed: an array of numbers")
    validation.shaped(name, labels, n)
    labels = np.asarray(labels)
    validation.one_of(f"{name}.dtype", labels.dtype.kind, ("i", "u", "b"))
    return np.unique(labels, return_inverse=True)[1]


def _folds(context: np.ndarray, cluster: np.ndarray, clusters: int) -> np.ndarray:
    """Every other cluster, in the order of the context they begin in."""
    _, first = np.unique(cluster, return_index=True)
    shuffled = np.random.default_rng(0).permutation(clusters)
    order = shuffled[np.argsort(context[first][shuffled], kind="stable")]
    fold = np.empty(clusters, np.int32)
    fold[order] = np.arange(clusters) % 2
    return fold[cluster]


@partial(jax.jit, static_argnames="sizes")
def _of_total(
    total: Array,
    groups: Array,
    cluster: Array,
    fold: Array,
    key: Array,
    sizes: tuple[int, int, int],
) -> tuple[Tail, model_comparison.Vuong, model_comparison.Goodness, Array, Array]:
    clusters, resamples, draws = sizes
    resampling, drawing = jax.random.split(key)

    def one(
        each: tuple[Array, Array],
    ) -> tuple[Tail, model_comparison.Vuong, model_comparison.Goodness]:
        group, key = each
        keep = jnp.where(total == 0, 0.0, group)
        tail, p = describe(total, fold, group, len(model_comparison.FAMILIES))
        vuong = [
            model_comparison.vuong(p[i], p[j], (2, 2), keep, cluster, clusters)
            for i, j in model_comparison.RIVALS
        ]
        good = [
            model_comparison.goodness(total, family, key, draws=draws, weights=keep)
            for family in (fitting.normal, fitting.laplace)
        ]
        return tail, _stack(vuong), _stack(good)

    found = jax.lax.map(one, (groups, jax.random.split(drawing, len(groups))))
    nonzero = jnp.where((total == 0)[None], 0.0, groups)
    ends = shapes.intervals(total, nonzero, cluster, clusters, resampling, resamples)
    return *found, *ends


def _stack(records: list[Any]) -> Any:
    return jax.tree.map(lambda *fields: jnp.stack(fields), *records)


@jax.jit
def _of_parts(contributions: Array, fold: Array, groups: Array) -> Tail:
    def part(x: Array) -> Tail:
        return jax.vmap(lambda g: describe(x, fold, g, model_comparison.QUICK)[0])(
            groups
        )

    return jax.lax.map(part, contributions.T)


@jax.jit
def _dependences(contributions: Array, groups: Array) -> dependence.Dependence:
    return jax.vmap(dependence.measure, in_axes=(None, 0))(contributions, groups)


def describe(
    x: Sample, fold: Int[Array, " n"], group: Sample, count: int
) -> tuple[Tail, Float[Array, "F n"]]:
    """One quantity in one group: its point mass at 0, and the tails of the rest.

    Args:
      x: the quantity.
      fold: 0 or 1, for held-out likelihood.
      group: 1 for samples in the group, 0 for others.
      count: how many of `model_comparison.FAMILIES`.

    Returns:
      the tail, and the log density of each sample under fits to the whole group.
    """
    zero = x == 0
    keep = jnp.where(zero, 0.0, group)
    fitted = model_comparison.held_out(x, fold, keep, count)
    whole = count > model_comparison.QUICK
    about = fitting.generalised(x, keep).mean if whole else fitting.median_of(x, keep)
    return Tail(
        n=keep.sum(),
        zeros=fitting.mean_of(zero.astype(x.dtype), group),
        log_likelihood=fitted.held_out,
        shape=shapes.shape(x, about, keep),
        excess=shapes.excess(x, keep),
        straight=shapes.straight(x, keep),
    ), fitted.densities
