"""Run folders: all inputs and outputs of a run, and safe ways to write them.

shardsim_run.json  the mark of a run: number of the format, and who wrote it
run_files.jsonl    names of the files that the run wrote; no other is ever removed
config.yaml        the resolved config, from which the run can be repeated
provenance.json    versions, devices, flags, source revision
preregistration.json  the questions when training started, with time and revision
metrics.jsonl      one line for each chunk and arm, written during training
metrics.npz        the same as arrays, written at the end
trained.json       the mark of a training that is over
checkpoints/ARM/   training state (orbax), the newest two
snapshots/ARM/     UPDATE.npz: E, D and V at log-spaced updates, by dotted name
weights/ARM.npz    E, D and V at the end, by dotted name
results.json       every number of the report
maps.npz, .json    V, policy, gates and shard values on the boards that the report draws
report.html, figures/
timing.json        wall time; in a file of its own, because all else is reproducible
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shardsim.core import files, json_text
from shardsim.storage import provenance

try:
    import fcntl
except ImportError:  # not Unix
    fcntl = None  # type: ignore[assignment]

FORMAT = 2
"""Version of the format of run folders: the names and fields of their files."""
FORMAT_FILE = "shardsim_run.json"
"""The mark of a run: the format of the folder and the version that wrote it."""
LIST_FILE = "run_files.jsonl"
"""One line for each file that the run wrote: `file`, and of a text its `sha256`."""
CONFIG_FILE = "config.yaml"
"""The resolved config."""
COMMIT_FILE = "commit.json"
"""The mark, in the folder of parts, that files of a longer run are being moved."""
PARTS = "parts"
"""Folder of the run folders of parts of a run, while it is trained in parts."""

RESERVED_NAMES = (
    *(PARTS, "checkpoints", CONFIG_FILE, "figures", "maps.json", "maps.npz"),
    *("metrics.jsonl", "metrics.npz", "preregistration.json", "provenance.json"),
    *("report.html", "results.json", LIST_FILE, FORMAT_FILE, "snapshots"),
    *("timing.json", "trained.json", "weights"),
)
"""Names of files and folders of a run, which other outputs must not overwrite."""
REWRITTEN = (
    *("maps.json", "maps.npz", "metrics.npz", "report.html", "results.json"),
    *("timing.json", "figures/*.svg", "weights/*.npz"),
)
"""Patterns of the files that a run writes when its training is over."""
CHECKPOINTS = ("checkpoints/*/*", "checkpoints/*.refused")
"""Patterns of checkpoints, which are folders that come and go."""


class RunError(files.PathError):
    """A run folder cannot be created or read. The text is one line for the user."""


class BusyError(RunError):
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
        raise RunError(f"out: got {path} ({reason}); allowed: a new folder") from None
    except files.PathError as error:
        raise RunError(str(error)) from None
    if not path.exists() or is_empty:
        return
    if not _is_marked(path):
        raise RunError(
            f"out: got {path}, which holds no run; allowed: a new folder, or one with "
            f"a {FORMAT_FILE}"
        )
    written = {*_written(path), LIST_FILE, FORMAT_FILE}
    for name in RESERVED_NAMES:
        own = (path / name).is_dir() or name in written
        if os.path.lexists(path / name) and not own:
            raise RunError(
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
        write_json(path / FORMAT_FILE, format_record)
        write_text(path / CONFIG_FILE, config_yaml)
    except OSError as error:
        raise RunError(f"out: {path}: {error.strerror}") from None
    write_provenance(path)
    return path


def write_provenance(path: Path) -> None:
    """Write provenance.json, unless it exists.

    A resumed run calls this too, because it may have been killed before the first call.
    """
    if not (path / "provenance.json").exists():
        record = dataclasses.asdict(provenance.collect())
        write_json(path / "provenance.json", record)


def _is_marked(path: Path) -> bool:
    """Whether a folder has the mark of a run, of any format."""
    try:
        record = read_json(path / FORMAT_FILE)
    except RunError:
        return False
    return isinstance(record, dict) and type(record.get("format")) is int


def _clear(path: Path) -> None:
    """Delete the files that a run wrote, and folders that are empty without them.

    The folder itself stays: it may be a link, or the working directory.
    """
    delete_checkpoints(path)
    for part in (*path.glob(f"{PARTS}/*/*"), *path.glob(f"{PARTS}/*")):
        delete(part)
    owned = [path / name for name in _written(path)]
    for file in owned:
        if file.is_file() or file.is_symlink():
            file.unlink()
    parents = {parent for file in owned for parent in file.parents}
    parents |= {*path.glob("checkpoints/*"), *(path / name for name in RESERVED_NAMES)}
    remove_empty(*(folder for folder in parents if path in folder.parents))
    # the list last, and the mark stays until a new one replaces it: so that a folder
    # that is deleted in part is still known as a run
    (path / LIST_FILE).unlink(missing_ok=True)


def delete_checkpoints(path: Path) -> None:
    """Delete the checkpoints of a run, and no other folder beside them."""
    for pattern in CHECKPOINTS:
        for folder in list(path.glob(pattern)):
            if _is_checkpoint(folder):
                shutil.rmtree(folder)
    arms = list(path.glob("checkpoints/*"))
    remove_empty(*arms, path / "checkpoints")


def delete(path: Path) -> None:
    """Delete a run, and its folder if nothing else is in it; no run: do nothing."""
    if path.is_dir() and not path.is_symlink() and _is_marked(path):
        with lock(path):
            _clear(path)
        (path / FORMAT_FILE).unlink(missing_ok=True)
        remove_empty(path)


def remove_empty(*folders: Path) -> None:
    """Remove folders with nothing in them, the deepest first."""
    for folder in sorted(folders, key=lambda each: -len(each.parts)):
        if folder.is_dir() and not folder.is_symlink():
            with contextlib.suppress(OSError):  # something of the user's is in it
                folder.rmdir()


def _is_checkpoint(path: Path) -> bool:
    """Whether a folder is a checkpoint, a torn or refused one, or half of one."""
    if not path.is_dir() or path.is_symlink():
        return False
    is_torn = ".orbax-checkpoint-tmp" in path.name
    return is_torn or (path / "_CHECKPOINT_METADATA").is_file()


def _written(path: Path) -> dict[str, set[str]]:
    """The files that a run wrote, and the digests of their texts."""
    written: dict[str, set[str]] = {}
    for row in read_lines(path / LIST_FILE):
        name, digest = row.get("file"), row.get("sha256")
        if not isinstance(name, str) or ".." in Path(name).parts or name[:1] == "/":
            continue
        written.setdefault(name, set()).update([digest] if digest else [])
    return written


def _own(path: Path, text: bytes | None = None) -> None:
    """Add a file to the list of the run that it belongs to, if it is in one.

    It is listed before it is written, so that none is ever missing.

    Args:
      text: what will be written, if it is a text as a whole.
    """
    for root in path.parents[:3]:
        if path.name not in (LIST_FILE, FORMAT_FILE) and _has_list(root):
            name = path.relative_to(root).as_posix()
            digest = [] if text is None else [hashlib.sha256(text).hexdigest()]
            written = _written(root)
            if name not in written or not written[name].issuperset(digest):
                row = {"file": name} | ({"sha256": digest[0]} if digest else {})
                _append(root / LIST_FILE, row)
            return


def _has_list(root: Path) -> bool:
    """Whether a folder is a run with a list; at its start it has only the mark."""
    if not (root / FORMAT_FILE).is_file():
        return False
    return (root / LIST_FILE).is_file() or not (root / CONFIG_FILE).exists()


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
    written = _written(path)
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


@contextlib.contextmanager
def lock(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Lock a run folder against other processes, and delete incomplete files.

    Where the file system has no locks, a line on stderr says so.

    Args:
      wait: seconds to wait for the lock.

    Raises:
      BusyError: another process holds the lock.
      RunError: nothing can be written there.
    """
    try:
        file = (folder / FORMAT_FILE).open("r+b")
    except OSError as error:
        raise RunError(
            f"{folder}: {error.strerror}; allowed: a run that can be written to"
        ) from None
    with file:
        if not _locked(file.fileno(), folder, time.monotonic() + wait):
            print(
                f"shardsim: {folder}: there are no locks here; a second process in the "
                "folder would go unnoticed",
                file=sys.stderr,
            )
        for partial in _partials(folder):
            partial.unlink(missing_ok=True)
        yield


def _locked(descriptor: int, folder: Path, until: float) -> bool:
    """Take the lock; False where the system or the file system has none.

    Args:
      until: time of the monotonic clock to which it is tried.
    """
    while fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
    for pattern in ("*", "figures/*", "weights/*", "snapshots/*/*"):
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
    listed = read_lines(path / LIST_FILE)
    moved = _written(source)
    for row in read_lines(source / LIST_FILE):
        if row.get("file") in moved and row not in listed:
            _append(path / LIST_FILE, row)
    for name in moved:
        if (source / name).exists():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(source / name, path / name)


def open_run(path: Path) -> Path:
    """Check that a folder is a run in the format of this version, and return it.

    Raises:
      RunError: it is not a run, or it has another format, or files of a longer run are
        being moved into it.
    """
    if (path / PARTS / COMMIT_FILE).exists():
        raise RunError(
            f"{path}: was stopped while its new seeds were put in place; allowed: "
            f"after shardsim resume {shlex.quote(str(path))}"
        )
    if not (path / CONFIG_FILE).is_file():
        raise RunError(
            f"{path}: no run here; allowed: a folder with {FORMAT_FILE} and "
            f"{CONFIG_FILE}"
        )
    check_format(path)
    return path


def check_format(path: Path) -> None:
    """Check that a run folder has the format that this version reads and writes.

    Raises:
      RunError: the folder has another format or none, or its format file is damaged.
        The text names the version of shardsim that wrote the folder, if known.
    """
    allowed = f"format {FORMAT}, which shardsim {provenance.version('shardsim')} writes"
    format_file = path / FORMAT_FILE
    if not format_file.exists():
        raise RunError(
            f"{path}: got a run without a format number, written by shardsim "
            f"{_version_without_format(path)}; allowed: {allowed}"
        )
    record = read_json(format_file)
    fields = record if isinstance(record, dict) else {}
    number, version = fields.get("format"), fields.get("version")
    if type(number) is not int or not isinstance(version, str):
        raise RunError(
            f"{format_file}: damaged, holds no format number; allowed: {allowed}"
        )
    if number != FORMAT:
        raise RunError(
            f"{path}: got a run of format {number}, written by shardsim {version}; "
            f"allowed: {allowed}"
        )


def _version_without_format(path: Path) -> str:
    """The version in provenance.json; before 0.2.0 folders had no format file."""
    with contextlib.suppress(RunError, LookupError, TypeError):
        return str(read_json(path / "provenance.json")["versions"]["shardsim"])
    return "of an unknown version"


def write_text(path: Path, text: str) -> None:
    """Write a text file of a run, completely or not at all."""
    _own(path, text.encode())
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


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an npz file of a run, completely or not at all."""
    _own(path)
    with files.replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


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


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Append a line to a JSON-lines file; after an incomplete line, start a new one."""
    _own(path)
    _append(path, row)


def _append(path: Path, row: Mapping[str, Any]) -> None:
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


def write_lines(path: Path, text: str) -> None:
    """Write a whole JSON-lines file, to which a run may append."""
    _own(path)
    files.write_text(path, text)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All complete lines of a JSON-lines file; none if there is no file."""
    return _rows(_text(path)) if path.exists() else []


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


def new_lines(path: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """The complete lines of a JSON-lines file from an offset on, and where they end.

    Raises:
      OSError: it cannot be read.
    """
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    return _rows(whole.decode(errors="replace")), offset + len(whole)


def keep_lines(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Delete the lines of a JSON-lines file for which `keep` is False.

    Incomplete lines are deleted as well.
    """
    rows = [row for row in read_lines(path) if keep(row)]
    text = "".join(json_text.dumps(row) + "\n" for row in rows)
    if path.exists() and _text(path) != text:
        files.write_text(path, text)


def _text(path: Path) -> str:
    """The text of a file that may contain an incomplete character."""
    return path.read_text(encoding="utf-8", errors="replace")
