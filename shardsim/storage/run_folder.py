"""Run folders: everything a run needs and leaves, readable without the script.

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
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import PyTree

from shardsim.storage import provenance

try:
    import fcntl
except ImportError:  # no Unix: two processes in one folder are not told apart
    fcntl = None  # type: ignore[assignment]

MARK = "config.yaml"
"""The file by which a folder is known as a run."""
HALF = ".half-"
"""How the names of files begin that are not written whole yet."""


OWN = (
    *("checkpoints", "config.yaml", "figures", "maps.json", "maps.npz"),
    *("metrics.jsonl", "metrics.npz", "provenance.json", "report.html"),
    *("results.json", "snapshots", "timing.json", "weights"),
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
        write_text(path / MARK, config_yaml)
    except OSError as error:
        raise RunError(f"out: {path}: {error.strerror}") from None
    complete(path)
    return path


def complete(path: Path) -> None:
    """Write where a run comes from, which one that was killed may not have come to."""
    if not (path / "provenance.json").exists():
        write_json(path / "provenance.json", provenance.collect())


def _clear(path: Path, overwrite: bool) -> None:
    """Empty a run folder; the folder stays, which may be a link, or where we are."""
    if not overwrite:
        raise RunError(f"out: {path} exists; allowed: a new folder, or --overwrite")
    if not (path / MARK).is_file():
        raise RunError(f"out: {path} holds no run; allowed: a folder of a run")
    with alone(path):
        # the mark last: what is left half-emptied is still known as a run
        for old in sorted(path.iterdir(), key=lambda each: each.name == MARK):
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            else:
                old.unlink()


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Work in a run folder that no other process works in; what one left half-written
    is swept away.

    Raises:
      RunError: another process is at work there.
    """
    with (folder / MARK).open("r+") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    f"{folder}: another process is at work here; allowed: one at a time"
                ) from None
        for left in folder.rglob(f"{HALF}*"):
            left.unlink(missing_ok=True)
        yield


def _is_whole(path: Path) -> bool:
    return not path.name.startswith(HALF)


def find(path: Path) -> Path:
    """A run folder that exists.

    Raises:
      RunError: there is none.
    """
    if not (path / MARK).is_file():
        raise RunError(f"{path}: no run here; allowed: a folder with a {MARK}")
    return path


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: a full disk leaves the old one."""
    with _replacing(path) as file:
        file.write(text.encode())


def write_json(path: Path, data: Any) -> None:
    """A JSON file; NaN is refused, for JSON has none."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Raises RunError where the file is missing or torn."""
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise RunError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise RunError(f"{path}: no JSON ({error})") from None


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
        dir=path.parent, prefix=HALF, delete=False
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


def dotted(module: nnx.Module | PyTree) -> dict[str, np.ndarray]:
    """Parameters by dotted name, for people without JAX."""
    flat: dict[str, np.ndarray] = {}

    def walk(tree: Any, name: str) -> None:
        if isinstance(tree, dict):
            for key, inner in tree.items():
                walk(inner, f"{name}.{key}" if name else str(key))
        else:
            flat[name] = np.asarray(tree)

    walk(nnx.to_pure_dict(nnx.state(module)), "")
    return flat


def filled(module: Any, arrays: Mapping[str, np.ndarray], name: str = "") -> Any:
    """The inverse of `dotted`: the module with the parameters of a file.

    Args:
      module: says types and names; its own parameters are not looked at.
      arrays: by dotted name; leading axes beyond the module's are kept.
      name: where the module stands in what was written; "" is all of it.

    Raises:
      RunError: a parameter that is not there.
    """
    graph, state = nnx.split(module)
    flat = []
    for path, variable in nnx.to_flat_state(state):
        dotted_name = ".".join([*([name] if name else []), *map(str, path)])
        if dotted_name not in arrays:
            raise RunError(f"weights: {dotted_name} is missing")
        flat.append((path, variable.replace(jnp.asarray(arrays[dotted_name]))))
    return nnx.merge(graph, nnx.from_flat_state(flat))
