"""Folders that one command makes and continues, such as those of zoos and contests.

A mark names the format and a digest of what the contents depend on. It never changes,
so that it can be locked. Beside it written.json has the digests of the texts that were
written last: a text that was changed since is not replaced.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from shardsim.core import files
from shardsim.storage import run_files, run_folder

WRITTEN = "written.json"


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


@contextlib.contextmanager
def opened(
    kind: Kind,
    folder: Path,
    digest: str,
    overwrite: bool = False,
    shared: bool = False,
) -> Iterator[None]:
    """Create a folder, or continue one of the same contents, locked during the block.

    Args: `check`, and
      shared: whether other processes that share it may be at work there.

    Raises: `check`, and
      BusyError: another process is at work there.
    """
    check(kind, folder, digest, overwrite)
    if not (folder / kind.mark).exists():
        mark = {"format": kind.format, "digest": digest}
        run_files.write_json(folder / kind.mark, mark)
    with run_folder.lock(folder, mark=kind.mark, shared=shared):
        yield


def _is_complete(path: Path) -> bool:
    return not path.name.startswith(files.PARTIAL_PREFIX)


def _check_same(kind: Kind, folder: Path, digest: str) -> None:
    mark = _fields(folder / kind.mark)
    if mark.get("format") != kind.format:
        raise run_files.RunError(
            f"out: got {folder}, a {kind.noun} of format {mark.get('format')}; "
            f"allowed: format {kind.format}, or a new folder"
        )
    if mark.get("digest") != digest:
        raise run_files.RunError(
            f"out: got {folder}, a {kind.noun} of other {kind.contents}; allowed: a "
            f"new folder, or the same config with {kind.may_change}"
        )


def _check_own(kind: Kind, folder: Path, name: str, overwrite: bool) -> None:
    """Refuse to replace a file that was changed since the command wrote it."""
    path = folder / name
    if overwrite or not path.exists():
        return
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != _written(folder).get(name):
        raise run_files.RunError(
            f"{path}: was changed since the {kind.noun} wrote it; allowed: another "
            "name for it, or --overwrite"
        )


def _written(folder: Path) -> dict[str, Any]:
    """Digest of each text that was written last, by name."""
    return _fields(folder / WRITTEN) if (folder / WRITTEN).exists() else {}


def _fields(path: Path) -> dict[str, Any]:
    fields = run_files.read_json(path)
    if not isinstance(fields, dict):
        raise run_files.RunError(f"{path}: got no fields; allowed: as it was written")
    return fields


def save_text(folder: Path, name: str, text: str) -> None:
    """Write a text as a whole, and its digest, so that a later one may replace it."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    # in this order: a kill between the two leaves a file that is refused, not lost
    files.write_text(folder / name, text)
    run_files.write_json(folder / WRITTEN, {**_written(folder), name: digest})
