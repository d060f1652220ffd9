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
import numpy as np
from jaxtyping import Array, Float, Key

from shardsim.inspection import arrays, validation
from shardsim.inspection.validation import Input
from shardsim.inspection.weights import bases, svd


class Stability(NamedTuple):
    """Overlap of the output directions of W Cov^(1/2) with those of resampled data."""

    values: Float[Array, " r"]
    """Singular values of W Cov^(1/2): standard deviations of the output."""
    gaps: Float[Array, " r"]
    """(values[k] - values[k + 1]) / values[k] below rank k; 1 below the last."""
    alone: Float[Array, "B r"]
    """Squared cosine of each direction to the one of the same rank in a resample."""
    overlap: Float[Array, "B r"]
    """Mean squared cosine of the principal angles of the first k, for k = 1 to r."""
    chance: Float[Array, " r"]
    """The overlap of random subspaces: k / r."""

    def summary(self) -> str:
        """The ranks whose subspace is stable: mean overlap above .95."""
        overlap = self.overlap.mean(axis=0)
        stable = [k + 1 for k, o in enumerate(overlap.tolist()) if o > 0.95]
        num_alone = int((self.alone.mean(axis=0) > 0.95).sum())
        return (
            f"{num_alone} of {len(overlap)} directions are stable on their own; stable "
            f"ranks: {', '.join(map(str, stable))}"
        )


def bootstrap(
    key: Key[Array, ""],
    weight: Annotated[Input, "m d"],
    features: Annotated[Input, "n d"],
    resamples: int = 20,
    groups: Annotated[Input, "n"] | None = None,
) -> Stability:
    """Overlap of the singular subspaces of W Cov^(1/2) with those of resampled data.

      overlap of rank k = ||U_k^T U'_k||_F^2 / k, in [0, 1]

    U' comes from W Cov'^(1/2), with Cov' the covariance of a resample.

    Args:
      key: for the resamples.
      weight: [m, d] with m <= d, y = W x; the identity to look at the data themselves.
      features: [n, d] samples of x, n >= 2.
      resamples: B, at least 1.
      groups: [n] integers >= 0; samples of one group are drawn together (the maze of a
        state). Numbers may be missing. None draws samples one by one.

    Raises:
      ValueError: the shapes do not fit, a number is not finite, or there is only one
        group.
    """
    svd.check_matrix("weight", weight)
    validation.shaped("weight", weight, None, None)
    validation.shaped("features", features, None, weight.shape[-1])
    validation.at_least("samples of features", len(features), 2)
    validation.finite("features", features)
    validation.at_least("resamples", resamples, 1)
    units, member = len(features), None
    if groups is not None:
        validation.shaped("groups", groups, units)
        validation.at_least("least of groups", int(groups.min()), 0)
        names, member = np.unique(np.asarray(groups), return_inverse=True)
        units = len(names)
        validation.at_least("number of groups", units, 2)
    output = jnp.asarray(features) @ jnp.asarray(weight).T
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


def planted_cosine(
    basis: bases.Basis, planted: Annotated[Input, "k d"], top: int
) -> Float[Array, " k"]:
    """Does a basis contain planted directions? max_i |cos| over its first reads.

    Args:
      basis: one basis, not a stack.
      planted: [k, d] the directions to look for.
      top: how many reads of the basis count, from 1 to all.

    Raises:
      ValueError: the shapes do not fit, or `top` is out of range.
    """
    validation.shaped("reads", basis.reads, None, None)
    validation.shaped("planted", planted, None, basis.reads.shape[-1])
    validation.finite("planted", planted)
    validation.one_of("top", top, range(1, len(basis.reads) + 1))
    directions = arrays.unit(jnp.asarray(planted))
    return jnp.abs(directions @ arrays.unit(basis.reads[:top]).T).max(axis=-1)
