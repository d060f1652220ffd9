"""Bases of what a part reads, each scored by what it keeps downstream.

Does a singular direction capture what a matrix does? The number: take only the top k of
a basis out of the features, put them back, and see how much of the variance of what
comes after (action logits, V) is kept, against random bases of the same rank.

A basis needs not be orthogonal: x' = mean + sum_i (reads[i] . (x - mean)) atoms[i],
with reads[i] . atoms[j] = 1 if i = j else 0.

Symbols: m outputs, d inputs, r directions, n samples, C contexts, N stacked matrices
(any axes). No function may be called under `jax.vmap`: stack instead.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import validation
from shardsim.inspection.weights import svd


class Basis(NamedTuple):
    """Directions, the strongest first."""

    values: Float[Array, "*N r"]
    """How strong each is, in the unit of its kind."""
    reads: Float[Array, "*N r d"]
    """What is read out of x."""
    atoms: Float[Array, "*N r d"]
    """What is put back; the same as `reads` for an orthonormal basis."""

    def summary(self) -> str:
        """How many directions, and how many it would take if all were alike."""
        power = jnp.square(self.values)
        four = jnp.square(power).sum(axis=-1)
        rank = jnp.square(power.sum(axis=-1)) / jnp.where(four > 0, four, 1.0)
        return f"{self.values.shape[-1]} directions, effective rank {rank.mean():.2f}"


class Score(NamedTuple):
    """Share of the output's variance that is kept by the first k directions."""

    ranks: Int[Array, " k"]
    kept: Float[Array, " k"]
    """1 - mean ||f(x) - f(x')||^2 / mean ||f(x) - mean f||^2: 1 if nothing is lost,
    0 or less if a constant would do as well."""
    random: Float[Array, "draws k"]
    """The same for random orthonormal bases of the same rank."""

    def summary(self) -> str:
        """Kept at each rank, with the mean and the best of random bases."""
        rows = zip(
            self.ranks.tolist(),
            self.kept.tolist(),
            self.random.mean(axis=0).tolist(),
            self.random.max(axis=0).tolist(),
            strict=True,
        )
        return "; ".join(
            f"top {k}: {kept:.2f} kept (random {mean:.2f}, at most {best:.2f})"
            for k, kept, mean, best in rows
        )


def singular(weight: Float[Array, "*N m d"]) -> Basis:
    """Right singular vectors of W: the best basis if the data were white.

    With the mean Jacobian in the place of W: directions read on average.

    Raises:
      ValueError: no matrix, a number that is not finite.
    """
    found = svd.fit(weight)
    return Basis(found.values, found.reads, found.reads)


def data_weighted(
    weight: Float[Array, "*N m d"], features: Float[Array, "n d"]
) -> Basis:
    """SVD of W Cov^(1/2): of all bases of rank k the one that keeps most of W x.

    W Cov^(1/2) = U S V^T; reads[i] = W^T u_i / s_i, atoms[i] = Cov W^T u_i / s_i.

    No inverse of Cov is taken, so that it may be singular: directions that the data
    don't vary in are never read. Directions of s_i = 0 are zeros.

    Args:
      weight: y = W x, one or a stack.
      features: n >= 2 samples of x.

    Returns:
      r = min(m, d) directions; `values` are standard deviations of the output along u.

    Reference: Eckart and Young, 1936.

    Raises:
      ValueError: shapes that don't fit, numbers that are not finite.
    """
    svd.matrix("weight", weight)
    covariance = _covariance(features, weight.shape[-1])
    # y = W x varies as W C W^T; the root of C keeps all digits
    power, axes = jnp.linalg.eigh(covariance)
    root = (axes * jnp.sqrt(jnp.maximum(power, 0.0))[None]) @ axes.T
    left, values, _ = jnp.linalg.svd(
        jnp.einsum("...md,de->...me", weight, root), full_matrices=False
    )
    writes = jnp.swapaxes(left, -1, -2)
    writes = writes * svd.signs(writes)
    least = max(weight.shape[-2:]) * jnp.finfo(values.dtype).eps * values[..., :1]
    scale = jnp.where(values > least, 1 / jnp.where(values > least, values, 1.0), 0.0)
    reads = jnp.einsum("...rm,...md->...rd", writes, weight) * scale[..., None]
    return Basis(values, reads, jnp.einsum("...rd,de->...re", reads, covariance))


def stacked(jacobians: Float[Array, "*N C m d"]) -> Basis:
    """SVD of the Jacobians of all contexts (or states) on top of each other.

    What is read in any context counts, also where it cancels in the mean: with
    Jacobians +a and -a the mean is 0 and the stack has one direction, a.

    Returns:
      r = min(C m, d) directions; `values` are root mean squares over contexts.

    Raises:
      ValueError: fewer than three axes, a number that is not finite.
    """
    validation.at_least("axes of jacobians", jnp.ndim(jacobians), 3)
    svd.matrix("jacobians", jacobians)
    *stack, contexts, rows, size = jacobians.shape
    tall = jnp.reshape(jacobians, (*stack, contexts * rows, size)) / contexts**0.5
    if contexts * rows > size:
        # the same right vectors, and no left ones of the length of the data
        tall = jnp.linalg.qr(tall, mode="r")
    found = svd.fit(tall)
    # the rows of R are no outputs, so that the sign is set by what is read
    reads = found.reads * svd.signs(found.reads)
    return Basis(found.values, reads, reads)


def principal(features: Float[Array, "n d"]) -> Basis:
    """Principal directions of the data: the control that knows nothing of W.

    Raises:
      ValueError: no table, fewer than 2 samples, numbers that are not finite.
    """
    power, axes = jnp.linalg.eigh(_covariance(features, None))
    reads = axes.T[::-1]
    reads = reads * svd.signs(reads)
    return Basis(jnp.sqrt(jnp.maximum(power[::-1], 0.0)), reads, reads)


def spanned(directions: Float[Array, "*N r d"]) -> Basis:
    """An orthonormal basis of given directions (LEACE, CDE, probes), in their order.

    The first k of it span the first k directions: one that adds nothing, a row of 0 or
    one in the span of those before it but for rounding, stays a row of 0. `values` are
    what each adds: the length of its part outside of those before it, of a unit vector.

    Raises:
      ValueError: more directions than d, a number that is not finite.
    """
    svd.matrix("directions", directions)
    rows, size = directions.shape[-2:]
    validation.one_of("rows of directions", rows, range(1, size + 1))
    given = jnp.asarray(directions)
    length = jnp.sqrt(jnp.square(given).sum(axis=-1, keepdims=True))
    unit = given / jnp.where(length > 0, length, 1.0)
    rounding = 4 * max(unit.shape[-2:]) * float(jnp.finfo(unit.dtype).eps)
    each = functools.partial(in_order, least=rounding)
    added, reads = jnp.vectorize(each, signature="(r,d)->(r),(r,d)")(unit)
    return Basis(added, reads, reads)


def in_order(
    rows: Float[Array, "r d"], least: float
) -> tuple[Float[Array, " r"], Float[Array, "r d"]]:
    """What each row adds to those before it: how much, and in which direction.

    Args:
      least: what adds no more than this adds nothing, and has a direction of 0.
    """

    def clean(number: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        added, done = state
        row = done[number]
        before = jnp.where((jnp.arange(len(done)) < number)[:, None], done, 0.0)
        # twice, because what is left of the first time is orthogonal only to rounding
        for _ in range(2):
            row = row - before.T @ (before @ row)
        size = jnp.linalg.norm(row)
        some = size > least
        row = jnp.where(some, row / jnp.where(some, size, 1.0), 0.0)
        size = jnp.where(some, size, 0.0)
        return added.at[number].set(size), done.at[number].set(row)

    return jax.lax.fori_loop(0, len(rows), clean, (jnp.zeros_like(rows[:, 0]), rows))


def random(key: Key[Array, ""], draws: int, rank: int, like: Array) -> Basis:
    """Random orthonormal bases [draws, rank, d], d and dtype as of `like` [..., d]."""
    validation.one_of("rank", rank, range(1, like.shape[-1] + 1))
    validation.at_least("draws", draws, 1)
    shape = (draws, like.shape[-1], rank)
    q, _ = jnp.linalg.qr(jax.random.normal(key, shape, like.dtype))
    reads = jnp.swapaxes(q, -1, -2)
    return Basis(jnp.ones(reads.shape[:-1], like.dtype), reads, reads)


def _covariance(features: Array, size: int | None) -> Float[Array, "d d"]:
    validation.shaped("features", features, None, size)
    validation.at_least("samples of features", len(features), 2)
    validation.finite("features", features)
    validation.sized("features", features)
    data = validation.wide(features)
    data = (data - data.mean(axis=0, keepdims=True)) / len(data) ** 0.5
    return data.T @ data


def score(
    key: Key[Array, ""],
    basis: Basis,
    features: Float[Array, "n d"],
    downstream: Callable[[Float[Array, "n d"]], Float[Array, "n m"]],
    ranks: Sequence[int],
    draws: int = 20,
) -> Score:
    """How much of the downstream output the first k directions keep.

    Args:
      key: for the random bases.
      basis: one basis, no stack.
      features: n >= 2 samples of x; a few thousand are enough.
      downstream: what comes after, for all samples at once; linear or not.
      ranks: each k, from 0 to the number of directions.
      draws: random bases to compare with.

    Raises:
      ValueError: shapes that don't fit, a rank that the basis does not have, an output
        that does not vary.
    """
    validation.shaped("features", features, None, None)
    validation.at_least("samples of features", len(features), 2)
    validation.finite("features", features)
    validation.shaped("reads", basis.reads, None, features.shape[-1])
    for rank in ranks:
        validation.one_of("ranks", rank, range(len(basis.reads) + 1))
    data = jnp.asarray(features)
    mean = data.mean(axis=0, keepdims=True)
    clean = downstream(data)
    spread = jnp.square(clean - clean.mean(axis=0, keepdims=True)).sum()
    # the mean of a constant is rounded, which leaves a spread
    varies = (clean.max(axis=0) > clean.min(axis=0)).any() & (spread > 0)
    if not isinstance(spread, jax.core.Tracer) and not varies:
        raise ValueError("downstream: got an output that is constant; allowed: others")
    masks = jnp.arange(len(basis.reads))[None] < jnp.asarray(ranks)[:, None]
    others = random(key, draws, len(basis.reads), data)

    def kept(pair: tuple[Array, Array]) -> Array:
        reads, atoms = pair
        inside = (data - mean) @ reads.T

        def at(mask: Array) -> Array:
            part = jnp.where(mask[None], inside, 0.0) @ atoms
            return 1 - jnp.square(downstream(mean + part) - clean).sum() / spread

        return jax.lax.map(at, masks)

    def both(own: Array, other: Array) -> Array:
        return jnp.concatenate([own[None], other])

    table = jax.lax.map(
        kept, (both(basis.reads, others.reads), both(basis.atoms, others.atoms))
    )
    return Score(jnp.asarray(ranks), table[0], table[1:])
