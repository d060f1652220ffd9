"""Files that are records: dataclass trees written as JSON and read back into them.

A key in a file is the name of a field. JSON has no NaN and no infinity: a number that
is not finite is None in the record and null in the file.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np

from shardsim.core import config
from shardsim.storage import run_folder

T = TypeVar("T")

Number: TypeAlias = float | None
"""A finite number; None where there is none."""
SeedNumbers: TypeAlias = tuple[Number, ...]
"""One number for each seed, in the order of the seeds."""


def number(x: Any) -> Number:
    """A number as a record holds it: None where it is not finite."""
    return float(x) if x is not None and np.isfinite(x) else None


def numbers(x: Any) -> Any:
    """Nested numbers as tuples: None for each that is not finite."""
    if isinstance(x, np.ndarray):
        x = x.tolist()
    if isinstance(x, list | tuple):
        return tuple(numbers(each) for each in x)
    return x if isinstance(x, int) else number(x)


def write(path: Path, record: Any) -> None:
    """Write a record, or a list of records, as a JSON file: whole or not at all."""
    run_folder.write_json(path, config.to_dict(record))


def read(path: Path, cls: type[T]) -> T:
    """The record that a JSON file holds.

    Raises:
      RunError: the file is missing or is not JSON, or a field of it is missing,
        unknown or has another type.
    """
    return build(path, cls, run_folder.read_json(path))


def build(path: Path, cls: type[T], data: Any) -> T:
    """The record that the data of a file describe.

    Raises:
      RunError: as `read`; its text names the file and the field.
    """
    if not isinstance(data, dict):
        raise run_folder.RunError(f"{path}: got no fields; allowed: {cls.__name__}")
    try:
        record = config.build(cls, data)
    except config.ConfigError as error:
        raise run_folder.RunError(f"{path}: {error}") from None
    for field in _unknown(data, config.to_dict(record), ""):
        raise run_folder.RunError(f"{path}: {field}: unknown key")
    return record


def _unknown(data: Any, known: Any, place: str) -> Iterator[str]:
    """Dotted keys of the data that no record has."""
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(data, dict) and isinstance(known, dict):
        yield from (f"{place}{key}" for key in data if key not in known)
        pairs = [(key, data[key], known[key]) for key in data if key in known]
    elif isinstance(data, list) and isinstance(known, list):
        both = zip(data, known, strict=False)
        pairs = [(str(index), *each) for index, each in enumerate(both)]
    for key, got, own in pairs:
        yield from _unknown(got, own, f"{place}{key}.")


def append(path: Path, record: Any) -> None:
    """Add a record to a file of JSON lines."""
    run_folder.append_line(path, config.to_dict(record))


def lines(path: Path, cls: type[T]) -> Iterator[T]:
    """The records of a file of JSON lines whose kind is that of a class.

    A line that a crash left torn is skipped.

    Raises:
      RunError: a field of a line is missing, unknown or has another type.
    """
    kind = getattr(cls, "kind")  # noqa: B009
    for row in run_folder.read_lines(path):
        if row.get("kind") == kind:
            yield build(path, cls, row)
