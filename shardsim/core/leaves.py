"""Leaves of a config that would be read as something else than was meant.

Python counts with true and false as with 1 and 0, so that a number that was meant as a
switch would be read as a number. And what is computed with has 32 bits: a size below
theirs would be 0 there, which many a field is not allowed to be, and one above them
infinite, or another number.
"""

import math
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

NUMBERS = {int, float}
FIRST, LAST = -(2**31), 2**32 - 1
LEAST, MOST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def misread(hint: Any, data: Any, place: str) -> Iterator[str]:
    """Each leaf of that kind, as `place: got ...; allowed: ...`."""
    members = typing.get_args(hint)
    kinds = {hint, *members}
    if isinstance(data, bool) and kinds & NUMBERS and bool not in kinds:
        yield f"{place}: got {data!r}; allowed: a number"
    elif float in kinds and not _held(data):
        yield f"{place}: got {data!r}; allowed: 0, or {LEAST:.1e} to {MOST:.1e} in size"
    elif kinds & NUMBERS == {int} and isinstance(data, int) and abs(data) > 2**32:
        yield f"{place}: got {data!r}; allowed: at most 2**32 in size"
    inner: list[tuple[Any, Any]] = []
    if isinstance(data, Mapping):
        inner = list(data.items())
    elif isinstance(data, list | tuple):
        inner = list(enumerate(data))
    for key, each in inner:
        for member in members:
            yield from misread(member, each, f"{place}.{key}")


def _held(data: Any) -> bool:
    """Whether 32 bits hold a number; what is none, or not finite, others refuse."""
    try:
        size = abs(float(data))
    except (TypeError, ValueError, OverflowError):
        return True
    return size == 0 or not math.isfinite(size) or LEAST <= size <= MOST
