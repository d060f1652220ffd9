"""What `shardsim inspect` does: load, compute, write."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from shardsim.core import files
from shardsim.reports.explorer import data, html, load, schema, wrapped
from shardsim.storage import run_files, run_folder, run_layout


class Written(NamedTuple):
    """What was written."""

    page: Path
    results: Path
    bytes: int
    seconds: float


def inspect(
    folders: list[Path],
    out: Path,
    results: Path | None = None,
    arms: list[str] | None = None,
    mazes: int = 4,
    checkpoints: int | None = None,
    quick: bool = False,
    overwrite: bool = False,
) -> Written:
    """Write the page of one or two runs, and its numbers as JSON.

    Args:
      results: file for the numbers; None is the page's name with .results.json, so
        that the results.json of a run is never overwritten.
      arms, mazes, checkpoints: see `load.load`.
      quick: leave out the panels that take longest.
      overwrite: replace existing files.

    Raises:
      RunError: a run, an arm or a snapshot is missing.
      PathError: a file exists or cannot be written.
    """
    if checkpoints is not None and checkpoints < 1:
        raise run_files.RunError(f"checkpoints: got {checkpoints}; allowed: at least 1")
    runs = [run_folder.open_run(folder) for folder in folders]

    def read() -> load.PageInputs:
        return load.load(folders, arms, mazes, checkpoints)

    return _write(read, runs, out, results, mazes, quick, overwrite)


def inspect_agent(
    agent: wrapped.Wrapped,
    out: Path,
    results: Path | None = None,
    mazes: int = 4,
    quick: bool = False,
    overwrite: bool = False,
) -> Written:
    """Write the page of an agent of somebody else: what needs no look inside it.

    Args: as `inspect`.

    Raises:
      RunError: the states of its world cannot be enumerated.
      ConfigError: it puts out what is no V or no policy.
      PathError: a file exists or cannot be written.
    """

    def read() -> load.PageInputs:
        return wrapped.load_agent(agent, mazes)

    return _write(read, [], out, results, mazes, quick, overwrite)


def _write(
    read: Callable[[], load.PageInputs],
    runs: list[Path],
    out: Path,
    results: Path | None,
    mazes: int,
    quick: bool,
    overwrite: bool,
) -> Written:
    """Check the places, then compute and write."""
    if mazes < 1:
        raise run_files.RunError(f"mazes: got {mazes}; allowed: at least 1")
    began = time.perf_counter()
    results = results or out.with_name(out.stem + ".results.json")
    if results.resolve() == out.resolve():
        raise run_files.RunError(
            f"results: got {results}; allowed: another file than out"
        )
    for field, path in (("out", out), ("results", results)):
        _check_place(field, path, runs)
        files.check_new(path, overwrite, field)
    clock = data.Clock()
    with clock.over("runs"):
        inputs = read()
    page = data.compute(inputs, clock, quick)
    page.seconds["all"] = time.perf_counter() - began
    size = html.write(page, out, results)
    if size > html.MOST_BYTES:
        page = schema.thinned(page, html.MOST_BYTES / size * 0.9)
        size = html.write(page, out, results)
    return Written(out, results, size, time.perf_counter() - began)


def _check_place(field: str, path: Path, folders: list[Path]) -> None:
    """Refuse a file of a run."""
    if path.is_dir():  # refused with every other folder
        return
    for folder in folders:
        inside = path.resolve().is_relative_to(folder.resolve())
        if (
            inside
            and path.resolve().relative_to(folder.resolve()).parts[0]
            in run_layout.RESERVED_NAMES
        ):
            raise run_files.RunError(
                f"{field}: got {path}, which is the run's own; allowed: another file"
            )
