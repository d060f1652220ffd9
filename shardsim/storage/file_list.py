"""The list of the files that a run wrote: nothing else is ever replaced or removed.

It lies in the run folder as `run_files.jsonl`.
"""

import hashlib
from pathlib import Path

from shardsim.storage import checkpoint_files, json_lines
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


def wrote(path: Path, file: Path) -> bool:
    """Whether a run wrote a file in its folder."""
    return file.relative_to(path).as_posix() in written(path)


def add(path: Path, text: bytes | None = None) -> None:
    """Add a file to the list of the run that it belongs to, if it is in one.

    A checkpoint is added as one, by its folder. It is listed before it is written, so
    that none is ever missing.

    Args:
      text: what will be written, if it is a text as a whole.
    """
    root = _root(path)
    if root is None or path.name in (LIST_FILE, FORMAT_FILE):
        return
    name = path.relative_to(root).as_posix()
    digest = [] if text is None else [hashlib.sha256(text).hexdigest()]
    listed = written(root)
    if name not in listed or not listed[name].issuperset(digest):
        row = {"file": name} | ({"sha256": digest[0]} if digest else {})
        json_lines.append(root / LIST_FILE, row)


def owns(checkpoint: Path) -> bool:
    """Whether the folder of a checkpoint may be removed: a run lists it, or none could.

    Args:
      checkpoint: folder of a complete, torn or refused checkpoint.
    """
    listed = checkpoint.with_name(checkpoint.name.split(checkpoint_files.TORN)[0])
    root = _root(listed)
    return root is None or listed.relative_to(root).as_posix() in written(root)


def _root(path: Path) -> Path | None:
    """The run that a file or the folder of a checkpoint belongs to, if any."""
    return next((root for root in path.parents[:3] if _has_list(root)), None)


def _has_list(root: Path) -> bool:
    """Whether a folder is a run with a list; at its start it has only the mark."""
    if not (root / FORMAT_FILE).is_file():
        return False
    return (root / LIST_FILE).is_file() or not (root / CONFIG_FILE).exists()
