"""Files of a run: each is written completely or not at all, and put on its list."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shardsim.core import files, json_text
from shardsim.storage import file_list, json_lines
from shardsim.storage.run_layout import LIST_FILE


class RunError(files.PathError):
    """A run folder cannot be created or read. The text is one line for the user."""


def check_own(path: Path, overwrite: bool, *patterns: str) -> None:
    """Check that files which are about to be written again are as the run wrote them.

    Args:
      path: a run folder.
      overwrite: whether changed files may be replaced all the same.
      patterns: relative to the folder, e.g. "figures/*.svg".

    Raises:
      RunError: a file is not the run's, or was changed since. The text names it.
    """
    if overwrite or not (path / LIST_FILE).exists():
        return
    written = file_list.written(path)
    for file in (match for pattern in patterns for match in path.glob(pattern)):
        name = file.relative_to(path).as_posix()
        digests = written.get(name)
        if digests is None:
            raise RunError(
                f"{file}: exists, and the run did not write it; allowed: another name "
                "for it, or --overwrite"
            )
        if digests and hashlib.sha256(file.read_bytes()).hexdigest() not in digests:
            raise RunError(
                f"{file}: was changed since the run wrote it; allowed: another name "
                "for it, or --overwrite"
            )


def write_text(path: Path, text: str) -> None:
    """Write a text file of a run, completely or not at all."""
    file_list.add(path, text.encode())
    files.write_text(path, text)


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file, completely or not at all.

    Raises:
      ValueError: the data contain NaN or infinity, which JSON does not have.
    """
    write_text(path, json_text.dumps(data, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
      RunError: the file is missing or damaged, or contains NaN or infinity.
    """
    try:
        return json.loads(files.read_text(path), parse_constant=_refuse)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: no JSON ({error})") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")


def write_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], compressed: bool = False
) -> None:
    """Write an npz file of a run, completely or not at all."""
    file_list.add(path)
    save = np.savez_compressed if compressed else np.savez
    with files.replacing(path) as file:
        save(file, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of an npz file by name.

    Raises:
      RunError: the file is missing or damaged.
    """
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # a damaged file may raise anything
        raise RunError(f"{path}: damaged ({error})") from None


def write_lines(path: Path, text: str) -> None:
    """Write a whole JSON-lines file, to which a run may append."""
    file_list.add(path)
    files.write_text(path, text)


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Append a line to a JSON-lines file of a run; see `json_lines.append`."""
    file_list.add(path)
    json_lines.append(path, row)
