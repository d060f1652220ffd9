"""Records of `fields.record`, written as JSON and read back.

What is read is what was written, field by field and type by type, or it is refused.
The keys in a file are the names of the fields. JSON has no NaN and no infinity: a
number that is not finite is None in the record and null in the file.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np

from shardsim.core import config
from shardsim.storage import json_lines, run_files

T = TypeVar("T")

Number: TypeAlias = float | None
"""A finite number, or None."""
SeedNumbers: TypeAlias = tuple[Number, ...]
"""[N] one number for each seed, in the order of the seeds."""


def number(x: Any) -> Number:
    """Convert a number for a record: None if it is None or not finite."""
    return float(x) if x is not None and np.isfinite(x) else None


def numbers(x: Any) -> Any:
    """Convert nested numbers to tuples, with None for numbers that are not finite."""
    if isinstance(x, np.ndarray):
        x = x.tolist()
    if isinstance(x, list | tuple):
        return tuple(numbers(item) for item in x)
    return x if isinstance(x, int) else number(x)


def write(path: Path, record: Any) -> None:
    """Write a record or a list of records as JSON, completely or not at all."""
    run_files.write_json(path, config.to_dict(record))


def read(path: Path, cls: type[T]) -> T:
    """Read a record from a JSON file.

    Raises:
      RunError: the file is missing or is not JSON, or a field of it is missing,
        unknown or has another type.
    """
    return build(path, cls, run_files.read_json(path))


def build(path: Path, cls: type[T], data: Any) -> T:
    """Build a record from the data of a file.

    Args:
      path: named in error texts.

    Raises:
      RunError: a field is missing, unknown or has another type; the text names the
        file and the field.
    """
    if not isinstance(data, dict):
        raise run_files.RunError(f"{path}: got no fields; allowed: {cls.__name__}")
    try:
        return config.build(cls, data)
    except config.ConfigError as error:
        first, *others = str(error).splitlines()
        more = f" (and {len(others)} more)" if others else ""
        raise run_files.RunError(f"{path}: {first}{more}") from None


def append(path: Path, record: Any) -> None:
    """Append a record to a JSON-lines file."""
    run_files.append_line(path, config.to_dict(record))


def lines(path: Path, cls: type[T]) -> Iterator[T]:
    """The records of one class in a JSON-lines file, in order.

    A line belongs to the class if it has the same `kind`. Incomplete lines, which a
    crash may leave, are skipped.

    Raises:
      RunError: a field of a line is missing, unknown or has another type.
    """
    kind = getattr(cls, "kind")  # noqa: B009
    for row in json_lines.read(path):
        if row.get("kind") == kind:
            yield build(path, cls, row)
