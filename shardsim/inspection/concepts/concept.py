"""A concept beside activations: labels as columns, and what both share.

Symbols: n samples, d features, c columns of a concept (classes, or numbers).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.inspection import validation
from shardsim.inspection.concepts import readouts


class Concept(NamedTuple):
    """What is known of a concept: labelled samples, pairs, and who reads them."""

    x: Float[Array, "n d"]
    z: Any
    """Labels [n], or one-hot columns [n, c]; numbers for the mean difference, LEACE."""
    a: Float[Array, "m d"] | None = None
    """One side of pairs that differ in the concept; for CDE and the gradient."""
    b: Float[Array, "m d"] | None = None
    read_out: readouts.ReadOut | None = None
    """From one activation to V or logits; for CDE and the gradient."""
    distance: readouts.Distance = readouts.squared


def floats(name: str, array: Any, *sizes: int | None) -> Array:
    """The array as numbers of 32 bits or more, refused if misshapen or not finite."""
    validation.shaped(name, array, *sizes)
    validation.finite(name, array)
    return validation.wide(array)


def samples(x: Any) -> Float[Array, "n d"]:
    """Activations [n, d] of at least one sample and one feature."""
    x = floats("x", x, None, None)
    validation.at_least("n", x.shape[0], 1)
    validation.at_least("d", x.shape[1], 1)
    return x


def is_labels(z: Any) -> bool:
    """Whether z holds whole numbers or truth values: the names of classes."""
    kind = np.dtype(getattr(z, "dtype", None) or np.asarray(z).dtype)
    return np.ndim(z) == 1 and (kind.kind in "iub")


def one_hot(z: Int[Any, " n"], dtype: Any = None) -> Float[Array, "n c"]:
    """Columns of 0 and 1, a class each, in the order of the labels.

    Labels may be any whole numbers. How many there are must be known before compiling:
    under `jax.jit` pass the columns instead.

    Raises:
      ValueError: labels under a transformation of JAX.
    """
    if isinstance(z, jax.core.Tracer):
        raise ValueError("z: got labels under jit; allowed: columns made by `one_hot`")
    _, place = np.unique(np.asarray(z), return_inverse=True)
    columns = np.eye(place.max(initial=0) + 1)[place]
    return jnp.asarray(columns, dtype or jnp.zeros(()).dtype)


def classes(x: Float[Array, "n d"], z: Any) -> Float[Array, "n c"]:
    """z as one-hot columns with the dtype of x, whichever way it was given.

    Raises:
      ValueError: numbers that are no labels, or rows that don't add up to 1.
    """
    if is_labels(z):
        validation.shaped("z", z, x.shape[0])
        return one_hot(z, x.dtype)
    if np.ndim(z) == 1:
        raise ValueError(
            "z: got a vector of floats; allowed: whole numbers as labels, or one-hot "
            "columns [n, c]"
        )
    columns = floats("z", z, x.shape[0], None).astype(x.dtype)
    if not isinstance(columns, jax.core.Tracer):
        rows = np.asarray(columns)
        if not (np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all()):
            raise ValueError("z: got rows that are not one-hot; allowed: a single 1")
    return columns


def several(z: Float[Array, "n c"]) -> None:
    """Refuse a concept of one class, where values can be looked at."""
    if isinstance(z, jax.core.Tracer):
        return
    present = int((np.asarray(z).sum(axis=0) > 0).sum())
    if present < 2:
        raise ValueError(f"z: got {present} class; allowed: at least 2")


def columns(x: Float[Array, "n d"], z: Any) -> Float[Array, "n c"]:
    """z as columns: labels one-hot, a vector of numbers as one column."""
    if is_labels(z):
        return classes(x, z)
    if np.ndim(z) == 1:
        return floats("z", z, x.shape[0]).astype(x.dtype)[:, None]
    return floats("z", z, x.shape[0], None).astype(x.dtype)


def centre(
    x: Float[Array, "n d"],
) -> tuple[Float[Array, " d"], Float[Array, "n d"]]:
    """Mean of each feature and what is left; a constant feature leaves exactly 0.

    The mean is taken twice, for the first one is off by the rounding of a long sum.
    """
    mean = x.mean(axis=0)
    mean = mean + (x - mean[None, :]).mean(axis=0)
    constant = x.max(axis=0) == x.min(axis=0)
    mean = jnp.where(constant, x[0], mean)
    return mean, x - mean[None, :]


def shares(z: Float[Array, "n c"]) -> tuple[Float[Array, " c"], Float[Array, ""]]:
    """Share of each class, and their entropy: the loss of a guess without x, nats."""
    share = z.mean(axis=0)
    return share, -jnp.sum(jax.scipy.special.xlogy(share, share))


def class_means(x: Float[Array, "n d"], z: Float[Array, "n c"]) -> Float[Array, "c d"]:
    """Mean activation of each class; 0 for a class without samples."""
    return z.T @ x / jnp.maximum(z.sum(axis=0), 1.0)[:, None]


def span(
    rows: Float[Array, "m d"], cut: float | None = None
) -> tuple[Float[Array, "r d"], Float[Array, " r"]]:
    """Orthonormal rows, by falling share, that span the same space; r = min(m, d).

    By singular values, not by Gram-Schmidt. Rows whose singular value is below `cut`
    times the largest are zero: they would be noise.

    Args:
      cut: max(m, d) times the precision of the dtype if None.

    Returns:
      The rows, and the singular values.
    """
    validation.shaped("rows", rows, None, None)
    if cut is None:
        cut = max(rows.shape) * float(jnp.finfo(rows.dtype).eps)
    _, values, right = jnp.linalg.svd(rows, full_matrices=False)
    kept = (values > cut * values[0]) & (values > 0)
    return right * kept[:, None].astype(rows.dtype), values


def pairs(concept: Concept) -> tuple[readouts.ReadOut, Array, Array]:
    """The read-out and the pairs of a concept, refused if it has none."""
    if concept.read_out is None or concept.a is None or concept.b is None:
        raise ValueError(
            "concept: got no read_out, a or b; allowed: all three, for this method "
            "looks at what pairs do to a read-out"
        )
    d = concept.x.shape[1]
    a = floats("a", concept.a, None, d).astype(concept.x.dtype)
    b = floats("b", concept.b, *a.shape).astype(concept.x.dtype)
    return concept.read_out, a, b
