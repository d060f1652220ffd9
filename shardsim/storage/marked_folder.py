"""Folders that one command makes and continues, such as those of zoos and contests.

A mark names the format, a digest of what the contents depend on, and the texts that
were written last. A text that was changed since is not replaced.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from shardsim.core import files
from shardsim.storage import run_files


class Kind(NamedTuple):
    """What lies in the folders of a command."""

    noun: str
    """What it is called in error texts, e.g. "zoo"."""
    mark: str
    """Name of the mark, a JSON file."""
    format: int
    """Number of the format."""
    contents: str
    """What the digest is of, in error texts, e.g. "members"."""
    may_change: str
    """What may change when a folder is continued, in error texts."""
    texts: tuple[str, ...]
    """Names of the texts that are written again when a folder is continued."""


def check(kind: Kind, folder: Path, digest: str, overwrite: bool = False) -> None:
    """Check that a folder is new, or can be continued. Nothing is written.

    Args:
      digest: of what the contents depend on.
      overwrite: whether texts that were changed may be replaced.

    Raises:
      RunError: something else is there, or other contents, or a text was changed.
      PathError: the folder cannot be written.
    """
    if not folder.exists():
        files.check_new(folder, field="out", folder=True)
    elif not (folder / kind.mark).is_file():
        if not folder.is_dir() or any(map(_is_complete, folder.iterdir())):
            raise run_files.RunError(
                f"out: got {folder}, which is no {kind.noun}; allowed: a new folder, "
                f"or the folder of a {kind.noun} to continue"
            )
    else:
        _check_same(kind, folder, digest)
        for name in kind.texts:
            _check_own(kind, folder, name, overwrite)


def begin(kind: Kind, folder: Path, digest: str, overwrite: bool = False) -> None:
    """Create a folder, or continue one of the same contents. Args, Raises: `check`."""
    check(kind, folder, digest, overwrite)
    if not (folder / kind.mark).exists():
        mark = {"format": kind.format, "digest": digest, "written": {}}
        run_files.write_json(folder / kind.mark, mark)


def _is_complete(path: Path) -> bool:
    return not path.name.startswith(files.PARTIAL_PREFIX)


def _check_same(kind: Kind, folder: Path, digest: str) -> None:
    found = _mark(kind, folder)
    if found.get("format") != kind.format:
        raise run_files.RunError(
            f"out: got {folder}, a {kind.noun} of format {found.get('format')}; "
            f"allowed: format {kind.format}, or a new folder"
        )
    if found.get("digest") != digest:
        raise run_files.RunError(
            f"out: got {folder}, a {kind.noun} of other {kind.contents}; allowed: a "
            f"new folder, or the same config with {kind.may_change}"
        )


def _check_own(kind: Kind, folder: Path, name: str, overwrite: bool) -> None:
    """Refuse to replace a file that was changed since the command wrote it."""
    path = folder / name
    if overwrite or not path.exists():
        return
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _mark(kind, folder).get("written", {}).get(name):
        raise run_files.RunError(
            f"{path}: was changed since the {kind.noun} wrote it; allowed: another "
            "name for it, or --overwrite"
        )


def _mark(kind: Kind, folder: Path) -> dict[str, Any]:
    found = run_files.read_json(folder / kind.mark)
    if not isinstance(found, dict):
        raise run_files.RunError(
            f"{folder / kind.mark}: got no fields; allowed: a mark"
        )
    return found


def save_text(kind: Kind, folder: Path, name: str, text: str) -> None:
    """Write a text as a whole, and keep its digest in the mark."""
    found = _mark(kind, folder)
    written = hashlib.sha256(text.encode()).hexdigest()
    found["written"] = {**found.get("written", {}), name: written}
    # in this order: a kill between the two leaves a file that is refused, not lost
    files.write_text(folder / name, text)
    run_files.write_json(folder / kind.mark, found)
