"""Run folders: all inputs and outputs of a run, and safe ways to write them.

shardsim_run.json  number of the format, and the version of shardsim that wrote it
config.yaml        the resolved config, from which the run can be repeated
provenance.json    versions, devices, flags, source revision
metrics.jsonl      one line for each chunk and arm, written during training
metrics.npz        the same as arrays, written at the end
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
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from shardsim.core import json_text
from shardsim.storage import provenance

try:
    import fcntl
except ImportError:  # not Unix: a second process in the folder is not detected
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
"""Version of the format of run folders: the names and fields of their files."""
FORMAT_FILE = "shardsim_run.json"
"""The file with the format of the folder and the version of shardsim that wrote it."""
CONFIG_FILE = "config.yaml"
"""The file that marks a folder as a run."""
PARTIAL_PREFIX = ".half-"
"""Prefix of the names of files that are not complete yet."""

RESERVED_NAMES = (
    *("checkpoints", "config.yaml", "figures", "maps.json", "maps.npz"),
    *("metrics.jsonl", "metrics.npz", "provenance.json", "report.html"),
    *("results.json", FORMAT_FILE, "snapshots", "timing.json", "weights"),
)
"""Names of files and folders of a run, which other outputs must not overwrite."""


class RunError(ValueError):
    """A run folder cannot be created or read. The text is one line for the user."""


def create(path: Path, config_yaml: str, overwrite: bool) -> Path:
    """Create a run folder with its config and provenance.

    Args:
      config_yaml: the resolved config.
      overwrite: whether an existing run is deleted.

    Raises:
      RunError: the folder exists and `overwrite` is False, or it is not a run, or
        another process is using it.
    """
    try:
        if path.exists() and (
            not path.is_dir() or any(map(_is_complete, path.iterdir()))
        ):
            _clear(path, overwrite)
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


def _clear(path: Path, overwrite: bool) -> None:
    """Delete the contents of a run folder.

    The folder itself stays: it may be a link, or the working directory.
    """
    if not overwrite:
        raise RunError(f"out: {path} exists; allowed: a new folder, or --overwrite")
    marks = (FORMAT_FILE, CONFIG_FILE)
    if not any((path / mark).is_file() for mark in marks):
        raise RunError(f"out: {path} holds no run; allowed: a folder of a run")
    # a run that was killed at the start may have no config file to lock
    locked = lock(path) if (path / CONFIG_FILE).is_file() else contextlib.nullcontext()
    with locked:
        # the marks last, so that a partly deleted folder is still known as a run
        for item in sorted(path.iterdir(), key=lambda item: item.name in marks):
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink()


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock a run folder against other processes, and delete incomplete files.

    Raises:
      RunError: another process holds the lock.
    """
    with (folder / CONFIG_FILE).open("r+") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    f"{folder}: another process is at work here; allowed: one at a time"
                ) from None
        for partial in folder.rglob(f"{PARTIAL_PREFIX}*"):
            partial.unlink(missing_ok=True)
        yield


def _is_complete(path: Path) -> bool:
    return not path.name.startswith(PARTIAL_PREFIX)


def open_run(path: Path) -> Path:
    """Check that a folder is a run in the format of this version, and return it.

    Raises:
      RunError: it is not a run, or it has another format.
    """
    if not (path / CONFIG_FILE).is_file():
        raise RunError(f"{path}: no run here; allowed: a folder with a {CONFIG_FILE}")
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
    """Write a text file, completely or not at all: a full disk keeps the old file."""
    with _replacing(path) as file:
        file.write(text.encode())


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
        return json.loads(path.read_text(), parse_constant=_refuse)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: no JSON ({error})") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number in JSON")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an npz file, completely or not at all."""
    with _replacing(path) as file:
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


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=PARTIAL_PREFIX, delete=False
    ) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
        except BaseException as error:
            os.unlink(file.name)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(path)
            raise
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def append_line(path: Path, row: Mapping[str, Any]) -> None:
    """Append a line to a JSON-lines file; after an incomplete line, start a new one."""
    line = json_text.dumps(row) + "\n"
    try:
        with path.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())  # on disk before a checkpoint that relies on it
    except OSError as error:  # the error of a full disk does not name the file
        error.filename = str(path)
        raise


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All complete lines of a JSON-lines file; none if there is no file."""
    rows = []
    for line in _text(path).splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def keep_lines(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Delete the lines of a JSON-lines file for which `keep` is False.

    Incomplete lines are deleted as well.
    """
    rows = [row for row in read_lines(path) if keep(row)]
    text = "".join(json_text.dumps(row) + "\n" for row in rows)
    if path.exists() and _text(path) != text:
        write_text(path, text)


def _text(path: Path) -> str:
    """The text of a file that may contain an incomplete character."""
    return path.read_text(errors="replace")
