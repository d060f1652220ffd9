"""Would other data give the same singular subspaces? A bootstrap, rank by rank.

If singular values nearly tie, noise rotates their singular vectors freely, and only the
subspace that they span together is determined. So the overlap is reported for the span
of the first k directions at every k, next to the gap below k and the chance level.

Reference: John Wentworth, in reply to Millidge and Black, 2022; Davis and Kahan, The
rotation of eigenvectors by a perturbation, 1970.

Symbols: m outputs, d inputs, n samples, r = m directions, B resamples.
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from shardsim.inspection import arrays, validation
from shardsim.inspection.validation import Integer, Numbers
from shardsim.inspection.weights import bases, svd

RANDOM = 1_000
"""Random directions for the null of `planted_cosine`."""
ALPHA = 0.03
"""How often a tie may pass for a gap: less than 5 %, because a bootstrap of few samples
varies a little too little."""


class Stability(NamedTuple):
    """Overlap of the output directions of W Cov^(1/2) with those of resampled data."""

    values: Float[Array, " r"]
    """Singular values of W Cov^(1/2): standard deviations of the output."""
    gaps: Float[Array, " r"]
    """(values[k] - values[k + 1]) / values[k] below rank k; 1 below the last."""
    alone: Float[Array, "B r"]
    """Squared cosine of each direction to the one of the same rank in a resample; 1 / r
    for random directions."""
    overlap: Float[Array, "B r"]
    """Mean squared cosine of the principal angles of the first k, for k = 1 to r."""
    chance: Float[Array, " r"]
    """The overlap of random subspaces: k / r."""

    @property
    def lost(self) -> Float[Array, " r"]:
        """Dimensions of the first k that a resample loses: k (1 - mean overlap)."""
        ranks = jnp.arange(1, self.overlap.shape[-1] + 1).astype(self.overlap.dtype)
        return ranks * (1 - self.overlap.mean(axis=0))

    @property
    def most_lost(self) -> float:
        """What a stable rank may lose, in dimensions.

        If singular values tie, the sample has a gap all the same, and loses
        d / 4 g^2 at it: g^2 is the gap and d the mean square of what resampling does to
        it, over B resamples. Both have one variance, with 2 and B degrees of freedom,
        so that the loss is below

          1 / (4 B (((r - 1) / alpha)^(2 / B) - 1))

        at some of the r - 1 gaps in at most alpha = 3 % of draws.
        """
        resamples, r = self.overlap.shape
        odds = max(r - 1, 1) / ALPHA
        return float(1 / (4 * resamples * (odds ** (2 / resamples) - 1)))

    @property
    def is_stable(self) -> Bool[Array, " r"]:
        """Ranks whose subspace is shown to be determined; never the last, which is all
        of the space for any data."""
        is_last = jnp.arange(len(self.lost)) == len(self.lost) - 1
        return (self.lost <= self.most_lost) & ~is_last

    @property
    def is_stable_alone(self) -> Bool[Array, " r"]:
        """Directions that are shown to be determined; not the only one of a space."""
        lost = 1 - self.alone.mean(axis=0)
        return (lost <= self.most_lost) & (len(lost) > 1)

    def summary(self) -> str:
        """The directions and the ranks that are shown to be stable."""
        stable = [str(k + 1) for k, flag in enumerate(self.is_stable.tolist()) if flag]
        ranks = ", ".join(stable) or "none"
        return (
            f"{int(self.is_stable_alone.sum())} of {len(self.lost)} directions are "
            f"shown to be stable on their own; stable ranks: {ranks}"
        )


def bootstrap(
    weight: Annotated[Numbers, "m d"],
    features: Annotated[Numbers, "n d"],
    key: Key[Array, ""],
    *,
    groups: Annotated[Numbers, "n"] | None = None,
    resamples: int = 20,
) -> Stability:
    """Overlap of the singular subspaces of W Cov^(1/2) with those of resampled data.

      overlap of rank k = ||U_k^T U'_k||_F^2 / k, in [0, 1]

    U' comes from W Cov'^(1/2), with Cov' the covariance of a resample.

    Args:
      weight: [m, d] with m <= d, y = W x; the identity to look at the data themselves.
      features: [n, d] samples of x, n >= 2.
      key: for the resamples.
      groups: [n] labels; samples of one group are drawn together (the maze of a
        state). None draws samples one by one.
      resamples: B, at least 1.

    Raises:
      ValueError: the shapes do not fit, a number is not finite, or there is only one
        group.
    """
    validation.shaped("weight", weight, None, None)
    weight = svd.as_matrix("weight", weight)
    features = validation.floats("features", features, None, weight.shape[-1])
    validation.at_least("samples of features", len(features), 2)
    resamples = validation.integer("resamples", resamples, 1)
    units, member = len(features), None
    if groups is not None:
        labels = validation.labels("groups", groups, units, least=2)
        units, member = labels.count, labels.index
    output = features.astype(weight.dtype) @ weight.T
    values, axes = _directions(output, jnp.ones((1, len(output)), output.dtype))
    drawn = jax.random.randint(key, (resamples, units), 0, units)
    counts = jax.vmap(lambda row: jnp.bincount(row, length=units))(drawn)
    shares = counts if member is None else counts[:, member]
    _, resampled_axes = _directions(output, shares.astype(output.dtype))
    squared = jnp.square(jnp.einsum("id,bjd->bij", axes[0], resampled_axes))
    ranks = jnp.arange(1, squared.shape[-1] + 1).astype(output.dtype)
    inside = jnp.diagonal(
        jnp.cumsum(jnp.cumsum(squared, axis=1), axis=2), axis1=1, axis2=2
    )
    values = values[0]
    following = jnp.concatenate([values[1:], jnp.zeros_like(values[:1])])
    return Stability(
        values,
        (values - following) / jnp.where(values > 0, values, 1.0),
        jnp.diagonal(squared, axis1=1, axis2=2),
        inside / ranks[None],
        ranks / len(ranks),
    )


def _directions(
    output: Float[Array, "n m"], counts: Float[Array, "B n"]
) -> tuple[Float[Array, "B m"], Float[Array, "B m m"]]:
    """Standard deviations and principal directions of weighted outputs."""

    def covariance(weights: Array) -> Array:
        share = weights / weights.sum()
        centred = output - (share @ output)[None]
        return (centred * share[:, None]).T @ centred

    power, axes = jnp.linalg.eigh(jax.lax.map(covariance, counts))
    values = jnp.sqrt(jnp.maximum(power[..., ::-1], 0.0))
    return values, jnp.swapaxes(axes, -1, -2)[..., ::-1, :]


class PlantedCosine(NamedTuple):
    """How near the first reads of a basis come to each planted direction."""

    cosine: Float[Array, " k"]
    """max_i |cos|."""
    null: Float[Array, ""]
    """What 19 of 20 random directions stay below; it grows with the number of reads."""

    def summary(self) -> str:
        cosines = ", ".join(f"{c:.3f}" for c in self.cosine.tolist())
        return f"largest |cos| {cosines}; random directions {float(self.null):.3f}"


def planted_cosine(
    basis: bases.Basis,
    planted: Annotated[Numbers, "k d"],
    top: Integer,
    key: Key[Array, ""],
) -> PlantedCosine:
    """Does a basis contain planted directions? max_i |cos| over its first reads.

    Args:
      basis: one basis, not a stack.
      planted: [k, d] the directions to look for.
      top: how many reads of the basis count, from 1 to all.
      key: for the random directions of the null.

    Raises:
      ValueError: the shapes do not fit, or `top` is out of range.
    """
    validation.shaped("reads", basis.reads, None, None)
    planted = validation.floats("planted", planted, None, basis.reads.shape[-1])
    top = validation.integer("top", top, 1, len(basis.reads))
    reads = arrays.unit(basis.reads[:top])
    random = jax.random.normal(key, (RANDOM, reads.shape[-1]), reads.dtype)
    largest = [
        jnp.abs(arrays.unit(rows) @ reads.T).max(axis=-1)
        for rows in (planted.astype(reads.dtype), random)
    ]
    return PlantedCosine(largest[0], jnp.quantile(largest[1], 0.95))
