"""Checks of the input of the inspection tools: a bad argument is refused by name.

Every check runs before anything is computed. Values can only be read outside of a
compiled program. Under `jax.jit` and `jax.vmap` shapes are still checked, but numbers
that are not finite are not detected: check for them in the caller.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

Input: TypeAlias = jax.Array | np.ndarray
"""An array given to a tool. Annotated[Input, "S A"] states a shape, real numbers
understood, that the tool checks itself by `shaped`: a wrong one is a ValueError."""


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
        first one is), or the array holds complex numbers or Python objects (the error
        names the dtype).
    """
    if isinstance(array, jax.core.Tracer):
        return
    numbers = np.asarray(array)
    if numbers.dtype.kind in "cO":
        raise ValueError(f"{name}: got {numbers.dtype}; allowed: real numbers")
    # NumPy alone does not know that bfloat16 is a number
    if not jnp.issubdtype(numbers.dtype, jnp.number):
        return
    bad = ~np.isfinite(numbers)
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
    numbers, high = np.asarray(array), float(high)
    bad = ~((numbers >= low) & (numbers <= high))
    if bad.any():
        allowed = f"{low} to {high:.4g}" if high < np.inf else f"at least {low}"
        raise ValueError(f"{name}: got {numbers[bad].flat[0]}; allowed: {allowed}")


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
    """Convert integers and booleans to the default float; leave floats unchanged."""
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
