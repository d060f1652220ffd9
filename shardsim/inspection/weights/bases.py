"""Bases of what a layer reads, scored by how much downstream variance they explain.

Does a singular direction capture what a matrix does? To measure this, project the
features on the top k directions of a basis, run the rest of the network on the
projection, and compare the explained variance of its output (action logits, V) with
that of random bases of the same rank.

A basis need not be orthogonal: x' = mean + sum_i (reads[i] . (x - mean)) atoms[i],
with reads[i] . atoms[j] = 1 if i = j, else 0.

Symbols: m outputs, d inputs, r directions, n samples, C contexts, N stacked matrices
(any axes). No function here may be called under `jax.vmap`: stack the matrices instead.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from shardsim.inspection import validation
from shardsim.inspection.validation import Integer, Numbers
from shardsim.inspection.weights import svd


class Basis(NamedTuple):
    """Directions, the strongest first."""

    values: Float[Array, "*N r"]
    """Strength of each direction, in the unit that the basis function states."""
    reads: Float[Array, "*N r d"]
    """Coefficient i of x is reads[i] . (x - mean)."""
    atoms: Float[Array, "*N r d"]
    """What coefficient i adds back; equal to `reads` for an orthonormal basis."""

    def summary(self) -> str:
        """The number of directions, and their effective rank."""
        power = jnp.square(self.values)
        fourth = jnp.square(power).sum(axis=-1)
        rank = jnp.square(power.sum(axis=-1)) / jnp.where(fourth > 0, fourth, 1.0)
        return f"{self.values.shape[-1]} directions, effective rank {rank.mean():.2f}"


class Score(NamedTuple):
    """Share of the output's variance that the first k directions explain."""

    ranks: Int[Array, " k"]
    explained: Float[Array, " k"]
    """1 - mean ||f(x) - f(x')||^2 / mean ||f(x) - mean f||^2: 1 if nothing is lost,
    0 or less if a constant output would do as well."""
    random: Float[Array, "draws k"]
    """The same for random orthonormal bases of the same rank."""

    def summary(self) -> str:
        """Explained variance at each rank, with mean and maximum of random bases."""
        rows = zip(
            self.ranks.tolist(),
            self.explained.tolist(),
            self.random.mean(axis=0).tolist(),
            self.random.max(axis=0).tolist(),
            strict=True,
        )
        return "; ".join(
            f"top {k}: {share:.2f} explained (random {mean:.2f}, at most {best:.2f})"
            for k, share, mean, best in rows
        )


def singular(weight: Annotated[Numbers, "*N m d"]) -> Basis:
    """Right singular vectors of W: the best basis if the data were white.

    With the mean Jacobian in place of W, these are the directions read on average.

    Args:
      weight: [*N, m, d] one matrix or a stack of them, y = W x.

    Raises:
      ValueError: `weight` is not a matrix, or not finite.
    """
    directions = svd.fit(weight)
    return Basis(directions.values, directions.reads, directions.reads)


def data_weighted(
    weight: Annotated[Numbers, "*N m d"], features: Annotated[Numbers, "n d"]
) -> Basis:
    """SVD of W Cov^(1/2): among all bases of rank k it explains most of W x.

      W Cov^(1/2) = U S V^T
      reads[i] = W^T u_i / s_i,  atoms[i] = Cov W^T u_i / s_i

    Cov is not inverted, so it may be singular: directions in which the data do not vary
    are never read. Directions with s_i = 0 are zeros.

    Args:
      weight: [*N, m, d] one matrix or a stack of them, y = W x.
      features: [n, d] samples of x, n >= 2.

    Returns:
      r = min(m, d) directions; `values` are standard deviations of the output along u.

    Raises:
      ValueError: the shapes do not fit, or a number is not finite.

    Reference: Eckart and Young, 1936.
    """
    weight = svd.as_matrix("weight", weight)
    covariance = _covariance(features, weight.shape[-1])
    # y = W x has covariance W Cov W^T; its root keeps all digits
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


def stacked(jacobians: Annotated[Numbers, "*N C m d"]) -> Basis:
    """SVD of the Jacobians of all contexts (or states), stacked along their outputs.

    A direction that is read in any context counts, even if it cancels in the mean: the
    Jacobians +a and -a have mean 0, but their stack has the one direction a.

    Args:
      jacobians: [*N, C, m, d].

    Returns:
      r = min(C m, d) directions; `values` are root mean squares over contexts.

    Raises:
      ValueError: fewer than three axes, or a number is not finite.
    """
    validation.at_least("axes of jacobians", np.ndim(jacobians), 3)
    jacobians = svd.as_matrix("jacobians", jacobians)
    *stack, contexts, rows, size = jacobians.shape
    tall = jnp.reshape(jacobians, (*stack, contexts * rows, size)) / contexts**0.5
    if contexts * rows > size:
        # R has the same right vectors, without left vectors as long as the data
        tall = jnp.linalg.qr(tall, mode="r")
    directions = svd.fit(tall)
    # the rows of R are no outputs, so the sign rule uses `reads`
    reads = directions.reads * svd.signs(directions.reads)
    return Basis(directions.values, reads, reads)


def principal(features: Annotated[Numbers, "n d"]) -> Basis:
    """Principal directions of the data: the control that does not use W.

    Args:
      features: [n, d] samples of x, n >= 2.

    Returns:
      d directions; `values` are standard deviations of x along them.

    Raises:
      ValueError: `features` is not a matrix or not finite, or has one sample.
    """
    power, axes = jnp.linalg.eigh(_covariance(features, None))
    reads = axes.T[::-1]
    reads = reads * svd.signs(reads)
    return Basis(jnp.sqrt(jnp.maximum(power[::-1], 0.0)), reads, reads)


def from_directions(directions: Annotated[Numbers, "*N r d"]) -> Basis:
    """An orthonormal basis of given directions (LEACE, CDE, probes), in their order.

    The first k rows span the first k directions. A direction that adds nothing (a row
    of 0, or one in the span of earlier rows up to rounding) stays a row of 0.

    Args:
      directions: [*N, r, d] rows of any length, r <= d.

    Returns:
      r directions; `values` are what each one adds: the length of a unit vector's
      component outside the span of earlier rows.

    Raises:
      ValueError: more directions than d, or a number is not finite.
    """
    directions = svd.as_matrix("directions", directions)
    rows, size = directions.shape[-2:]
    validation.one_of("rows of directions", rows, range(1, size + 1))
    length = jnp.sqrt(jnp.square(directions).sum(axis=-1, keepdims=True))
    unit = directions / jnp.where(length > 0, length, 1.0)
    rounding = 4 * max(unit.shape[-2:]) * float(jnp.finfo(unit.dtype).eps)
    each = functools.partial(gram_schmidt, least=rounding)
    added, reads = jnp.vectorize(each, signature="(r,d)->(r),(r,d)")(unit)
    return Basis(added, reads, reads)


def gram_schmidt(
    rows: Float[Array, "r d"], least: float
) -> tuple[Float[Array, " r"], Float[Array, "r d"]]:
    """What each row adds to the span of earlier rows: how much, in which direction.

    Args:
      rows: [r, d] in order of priority.
      least: a row that adds no more length than this counts as adding 0, with a
        direction of zeros.
    """

    def orthogonalise(number: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        added, basis = state
        row = basis[number]
        earlier = jnp.where((jnp.arange(len(basis)) < number)[:, None], basis, 0.0)
        # twice, because the first result is orthogonal only up to rounding
        for _ in range(2):
            row = row - earlier.T @ (earlier @ row)
        size = jnp.linalg.norm(row)
        is_new = size > least
        row = jnp.where(is_new, row / jnp.where(is_new, size, 1.0), 0.0)
        size = jnp.where(is_new, size, 0.0)
        return added.at[number].set(size), basis.at[number].set(row)

    start = (jnp.zeros_like(rows[:, 0]), rows)
    return jax.lax.fori_loop(0, len(rows), orthogonalise, start)


def random(
    draws: Integer, rank: Integer, like: Annotated[Numbers, "*N d"], key: Key[Array, ""]
) -> Basis:
    """Random orthonormal bases.

    Args:
      draws: number of bases, at least 1.
      rank: directions of each, in [1, d].
      like: [..., d] an array whose d and dtype are used.
      key: for the draws.

    Returns:
      Bases with reads [draws, rank, d].

    Raises:
      ValueError: `rank` or `draws` is out of range.
    """
    like = validation.floating(like)
    rank = validation.integer("rank", rank, 1, like.shape[-1])
    draws = validation.integer("draws", draws, 1)
    shape = (draws, like.shape[-1], rank)
    q, _ = jnp.linalg.qr(jax.random.normal(key, shape, like.dtype))
    reads = jnp.swapaxes(q, -1, -2)
    return Basis(jnp.ones(reads.shape[:-1], like.dtype), reads, reads)


def _covariance(
    features: Annotated[Numbers, "n d"], size: int | None
) -> Float[Array, "d d"]:
    data = validation.floats("features", features, None, size)
    validation.at_least("samples of features", len(data), 2)
    validation.sized("features", data)
    data = (data - data.mean(axis=0, keepdims=True)) / len(data) ** 0.5
    return data.T @ data


def score(
    basis: Basis,
    downstream: Callable[[Float[Array, " d"]], Float[Array, " m"]],
    features: Annotated[Numbers, "n d"],
    ranks: Sequence[int],
    key: Key[Array, ""],
    *,
    draws: int = 20,
) -> Score:
    """Share of the downstream variance that the first k directions explain.

    Args:
      basis: one basis, not a stack.
      downstream: the rest of the network, from one sample x [d] to its output [m];
        linear or not.
      features: [n, d] samples of x, n >= 2; a few thousand are enough.
      ranks: the values of k, each from 0 to the number of directions.
      key: for the random bases.
      draws: number of random bases to compare with.

    Raises:
      ValueError: the shapes do not fit, the basis has no such rank, or the output does
        not vary.
    """
    data = validation.floats("features", features, None, None)
    validation.at_least("samples of features", len(data), 2)
    validation.shaped("reads", basis.reads, None, data.shape[-1])
    ranks = [validation.integer("ranks", k, 0, len(basis.reads)) for k in ranks]
    mean = data.mean(axis=0, keepdims=True)
    outputs = jax.vmap(downstream)
    output = outputs(data)
    validation.shaped("output of downstream", output, len(data), None)
    variance = jnp.square(output - output.mean(axis=0, keepdims=True)).sum()
    # the mean of a constant is rounded, which leaves a small variance
    varies = (output.max(axis=0) > output.min(axis=0)).any() & (variance > 0)
    if not isinstance(variance, jax.core.Tracer) and not varies:
        raise ValueError("downstream: got an output that is constant; allowed: others")
    masks = jnp.arange(len(basis.reads))[None] < jnp.asarray(ranks)[:, None]
    random_bases = random(draws, len(basis.reads), data, key)

    def explained(reads_and_atoms: tuple[Array, Array]) -> Array:
        reads, atoms = reads_and_atoms
        coefficients = (data - mean) @ reads.T

        def at_rank(mask: Array) -> Array:
            component = jnp.where(mask[None], coefficients, 0.0) @ atoms
            error = jnp.square(outputs(mean + component) - output).sum()
            return 1 - error / variance

        return jax.lax.map(at_rank, masks)

    def prepend(own: Array, others: Array) -> Array:
        return jnp.concatenate([own[None], others])

    table = jax.lax.map(
        explained,
        (
            prepend(basis.reads, random_bases.reads),
            prepend(basis.atoms, random_bases.atoms),
        ),
    )
    return Score(jnp.asarray(ranks), table[0], table[1:])
