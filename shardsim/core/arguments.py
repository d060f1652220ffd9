"""Whole numbers given to public functions: of Python, NumPy and JAX alike."""

import numbers
from typing import Any, TypeAlias

import jax
import numpy as np

Integer: TypeAlias = int | np.integer | np.ndarray | jax.Array
"""One whole number, of which `integer` makes an int."""


def integer(name: str, number: Any, low: int, high: int | None = None) -> int:
    """A whole number in [low, high] as a Python int.

    Args:
      name: of the argument, for the error.
      number: a Python, NumPy or JAX integer; no boolean and no float.
      low: the smallest allowed number.
      high: the largest allowed number; None: no limit.

    Raises:
      ValueError: another type, or out of range.
    """
    scalar = item(number)
    if not isinstance(scalar, int) or isinstance(scalar, bool):
        raise ValueError(f"{name}: got {number!r}; allowed: an integer")
    if scalar < low or (high is not None and scalar > high):
        allowed = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(f"{name}: got {scalar}; allowed: {allowed}")
    return scalar


def item(number: Any) -> Any:
    """The Python object of a NumPy or JAX scalar; texts of NumPy as `str`."""
    if isinstance(number, jax.core.Tracer):
        return number
    if isinstance(number, np.generic | np.ndarray | jax.Array) and np.ndim(number) == 0:
        number = np.asarray(number).item()
    if isinstance(number, str):
        return str(number)
    if isinstance(number, numbers.Integral) and not isinstance(number, bool):
        return int(number)
    return number
