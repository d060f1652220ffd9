"""Would other data give the same singular subspaces? A bootstrap, rank by rank.

Singular vectors whose values nearly tie turn freely under noise, and only the subspace
that they span together is there to be found. So overlap is reported for the span of the
first k directions at every k, beside the gap behind k and what chance would give.

Reference: John Wentworth, in reply to Millidge and Black, 2022; Davis and Kahan, The
rotation of eigenvectors by a perturbation, 1970.

Symbols: m outputs, d inputs, n samples, r = m directions, B resamples.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import arrays, validation
from shardsim.inspection.weights import bases, svd


class Stability(NamedTuple):
    """Output directions of W Cov^(1/2) found again in resampled data."""

    values: Float[Array, " r"]
    """Singular values of W Cov^(1/2): standard deviations of the output."""
    gaps: Float[Array, " r"]
    """(values[k] - values[k + 1]) / values[k] behind rank k; 1 behind the last."""
    alone: Float[Array, "B r"]
    """Squared cosine of each direction to its own resample."""
    overlap: Float[Array, "B r"]
    """Mean squared cosine of the principal angles of the first k, for k = 1 to r."""
    chance: Float[Array, " r"]
    """The overlap of random subspaces: k / r."""

    def summary(self) -> str:
        """The ranks whose subspace is stable: overlap above .95 on average."""
        mean = self.overlap.mean(axis=0)
        held = [k + 1 for k, o in enumerate(mean.tolist()) if o > 0.95]
        alone = int((self.alone.mean(axis=0) > 0.95).sum())
        return (
            f"{alone} of {len(mean)} directions are found again alone; stable ranks: "
            f"{', '.join(map(str, held))}"
        )


def bootstrap(
    key: Key[Array, ""],
    weight: Float[Array, "m d"],
    features: Float[Array, "n d"],
    resamples: int = 20,
    groups: Int[Array, " n"] | None = None,
) -> Stability:
    """Overlap of the singular subspaces of W Cov^(1/2) with those of resampled data.

    Overlap of rank k = ||U_k^T U'_k||_F^2 / k, in [0, 1]; U' from W Cov'^(1/2).

    Args:
      key: for the resamples.
      weight: y = W x with m <= d outputs, or the identity for the data themselves.
      features: n >= 2 samples of x.
      resamples: B.
      groups: which samples are drawn together (the maze of a state), numbers from 0 on
        of which some may be missing; None draws samples one by one.

    Raises:
      ValueError: shapes that don't fit, numbers that are not finite, one group.
    """
    svd.matrix("weight", weight)
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
    whole = _directions(output, jnp.ones((1, len(output)), output.dtype))
    drawn = jax.random.randint(key, (resamples, units), 0, units)
    counts = jax.vmap(lambda row: jnp.bincount(row, length=units))(drawn)
    shares = counts if member is None else counts[:, member]
    again = _directions(output, shares.astype(output.dtype))
    squared = jnp.square(jnp.einsum("id,bjd->bij", whole[1][0], again[1]))
    ranks = jnp.arange(1, squared.shape[-1] + 1).astype(output.dtype)
    inside = jnp.diagonal(
        jnp.cumsum(jnp.cumsum(squared, axis=1), axis=2), axis1=1, axis2=2
    )
    values = whole[0][0]
    behind = jnp.concatenate([values[1:], jnp.zeros_like(values[:1])])
    return Stability(
        values,
        (values - behind) / jnp.where(values > 0, values, 1.0),
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


def found(
    basis: bases.Basis, planted: Float[Array, "k d"], top: int
) -> Float[Array, " k"]:
    """Does a basis hold planted directions? max_i |cos| over its first `top` reads.

    Raises:
      ValueError: shapes that don't fit, `top` outside of 1 to the number of directions.
    """
    validation.shaped("reads", basis.reads, None, None)
    validation.shaped("planted", planted, None, basis.reads.shape[-1])
    validation.finite("planted", planted)
    validation.one_of("top", top, range(1, len(basis.reads) + 1))
    directions = arrays.unit(jnp.asarray(planted))
    return jnp.abs(directions @ arrays.unit(basis.reads[:top]).T).max(axis=-1)
