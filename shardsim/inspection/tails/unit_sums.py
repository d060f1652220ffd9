"""Do contributions to V look normal within a context and heavy over all of them?

V = sum_j c_j(s). If many small heuristics c_j vary independently, then almost every sum
of them with random signs is normal over states, whatever each of them looks like. V
itself does not tell: its distribution over states is that of the exact values. A gate
changes the scale of such sums with the context, and only that of its own units. So
units are put together by the context in which they vary most, on one half of the
levels, and their sums are taken on the other half:

  x = sum_{j of a group} e_j c_j(s),  e_j = +-1 at random
  z = (x - mean of the context) / standard deviation in the context
  y = (x - mean of the context) / standard deviation in all contexts

z is what is within a context, y what is pooled, and both have the same centre: they
differ only if the scale of x depends on the context. What is compared is the shape of
the generalised normal, which is 2 for normal and 1 for Laplace (exponential) tails. A
shape above 2, of tails that are lighter than normal, counts as 2: a few bounded
features have it, and its size says nothing of heavy tails.

  model of V                            z         y
  many small independent heuristics     normal    normal
  the same, behind gates of contexts    normal    heavy
  few big features, one circuit         heavy     heavy

Symbols: n samples, P units, C contexts, G clusters of samples, R draws of signs,
B rows of counts, m = 2 R C n numbers at most.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.core.jit import jit
from shardsim.inspection import validation
from shardsim.inspection.tails import shapes
from shardsim.inspection.validation import Numbers

NORMAL = 2.0
"""Shape of a normal."""
NORMAL_WITHIN = 1.8
"""Least shape within contexts of the gated reading."""
HEAVY_POOLED = 1.3
"""Largest shape over all contexts of the gated reading."""
MANY = 1_000.0
"""Cap of K_eff: excess kurtosis below 3 / MANY cannot be told from none."""


class UnitSums(NamedTuple):
    """Shapes of z and y, in the samples and on each resample of their clusters."""

    within: Float[np.ndarray, " B"]
    """Shape of z: 2 is normal, 1 Laplace. NaN if nothing varies."""
    pooled: Float[np.ndarray, " B"]
    """Shape of y; a gate that is closed in most contexts puts it below 1."""
    excess: Float[np.ndarray, " B"]
    """Excess kurtosis of z."""
    variance_ratio: Float[np.ndarray, " B"]
    """Var(V) / sum_j Var(c_j) within contexts: 1 if units are uncorrelated."""

    @property
    def difference(self) -> Float[np.ndarray, " B"]:
        """min(within, 2) - min(pooled, 2): above 0 if contexts make tails heavy."""
        return np.minimum(self.within, NORMAL) - np.minimum(self.pooled, NORMAL)

    @property
    def k_eff(self) -> Float[np.ndarray, " B"]:
        """K_eff = 3 / excess of z, at most `MANY`: Laplace terms with such tails."""
        return 3 / np.maximum(self.excess, 3 / MANY)

    @property
    def is_gated(self) -> Bool[np.ndarray, " B"]:
        """Whether z is as good as normal and y at least as heavy as `HEAVY_POOLED`."""
        return (self.within >= NORMAL_WITHIN) & (self.pooled <= HEAVY_POOLED)

    def summary(self) -> str:
        """Both shapes, K_eff and the variance ratio."""
        return (
            f"sums of units: shape {self.within[0]:.2f} within contexts and "
            f"{self.pooled[0]:.2f} pooled (2 normal, 1 Laplace); K_eff within "
            f"{self.k_eff[0]:.3g}; Var(sum) / sum Var {self.variance_ratio[0]:.2f}"
        )


def fit(
    units: Annotated[Numbers, "n P"],
    context: Annotated[Numbers, "n"],
    cluster: Annotated[Numbers, "n"],
    held_out: Annotated[Numbers, "n"],
    key: Key[Array, ""],
    *,
    draws: int = 16,
    counts: Annotated[Numbers, "B G"] | None = None,
) -> UnitSums:
    """Shapes of random sums of units, within contexts and over all of them.

    A unit that does not vary counts for nothing. A group of units whose sum is constant
    in a context, as behind a closed gate, has no z there and y = 0. Resamples keep
    means, scales and groups as they are.

    Args:
      units: [n, P] what each unit adds to V in each sample.
      context: [n] label of each sample.
      cluster: [n] the unit of dependence (level, episode) of each sample, in [0, G).
      held_out: [n] samples whose sums are taken; units are put into groups by the
        others.
      key: for the signs.
      draws: R.
      counts: [B, G] how often each cluster counts; None: once.

    Raises:
      ValueError: the arrays do not fit or are not finite, or there are fewer than two
        contexts in either half.
    """
    units = np.asarray(validation.floats("units", units, None, None), np.float64)
    n, width = units.shape
    contexts = validation.labels("context", context, n)
    if counts is None:
        counts = np.ones((1, int(np.max(cluster, initial=0)) + 1))
    counts = np.asarray(validation.floats("counts", counts, None, None), np.float64)
    number = counts.shape[1]
    clusters = np.asarray(validation.indices("cluster", cluster, number, n))
    held_out = np.asarray(validation.mask("held_out", held_out, n))
    draws = validation.integer("draws", draws, 1)
    label = np.asarray(contexts.index)
    for name, half in (("held_out", held_out), ("not held_out", ~held_out)):
        seen = len(np.unique(label[half]))
        if seen < contexts.count:
            raise ValueError(
                f"{name}: got samples of {seen} contexts; allowed: all {contexts.count}"
            )
    first = _spreads(units[~held_out], label[~held_out], contexts.count)
    group = first.argmax(axis=0)
    signs = np.asarray(jax.random.rademacher(key, (width, draws)), np.float64)
    tested, label = units[held_out], label[held_out]
    own = np.eye(contexts.count)[group]  # [P, C]
    sums = np.einsum("np,pr,pc->ncr", tested, signs, own, optimize=True)
    flat = sums.reshape(len(sums), -1)
    centred = flat - _means(flat, label, contexts.count)[label]
    scale = _spreads(flat, label, contexts.count)[label]
    total = centred.std(axis=0)
    # a constant is one up to the rounding of its sums
    tiny = 1e-6 * np.abs(tested).max(initial=0.0)
    z, within = _scaled(centred, scale, scale > tiny)
    y, pooled = _scaled(centred, np.broadcast_to(total, flat.shape), total > tiny)
    at = clusters[held_out]
    weight, second, fourth = (
        counts @ _by_cluster((within * z**k).sum(axis=1), at, number) for k in (0, 2, 4)
    )
    weight = np.where(weight > 0, weight, np.nan)
    return UnitSums(
        within=_shapes(z, within, at, counts),
        pooled=_shapes(y, pooled, at, counts),
        excess=fourth * weight / np.square(second) - 3,
        variance_ratio=_variance_ratio(tested, label, contexts.count, at, counts),
    )


def synthetic(
    context: Annotated[Numbers, "n"], width: int, key: Key[Array, ""]
) -> dict[str, Float[np.ndarray, "n P"]]:
    """Contributions whose reading is known, in the contexts of some samples.

      independent   c_j(s) ~ Laplace: z and y are normal
      planted       c_j(s) = 1[context = context of j] Laplace: z is normal, y is heavy
      correlated    c_j(s) = a_j f(s), f ~ Laplace: z and y are Laplace

    Args:
      context: [n] label of each sample.
      width: P.
      key: for the draws.
    """
    contexts = validation.labels("context", context, None)
    label = np.asarray(contexts.index)
    unit_key, factor_key, load_key = jax.random.split(key, 3)
    each = np.asarray(jax.random.laplace(unit_key, (len(label), width)))
    factor = np.asarray(jax.random.laplace(factor_key, (len(label), 1)))
    load = np.asarray(jax.random.normal(load_key, (1, width)))
    is_open = label[:, None] == np.arange(width)[None] % contexts.count
    return {
        "independent": each,
        "planted": each * is_open,
        "correlated": factor * load,
    }


def _means(
    x: Float[np.ndarray, "n K"], label: Int[np.ndarray, " n"], contexts: int
) -> Float[np.ndarray, "C K"]:
    """Mean of each column in each context."""
    return np.stack([x[label == c].mean(axis=0) for c in range(contexts)])


def _spreads(
    x: Float[np.ndarray, "n K"], label: Int[np.ndarray, " n"], contexts: int
) -> Float[np.ndarray, "C K"]:
    """Standard deviation of each column in each context."""
    return np.stack([x[label == c].std(axis=0) for c in range(contexts)])


def _scaled(
    centred: Float[np.ndarray, "n K"],
    scale: Float[np.ndarray, "..."],
    varies: Bool[np.ndarray, "..."],
) -> tuple[Float[np.ndarray, "n K"], Float[np.ndarray, "n K"]]:
    """Numbers in units of a scale, and weights: 0 where there is no scale."""
    weights = np.broadcast_to(varies, centred.shape).astype(np.float64)
    return np.where(varies, centred, 0.0) / np.where(varies, scale, 1.0), weights


def _by_cluster(
    x: Float[np.ndarray, " n"], cluster: Int[np.ndarray, " n"], number: int
) -> Float[np.ndarray, " G"]:
    """Sum over the samples of each cluster."""
    return np.bincount(cluster, x, number)


def _shapes(
    x: Float[np.ndarray, "n K"],
    weights: Float[np.ndarray, "n K"],
    cluster: Int[np.ndarray, " n"],
    counts: Float[np.ndarray, "B G"],
) -> Float[np.ndarray, " B"]:
    """Shape of all numbers together around 0, for each row of counts."""
    found = _shape_on(
        jnp.asarray(x.ravel(), jnp.float32),
        jnp.asarray(weights.ravel(), jnp.float32),
        jnp.asarray(np.repeat(cluster, x.shape[1])),
        jnp.asarray(counts, jnp.float32),
    )
    return np.asarray(found, np.float64)


@jit
def _shape_on(
    x: Float[Array, " m"],
    weights: Float[Array, " m"],
    cluster: Int[Array, " m"],
    counts: Float[Array, "B G"],
) -> Float[Array, " B"]:
    return shapes.on_resamples(x, jnp.zeros(()), weights, cluster, counts)


def _variance_ratio(
    units: Float[np.ndarray, "n P"],
    label: Int[np.ndarray, " n"],
    contexts: int,
    cluster: Int[np.ndarray, " n"],
    counts: Float[np.ndarray, "B G"],
) -> Float[np.ndarray, " B"]:
    """Var(sum) / sum Var within contexts; NaN if no unit varies."""
    centred = units - _means(units, label, contexts)[label]
    whole, each = (
        counts @ _by_cluster(x, cluster, counts.shape[1])
        for x in (
            np.square(centred.sum(axis=1)),
            np.square(centred).sum(axis=1),
        )
    )
    return whole / np.where(each > 0, each, np.nan)
