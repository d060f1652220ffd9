"""The list of the files that a run wrote: nothing else is ever replaced or removed.

It lies in the run folder as `run_files.jsonl`.
"""

import hashlib
from pathlib import Path

from shardsim.storage import json_lines
from shardsim.storage.run_layout import CONFIG_FILE, FORMAT_FILE, LIST_FILE


def written(path: Path) -> dict[str, set[str]]:
    """The files that a run wrote, and the digests of their texts."""
    digests: dict[str, set[str]] = {}
    for row in json_lines.read(path / LIST_FILE):
        name, digest = row.get("file"), row.get("sha256")
        if not isinstance(name, str) or ".." in Path(name).parts or name[:1] == "/":
            continue
        digests.setdefault(name, set()).update([digest] if digest else [])
    return digests


def add(path: Path, text: bytes | None = None) -> None:
    """Add a file to the list of the run that it belongs to, if it is in one.

    It is listed before it is written, so that none is ever missing.

    Args:
      text: what will be written, if it is a text as a whole.
    """
    for root in path.parents[:3]:
        if path.name not in (LIST_FILE, FORMAT_FILE) and _has_list(root):
            name = path.relative_to(root).as_posix()
            digest = [] if text is None else [hashlib.sha256(text).hexdigest()]
            listed = written(root)
            if name not in listed or not listed[name].issuperset(digest):
                row = {"file": name} | ({"sha256": digest[0]} if digest else {})
                json_lines.append(root / LIST_FILE, row)
            return


def _has_list(root: Path) -> bool:
    """Whether a folder is a run with a list; at its start it has only the mark."""
    if not (root / FORMAT_FILE).is_file():
        return False
    return (root / LIST_FILE).is_file() or not (root / CONFIG_FILE).exists()
