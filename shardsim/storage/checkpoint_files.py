"""Which files of a checkpoint's folder orbax wrote, and how these alone are removed.

Orbax names files by their content, so they cannot be listed before they are written. A
run lists the folder of each checkpoint instead, and in it these names are the run's.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

OWN = re.compile(
    r"(default(\.orbax-checkpoint-tmp[^/]*)?/)?"
    r"(ocdbt\.process_\d+/)?"
    r"(_CHECKPOINT_METADATA|_METADATA|_sharding|commit_success\.txt|manifest\.ocdbt"
    r"|array_metadatas/process_\d+|d/[0-9a-f]{32})"
    r"(\.__lock)?"
)
"""Paths of orbax's files, relative to the folder of a checkpoint."""
COMPLETE = "_CHECKPOINT_METADATA"
"""A checkpoint that is complete has this file."""
TORN = ".orbax-checkpoint-tmp"
"""Part of the name of a folder that is not complete yet."""


def is_checkpoint(path: Path) -> bool:
    """Whether a folder is a checkpoint, a torn or refused one, or half of one."""
    if not path.is_dir() or path.is_symlink():
        return False
    return TORN in path.name or (path / COMPLETE).is_file()


def foreign(path: Path) -> Iterator[Path]:
    """Files and links in the folder of a checkpoint that orbax did not write."""
    for file in _files(path):
        if file.is_symlink() or not OWN.fullmatch(file.relative_to(path).as_posix()):
            yield file


def remove(path: Path) -> None:
    """Remove orbax's files of a checkpoint, and folders that are empty without them.

    Nothing else is removed: a file of the user's stays where it is.
    """
    others = set(foreign(path))
    for file in _files(path):
        if file not in others:
            file.unlink()
    folders = [each for each in path.rglob("*") if each.is_dir()]
    for folder in [*sorted(folders, key=lambda each: -len(each.parts)), path]:
        with contextlib.suppress(OSError):  # something is left in it, or it is a link
            folder.rmdir()


def _files(path: Path) -> list[Path]:
    """Everything in a folder that is no folder itself; links are not followed."""
    return [each for each in path.rglob("*") if each.is_symlink() or not each.is_dir()]
