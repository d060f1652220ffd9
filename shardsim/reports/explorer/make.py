"""What `shardsim inspect` does: gather, compute, write."""

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from shardsim.reports.explorer import data, html, load
from shardsim.storage import run_folder


class Made(NamedTuple):
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
) -> Made:
    """Write the page of one or two runs, and its numbers beside it.

    Args:
      results: where the numbers go; None is the page's name with .results.json, so that
        the results.json of a run is never touched.
      arms, mazes, checkpoints: see `load.gather`.
      quick: leave interventions, directions and tails out.

    Raises:
      RunError: a run, an arm or a snapshot that is not there.
    """
    if mazes < 1:
        raise run_folder.RunError(f"mazes: got {mazes}; allowed: at least 1")
    if checkpoints is not None and checkpoints < 1:
        raise run_folder.RunError(
            f"checkpoints: got {checkpoints}; allowed: at least 1"
        )
    began = time.perf_counter()
    results = results or out.with_name(out.stem + ".results.json")
    if results.resolve() == out.resolve():
        raise run_folder.RunError(
            f"results: got {results}; allowed: another file than out"
        )
    found = [run_folder.find(folder) for folder in folders]
    for field, path in (("out", out), ("results", results)):
        _check_place(field, path, found)
    clock = data.Clock()
    with clock.over("runs"):
        gathered = load.gather(folders, arms, mazes, checkpoints)
    told = data.write(gathered, clock, quick)
    told["seconds"] = {**clock.seconds, "all": time.perf_counter() - began}
    size = html.page(told, out, results)
    if size > html.MOST_BYTES:
        told = _fewer(told, size)
        size = html.page(told, out, results)
    return Made(out, results, size, time.perf_counter() - began)


def _check_place(field: str, path: Path, folders: list[Path]) -> None:
    """Refuse what is a run's own, or can't be written, before any work is done."""
    if path.is_dir():
        raise run_folder.RunError(f"{field}: got {path}, a folder; allowed: a file")
    for folder in folders:
        inside = path.resolve().is_relative_to(folder.resolve())
        if (
            inside
            and path.resolve().relative_to(folder.resolve()).parts[0] in run_folder.OWN
        ):
            raise run_folder.RunError(
                f"{field}: got {path}, which is the run's own; allowed: another file"
            )
    there = next(p for p in path.resolve().parents if p.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise run_folder.RunError(
            f"{field}: got {path}; allowed: a file in a folder that can be written to"
        )


def _fewer(told: dict[str, Any], size: int) -> dict[str, Any]:
    """As many checkpoints in the mazes as fit, evenly spaced, the last among them."""
    share = html.MOST_BYTES / size * 0.9
    for side in told["sides"]:
        count = len(side["updates"])
        keep = max(1, int(count * share))
        kept = sorted({count - 1 - round(i * count / keep) for i in range(keep)})
        side["left out"] = count - len(kept)
        side["updates"] = [side["updates"][i] for i in kept]
        side["read"] = {name: leaf[kept] for name, leaf in side["read"].items()}
        side["curves"] = {name: leaf[kept] for name, leaf in side["curves"].items()}
    return told
