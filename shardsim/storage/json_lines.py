"""JSON lines: one record a line, of which a crash can tear only the last.

Lines that are incomplete are no records. A new line after one starts afresh.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shardsim.core import files, json_text


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line at the end, on disk when this returns.

    Raises:
      OSError: with the name of the file.
    """
    line = json_text.dumps(row) + "\n"
    try:
        with path.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(line.encode())
            file.flush()
            files.sync(file)  # on disk before a checkpoint that relies on it
    except OSError as error:  # the error of a full disk does not name the file
        error.filename = str(path)
        raise


def read(path: Path) -> list[dict[str, Any]]:
    """All complete lines of a JSON-lines file; none if there is no file."""
    return _rows(_text(path)) if path.exists() else []


def read_from(path: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """The complete lines from an offset on, and the offset behind them.

    Raises:
      OSError: it cannot be read.
    """
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    return _rows(whole.decode(errors="replace")), offset + len(whole)


def _rows(text: str) -> list[dict[str, Any]]:
    """The lines of a text that are JSON objects."""
    rows = []
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def keep_if(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Delete the lines of a JSON-lines file for which `keep` is False.

    Incomplete lines are deleted as well.
    """
    rows = [row for row in read(path) if keep(row)]
    text = "".join(json_text.dumps(row) + "\n" for row in rows)
    if path.exists() and _text(path) != text:
        files.write_text(path, text)


def _text(path: Path) -> str:
    """The text of a file that may contain an incomplete character."""
    return path.read_text(encoding="utf-8", errors="replace")
