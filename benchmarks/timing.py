"""Rates measured in turns with a peer's, and the figure of their ratios."""

import dataclasses
import importlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from shardsim.core import files

ROUNDS = 5
PEERS = ("jaxgmg", "xminigrid", "navix")
BESIDE = ("flax", "gymnax", "mctx")
"""Versions of these are printed as well."""
Run = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Row:
    """One measurement: rates by round, of ours and of a peer."""

    name: str
    unit: str
    ours: list[float]
    peer: str = ""
    theirs: list[float] = dataclasses.field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        pairs = zip(self.ours, self.theirs, strict=True) if self.theirs else ()
        return [a / b for a, b in pairs]

    def __str__(self) -> str:
        text = f"{self.name:34s} {short(float(np.median(self.ours))):>8} {self.unit}"
        if self.theirs:
            low, high = min(self.ratios), max(self.ratios)
            text += (
                f"   {self.peer} {short(float(np.median(self.theirs))):>8}   ratio "
                f"{np.median(self.ratios):5.2f}  [{low:.2f}, {high:.2f}]"
            )
        return text


def short(rate: float) -> str:
    """A rate in three digits."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if rate >= size:
            return f"{rate / size:.3g} {letter}"
    return f"{rate:.3g}"


def measure(
    name: str,
    unit: str,
    count: int,
    ours: Run,
    peer: str = "",
    theirs: Run | None = None,
    best: int = 2,
) -> Row:
    """Rates of both, taken in turns; the first call compiles and is not timed.

    A round's rate is that of the fastest of `best` calls.
    """
    runs = [ours] + ([theirs] if theirs else [])
    rates: list[list[float]] = [[] for _ in runs]
    for run in runs:
        jax.block_until_ready(run())
    for _ in range(ROUNDS):
        for run, own in zip(runs, rates, strict=True):
            own.append(rate(run, count, best))
    row = Row(name, unit, rates[0], peer if theirs else "", rates[1] if theirs else [])
    print(row, flush=True)
    return row


def rate(run: Run, count: float, best: int = 2) -> float:
    """What `run` does of `count` in a second, in the fastest of `best` calls."""
    seconds = np.inf
    for _ in range(best):
        began = time.perf_counter()
        jax.block_until_ready(run())
        seconds = min(seconds, time.perf_counter() - began)
    return count / seconds


def machine() -> str:
    cores = len(os.sched_getaffinity(0))
    names = ("jax", "jaxlib", *BESIDE, "gymnasium", *PEERS)
    installed = {name: _version(name) for name in names}
    versions = ", ".join(f"{k} {v}" for k, v in installed.items() if v)
    return f"{platform.processor() or platform.machine()}, {cores} cores; {versions}"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def draw(rows: list[Row], out: Path) -> None:
    """Ratios of the rows that have a peer, with the range over rounds."""
    rows = [row for row in rows if row.theirs]
    if not rows:
        print("no figure: no peer is installed")
        return
    figure, axes = pyplot().subplots(figsize=(7, 0.34 * len(rows) + 1.4))
    middle = np.asarray([np.median(row.ratios) for row in rows])
    low = middle - [min(row.ratios) for row in rows]
    high = np.asarray([max(row.ratios) for row in rows]) - middle
    place = np.arange(len(rows))[::-1]
    axes.barh(place, middle, xerr=[low, high], color="#0072B2", ecolor="#444444")
    axes.set_yticks(place, [row.name for row in rows])
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    peers = " or ".join(dict.fromkeys(row.peer for row in rows))
    axes.set_xlabel(
        f"times as fast as {peers} (log scale; bars: lowest to highest round)"
    )
    axes.set_title(machine(), fontsize=7)
    figure.tight_layout()
    write(figure, out)


def pyplot() -> Any:
    """Matplotlib's pyplot with its own defaults, whatever the user's are."""
    os.environ["MPLBACKEND"] = "agg"
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcdefaults()
    return importlib.import_module("matplotlib.pyplot")


def write(figure: Any, out: Path) -> None:
    """Write a figure; that it may be replaced was checked before measuring."""
    with files.replacing(out) as file:
        figure.savefig(file, dpi=120, format=out.suffix[1:])
    print(out)
