"""A concept and the activations it is read from: labels as columns, and shared maths.

Symbols: n samples, m pairs, d features, c columns of a concept (classes, or numbers).
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.inspection import validation
from shardsim.inspection.concepts import readouts
from shardsim.inspection.validation import Numbers


class Concept(NamedTuple):
    """The input of every method: labelled samples, pairs, and a readout."""

    x: Annotated[Numbers, "n d"]
    """Activations."""
    z: Any
    """Labels [n] (integers, booleans or texts), or one-hot columns [n, c]; for the mean
    difference and LEACE also numbers. None if a method uses only the pairs."""
    a: Annotated[Numbers, "m d"] | None = None
    """One side of pairs that differ in the concept; for CDE and the gradient."""
    b: Annotated[Numbers, "m d"] | None = None
    """The other side."""
    read_out: readouts.ReadOut | None = None
    """From one activation to V or logits; for CDE and the gradient."""
    distance: readouts.Distance = readouts.squared
    """Between two outputs of `read_out`."""
    groups: Annotated[Numbers, "n"] | None = None
    """Labels, such as the maze of a state: where the regularisation of a probe is
    chosen, samples of a group are held out together. None: each is its own group."""


def as_floats(name: str, array: Any, *sizes: int | None) -> Array:
    """The array as floating-point numbers of at least 32 bits.

    Args:
      name: of the array, for the error.
      array: any numbers.
      sizes: length of each axis; None allows any.

    Raises:
      ValueError: the shape differs, or a number is not finite.
    """
    return validation.floats(name, array, *sizes)


def as_samples(x: Any) -> Float[Array, "n d"]:
    """Activations [n, d] with at least one sample and one feature, as floats."""
    x = as_floats("x", x, None, None)
    validation.at_least("n", x.shape[0], 1)
    validation.at_least("d", x.shape[1], 1)
    return x


def is_labels(z: Any) -> bool:
    """Whether z is a vector of integers, booleans or texts: of class labels."""
    kind = np.dtype(getattr(z, "dtype", None) or np.asarray(z).dtype).kind
    # a list of texts and numbers is refused as labels, by name
    return np.ndim(z) == 1 and kind in "iubUSO"


def one_hot(z: Annotated[Any, "n"], dtype: Any = None) -> Float[Array, "n c"]:
    """Columns of 0 and 1, one per class, in the order of the labels.

    Args:
      z: [n] any integers, booleans or texts. The number of classes must be known
        before compiling: under `jax.jit` pass the columns instead.
      dtype: of the result; the default float dtype if None.

    Raises:
      ValueError: z is traced by a JAX transformation, or holds no labels.
    """
    if isinstance(z, jax.core.Tracer):
        raise ValueError("z: got labels under jit; allowed: columns made by `one_hot`")
    labels = validation.labels("z", z)
    columns = np.eye(max(labels.count, 1))[labels.index]
    return jnp.asarray(columns, dtype or jnp.zeros(()).dtype)


def as_one_hot(x: Annotated[Numbers, "n d"], z: Any) -> Float[Array, "n c"]:
    """z as one-hot columns in the dtype of x.

    Args:
      x: [n, d].
      z: labels [n], or one-hot columns [n, c].

    Raises:
      ValueError: z holds numbers that are not labels, or its rows are not one-hot.
    """
    if is_labels(z):
        validation.shaped("z", z, np.shape(x)[0])
        return one_hot(z, validation.wide(x).dtype)
    if np.ndim(z) == 1:
        raise ValueError(
            "z: got a vector of floats; allowed: integers or texts as labels, or "
            "one-hot columns [n, c]"
        )
    x = validation.wide(x)
    columns = as_floats("z", z, x.shape[0], None).astype(x.dtype)
    if not isinstance(columns, jax.core.Tracer):
        rows = np.asarray(columns)
        if not (np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all()):
            raise ValueError("z: got rows that are not one-hot; allowed: a single 1")
    return columns


def check_two_classes(z: Float[Array, "n c"]) -> None:
    """Refuse columns with samples of one class only. Traced values are not checked.

    Raises:
      ValueError: fewer than two classes occur.
    """
    if isinstance(z, jax.core.Tracer):
        return
    num_classes = int((np.asarray(z).sum(axis=0) > 0).sum())
    if num_classes < 2:
        raise ValueError(f"z: got {num_classes} class; allowed: at least 2")


def as_columns(x: Annotated[Numbers, "n d"], z: Any) -> Float[Array, "n c"]:
    """z as columns in the dtype of x: labels one-hot, numbers as one column."""
    if is_labels(z):
        return as_one_hot(x, z)
    x = validation.wide(x)
    if np.ndim(z) == 1:
        return as_floats("z", z, x.shape[0]).astype(x.dtype)[:, None]
    return as_floats("z", z, x.shape[0], None).astype(x.dtype)


def centre(
    x: Float[Any, "n d"],
) -> tuple[Float[Array, " d"], Float[Array, "n d"]]:
    """Mean of each feature, and x without it; a constant feature becomes exactly 0.

    The mean is computed twice, because the first result has the rounding error of a
    long sum.
    """
    mean = x.mean(axis=0)
    mean = mean + (x - mean[None, :]).mean(axis=0)
    is_constant = x.max(axis=0) == x.min(axis=0)
    mean = jnp.where(is_constant, x[0], mean)
    return mean, x - mean[None, :]


def class_shares(z: Float[Array, "n c"]) -> tuple[Float[Array, " c"], Float[Array, ""]]:
    """Share of each class, and the entropy of the shares in nats (loss without x)."""
    share = z.mean(axis=0)
    return share, -jnp.sum(jax.scipy.special.xlogy(share, share))


def class_means(x: Float[Array, "n d"], z: Float[Array, "n c"]) -> Float[Array, "c d"]:
    """[c, d] mean activation of each class; 0 for a class without samples."""
    return z.T @ x / jnp.maximum(z.sum(axis=0), 1.0)[:, None]


def orthonormal_span(
    rows: Float[Array, "m d"], cut: float | None = None
) -> tuple[Float[Array, "r d"], Float[Array, " r"]]:
    """Orthonormal rows that span the same space, by decreasing singular value.

    Computed from an SVD, not by Gram-Schmidt. Rows whose singular value is at most
    `cut` times the largest are set to 0, because they would be noise.

    Args:
      rows: [m, d].
      cut: max(m, d) times the precision of the dtype if None.

    Returns:
      r = min(m, d) rows, and the singular values.
    """
    validation.shaped("rows", rows, None, None)
    if cut is None:
        cut = max(rows.shape) * float(jnp.finfo(rows.dtype).eps)
    _, values, right = jnp.linalg.svd(rows, full_matrices=False)
    is_used = (values > cut * values[0]) & (values > 0)
    return right * is_used[:, None].astype(rows.dtype), values


def split_indices(
    held_out: Annotated[Numbers, "n"], n: int
) -> tuple[Int[Array, " t"], Int[Array, " h"]]:
    """Indices of the training samples and of the held-out ones.

    Args:
      held_out: [n] booleans, true for samples to test on; both sides need some.
      n: number of samples.

    Raises:
      ValueError: `held_out` is no mask of n samples, or one side is empty.
    """
    is_test = np.asarray(validation.mask("held_out", held_out, n))
    if is_test.all() or not is_test.any():
        raise ValueError(
            f"held_out: got {int(is_test.sum())} of {n} held out; allowed: some"
        )
    return jnp.flatnonzero(~is_test), jnp.flatnonzero(is_test)


def pairs(concept: Concept) -> tuple[readouts.ReadOut, Array, Array]:
    """The readout and the pairs of a concept.

    Raises:
      ValueError: one of `read_out`, `a` and `b` is missing, or the pairs do not fit.
    """
    if concept.read_out is None or concept.a is None or concept.b is None:
        raise ValueError(
            "concept: got no read_out, a or b; allowed: all three, because this method "
            "measures how pairs change a readout"
        )
    x = as_samples(concept.x)
    a = as_floats("a", concept.a, None, x.shape[1]).astype(x.dtype)
    b = as_floats("b", concept.b, *a.shape).astype(x.dtype)
    return concept.read_out, a, b
