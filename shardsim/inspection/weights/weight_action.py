"""What a weight matrix does to features: merges, splits, kills, turns, collisions.

Along its singular directions a matrix only keeps or kills. Its action shows on
directions that mean something: M = 1/2 [[1, 1], [1, 1]] keeps (1, 1) and kills
(1, -1), and what it *does* is to write e1 and e2 onto one vector. So features (objects,
probes, clusters, states) are compared before and after, and pairs of inputs are built
that differ only by what the matrix does not see.

Reference: the example is Fabien Roger's, in reply to Millidge and Black, The Singular
Value Decompositions of Transformer Weight Matrices are Highly Interpretable, 2022.

Symbols: m outputs, d inputs, f features, g output features, n samples, c directions,
N stacked matrices (any axes).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from shardsim.inspection import arrays, validation
from shardsim.inspection.weights import svd


class FeatureAction(NamedTuple):
    """Features before and after y = W x, as cosines and lengths."""

    before: Float[Array, "f f"]
    """Cosines of the features."""
    after: Float[Array, "*N f f"]
    """Cosines of W times the features; 0 for what is killed."""
    gain: Float[Array, "*N f"]
    """||W x|| / ||x||."""
    killed: Bool[Array, "*N f"]
    """Gain below `kill` times the largest singular value of W."""
    merged: Bool[Array, "*N f f"]
    """|cosine| rose by `change` or more: two features on one line."""
    split: Bool[Array, "*N f f"]
    """|cosine| fell by `change` or more, and neither is killed."""

    def summary(self) -> str:
        """Counts of pairs merged and split, and of features killed."""
        pairs = [int(mask.sum()) // 2 for mask in (self.merged, self.split)]
        return (
            f"{self.killed.size} features: {pairs[0]} pairs merged, {pairs[1]} split, "
            f"{int(self.killed.sum())} features killed"
        )


class Collisions(NamedTuple):
    """Inputs k + n and k - n that W can hardly tell apart, at the scale of the data."""

    kept: Float[Array, "*N c d"]
    """k: directions that W reads, one standard deviation of the data long."""
    lost: Float[Array, "*N c d"]
    """n: near-null directions, one standard deviation of the data long."""
    before: Float[Array, "*N c c"]
    """Cosine of k_i + n_j and k_i - n_j."""
    after: Float[Array, "*N c c"]
    """Cosine of their images; 1 if n_j is exactly null."""

    def summary(self) -> str:
        """The strongest collision."""
        rise = self.after - self.before
        best = int(rise.argmax())
        before, after = (float(a.reshape(-1)[best]) for a in (self.before, self.after))
        return f"strongest collision: cosine {before:.2f} before, {after:.2f} after"


def fit(
    weight: Float[Array, "*N m d"],
    features: Float[Array, "f d"],
    change: float = 0.5,
    kill: float = 0.01,
) -> FeatureAction:
    """Gram matrix of features before and after a matrix.

    before = F F^T and after = (F W^T)(F W^T)^T, rows scaled to length 1.

    Args:
      weight: one matrix or a stack of them, y = W x.
      features: directions as rows, of any length but 0.
      change: rise or fall of |cosine| that counts as a merge or a split, in (0, 1].
      kill: gain, as a fraction of the largest singular value in [0, 1], below which a
        feature counts as killed. By convention its cosines are 0, no merge, no split.

    Raises:
      ValueError: shapes that don't fit, numbers that are not finite, a feature of 0.
    """
    svd.matrix("weight", weight)
    weight = validation.wide(weight)
    validation.shaped("features", features, None, weight.shape[-1])
    validation.finite("features", features)
    validation.sized("features", features)
    _nonzero(features)
    if not 0 < change <= 1:
        raise ValueError(f"change: got {change}; allowed: above 0, at most 1")
    validation.between("kill", kill, 0, 1)
    unit = arrays.unit(validation.wide(features))
    before = unit @ unit.T
    written = jnp.einsum("...md,fd->...fm", weight, unit)
    directed, gain = arrays.unit(written), jnp.linalg.norm(written, axis=-1)
    largest = jnp.linalg.svd(weight, compute_uv=False)[..., :1]
    killed = gain <= kill * largest
    alive = ~(killed[..., :, None] | killed[..., None, :])
    after = jnp.where(
        alive, jnp.einsum("...fm,...gm->...fg", directed, directed), 0.0
    ).astype(gain.dtype)
    rise = jnp.where(
        alive, jnp.abs(after) - jnp.broadcast_to(jnp.abs(before), after.shape), 0.0
    )
    return FeatureAction(before, after, gain, killed, rise >= change, -rise >= change)


def _nonzero(features: Float[Array, "f d"]) -> None:
    """Refuse a feature of length 0, where values can be looked at."""
    if isinstance(features, jax.core.Tracer):
        return
    empty = jnp.flatnonzero((jnp.asarray(features) == 0).all(axis=-1))
    if len(empty):
        raise ValueError(
            f"features: got a row of zeros at {int(empty[0])}; allowed: directions"
        )


def routing(
    weight: Float[Array, "*N m d"],
    features: Float[Array, "f d"],
    outputs: Float[Array, "g m"],
) -> Float[Array, "*N g f"]:
    """How much of each unit feature arrives along each unit output feature: F'^T W F.

    With the features themselves as outputs of a square W the diagonal is what stays
    where it is, and the rest is what is moved onto others.

    Raises:
      ValueError: shapes that don't fit, numbers that are not finite.
    """
    svd.matrix("weight", weight)
    weight = validation.wide(weight)
    validation.shaped("features", features, None, weight.shape[-1])
    validation.shaped("outputs", outputs, None, weight.shape[-2])
    validation.finite("features", features)
    validation.sized("features", features)
    validation.finite("outputs", outputs)
    validation.sized("outputs", outputs)
    inwards, outwards = (
        arrays.unit(validation.wide(features)),
        arrays.unit(validation.wide(outputs)),
    )
    return jnp.einsum("gm,...md,fd->...gf", outwards, weight, inwards)


def rotation(
    weight: Float[Array, "*N d d"], features: Float[Array, "f d"]
) -> Float[Array, "*N f"]:
    """Angle between each feature x and W x, in radians; pi / 2 for what becomes 0.

    Raises:
      ValueError: W is not square, shapes that don't fit, numbers that are not finite.
    """
    svd.matrix("weight", weight)
    weight = validation.wide(weight)
    validation.shaped("weight", weight, *weight.shape[:-1], weight.shape[-2])
    validation.shaped("features", features, None, weight.shape[-1])
    validation.finite("features", features)
    validation.sized("features", features)
    unit = arrays.unit(validation.wide(features))
    written = arrays.unit(jnp.einsum("...md,fd->...fm", weight, unit))
    cosine = jnp.einsum("fd,...fd->...f", unit, written)
    return jnp.arccos(jnp.clip(cosine, -1.0, 1.0))


def top_merges(
    action: FeatureAction, count: int
) -> tuple[Int[Array, "*N count 2"], Float[Array, "*N count"]]:
    """The pairs whose |cosine| rises most, and by how much: with states as features,
    the pair of states that a matrix merges most.

    Raises:
      ValueError: `count` outside of 1 to the number of pairs.
    """
    size = len(action.before)
    validation.one_of("count", count, range(1, size * (size - 1) // 2 + 1))
    low, high = jnp.triu_indices(size, 1)
    killed = action.killed[..., low] | action.killed[..., high]
    was = jnp.abs(action.before)[low, high]
    now = jnp.abs(action.after)[..., low, high]
    rise = jnp.where(killed, -1.0, now - jnp.broadcast_to(was, now.shape))
    best, place = jax.lax.top_k(rise, count)
    return jnp.stack([low[place], high[place]], axis=-1), best


def collisions(
    weight: Float[Array, "*N m d"],
    features: Float[Array, "n d"],
    count: int = 4,
    null: float = 0.05,
) -> Collisions:
    """Pairs of inputs that the data could well hold and that W writes alike.

    W = U S V^T. Directions of singular value at most `null` times the largest span the
    near-null space, with those that have none (m < d). k_i: the kept right singular
    vectors of the largest singular value times standard deviation of the data. n_j:
    principal directions of the data inside the near-null space. Each is scaled to one
    standard deviation of the data along it, so that a direction in which the data don't
    vary makes no collision: k + n and k - n are then the same.

    Args:
      weight: one matrix or a stack of them, y = W x.
      features: data for the scale, n >= 2 samples.
      count: c, directions of either kind. Where there are fewer the rest are 0, and so
        are their cosines.
      null: in [0, 1).

    Raises:
      ValueError: shapes that don't fit, numbers that are not finite, `count` outside of
        1 to d.
    """
    svd.matrix("weight", weight)
    weight = validation.wide(weight)
    size = weight.shape[-1]
    validation.shaped("features", features, None, size)
    validation.at_least("samples of features", len(features), 2)
    validation.finite("features", features)
    validation.sized("features", features)
    validation.one_of("count", count, range(1, size + 1))
    if not 0 <= null < 1:
        raise ValueError(f"null: got {null}; allowed: 0 to less than 1")
    data = validation.wide(features)
    data = (data - data.mean(axis=0, keepdims=True)) / len(data) ** 0.5
    _, values, right = jnp.linalg.svd(weight, full_matrices=True)
    values = jnp.pad(
        values, [*[(0, 0)] * (values.ndim - 1), (0, size - values.shape[-1])]
    )
    keep = values > null * values[..., :1]
    sd = jnp.sqrt(jnp.square(jnp.einsum("nd,...rd->...rn", data, right)).sum(axis=-1))
    kept = _strongest(right, jnp.where(keep, values * sd, 0.0), sd, count)
    project = jnp.einsum(
        "...ri,...r,...rj->...ij", right, (~keep).astype(data.dtype), right
    )
    inside = jnp.einsum("...ij,jk,...kl->...il", project, data.T @ data, project)
    power, basis = jnp.linalg.eigh(inside)
    least = size * jnp.finfo(data.dtype).eps * jnp.square(data).sum()
    spread = jnp.where(power > least, jnp.sqrt(jnp.maximum(power, 0.0)), 0.0)
    lost = _strongest(jnp.swapaxes(basis, -1, -2), spread, spread, count)
    return Collisions(kept, lost, *_cosines(weight, kept, lost))


def _strongest(
    rows: Float[Array, "*N d d"],
    score: Float[Array, "*N d"],
    length: Float[Array, "*N d"],
    count: int,
) -> Float[Array, "*N c d"]:
    """The rows of the highest score at their length, sign fixed; 0 for a score of 0."""
    best, place = jax.lax.top_k(score, count)
    taken = jnp.take_along_axis(rows, place[..., None], axis=-2)
    long = jnp.where(best > 0, jnp.take_along_axis(length, place, axis=-1), 0.0)
    return taken * svd.signs(taken) * long[..., None]


def _cosines(
    weight: Float[Array, "*N m d"],
    kept: Float[Array, "*N c d"],
    lost: Float[Array, "*N c d"],
) -> tuple[Float[Array, "*N c c"], Float[Array, "*N c c"]]:
    """Cosine of k_i + n_j and k_i - n_j, before and after W."""

    def cosine(k: Array, n: Array) -> Array:
        k, n = k[..., :, None, :], n[..., None, :, :]
        return (arrays.unit(k + n) * arrays.unit(k - n)).sum(axis=-1)

    there = [(rows != 0).any(axis=-1) for rows in (kept, lost)]
    real = there[0][..., :, None] & there[1][..., None, :]
    k, n = (jnp.einsum("...md,...cd->...cm", weight, rows) for rows in (kept, lost))
    return (
        jnp.where(real, cosine(kept, lost), 0.0),
        jnp.where(real, cosine(k, n), 0.0),
    )
