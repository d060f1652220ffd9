"""Input of the inspection tools is refused here, by name, before anything is computed.

Values can be looked at only outside of a compiled program: under `jax.jit` and
`jax.vmap` shapes are still checked, and what is not finite is the caller's to find.
"""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

Input: TypeAlias = jax.Array | np.ndarray
"""An array given to a tool. Annotated[Input, "S A"] states a shape, real numbers
understood, that the tool checks itself by `shaped`: a wrong one is a ValueError."""


def shaped(name: str, array: Any, *sizes: int | None) -> None:
    """Refuse an array whose axes are not as many, or not as long, as asked.

    Args:
      sizes: length of each axis; None takes any.

    Raises:
      ValueError: names the array, its shape and what is allowed.
    """
    shape = np.shape(array)
    fits = len(shape) == len(sizes) and all(
        want is None or got == want for got, want in zip(shape, sizes, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in sizes)
        raise ValueError(f"{name}: got shape {shape}; allowed: ({wanted})")


def finite(name: str, array: Any) -> None:
    """Refuse NaN, infinity, and complex numbers, where values can be looked at.

    Raises:
      ValueError: says how many there are and where the first one is, or names the
        dtype of what is complex or holds objects.
    """
    if isinstance(array, jax.core.Tracer):
        return
    numbers = np.asarray(array)
    if numbers.dtype.kind in "cO":
        raise ValueError(f"{name}: got {numbers.dtype}; allowed: real numbers")
    # NumPy by itself does not know bfloat16 for a number
    if not jnp.issubdtype(numbers.dtype, jnp.number):
        return
    bad = ~np.isfinite(numbers)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name}: got {int(bad.sum())} numbers that are not finite, the first at "
            f"{first}; allowed: finite numbers"
        )


def at_least(name: str, got: float, least: float) -> None:
    """Refuse a number below the least that is allowed."""
    if not got >= least:
        raise ValueError(f"{name}: got {got}; allowed: at least {least}")


def between(name: str, got: Any, least: float, most: Any = np.inf) -> None:
    """Refuse numbers out of a range, ends allowed, where values can be looked at."""
    if isinstance(got, jax.core.Tracer) or isinstance(most, jax.core.Tracer):
        return
    numbers, most = np.asarray(got), float(most)
    bad = ~((numbers >= least) & (numbers <= most))
    if bad.any():
        allowed = f"{least} to {most:.4g}" if most < np.inf else f"at least {least}"
        raise ValueError(f"{name}: got {numbers[bad].flat[0]}; allowed: {allowed}")


def kind(name: str, array: Any, kinds: str, allowed: str) -> None:
    """Refuse numbers of another kind, as NumPy names kinds by a letter."""
    dtype = np.dtype(getattr(array, "dtype", None) or np.asarray(array).dtype)
    if dtype.kind not in kinds:
        raise ValueError(f"{name}: got {dtype}; allowed: {allowed}")


def floating(array: Any) -> jax.Array:
    """Whole numbers and truth values as floating-point numbers, others as they are."""
    array = jnp.asarray(array)
    if jnp.issubdtype(array.dtype, jnp.floating):
        return array
    return array.astype(jnp.zeros(()).dtype)


def wide(array: Any) -> jax.Array:
    """Floating-point numbers of at least 32 bits.

    Matrices of 16 can't be decomposed, and sums of squares soon leave their range.
    """
    array = floating(array)
    return array if array.dtype.itemsize >= 4 else array.astype(jnp.float32)


def sized(name: str, array: Any) -> None:
    """Refuse numbers so large or small that sums of their squares are not numbers.

    In float32 the largest of them may be 7e-16 to 3e15, or 0.

    Raises:
      ValueError: says how large they are and what is allowed.
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


def one_of(name: str, got: Any, allowed: Any) -> None:
    """Refuse a name that is none of those allowed."""
    if got not in tuple(allowed):
        listed = ", ".join(str(a) for a in allowed)
        raise ValueError(f"{name}: got {got!r}; allowed: {listed}")
