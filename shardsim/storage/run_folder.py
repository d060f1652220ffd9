"""Run folders: everything a run needs and leaves, readable without the script.

shardsim_run.json  number of the folder's format, and the version that wrote it
config.yaml        the resolved config: build it again from here
provenance.json    versions, devices, flags, source revision
metrics.jsonl      a line a chunk and arm, while training
metrics.npz        the same as arrays, at the end
checkpoints/ARM/   training state (orbax), the newest two
snapshots/ARM/     UPDATE.npz: E, D and V at log-spaced updates, by dotted name
weights/ARM.npz    E, D and V at the end, by dotted name
results.json       every number of the report
maps.npz, .json    V, policy, gates and parts on the boards that the report draws
report.html, figures/
timing.json        wall time; kept apart, for the rest is the same every time
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

from shardsim.storage import provenance

try:
    import fcntl
except ImportError:  # no Unix: two processes in one folder are not told apart
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
"""Number of the format of run folders: names and fields of their files."""
FORMAT_FILE = "shardsim_run.json"
"""Holds the format of a run folder and the version of shardsim that wrote it."""
CONFIG_FILE = "config.yaml"
"""The file by which a folder is known as a run."""
PARTIAL_PREFIX = ".half-"
"""How the names of files begin that are not written whole yet."""


RESERVED_NAMES = (
    *("checkpoints", "config.yaml", "figures", "maps.json", "maps.npz"),
    *("metrics.jsonl", "metrics.npz", "provenance.json", "report.html"),
    *("results.json", FORMAT_FILE, "snapshots", "timing.json", "weights"),
)
"""Names in a run folder, that nothing else is to be written over."""


class RunError(ValueError):
    """A run folder that can't be made or read; its text is one line for the user."""


def create(path: Path, config_yaml: str, overwrite: bool) -> Path:
    """A new run folder holding its config and where it comes from.

    Raises:
      RunError: the folder exists and is not to be overwritten, or is no run, or
        another process works there.
    """
    try:
        if path.exists() and (not path.is_dir() or any(map(_is_whole, path.iterdir()))):
            _clear(path, overwrite)
        path.mkdir(parents=True, exist_ok=True)
        mark = {"format": FORMAT, "version": provenance.version("shardsim")}
        write_json(path / FORMAT_FILE, mark)
        write_text(path / CONFIG_FILE, config_yaml)
    except OSError as error:
        raise RunError(f"out: {path}: {error.strerror}") from None
    write_provenance(path)
    return path


def write_provenance(path: Path) -> None:
    """Write where a run comes from, which one that was killed may not have come to."""
    if not (path / "provenance.json").exists():
        origin = dataclasses.asdict(provenance.collect())
        write_json(path / "provenance.json", origin)


def _clear(path: Path, overwrite: bool) -> None:
    """Empty a run folder; the folder stays, which may be a link, or where we are."""
    if not overwrite:
        raise RunError(f"out: {path} exists; allowed: a new folder, or --overwrite")
    marks = (FORMAT_FILE, CONFIG_FILE)
    if not any((path / mark).is_file() for mark in marks):
        raise RunError(f"out: {path} holds no run; allowed: a folder of a run")
    # a run that was killed between its two marks has no config yet to be locked
    locked = lock(path) if (path / CONFIG_FILE).is_file() else contextlib.nullcontext()
    with locked:
        # the marks last: what is left half-emptied is still known as a run
        for old in sorted(path.iterdir(), key=lambda each: each.name in marks):
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            else:
                old.unlink()


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Work in a run folder that no other process works in; what one left half-written
    is swept away.

    Raises:
      RunError: another process is at work there.
    """
    with (folder / CONFIG_FILE).open("r+") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    f"{folder}: another process is at work here; allowed: one at a time"
                ) from None
        for left in folder.rglob(f"{PARTIAL_PREFIX}*"):
            left.unlink(missing_ok=True)
        yield


def _is_whole(path: Path) -> bool:
    return not path.name.startswith(PARTIAL_PREFIX)


def open_run(path: Path) -> Path:
    """A run folder that exists and has the format of this version.

    Raises:
      RunError: there is none, or it has another format.
    """
    if not (path / CONFIG_FILE).is_file():
        raise RunError(f"{path}: no run here; allowed: a folder with a {CONFIG_FILE}")
    check_format(path)
    return path


def check_format(path: Path) -> None:
    """Refuse a run folder of another format than this version reads and writes.

    Raises:
      RunError: the folder has another format or none, or its mark is damaged; the text
        names the version of shardsim that wrote it, where the folder tells.
    """
    allowed = f"format {FORMAT}, which shardsim {provenance.version('shardsim')} writes"
    mark = path / FORMAT_FILE
    if not mark.exists():
        raise RunError(
            f"{path}: got a run without a format number, written by shardsim "
            f"{_version_before_marks(path)}; allowed: {allowed}"
        )
    found = read_json(mark)
    fields = found if isinstance(found, dict) else {}
    number, version = fields.get("format"), fields.get("version")
    if type(number) is not int or not isinstance(version, str):
        raise RunError(f"{mark}: damaged, holds no format number; allowed: {allowed}")
    if number != FORMAT:
        raise RunError(
            f"{path}: got a run of format {number}, written by shardsim {version}; "
            f"allowed: {allowed}"
        )


def _version_before_marks(path: Path) -> str:
    """The version that provenance.json names; folders had no mark before 0.2.0."""
    with contextlib.suppress(RunError, LookupError, TypeError):
        return str(read_json(path / "provenance.json")["versions"]["shardsim"])
    return "of an unknown version"


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: a full disk leaves the old one."""
    with _replacing(path) as file:
        file.write(text.encode())


def write_json(path: Path, data: Any) -> None:
    """A JSON file; NaN is refused, for JSON has none."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises RunError where the file is missing, torn or holds NaN."""
    try:
        return json.loads(path.read_text(), parse_constant=_refuse)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: no JSON ({error})") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """An npz file, whole or not at all."""
    with _replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Raises RunError where the file is missing or torn."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return dict(arrays)
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # what is torn may raise anything
        raise RunError(f"{path}: torn ({error})") from None


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `path` when all went well."""
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
    """One JSON line more, on a line of its own where the last one was torn."""
    line = json.dumps(row) + "\n"
    try:
        with path.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())  # there before a checkpoint that counts on it
    except OSError as error:  # a full disk does not say of which file it speaks
        error.filename = str(path)
        raise


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a JSON-lines file; none if there is no file."""
    rows = []
    for line in _text(path).splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def keep_lines(path: Path, stays: Callable[[dict[str, Any]], bool]) -> None:
    """Leave only some whole lines of a JSON-lines file; torn ones go in any case."""
    rows = [row for row in read_lines(path) if stays(row)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.exists() and _text(path) != text:
        write_text(path, text)


def _text(path: Path) -> str:
    """A text that may be torn."""
    return path.read_text(errors="replace")
