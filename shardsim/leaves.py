"""Leaves of a config: what YAML's true and false are taken for.

Python counts with them as with 1 and 0, so that a number that was meant as a switch
would be read as a number.
"""

import typing
from collections.abc import Iterator, Mapping
from typing import Any

NUMBERS = {int, float}


def truths(hint: Any, data: Any, place: str) -> Iterator[str]:
    """Each true or false that stands for a number, as `place: got True`."""
    members = typing.get_args(hint)
    kinds = {hint, *members}
    if isinstance(data, bool) and kinds & NUMBERS and bool not in kinds:
        yield f"{place}: got {data!r}"
    inner: list[tuple[Any, Any]] = []
    if isinstance(data, Mapping):
        inner = list(data.items())
    elif isinstance(data, list | tuple):
        inner = list(enumerate(data))
    for key, each in inner:
        for member in members:
            yield from truths(member, each, f"{place}.{key}")
