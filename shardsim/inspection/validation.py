"""Checks of the input of the inspection tools: a bad argument is refused by name.

Every check runs before anything is computed. Values can only be read outside of a
compiled program. Under `jax.jit` and `jax.vmap` shapes are still checked, but numbers
that are not finite are not detected: check for them in the caller.

NumPy, JAX and Python numbers are taken alike. What becomes an index is converted here
and nowhere else:

  classes, contexts, clusters, groups, folds   `labels`    any integers or texts
  masks, held-out samples, true and false      `mask`      booleans
  successors, owners: numbers that point       `indices`   integers from 0

JAX numbers have 32 bits by default and wrap around without a word, so integers of 64
bits are read on the host.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Shaped

from shardsim.core import arguments

Input: TypeAlias = jax.Array | np.ndarray
"""An array given to a tool. Annotated[Input, "S A"] states a shape, real numbers
understood, that the tool checks itself by `shaped`: a wrong one is a ValueError."""
Numbers: TypeAlias = jax.Array | np.ndarray | Sequence[Any]
"""The same where Python numbers and texts are taken too: `floats`, `labels`, `mask` and
`indices` make arrays of them."""
Integer: TypeAlias = arguments.Integer
"""One whole number, of which `integer` makes an int."""
integer = arguments.integer
"""Of `core`, whose statistics count too; here beside the other checks."""


def shaped(name: str, array: Any, *sizes: int | None) -> None:
    """Refuse an array with the wrong number of axes, or with an axis of wrong length.

    Args:
      name: of the argument, for the error.
      array: anything that has a shape.
      sizes: the length of each axis; None allows any length.

    Raises:
      ValueError: the shape differs. The error names the array, its shape and the
        allowed shape.
    """
    shape = np.shape(array)
    fits = len(shape) == len(sizes) and all(
        size is None or length == size
        for length, size in zip(shape, sizes, strict=True)
    )
    if not fits:
        allowed = ", ".join("any" if size is None else str(size) for size in sizes)
        raise ValueError(f"{name}: got shape {shape}; allowed: ({allowed})")


def finite(name: str, array: Any) -> None:
    """Refuse NaN, infinity and complex numbers. Does nothing under `jax.jit`.

    Raises:
      ValueError: some numbers are not finite (the error says how many, and where the
        first one is), or the array holds complex numbers, texts, times or Python
        objects (the error names the dtype).
    """
    if isinstance(array, jax.core.Tracer):
        return
    values = np.asarray(array)
    if values.dtype.kind in "cOSUmM":
        raise ValueError(f"{name}: got {values.dtype}; allowed: real numbers")
    # NumPy alone does not know that bfloat16 is a number
    if not jnp.issubdtype(values.dtype, jnp.number):
        return
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name}: got {int(bad.sum())} numbers that are not finite, the first at "
            f"{first}; allowed: finite numbers"
        )


def at_least(name: str, number: float, minimum: float) -> None:
    """Refuse a number below `minimum`, and NaN.

    Raises:
      ValueError: the number is too small.
    """
    if not number >= minimum:
        raise ValueError(f"{name}: got {number}; allowed: at least {minimum}")


def between(name: str, array: Any, low: float, high: Any = np.inf) -> None:
    """Refuse numbers outside of [low, high], and NaN. Does nothing under `jax.jit`.

    Raises:
      ValueError: the first number that is out of range.
    """
    if isinstance(array, jax.core.Tracer) or isinstance(high, jax.core.Tracer):
        return
    values, high = np.asarray(array), float(high)
    bad = ~((values >= low) & (values <= high))
    if bad.any():
        allowed = f"{low} to {high:.4g}" if high < np.inf else f"at least {low}"
        raise ValueError(f"{name}: got {values[bad].flat[0]}; allowed: {allowed}")


def kind(name: str, array: Any, kinds: str, allowed: str) -> None:
    """Refuse an array whose dtype is of another kind.

    Args:
      name: of the argument, for the error.
      array: checked by its dtype alone.
      kinds: the allowed letters of `np.dtype.kind`, e.g. "iu" for integers.
      allowed: the same in words, for the error.

    Raises:
      ValueError: the dtype is of another kind.
    """
    dtype = np.dtype(getattr(array, "dtype", None) or np.asarray(array).dtype)
    if dtype.kind not in kinds:
        raise ValueError(f"{name}: got {dtype}; allowed: {allowed}")


def floating(array: Any) -> jax.Array:
    """Convert integers and booleans to the default float; leave floats unchanged.

    Integers of 64 bits are converted on the host: JAX would cut them to 32 bits first.
    """
    if not isinstance(array, jax.Array):
        array = np.asarray(array)
        if array.dtype.kind in "biu":
            array = array.astype(np.float64)
    array = jnp.asarray(array)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array
    return array.astype(jnp.zeros(()).dtype)


def wide(array: Any) -> jax.Array:
    """Convert to floating-point numbers of at least 32 bits.

    Matrices of 16-bit numbers cannot be decomposed, and sums of squares soon leave
    their range.
    """
    array = floating(array)
    return array if array.dtype.itemsize >= 4 else array.astype(jnp.float32)


def sized(name: str, array: Any) -> None:
    """Refuse numbers so large or small that sums of their squares over- or underflow.

    In float32 the largest absolute value may be 7e-16 to 3e15, or 0. Does nothing
    under `jax.jit`.

    Raises:
      ValueError: the largest absolute value is out of range.
    """
    if isinstance(array, jax.core.Tracer) or not np.size(array):
        return
    limits = jnp.finfo(wide(array).dtype)
    low, high = float(limits.tiny) ** 0.4, float(limits.max) ** 0.4
    largest = float(np.abs(np.asarray(array, np.float64)).max())
    if largest and not low <= largest <= high:
        raise ValueError(
            f"{name}: got {largest:.3g} as its largest number; allowed: {low:.1g} to "
            f"{high:.1g}, or 0"
        )


def one_of(name: str, choice: Any, allowed: Iterable[Any]) -> None:
    """Refuse a choice that is not among those allowed.

    Raises:
      ValueError: the error lists all that are allowed.
    """
    choices = tuple(allowed)
    if choice not in choices:
        listed = ", ".join(str(a) for a in choices)
        raise ValueError(f"{name}: got {choice!r}; allowed: {listed}")


def floats(name: str, array: Any, *sizes: int | None) -> jax.Array:
    """Real numbers of a given shape, as floating-point numbers of at least 32 bits.

    Args:
      name: of the argument, for the error.
      array: NumPy, JAX or Python numbers.
      sizes: the length of each axis; None allows any length.

    Raises:
      ValueError: the shape differs, a number is not finite, or it is too large for the
        floats of JAX.
    """
    shaped(name, array, *sizes)
    finite(name, array)
    with np.errstate(over="ignore"):
        converted = wide(array)
    if not isinstance(converted, jax.core.Tracer):
        lost = ~np.isfinite(np.asarray(converted))
        if lost.any():
            raise ValueError(
                f"{name}: got {np.asarray(array)[lost].flat[0]}; allowed: numbers "
                f"that {converted.dtype} can hold"
            )
    return converted


def mask(name: str, array: Any, *sizes: int | None) -> Bool[Array | np.ndarray, "..."]:
    """A mask of a given shape; anything but booleans is refused.

    Integers 0 and 1 are no mask: indexing with them picks elements 0 and 1, and ~1 is
    254 or -2, which counts as true.

    Args:
      name: of the argument, for the error.
      array: NumPy, JAX or Python booleans, traced or not.
      sizes: the length of each axis; None allows any length.

    Returns:
      The mask as an array; arrays are returned as they are.

    Raises:
      ValueError: the shape or the dtype differs.
    """
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
        # an empty list has the dtype of floats
        array = array if array.size else array.astype(bool)
    kind(name, array, "b", "booleans")
    shaped(name, array, *sizes)
    if isinstance(array, jax.Array):
        return array
    return np.asarray(array)


def indices(
    name: str, array: Any, count: int, *sizes: int | None
) -> Int[Array | np.ndarray, "..."]:
    """Integers in [0, count) of a given shape, e.g. the next state of each action.

    Their order has a meaning, so unlike labels they are not mapped. Traced ones are
    checked by shape and dtype only.

    Args:
      name: of the argument, for the error.
      array: NumPy, JAX or Python integers.
      count: of the things that they point to.
      sizes: the length of each axis; None allows any length.

    Returns:
      JAX arrays unchanged; others as an array of int32.

    Raises:
      ValueError: the shape or the dtype differs, or an integer is out of range.
    """
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
    kind(name, array, "iu", "integers")
    shaped(name, array, *sizes)
    between(name, array, 0, count - 1)
    if isinstance(array, jax.Array):
        return array
    return np.asarray(array).astype(np.int32)


@dataclasses.dataclass(frozen=True)
class Labels:
    """Labels as indices."""

    index: Int[Array | np.ndarray, " n"]
    """Of the label of each sample, from 0; int32."""
    names: Shaped[np.ndarray, " C"]
    """The different labels in ascending order: `names[index]` are the labels. Traced
    labels are indices already, so their names are 0 to C - 1."""

    @property
    def count(self) -> int:
        """C, the number of different labels."""
        return len(self.names)


def labels(
    name: str,
    array: Any,
    n: int | None = None,
    *,
    least: int = 0,
    count: int | None = None,
) -> Labels:
    """Map labels of any kind to indices from 0, in the order of the labels.

    Labels are names: 1000 to 1059, -1 and 2**40, "corner" and "cheese". Only equal and
    unequal matters, so no tool may use them as positions.

    Args:
      name: of the argument, for the error.
      array: [n] integers of any size, booleans or texts: NumPy, JAX or Python. Floats
        are refused, because they are equal or unequal by rounding.
      n: number of samples; None allows any.
      least: number of different labels that are needed.
      count: number of different labels, where it is known before. Only then may labels
        be traced by a JAX transformation; they have to be indices in [0, count), which
        cannot be checked.

    Returns:
      The indices, and the label of each.

    Raises:
      ValueError: the shape differs, the labels are of another kind or mix several, one
        is missing, they are traced and no count is given, or they are too few or more
        than `count`.
    """
    if isinstance(array, jax.core.Tracer):
        if count is None:
            raise ValueError(f"{name}: got traced labels; allowed: labels outside jit")
        kind(name, array, "iub", "integers")
        shaped(name, array, n)
        return Labels(array.astype(jnp.int32), np.arange(count))
    if np.ma.is_masked(array):
        raise ValueError(f"{name}: got masked labels; allowed: a label per sample")
    values = _label_array(name, array)
    shaped(name, values, n)
    names, index = np.unique(values, return_inverse=True)
    if len(names) < least:
        at = f" ({names[0]!s})" if len(names) else ""
        raise ValueError(
            f"{name}: got {len(names)} different labels{at}; allowed: at least {least}"
        )
    if count is not None and len(names) > count:
        raise ValueError(
            f"{name}: got {len(names)} different labels; allowed: at most {count}"
        )
    return Labels(index.astype(np.int32), names)


def _label_array(name: str, array: Any) -> np.ndarray:
    """The labels as one NumPy array of integers, booleans or texts."""
    allowed = "integers, booleans or texts"
    dtype = getattr(array, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind not in "OT":
        kind(name, array, "iubUS", allowed)
        return np.asarray(array)
    # NumPy would turn [1, "1"] into two equal texts and [2**63, -1] into floats
    objects = np.asarray(array, object)
    items = [arguments.item(item) for item in objects.flat]
    kinds = {type(item) for item in items}
    if not kinds <= {bool, int} and kinds != {str} and kinds != {bytes}:
        listed = ", ".join(sorted(k.__name__ for k in kinds))
        raise ValueError(f"{name}: got {listed}; allowed: {allowed}")
    is_small = all(abs(int(item)) < 2**62 for item in items if kinds <= {bool, int})
    values = np.empty(len(items), object)
    values[:] = items
    if is_small:
        values = np.asarray(items, None if items else int)
    return values.reshape(objects.shape)
