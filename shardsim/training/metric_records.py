"""The lines of metrics.jsonl: one record class for each kind of line.

A `ChunkMetrics` is written after every compiled chunk of updates, a `SnapshotMetrics`
with every snapshot. Symbols: N seeds (times the points of a sweep), R reward sources.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from shardsim.core import fields
from shardsim.storage import json_lines, records, run_files

FILE = "metrics.jsonl"
ARRAYS = "metrics.npz"


@fields.record(kw_only=True, float64=True)
class ChunkMetrics:
    """Metrics of one arm in a chunk of updates, as means over the chunk."""

    kind: Literal["chunk"] = "chunk"
    arm: str
    """Name of the arm; `shared` in the phases that all arms share."""
    phase: str
    """Name of the phase."""
    update: int
    """Number of updates of the run at the end of the chunk."""
    reward: records.SeedNumbers
    """[N], reward per environment step."""
    episodes: records.SeedNumbers
    """[N], episodes that ended per environment step."""
    truncated: records.SeedNumbers
    """[N], episodes that ended at the time limit, per environment step."""
    rewards: tuple[records.SeedNumbers, ...]
    """[N, R], reward of each source per environment step."""
    reward_per_episode: records.SeedNumbers
    """[N], reward per episode that ended; None where none ended."""
    loss: records.SeedNumbers
    """[N], total loss, mean over updates."""
    gradient_norm: records.SeedNumbers
    """[N], norm of the gradient, mean over updates."""
    terms: dict[str, records.SeedNumbers]
    """Name of a loss term or another quantity of the algorithm -> [N], its mean over
    updates, in its own unit."""
    diverged: tuple[int | None, ...] | None = None
    """[N], the update at which the loss was first not finite; None for a seed that has
    not diverged, and None in place of the list while no seed has."""


@fields.record(kw_only=True, float64=True)
class SnapshotMetrics:
    """Measures of a snapshot in the first condition of the evaluation.

    `shardsim train` does not evaluate, so its lines hold None.
    """

    kind: Literal["snapshot"] = "snapshot"
    arm: str
    update: int
    """Number of updates of the run at the snapshot."""
    return_fraction: records.SeedNumbers | None = None
    """[N], exact expected return as a fraction of the exact optimal return."""
    value_error: records.SeedNumbers | None = None
    """[N], root mean square of V - V*, in sd of V*."""
    shards_in_use: records.SeedNumbers | None = None
    """[N], exp(entropy of the mean gates): 1 to K shards."""
    statistics: dict[str, records.SeedNumbers] = dataclasses.field(default_factory=dict)
    """Prediction -> [N], its measure in its own unit, for those that contrast the arm
    and read one agent."""


def chunk(
    arm: str,
    phase: str,
    update: int,
    rates: Mapping[str, Any],
    diverged: tuple[int | None, ...] | None,
) -> ChunkMetrics:
    """The line of metrics of a chunk.

    Args:
      arm: name of the arm.
      phase: name of the phase.
      update: number of updates of the run at the end of the chunk.
      rates: as `algorithms.metrics.rates` returns them. Those that are not fields of
        `ChunkMetrics` go to `terms`.
      diverged: as `divergence.as_metrics` returns it.
    """
    own = {field.name for field in dataclasses.fields(ChunkMetrics)}
    named = {name: records.numbers(rate) for name, rate in rates.items()}
    return ChunkMetrics(
        arm=arm,
        phase=phase,
        update=update,
        terms={name: rate for name, rate in named.items() if name not in own},
        diverged=diverged,
        **{name: rate for name, rate in named.items() if name in own},
    )


def chunks(folder: Path) -> list[ChunkMetrics]:
    """The metrics of all chunks of a run, in the order in which they were written."""
    return list(records.lines(folder / FILE, ChunkMetrics))


def lines(folder: Path) -> list[ChunkMetrics | SnapshotMetrics]:
    """All lines of a run, in the order in which they were written.

    Raises:
      RunError: a line is of no known kind, or a field of it is damaged.
    """
    path = folder / FILE
    return [
        records.build(path, SnapshotMetrics, row)
        if row.get("kind") == SnapshotMetrics.kind
        else records.build(path, ChunkMetrics, row)
        for row in json_lines.read(path)
    ]


def snapshots(folder: Path) -> list[SnapshotMetrics]:
    """The metrics of all snapshots of a run, in the order in which they were made."""
    return list(records.lines(folder / FILE, SnapshotMetrics))


def write_arrays(folder: Path) -> None:
    """Write metrics.npz: metrics.jsonl as arrays with the names `ARM/KIND/FIELD`.

    Terms of a chunk have the names `ARM/chunk/terms/TERM`, statistics of predictions
    `ARM/snapshot/statistics/PREDICTION`. The first axis is the line.
    """
    columns: dict[str, list[np.ndarray]] = {}
    lines: list[ChunkMetrics | SnapshotMetrics] = [*chunks(folder), *snapshots(folder)]
    for line in lines:
        for name, item in _columns(line).items():
            columns.setdefault(f"{line.arm}/{line.kind}/{name}", []).append(item)
    arrays = {name: _stacked(rows) for name, rows in columns.items()}
    run_files.write_arrays(folder / ARRAYS, arrays)


def _columns(line: ChunkMetrics | SnapshotMetrics) -> dict[str, np.ndarray]:
    """The numbers of a line by name; None becomes NaN."""
    numbers = {
        field.name: getattr(line, field.name)
        for field in dataclasses.fields(line)
        if field.name not in ("kind", "arm", "phase", "terms", "statistics")
    }
    if isinstance(line, ChunkMetrics):
        nested = {f"terms/{name}": item for name, item in line.terms.items()}
    else:
        nested = {f"statistics/{name}": x for name, x in line.statistics.items()}
    named = {**numbers, **nested}
    return {
        name: np.asarray(item) if isinstance(item, int) else np.asarray(item, float)
        for name, item in named.items()
        if item is not None
    }


def _stacked(rows: list[np.ndarray]) -> np.ndarray:
    """Stack rows; rows of different widths are flattened and padded with NaN."""
    if len({row.shape for row in rows}) == 1:
        return np.stack(rows)
    width = max(row.size for row in rows)
    flat = [np.ravel(row).astype(float) for row in rows]
    return np.stack(
        [np.pad(r, (0, width - r.size), constant_values=np.nan) for r in flat]
    )
