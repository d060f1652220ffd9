"""Leaves of a config: what they may hold, and what would be read as something else.

Python counts with true and false as with 1 and 0, so that a number that was meant as a
switch would be read as a number. And what is computed with has 32 bits: a size below
theirs would be 0 there, which many a field is not allowed to be, and one above them
infinite, or another number.
"""

import dataclasses
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


def wanted(hint: Any) -> str:
    """What a field of this type holds, in words for who left it out."""
    members = [each for each in typing.get_args(hint) if each is not type(None)]
    if dataclasses.is_dataclass(hint):
        return f"a mapping of {', '.join(f.name for f in dataclasses.fields(hint))}"
    if members and all(map(dataclasses.is_dataclass, members)):
        kinds = [{f.name: f.default for f in dataclasses.fields(m)} for m in members]
        return f"a mapping, its kind {' | '.join(str(k['kind']) for k in kinds)}"
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return " | ".join(map(str, members))
    if origin is dict:
        return f"a mapping of names, each to {wanted(members[1])}"
    if origin is tuple:
        return f"a list, each {wanted(members[0])}"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "a switch"}
    return " or ".join(map(wanted, members)) or words.get(hint, "a value")


def _held(data: Any) -> bool:
    """Whether 32 bits hold a number; what is none, or not finite, others refuse."""
    try:
        size = abs(float(data))
    except (TypeError, ValueError, OverflowError):
        return True
    return size == 0 or not math.isfinite(size) or LEAST <= size <= MOST
