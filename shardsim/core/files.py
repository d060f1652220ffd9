"""Files that commands read and write: never over another file, whole or not at all.

Text is UTF-8 on every machine, with or without a byte order mark when it is read. New
files get the permissions that the user's umask leaves.
"""

import contextlib
import difflib
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

PARTIAL_PREFIX = ".shardsim-unfinished-"
"""Start of the names of files that are not complete yet."""
NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}
"""Errors of file systems that cannot write through to the disk."""


class PathError(ValueError):
    """A path that a command may not read or write. The text is one line."""


def check_new(
    path: Path | str, overwrite: bool = False, field: str = "out", folder: bool = False
) -> None:
    """Check that a file or folder can be written, and that nothing is lost by it.

    Every command and function that writes asks here first, before it computes anything.

    Args:
      path: the file or folder; folders above it may be missing.
      overwrite: whether an existing file (folder) may be replaced.
      field: the option that named it, for the error; "path" is that of a function.
      folder: whether it will be a folder.

    Raises:
      PathError: it exists and `overwrite` is False, it is a folder in the place of a
        file or the reverse, its name is not possible, or its folder cannot be written.
    """
    path, kind = Path(path), "folder" if folder else "file"
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        _check_parent(path, field, kind)
        return
    except (OSError, ValueError) as error:  # too long, below a file, NUL or no UTF-8
        reason = getattr(error, "strerror", None) or str(error)
        raise PathError(
            f"{field}: got {path} ({reason}); allowed: a new {kind}"
        ) from None
    if stat.S_ISLNK(mode) and path.exists():
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode) and not folder:
        raise PathError(f"{field}: got {path}, a folder; allowed: a file")
    if not overwrite:
        option = "overwrite=True" if field == "path" else "--overwrite"
        raise PathError(
            f"{field}: got {path}, which exists; allowed: a new {kind}, or {option}"
        )
    is_allowed = stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)
    if not (is_allowed or stat.S_ISLNK(mode)):
        raise PathError(f"{field}: got {path}, no {kind}; allowed: a {kind}")
    _check_parent(Path(os.path.realpath(path)), field, kind)


def _check_parent(path: Path, field: str, kind: str) -> None:
    """Refuse a path in whose nearest existing folder nothing can be written."""
    parents = (parent for parent in path.absolute().parents if parent.exists())
    parent = next(parents, Path(path.anchor or "."))
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise PathError(
            f"{field}: got {path}; allowed: a {kind} in a folder that can be written to"
        )


def suggestion(path: Path, candidates: Iterable[Path] | None = None) -> str:
    """` (did you mean ...?)`, where a file that is not there has a near neighbour.

    Args:
      candidates: what may have been meant; None: all in its folder.
    """
    names: dict[str, Path] = {}
    with contextlib.suppress(OSError, ValueError):
        found = path.parent.iterdir() if candidates is None else candidates
        names = {each.name: each for each in found}
    near = difflib.get_close_matches(path.name, names, n=1)
    return f" (did you mean {names[near[0]]}?)" if near else ""


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark.

    Raises:
      OSError: it cannot be read.
      UnicodeDecodeError: it is not UTF-8.
    """
    return path.read_text(encoding="utf-8-sig")


def write_text(path: Path, text: str) -> None:
    """Write a text file, completely or not at all: a full disk keeps the old file."""
    with replacing(path) as file:
        file.write(text.encode())


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` if the block succeeds.

    Otherwise nothing is left of it, whatever ends the block. A symbolic link stays a
    link; the file that it names is replaced.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{PARTIAL_PREFIX}{secrets.token_hex(8)}")
    try:
        with partial.open("xb+") as file:
            yield file
            file.flush()
            sync(file)
        os.replace(partial, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(partial)):
            error.filename, error.filename2 = str(path), None
        raise


def sync(file: IO[bytes]) -> None:
    """Write a file through to the disk, where the file system can."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
