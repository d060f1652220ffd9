"""Run folders: created, locked, opened, and cleared of what a run wrote.

What lies in one is in `run_layout`.
"""

import contextlib
import dataclasses
import errno
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from shardsim.core import files
from shardsim.storage import (
    checkpoint_files,
    file_list,
    json_lines,
    provenance,
    run_files,
)
from shardsim.storage.run_layout import (
    CELLS,
    CHECKPOINTS,
    COMMIT_FILE,
    CONFIG_FILE,
    FORMAT,
    FORMAT_FILE,
    LIST_FILE,
    PARTS,
    POOLS,
    RESERVED_NAMES,
)

try:
    import fcntl
except ImportError:  # not Unix
    fcntl = None  # type: ignore[assignment]


PARTIALS = (
    *("*", "figures/*", "weights/*", "snapshots/*/*"),
    *("weights/*/*/*", "states/*/*/*"),
)
"""Where runs and contests write."""


class BusyError(run_files.RunError):
    """Another process is at work in a run folder."""


def check_new(path: Path, overwrite: bool) -> None:
    """Check that a run folder can be created. Nothing is written or removed.

    An empty folder is as good as none. So is one that holds an unfinished file alone.

    Raises:
      RunError: as `create`.
    """
    try:
        is_empty = path.is_dir() and not any(map(_is_complete, path.iterdir()))
        files.check_new(path, overwrite or is_empty, folder=True)
    except OSError as error:
        reason = error.strerror
        raise run_files.RunError(
            f"out: got {path} ({reason}); allowed: a new folder"
        ) from None
    except files.PathError as error:
        raise run_files.RunError(str(error)) from None
    if not path.exists() or is_empty:
        return
    if not _is_marked(path):
        raise run_files.RunError(
            f"out: got {path}, which holds no run; allowed: a new folder, or one with "
            f"a {FORMAT_FILE}"
        )
    written = {*file_list.written(path), LIST_FILE, FORMAT_FILE}
    for name in RESERVED_NAMES:
        own = (path / name).is_dir() or name in written
        if os.path.lexists(path / name) and not own:
            raise _in_the_way(path, name)
    for folder in _checkpoints(path):
        if folder.name.isdigit():  # the new run may need a checkpoint of this name
            is_own = file_list.owns(folder)
            for file in checkpoint_files.foreign(folder) if is_own else [folder]:
                raise _in_the_way(path, file.relative_to(path).as_posix())


def _in_the_way(path: Path, name: str) -> run_files.RunError:
    return run_files.RunError(
        f"out: got {path}, whose {name} no run wrote; allowed: a new folder"
    )


def create(path: Path, config_yaml: str, overwrite: bool) -> Path:
    """Create a run folder with its config and provenance.

    Args:
      config_yaml: the resolved config.
      overwrite: whether the files of an existing run are deleted. Files that the run
        did not write stay.

    Raises:
      RunError: the folder exists and `overwrite` is False, or it is not a run, or
        another process is using it, or a file is in the way that no run wrote.
    """
    check_new(path, overwrite)
    try:
        if _is_marked(path):
            with lock(path):
                _clear(path)
        path.mkdir(parents=True, exist_ok=True)
        format_record = {"format": FORMAT, "version": provenance.version("shardsim")}
        run_files.write_json(path / FORMAT_FILE, format_record)
        run_files.write_text(path / CONFIG_FILE, config_yaml)
    except OSError as error:
        raise run_files.RunError(f"out: {path}: {error.strerror}") from None
    write_provenance(path)
    return path


def write_provenance(path: Path) -> None:
    """Write provenance.json, unless it exists.

    A resumed run calls this too, because it may have been killed before the first call.
    """
    if not (path / "provenance.json").exists():
        record = dataclasses.asdict(provenance.collect())
        run_files.write_json(path / "provenance.json", record)


def _is_marked(path: Path) -> bool:
    """Whether a folder has the mark of a run, of any format."""
    try:
        record = run_files.read_json(path / FORMAT_FILE)
    except run_files.RunError:
        return False
    return isinstance(record, dict) and type(record.get("format")) is int


def _clear(path: Path) -> None:
    """Delete the files that a run wrote, and folders that are empty without them.

    The folder itself stays: it may be a link, or the working directory.
    """
    remove_checkpoints(path)
    inside = (f"{PARTS}/*/*", f"{PARTS}/*", f"{CELLS}/*", f"{POOLS}/*")
    for folder in [each for pattern in inside for each in path.glob(pattern)]:
        delete(folder)
    owned = [path / name for name in file_list.written(path)]
    for file in owned:
        if file.is_file() or file.is_symlink():
            file.unlink()
    parents = {parent for file in owned for parent in file.parents}
    parents |= {path / name for name in RESERVED_NAMES}
    remove_empty(*(folder for folder in parents if path in folder.parents))
    # the list last, and the mark stays until a new one replaces it: so that a folder
    # that is deleted in part is still known as a run
    (path / LIST_FILE).unlink(missing_ok=True)


def delete(path: Path) -> None:
    """Delete a run, and its folder if nothing else is in it; no run: do nothing."""
    if path.is_dir() and not path.is_symlink() and _is_marked(path):
        with lock(path):
            _clear(path)
        (path / FORMAT_FILE).unlink(missing_ok=True)
        remove_empty(path)


def remove_checkpoints(path: Path) -> None:
    """Delete the checkpoints of a run, and folders that are empty without them.

    What the run did not write stays. It may be called again after it was interrupted.
    """
    for folder in _checkpoints(path):
        if file_list.owns(folder):
            checkpoint_files.remove(folder)
    remove_empty(*path.glob("checkpoints/*"), path / "checkpoints")


def remove_empty(*folders: Path) -> None:
    """Remove folders with nothing in them, the deepest first."""
    for folder in sorted(folders, key=lambda each: -len(each.parts)):
        if folder.is_dir() and not folder.is_symlink():
            with contextlib.suppress(OSError):  # something of the user's is in it
                folder.rmdir()


def _checkpoints(path: Path) -> list[Path]:
    """Folders of checkpoints in a run, whoever wrote them."""
    found = [each for pattern in CHECKPOINTS for each in path.glob(pattern)]
    return [each for each in found if each.is_dir() and not each.is_symlink()]


@contextlib.contextmanager
def lock(
    folder: Path,
    wait: float = 0.0,
    mark: str = FORMAT_FILE,
    shared: bool = False,
) -> Iterator[None]:
    """Lock a run folder against other processes, and delete incomplete files.

    Where the file system has no locks, a line on stderr says so.

    Args:
      wait: seconds to wait for the lock.
      mark: name of the file that is locked, the mark of the folder.
      shared: whether other processes may share it. Incomplete files then stay.

    Raises:
      BusyError: another process holds the lock.
      RunError: nothing can be written there.
    """
    try:
        file = (folder / mark).open("r+b")
    except OSError as error:
        raise run_files.RunError(
            f"{folder}: {error.strerror}; allowed: a run that can be written to"
        ) from None
    with file:
        if not _locked(file.fileno(), folder, time.monotonic() + wait, shared):
            print(
                f"shardsim: {folder}: there are no locks here; a second process in the "
                "folder would go unnoticed",
                file=sys.stderr,
            )
        for partial in () if shared else _partials(folder):
            partial.unlink(missing_ok=True)
        yield


def _locked(descriptor: int, folder: Path, until: float, shared: bool = False) -> bool:
    """Take the lock; False where the system or the file system has none.

    Args:
      until: time of the monotonic clock to which it is tried.
      shared: whether other processes may share it.
    """
    while fcntl is not None:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES):
                return False
            if time.monotonic() >= until:
                raise BusyError(
                    f"{folder}: another process is at work here; allowed: one at a time"
                ) from None
            time.sleep(0.2)
        else:
            return True
    return False


def _partials(folder: Path) -> Iterator[Path]:
    """What a killed process left: only where a run writes, never deeper."""
    for pattern in PARTIALS:
        for path in list(folder.glob(pattern)):
            if not _is_complete(path):
                yield path


def _is_complete(path: Path) -> bool:
    return not path.name.startswith(files.PARTIAL_PREFIX)


def adopt(path: Path, source: Path) -> None:
    """Move all files of another run into a run, in place of its own.

    The list of the run has them before they are there. A move that was stopped is
    finished by another call.
    """
    listed = json_lines.read(path / LIST_FILE)
    moved = file_list.written(source)
    for row in json_lines.read(source / LIST_FILE):
        if row.get("file") in moved and row not in listed:
            json_lines.append(path / LIST_FILE, row)
    for name in moved:
        if (source / name).exists():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(source / name, path / name)


def open_run(path: Path) -> Path:
    """Check that a folder is a run in the format of this version, and return it.

    Raises:
      RunError: it is not a run, or it has another format, or files of a longer run are
        being moved into it, or it is what a study trains for several of its cells.
    """
    pools = path.resolve().parent
    if pools.name == POOLS and (pools.parent / FORMAT_FILE).is_file():
        raise run_files.RunError(
            f"{path}: got what a study trains for several cells; allowed: the study, "
            f"{path.parent.parent}"
        )
    if (path / PARTS / COMMIT_FILE).exists():
        raise run_files.RunError(
            f"{path}: was stopped while its new seeds were put in place; allowed: "
            f"after shardsim resume {shlex.quote(str(path))}"
        )
    if not (path / CONFIG_FILE).is_file():
        raise run_files.RunError(
            f"{path}: no run here; allowed: a folder with {FORMAT_FILE} and "
            f"{CONFIG_FILE}{_suggestion(path)}"
        )
    check_format(path)
    return path


def _suggestion(path: Path) -> str:
    """The run that may have been meant: beside the path, or in `runs`."""
    if path.exists():
        return ""
    near = [
        mark.parent
        for folder in dict.fromkeys((path.parent, Path("runs")))
        for mark in sorted(folder.glob(f"*/{FORMAT_FILE}"))
    ]
    return files.suggestion(path, near)


def check_format(path: Path) -> None:
    """Check that a run folder has the format that this version reads and writes.

    Raises:
      RunError: the folder has another format or none, or its format file is damaged.
        The text names the version of shardsim that wrote the folder, if known.
    """
    allowed = f"format {FORMAT}, which shardsim {provenance.version('shardsim')} writes"
    format_file = path / FORMAT_FILE
    if not format_file.exists():
        raise run_files.RunError(
            f"{path}: got a run without a format number, written by shardsim "
            f"{_version_without_format(path)}; allowed: {allowed}"
        )
    record = run_files.read_json(format_file)
    fields = record if isinstance(record, dict) else {}
    number, version = fields.get("format"), fields.get("version")
    if type(number) is not int or not isinstance(version, str):
        raise run_files.RunError(
            f"{format_file}: damaged, holds no format number; allowed: {allowed}"
        )
    if number != FORMAT:
        raise run_files.RunError(
            f"{path}: got a run of format {number}, written by shardsim {version}; "
            f"allowed: {allowed}"
        )


def _version_without_format(path: Path) -> str:
    """The version in provenance.json; before 0.2.0 folders had no format file."""
    with contextlib.suppress(run_files.RunError, LookupError, TypeError):
        return str(
            run_files.read_json(path / "provenance.json")["versions"]["shardsim"]
        )
    return "of an unknown version"
