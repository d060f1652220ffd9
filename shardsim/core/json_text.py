"""JSON text of records, of NumPy and of JAX: one way for every file that holds JSON."""

import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """The value in what JSON has: dictionaries, lists, texts, numbers, true, null.

    Arrays of NumPy and JAX become lists and their numbers Python's. A record becomes a
    dictionary of its fields, a member of an enumeration its value. Whole numbers stay
    exact, whatever their size.

    Raises:
      TypeError: a value that JSON has no form for.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return plain(value.value)
    for kind in (str, int, float):  # some of NumPy's numbers are Python's as well
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Mapping):
        return {_key(key): plain(inner) for key, inner in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        if array.dtype.kind in "biufU":
            return array.tolist()
        if array.dtype.kind == "V" and not array.dtype.names:  # bfloat16 and its like
            return array.astype(np.float32).tolist()
    raise TypeError(f"{value!r} is {type(value).__name__}, which JSON does not have")


def _key(key: Any) -> Any:
    return key.item() if isinstance(key, np.generic) else key


def dumps(value: Any, **options: Any) -> str:
    """The JSON text of a value.

    Args:
      options: of `json.dumps`.

    Raises:
      TypeError: a value that JSON has no form for.
    """
    return json.dumps(plain(value), **options)
