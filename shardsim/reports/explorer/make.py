"""What `shardsim inspect` does: load, compute, write."""

import time
from pathlib import Path
from typing import NamedTuple

from shardsim.core import files
from shardsim.reports.explorer import data, html, load, schema
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
    if mazes < 1:
        raise run_files.RunError(f"mazes: got {mazes}; allowed: at least 1")
    if checkpoints is not None and checkpoints < 1:
        raise run_files.RunError(f"checkpoints: got {checkpoints}; allowed: at least 1")
    began = time.perf_counter()
    results = results or out.with_name(out.stem + ".results.json")
    if results.resolve() == out.resolve():
        raise run_files.RunError(
            f"results: got {results}; allowed: another file than out"
        )
    runs = [run_folder.open_run(folder) for folder in folders]
    for field, path in (("out", out), ("results", results)):
        _check_place(field, path, runs)
        files.check_new(path, overwrite, field)
    clock = data.Clock()
    with clock.over("runs"):
        inputs = load.load(folders, arms, mazes, checkpoints)
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
