"""How a weight matrix changes features: it merges, splits, removes and rotates them.

Along its singular directions a matrix only scales or removes. What it does becomes
visible on directions that have a meaning. For example M = 1/2 [[1, 1], [1, 1]] keeps
(1, 1) and removes (1, -1), and what it does to e1 and e2 is to map both onto one
vector. So features (objects, probes, clusters, states) are compared before and after
the matrix, and pairs of inputs are built that differ only in its null space.

Reference: the example is Fabien Roger's, in reply to Millidge and Black, The Singular
Value Decompositions of Transformer Weight Matrices are Highly Interpretable, 2022.

Symbols: m outputs, d inputs, f features, g output features, n samples, c directions,
N stacked matrices (any axes).
"""

from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from shardsim.inspection import arrays, validation
from shardsim.inspection.validation import Integer, Numbers
from shardsim.inspection.weights import svd

TURNS = 59
"""Random turns: a number is above all of them in one of sixty draws, and one of three
numbers in one of twenty."""


class FeatureAction(NamedTuple):
    """Cosines and lengths of features before and after y = W x."""

    before: Float[Array, "f f"]
    """Cosines of the features."""
    after: Float[Array, "*N f f"]
    """Cosines of the images W x; 0 where a feature is removed."""
    gain: Float[Array, "*N f"]
    """||W x|| / ||x||."""
    removed: Bool[Array, "*N f"]
    """Gain at most `remove` times the largest singular value of W."""
    merged: Bool[Array, "*N f f"]
    """|cosine| rises by `change` or more: two features end up on one line."""
    split: Bool[Array, "*N f f"]
    """|cosine| falls by `change` or more, and neither feature is removed."""
    most_by_chance: Int[Array, "*N 3"]
    """Largest numbers of pairs merged and split, and of features removed, in `TURNS`
    random turns of the features: the same singular values, met in directions without a
    meaning. One of the three is above it in at most 5 % of draws."""

    @property
    def counts(self) -> Int[Array, "*N 3"]:
        """Numbers of pairs merged and split, and of features removed."""
        return _counts(self.merged, self.split, self.removed)

    def summary(self) -> str:
        """The three numbers, each beside the most that chance gives."""
        seen, most = (
            array.reshape(-1, 3).sum(axis=0).tolist()
            for array in (self.counts, self.most_by_chance)
        )
        merged, split, removed = (
            f"{number} {what} (by chance up to {limit})"
            for number, what, limit in zip(
                seen, ("pairs merged", "split", "features removed"), most, strict=True
            )
        )
        return f"{self.removed.size} features: {merged}, {split}, {removed}"


class Collisions(NamedTuple):
    """Pairs of inputs k + n and k - n that W maps to almost the same output."""

    read: Float[Array, "*N c d"]
    """k: directions that W reads, one standard deviation of the data long."""
    null: Float[Array, "*N c d"]
    """n: near-null directions, one standard deviation of the data long."""
    before: Float[Array, "*N c c"]
    """Cosine of k_i + n_j and k_i - n_j."""
    after: Float[Array, "*N c c"]
    """Cosine of their images; 1 if n_j is exactly null."""

    def summary(self) -> str:
        """The strongest collision, if there is any."""
        if not bool(((self.before != 0) | (self.after != 0)).any()):
            return "no collision: the data do not vary where the weights read nothing"
        rise = self.after - self.before
        best = int(rise.argmax())
        before, after = (float(x.reshape(-1)[best]) for x in (self.before, self.after))
        return f"strongest collision: cosine {before:.2f} before, {after:.2f} after"


def fit(
    weight: Annotated[Numbers, "*N m d"],
    features: Annotated[Numbers, "f d"],
    *,
    change: float = 0.5,
    remove: float = 0.01,
    seed: Integer = 0,
) -> FeatureAction:
    """Cosines between features before and after a matrix.

      before = F F^T,  after = (F W^T)(F W^T)^T,  rows scaled to length 1

    Args:
      weight: [*N, m, d] one matrix or a stack of them, y = W x.
      features: [f, d] directions as rows, of any length except 0.
      change: rise or fall of |cosine| that counts as a merge or a split, in (0, 1].
      remove: gain, as a fraction in [0, 1] of the largest singular value, up to which a
        feature counts as removed. Its cosines are set to 0, and it neither merges nor
        splits.
      seed: of the random turns.

    Raises:
      ValueError: the shapes do not fit, a number is not finite or out of range, or a
        feature is 0.
    """
    weight = svd.as_matrix("weight", weight)
    features = validation.floats("features", features, None, weight.shape[-1])
    validation.sized("features", features)
    _check_nonzero(features)
    if not 0 < change <= 1:
        raise ValueError(f"change: got {change}; allowed: above 0, at most 1")
    validation.between("remove", remove, 0, 1)
    unit = arrays.unit(features)
    before = unit @ unit.T
    largest = jnp.linalg.svd(weight, compute_uv=False)[..., :1]
    size, dtype = (unit.shape[-1],) * 2, unit.dtype

    def turned(key: Key[Array, ""]) -> Int[Array, "*N 3"]:
        turn, triangle = jnp.linalg.qr(jax.random.normal(key, size, dtype))
        # without these signs the first entries would not be symmetric around 0
        turn = turn * jnp.sign(jnp.diagonal(triangle))[None]
        _, _, removed, merged, split = _act(
            weight, unit @ turn, before, largest, change, remove
        )
        return _counts(merged, split, removed)

    keys = jax.random.split(jax.random.key(validation.integer("seed", seed, 0)), TURNS)
    most = jax.lax.map(turned, keys).max(axis=0)
    after, gain, removed, merged, split = _act(
        weight, unit, before, largest, change, remove
    )
    return FeatureAction(before, after, gain, removed, merged, split, most)


def _act(
    weight: Float[Array, "*N m d"],
    unit: Float[Array, "f d"],
    before: Float[Array, "f f"],
    largest: Float[Array, "*N 1"],
    change: float,
    remove: float,
) -> tuple[Array, Array, Array, Array, Array]:
    """Cosines after W, gain, and what is removed, merged and split."""
    written = jnp.einsum("...md,fd->...fm", weight, unit)
    directed, gain = arrays.unit(written), jnp.linalg.norm(written, axis=-1)
    removed = gain <= remove * largest
    is_valid = ~(removed[..., :, None] | removed[..., None, :])
    after = jnp.where(
        is_valid, jnp.einsum("...fm,...gm->...fg", directed, directed), 0.0
    ).astype(gain.dtype)
    rise = jnp.where(
        is_valid, jnp.abs(after) - jnp.broadcast_to(jnp.abs(before), after.shape), 0.0
    )
    return after, gain, removed, rise >= change, -rise >= change


def _counts(
    merged: Bool[Array, "*N f f"],
    split: Bool[Array, "*N f f"],
    removed: Bool[Array, "*N f"],
) -> Int[Array, "*N 3"]:
    """Numbers of pairs merged and split, and of features removed."""
    pairs = [mask.sum(axis=(-2, -1)) // 2 for mask in (merged, split)]
    return jnp.stack([*pairs, removed.sum(axis=-1)], axis=-1)


def _check_nonzero(features: Float[Array, "f d"]) -> None:
    """Refuse a feature of length 0. Under a transformation values are unknown."""
    if isinstance(features, jax.core.Tracer):
        return
    zero_rows = jnp.flatnonzero((features == 0).all(axis=-1))
    if len(zero_rows):
        raise ValueError(
            f"features: got a row of zeros at {int(zero_rows[0])}; allowed: directions"
        )


def routing(
    weight: Annotated[Numbers, "*N m d"],
    features: Annotated[Numbers, "f d"],
    outputs: Annotated[Numbers, "g m"],
) -> Float[Array, "*N g f"]:
    """How much of each unit feature arrives along each unit output feature: F'^T W F.

    For a square W with `outputs` = `features` the diagonal is what stays on each
    feature, and the other entries are what moves onto another feature.

    Args:
      weight: [*N, m, d] one matrix or a stack of them, y = W x.
      features: [f, d] input directions as rows.
      outputs: [g, m] output directions as rows.

    Raises:
      ValueError: the shapes do not fit, or a number is not finite.
    """
    weight = svd.as_matrix("weight", weight)
    features = validation.floats("features", features, None, weight.shape[-1])
    outputs = validation.floats("outputs", outputs, None, weight.shape[-2])
    validation.sized("features", features)
    validation.sized("outputs", outputs)
    inwards, outwards = (
        arrays.unit(features),
        arrays.unit(outputs),
    )
    return jnp.einsum("gm,...md,fd->...gf", outwards, weight, inwards)


def rotation(
    weight: Annotated[Numbers, "*N d d"], features: Annotated[Numbers, "f d"]
) -> Float[Array, "*N f"]:
    """Angle between each feature x and W x, in radians; pi / 2 where W x = 0.

    Args:
      weight: [*N, d, d] one square matrix or a stack of them.
      features: [f, d] directions as rows.

    Raises:
      ValueError: `weight` is not square, the shapes do not fit, or a number is not
        finite.
    """
    weight = svd.as_matrix("weight", weight)
    validation.shaped("weight", weight, *weight.shape[:-1], weight.shape[-2])
    features = validation.floats("features", features, None, weight.shape[-1])
    validation.sized("features", features)
    unit = arrays.unit(features)
    written = arrays.unit(jnp.einsum("...md,fd->...fm", weight, unit))
    cosine = jnp.einsum("fd,...fd->...f", unit, written)
    return jnp.arccos(jnp.clip(cosine, -1.0, 1.0))


def top_merges(
    action: FeatureAction, count: Integer
) -> tuple[Int[Array, "*N {count} 2"], Float[Array, "*N {count}"]]:
    """The pairs of features whose |cosine| rises most, and by how much.

    With states as features, these are the states that the matrix merges most.

    Args:
      action: of one matrix or a stack.
      count: number of pairs, from 1 to f (f - 1) / 2.

    Returns:
      Indices of both features of each pair, and the rise; -1 if either is removed.

    Raises:
      ValueError: `count` is out of range.
    """
    size = len(action.before)
    count = validation.integer("count", count, 1, size * (size - 1) // 2)
    low, high = jnp.triu_indices(size, 1)
    removed = action.removed[..., low] | action.removed[..., high]
    before = jnp.abs(action.before)[low, high]
    after = jnp.abs(action.after)[..., low, high]
    rise = jnp.where(removed, -1.0, after - jnp.broadcast_to(before, after.shape))
    best, place = jax.lax.top_k(rise, count)
    return jnp.stack([low[place], high[place]], axis=-1), best


def collisions(
    weight: Annotated[Numbers, "*N m d"],
    features: Annotated[Numbers, "n d"],
    *,
    count: int = 4,
    threshold: float = 0.05,
) -> Collisions:
    """Pairs of inputs at the scale of the data that W maps to almost the same output.

    W = U S V^T. The near-null space is spanned by the directions whose singular value
    is at most `threshold` times the largest, and by those without one (m < d).

      k_i: the other right singular vectors, by singular value times standard deviation
        of the data along them
      n_j: principal directions of the data inside the near-null space

    Each is scaled to one standard deviation of the data along it. A direction in which
    the data do not vary gives no collision: k + n and k - n are then equal.

    Args:
      weight: [*N, m, d] one matrix or a stack of them, y = W x.
      features: [n, d] data for the scale, n >= 2 samples.
      count: c, directions of either kind, in [1, d]. If there are fewer, the rest are
        0, and so are their cosines.
      threshold: in [0, 1).

    Raises:
      ValueError: the shapes do not fit, or a number is not finite or out of range.
    """
    weight = svd.as_matrix("weight", weight)
    size = weight.shape[-1]
    features = validation.floats("features", features, None, size)
    validation.at_least("samples of features", len(features), 2)
    validation.sized("features", features)
    count = validation.integer("count", count, 1, size)
    if not 0 <= threshold < 1:
        raise ValueError(f"threshold: got {threshold}; allowed: 0 to less than 1")
    data = features
    data = (data - data.mean(axis=0, keepdims=True)) / len(data) ** 0.5
    _, values, right = jnp.linalg.svd(weight, full_matrices=True)
    values = jnp.pad(
        values, [*[(0, 0)] * (values.ndim - 1), (0, size - values.shape[-1])]
    )
    is_read = values > threshold * values[..., :1]
    sd = jnp.sqrt(jnp.square(jnp.einsum("nd,...rd->...rn", data, right)).sum(axis=-1))
    read = _strongest(right, jnp.where(is_read, values * sd, 0.0), sd, count)
    project = jnp.einsum(
        "...ri,...r,...rj->...ij", right, (~is_read).astype(data.dtype), right
    )
    inside = jnp.einsum("...ij,jk,...kl->...il", project, data.T @ data, project)
    power, basis = jnp.linalg.eigh(inside)
    least = size * jnp.finfo(data.dtype).eps * jnp.square(data).sum()
    spread = jnp.where(power > least, jnp.sqrt(jnp.maximum(power, 0.0)), 0.0)
    null = _strongest(jnp.swapaxes(basis, -1, -2), spread, spread, count)
    return Collisions(read, null, *_cosines(weight, read, null))


def _strongest(
    rows: Float[Array, "*N d d"],
    score: Float[Array, "*N d"],
    length: Float[Array, "*N d"],
    count: int,
) -> Float[Array, "*N {count} d"]:
    """The rows of highest score, scaled to `length`; 0 for a score of 0."""
    best, index = jax.lax.top_k(score, count)
    top_rows = jnp.take_along_axis(rows, index[..., None], axis=-2)
    scale = jnp.where(best > 0, jnp.take_along_axis(length, index, axis=-1), 0.0)
    return top_rows * svd.signs(top_rows) * scale[..., None]


def _cosines(
    weight: Float[Array, "*N m d"],
    read: Float[Array, "*N c d"],
    null: Float[Array, "*N c d"],
) -> tuple[Float[Array, "*N c c"], Float[Array, "*N c c"]]:
    """Cosine of k_i + n_j and k_i - n_j, before and after W."""

    def cosine(k: Array, n: Array) -> Array:
        k, n = k[..., :, None, :], n[..., None, :, :]
        return (arrays.unit(k + n) * arrays.unit(k - n)).sum(axis=-1)

    is_nonzero = [(rows != 0).any(axis=-1) for rows in (read, null)]
    is_pair = is_nonzero[0][..., :, None] & is_nonzero[1][..., None, :]
    k, n = (jnp.einsum("...md,...cd->...cm", weight, rows) for rows in (read, null))
    return (
        jnp.where(is_pair, cosine(read, null), 0.0),
        jnp.where(is_pair, cosine(k, n), 0.0),
    )
