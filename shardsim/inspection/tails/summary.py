"""Tails of contributions to V: pooled over states, and within each context.

Everything is measured twice, pooled and within contexts, together with the independence
of the contributions. `readings` says what a model of V predicts of each.

Reference: on tails of activations, Millidge and Winsor, Basic Facts about Language
Model Internals, 2023, and the comments there.

Symbols: n samples, P parts, C contexts, G = 1 + C groups (all samples first, then each
context), F families as in `model_comparison.FAMILIES`.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import validation
from shardsim.inspection.tails import (
    dependence,
    fitting,
    model_comparison,
    readings,
    shapes,
    within,
)
from shardsim.inspection.tails.families import Sample
from shardsim.inspection.validation import Numbers


class Tail(NamedTuple):
    """One quantity in one group of samples. Mapping adds leading axes."""

    n: Float[Array, ""]
    """Number of samples that are not exactly 0; all other fields use only these."""
    zeros: Float[Array, ""]
    """Share of exact zeros: closed gates, a point mass that no density describes."""
    log_likelihood: Float[Array, " F"]
    """Held out, in nats per sample."""
    shape: Float[Array, ""]
    """Shape of the generalised normal: 2 normal, 1 Laplace. NaN for a constant."""
    excess: Float[Array, ""]
    """Excess kurtosis: 0 normal, 3 Laplace, 3 / K for a sum of K Laplace terms. NaN for
    a constant."""
    straightness: Float[Array, "2"]
    """R^2 of a straight line through the log density over |x| (exponential tails), and
    over x^2 (normal)."""

    @property
    def k_eff(self) -> Float[Array, "..."]:
        """How many Laplace terms add up to such tails; infinite without excess."""
        return shapes.effective_terms(self.excess)


class Tails(NamedTuple):
    """The sum of the parts and each part, in all groups."""

    total: Tail
    """The sum over parts. Leading axis G."""
    parts: Tail
    """Each part. Leading axes P, G; only the first three families."""
    shape_interval: Float[Array, "G 2"]
    """95% interval of the sum over clusters; NaN for a group that lies in one cluster.
    `shapes.shape_interval` lists the measured coverage."""
    excess_interval: Float[Array, "G 2"]
    """The same for the excess kurtosis; coverage in `shapes.excess_interval`."""
    vuong: model_comparison.Vuong
    """Of the pairs `model_comparison.NON_NESTED`. Leading axes G, 3."""
    goodness: model_comparison.Goodness
    """Of normal and Laplace. Leading axes G, 2. Assumes independent samples."""
    dependence: dependence.Dependence
    """Leading axis G."""
    within: within.Within
    """All contexts together, each sample standardised in its own: what `reading` rests
    on."""

    @property
    def k_eff_interval(self) -> Float[Array, "G 2"]:
        """Interval of K_eff: the interval of the excess kurtosis, reversed."""
        return shapes.effective_terms(self.excess_interval[..., ::-1])

    @property
    def heavy(self) -> Bool[Array, " G"]:
        """Whether the excess lies above 0 and the shape below 2, by their intervals."""
        return readings.is_heavy(self.shape_interval, self.excess_interval)

    def reading(self) -> str:
        """What is shown of the tails, in a sentence: one of `readings.SENTENCES`."""
        return readings.read(
            self.shape_interval[0], self.excess_interval[0], self.within
        )

    def summary(self) -> str:
        """The reading, the shapes, and the dependence within contexts."""
        shape, interval = self.total.shape, self.shape_interval
        within = np.asarray(shape)[1:]
        ratio = np.asarray(self.dependence.variance_ratio)[1:]
        return (
            f"{self.reading()}; shape pooled {float(shape[0]):.2f} "
            f"({float(interval[0, 0]):.2f} to {float(interval[0, 1]):.2f}), within "
            f"{within.min():.2f} to {within.max():.2f}; Var(sum) / sum Var within "
            f"{ratio.min():.2f} to {ratio.max():.2f}; n = {float(self.total.n[0]):.0f}"
        )


def fit(
    contributions: Annotated[Numbers, "n P"],
    context: Annotated[Numbers, "n"],
    key: Key[Array, ""],
    *,
    cluster: Annotated[Numbers, "n"] | None = None,
    resamples: int = 200,
    draws: int = 99,
) -> Tails:
    """Tails of the sum and of each part, pooled and within contexts.

    The labels are read before compiling, so they must not be traced.
    The contributions may be mapped over seeds. The folds of the held-out likelihood
    split the clusters of each context in half.

    A sum that never varies has shape and excess NaN. A context with all samples in one
    cluster has held-out likelihood NaN.

    Args:
      contributions: [n, P] c[s, j], what unit, shard or feature j adds to V in state s,
        in units of V.
      context: [n] label of each sample, any integers or texts. Groups follow their
        order.
      key: for resamples and draws.
      cluster: [n] the unit of dependence (maze, episode) of each sample, any integers
        or texts; None makes every sample its own cluster.
      resamples: of clusters, for the intervals, at least 20.
      draws: from each fit, for the goodness of fit, at least 19.

    Raises:
      ValueError: the arrays do not fit or are not finite, there are fewer than two
        clusters or too few resamples, or a label is traced.
    """
    contributions = validation.floats("contributions", contributions, None, None)
    n = contributions.shape[0]
    validation.at_least("contributions.shape[1]", contributions.shape[1], 1)
    resamples = validation.integer("resamples", resamples, 20)
    draws = validation.integer("draws", draws, 19)
    contexts = validation.labels("context", context, n)
    clusters = validation.labels(
        "cluster", np.arange(n) if cluster is None else cluster, n, least=2
    )
    context_index, cluster_index = map(np.asarray, (contexts.index, clusters.index))
    in_context = context_index[None] == np.arange(contexts.count)[:, None]
    groups = jnp.asarray(
        np.concatenate([np.ones((1, n)), in_context]), contributions.dtype
    )
    fold = jnp.asarray(_folds(context_index, cluster_index, clusters.count))
    total = contributions.sum(axis=1)
    # separate programs: the first is the slowest, and it is the same for any P
    total_tail, vuong, goodness, shape, excess = _of_total(
        total,
        groups,
        jnp.asarray(cluster_index),
        fold,
        key,
        (clusters.count, resamples, draws),
    )
    return Tails(
        total=total_tail,
        parts=_of_parts(contributions, fold, groups),
        shape_interval=shape,
        excess_interval=excess,
        vuong=vuong,
        goodness=goodness,
        dependence=_dependences(contributions, groups),
        within=within.measure(
            contributions, context, key, cluster=cluster, resamples=resamples
        ),
    )


def _folds(context: np.ndarray, cluster: np.ndarray, clusters: int) -> np.ndarray:
    """Fold 0 or 1 of each sample: clusters alternate, ordered by first context."""
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

    def one_group(
        group_and_key: tuple[Array, Array],
    ) -> tuple[Tail, model_comparison.Vuong, model_comparison.Goodness]:
        group, key = group_and_key
        is_used = jnp.where(total == 0, 0.0, group)
        tail, p = describe(total, fold, group, len(model_comparison.FAMILIES))
        vuong = [
            model_comparison.vuong(
                p[i], p[j], weights=is_used, cluster=cluster, clusters=clusters
            )
            for i, j in model_comparison.NON_NESTED
        ]
        goodness = [
            model_comparison.goodness(total, family, key, draws=draws, weights=is_used)
            for family in (fitting.normal, fitting.laplace)
        ]
        return tail, _stack(vuong), _stack(goodness)

    results = jax.lax.map(one_group, (groups, jax.random.split(drawing, len(groups))))
    nonzero = jnp.where((total == 0)[None], 0.0, groups)
    intervals = shapes.intervals(
        total, nonzero, cluster, clusters, resampling, resamples=resamples
    )
    return *results, *intervals


def _stack(records: list[Any]) -> Any:
    return jax.tree.map(lambda *fields: jnp.stack(fields), *records)


@jax.jit
def _of_parts(contributions: Array, fold: Array, groups: Array) -> Tail:
    def part(x: Array) -> Tail:
        return jax.vmap(lambda g: describe(x, fold, g, model_comparison.NUM_FAST)[0])(
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
      x: [n] the quantity.
      fold: [n] 0 or 1, for the held-out likelihood.
      group: [n] 1 for samples in the group, 0 for others.
      count: how many of `model_comparison.FAMILIES`.

    Returns:
      The tail, and the log density of each sample under fits to the whole group.
    """
    is_zero = x == 0
    is_used = jnp.where(is_zero, 0.0, group)
    fitted = model_comparison.held_out(x, fold, is_used, count=count, folds=2)
    all_families = count > model_comparison.NUM_FAST
    about = (
        fitting.generalised(x, is_used).mean
        if all_families
        else fitting.weighted_median(x, is_used)
    )
    return Tail(
        n=is_used.sum(),
        zeros=fitting.weighted_mean(is_zero.astype(x.dtype), group),
        log_likelihood=fitted.held_out,
        shape=shapes.shape(x, about, is_used),
        excess=shapes.excess(x, is_used),
        straightness=shapes.straightness(x, is_used),
    ), fitted.densities
