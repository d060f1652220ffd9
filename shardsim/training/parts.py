"""Parts of a run: (group of arms) x (block of seeds), trained anywhere, then joined.

Each part is trained in a run folder of its own, `parts/SEEDS/GROUP` in the folder of
the run, with checkpoints, metrics, snapshots and weights. When all are finished, they
are joined seed by seed into the folder that a single training would have written, file
for file. The bits of a seed do not depend on the part in which it is trained.

A stop at any moment loses nothing. Parts continue from their checkpoints, a finished
part is not trained again, and a join that was stopped is repeated from the parts. They
are deleted after the run has the mark of a finished training.

Symbols: N seeds, G points of a sweep; element g * N + s is seed s at point g.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from pydantic import NonNegativeInt, PositiveInt

from shardsim.core import config as configs
from shardsim.core import fields, json_text
from shardsim.storage import (
    records,
    run_files,
    run_folder,
    run_layout,
    snapshots,
    trained,
)
from shardsim.training import arms as training_arms
from shardsim.training import divergence, loop, metric_records, schedule, sweep
from shardsim.training.config import TrainConfig

PLAN_FILE = "plan.json"
"""How the run is divided; it lies in `parts`, and beside it the config of the run."""

Line = TypeVar(
    "Line", bound=metric_records.ChunkMetrics | metric_records.SnapshotMetrics
)


@fields.record
class Block:
    """Consecutive seeds."""

    first: NonNegativeInt
    num_seeds: PositiveInt

    @property
    def seeds(self) -> range:
        """The numbers of the seeds."""
        return range(self.first, self.first + self.num_seeds)

    def __str__(self) -> str:
        return f"{self.first}-{self.seeds[-1]}"


@fields.record
class Plan:
    """plan.json: the blocks of seeds that are trained."""

    blocks: tuple[Block, ...]

    @fields.rule("blocks")
    def _adjacent(self) -> Iterator[str]:
        for before, after in itertools.pairwise(self.blocks):
            if after.first != before.first + before.num_seeds:
                yield f"blocks: got {after} after {before}; allowed: adjacent ones"


class Part(NamedTuple):
    """Arms that are trained together, and a block of seeds."""

    name: str
    """`shared`, or the names of the arms."""
    arms: tuple[str, ...]
    """As in `loop.Part`."""
    block: Block
    needs_shared: bool
    """Whether it starts where the part `shared` of the block ends."""

    @property
    def place(self) -> str:
        """Its folder, in that of all parts: SEEDS/GROUP."""
        return f"{self.block}/{self.name}"

    def __str__(self) -> str:
        return f"{self.name} of seeds {self.block}"


def divide(seeds: range, size: int) -> Plan:
    """Blocks of at most `size` seeds, as even as possible.

    Args:
      seeds: numbers of the seeds, one or more.
    """
    count = -(-len(seeds) // size)
    edges = np.linspace(seeds.start, seeds.stop, count + 1).round().astype(int)
    pairs = itertools.pairwise(edges.tolist())
    return Plan(tuple(Block(first, stop - first) for first, stop in pairs))


def parts_of(
    plan: Plan, arms: Sequence[training_arms.Arm], train: TrainConfig
) -> tuple[Part, ...]:
    """The parts of a run; those that others need come first.

    What no head takes part in is trained once for each block, and so are the heads that
    stay as they are.
    """
    is_shared = schedule.shared_phases(train) > 0
    untrained = tuple(arm.name for arm in arms if not arm.trained)
    names = [
        tuple(arm.name for arm in group) for group in training_arms.groups(arms, train)
    ]
    common = (*([training_arms.SHARED_PHASES] if is_shared else []), *untrained)
    first = [
        Part(training_arms.SHARED_PHASES, common, block, False)
        for block in (plan.blocks if common else ())
    ]
    rest = [
        Part("+".join(group), group, block, is_shared)
        for block in plan.blocks
        for group in names
    ]
    return (*first, *rest)


def num_updates(part: Part, train: TrainConfig) -> int:
    """Updates of a part, of each of its arms and of the shared phases."""
    shared = sum(p.updates for p in train.phases[: schedule.shared_phases(train)])
    if part.name == training_arms.SHARED_PHASES:
        return shared
    return len(part.arms) * (train.total_updates - shared)


def updates_done(part: Part, train: TrainConfig, last: Mapping[str, int]) -> int:
    """Updates of a part so far.

    Args:
      last: newest update of each arm in its metrics.
    """
    if part.name == training_arms.SHARED_PHASES:
        return last.get(training_arms.SHARED_PHASES, 0)
    shared = sum(p.updates for p in train.phases[: schedule.shared_phases(train)])
    return sum(max(last.get(arm, 0) - shared, 0) for arm in part.arms)


def folder_of(run: Path, part: Part) -> Path:
    """The run folder in which a part of a run is trained."""
    return run / run_layout.PARTS / part.place


def job_of(whole: loop.TrainingJob, run: Path, part: Part) -> loop.TrainingJob:
    """The training of a part.

    Args:
      whole: the training of the whole run.
      run: folder of the run, which holds the parts.
    """
    folder, shared = folder_of(run, part), None
    if part.needs_shared:
        shared = folder.with_name(training_arms.SHARED_PHASES)
    return dataclasses.replace(
        whole,
        train=_train_config(whole.train, part.block.num_seeds),
        folder=folder,
        part=loop.Part(part.arms, part.block.first, run, shared),
    )


def _train_config(train: TrainConfig, num_seeds: int) -> TrainConfig:
    """The config of a block of seeds; devices that do not divide them stay unused."""
    population = num_seeds * sweep.size(train.sweep)
    devices = train.devices
    if devices != "auto" and population % devices:
        devices = 1
    return dataclasses.replace(train, num_seeds=num_seeds, devices=devices)


def read_plan(run: Path) -> Plan | None:
    """The plan of a run whose parts are not joined yet; None if there is none.

    Raises:
      RunError: it is damaged.
    """
    path = run / run_layout.PARTS / PLAN_FILE
    return records.read(path, Plan) if path.exists() else None


def begin(run: Path, plan: Plan, config_yaml: str) -> None:
    """Write the plan of a run, and the config of its parts.

    Args:
      config_yaml: the resolved config of the whole run.
    """
    run_files.write_text(run / run_layout.PARTS / run_layout.CONFIG_FILE, config_yaml)
    records.write(run / run_layout.PARTS / PLAN_FILE, plan)


def open_part(run: Path, part: Part) -> Path:
    """The folder of a part; it is created if it is not there."""
    folder = folder_of(run, part)
    if not (folder / run_layout.CONFIG_FILE).is_file():
        text = (run / run_layout.PARTS / run_layout.CONFIG_FILE).read_text(
            encoding="utf-8"
        )
        run_folder.create(folder, text, overwrite=True)
    return folder


class Source(NamedTuple):
    """A block of seeds whose training is over, and where it lies."""

    block: Block
    folders: tuple[Path, ...]
    """Run folders: of all its parts in order, or of a whole run."""

    def read(self, name: Path) -> dict[str, np.ndarray] | None:
        """The arrays of a file that one of the folders holds; None: none does."""
        for folder in self.folders:
            if (folder / name).exists():
                return run_files.read_arrays(folder / name)
        return None


def sources(run: Path, plan: Plan, whole: loop.TrainingJob) -> tuple[Source, ...]:
    """The blocks of a plan, with the folders of their parts."""
    parts = parts_of(plan, whole.arms, whole.train)
    return tuple(
        Source(block, tuple(folder_of(run, p) for p in parts if p.block == block))
        for block in plan.blocks
    )


class Kept(NamedTuple):
    """What a finished run keeps of a snapshot in place of E, D and V: outputs."""

    outputs: Callable[[str, Mapping[str, np.ndarray]], dict[str, np.ndarray]]
    """(arm, E, D and V by dotted name) -> the arrays that are kept."""
    by_seed: frozenset[str]
    """Names of these arrays with an axis of seeds; the others are the same for all."""


def join(
    job: loop.TrainingJob, blocks: Sequence[Source], kept: Kept | None = None
) -> None:
    """Write the training of a whole run from its blocks, and mark it as over.

    Files that are there already are written again; the same bits result.

    Args:
      job: the training of the whole run; its folder has been created.
      blocks: adjacent, all seeds of the run together.
      kept: of snapshots, where a block is a finished run.

    Raises:
      Diverged: all seeds of an arm did, at every point of the sweep.
      RunError: a file of a block is missing or damaged, or blocks do not agree.
    """
    lines = _join_lines(job, blocks)
    _raise_if_diverged(job, lines)
    text = "".join(json_text.dumps(configs.to_dict(line)) + "\n" for line in lines)
    run_files.write_lines(job.folder / metric_records.FILE, text)
    taken = [line for line in lines if isinstance(line, metric_records.SnapshotMetrics)]
    for line in taken:
        path = snapshots.place(job.folder, line.arm, line.update)
        pieces = [block.read(path.relative_to(job.folder)) for block in blocks]
        # of the last update a finished run has the weights alone
        if all(piece is not None for piece in pieces):
            _join_snapshots(job, path, line.arm, blocks, pieces, kept)
    for arm in job.arms:
        path = trained.place(job.folder, arm.name)
        name = path.relative_to(job.folder)
        weights = [_required(block.read(name), block, name) for block in blocks]
        joined = _join_arrays(job, blocks, weights, frozenset(weights[0]))
        run_files.write_arrays(path, joined, compressed=True)
    loop.mark_trained(job)


def _required(
    arrays: dict[str, np.ndarray] | None, block: Source, name: Path
) -> dict[str, np.ndarray]:
    if arrays is None:
        raise run_files.RunError(f"{block.folders[0] / name}: missing")
    return arrays


def _join_snapshots(
    job: loop.TrainingJob,
    path: Path,
    arm: str,
    blocks: Sequence[Source],
    pieces: Sequence[Any],
    kept: Kept | None,
) -> None:
    """Write a snapshot; where a block has outputs of it, all blocks get them."""
    if kept is None or not any(map(snapshots.keeps_values, pieces)):
        arrays = _join_arrays(job, blocks, pieces, frozenset(pieces[0]))
        run_files.write_arrays(path, arrays)
        return
    outputs = [
        piece if snapshots.keeps_values(piece) else kept.outputs(arm, piece)
        for piece in pieces
    ]
    arrays = _join_arrays(job, blocks, outputs, kept.by_seed)
    arrays.pop(snapshots.KEEPS, None)
    snapshots.write_values(path, arrays)


def _join_arrays(
    job: loop.TrainingJob,
    blocks: Sequence[Source],
    pieces: Sequence[Mapping[str, np.ndarray]],
    by_seed: frozenset[str],
) -> dict[str, np.ndarray]:
    """The arrays of a file, leaves [G * N, ...], from those of its blocks.

    Args:
      by_seed: names of arrays with an axis of seeds; the others are those of the first
        block.
    """
    points, joined = sweep.size(job.train.sweep), {}
    for key, first in pieces[0].items():
        if key not in by_seed:
            joined[key] = first
            continue
        if any(key not in piece for piece in pieces):
            raise run_files.RunError(
                f"{blocks[0].folders[0]}: got an array {key!r}; allowed: the arrays of "
                "all blocks"
            )
        split = [
            piece[key].reshape(points, block.block.num_seeds, *piece[key].shape[1:])
            for piece, block in zip(pieces, blocks, strict=True)
        ]
        joined[key] = np.concatenate(split, axis=1).reshape(-1, *first.shape[1:])
    return joined


def _join_lines(
    job: loop.TrainingJob, blocks: Sequence[Source]
) -> list[metric_records.ChunkMetrics | metric_records.SnapshotMetrics]:
    """The lines of metrics.jsonl, in the order of an uninterrupted training."""
    read = [
        {
            (line.kind, line.arm, line.update): line
            for folder in block.folders
            for line in metric_records.lines(folder)
        }
        for block in blocks
    ]
    # the parts of a block are in the order of a training; an old run may not be
    order = read[-1]
    for block, others in zip(blocks, read, strict=True):
        if others.keys() != order.keys():
            kind, arm, update = next(iter(others.keys() ^ order.keys()))
            raise run_files.RunError(
                f"{block.folders[0] / metric_records.FILE}: got no {kind} of {arm} at "
                f"update {update} in all blocks; allowed: the same lines"
            )
    points = sweep.size(job.train.sweep)
    sizes = [block.block.num_seeds for block in blocks]
    return [
        join_records([others[key] for others in read], sizes, points) for key in order
    ]


def join_records(lines: Sequence[Line], sizes: Sequence[int], points: int) -> Line:
    """One line from those of all blocks: every list is joined along the seeds."""

    def along_seeds(values: Sequence[Any]) -> Any:
        if all(value is None for value in values):
            return None
        if isinstance(values[0], dict):
            return {name: along_seeds([v[name] for v in values]) for name in values[0]}
        lists = [
            (None,) * (points * size) if value is None else value
            for value, size in zip(values, sizes, strict=True)
        ]
        return tuple(
            number
            for point in range(points)
            for items, size in zip(lists, sizes, strict=True)
            for number in items[point * size : (point + 1) * size]
        )

    names = [field.name for field in dataclasses.fields(lines[0])]
    own = [name for name in names if name not in ("kind", "arm", "phase", "update")]
    joined = {
        name: along_seeds([getattr(line, name) for line in lines]) for name in own
    }
    return dataclasses.replace(lines[0], **joined)


def of_seeds(line: Line, first: int, stop: int) -> Line:
    """A line of some of its seeds; without a sweep, the reverse of `join_records`.

    Args:
      first: index of the first seed.
      stop: index after the last one.
    """

    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: cut(inner) for name, inner in value.items()}
        return value[first:stop] if isinstance(value, tuple) else value

    names = [field.name for field in dataclasses.fields(line)]
    values = {name: cut(getattr(line, name)) for name in names}
    if values.get("diverged") is not None and not any(
        update is not None for update in values["diverged"]
    ):
        values["diverged"] = None
    return dataclasses.replace(line, **values)


def _raise_if_diverged(job: loop.TrainingJob, lines: Iterable[Any]) -> None:
    """Stop where a whole training would have: where all seeds of an arm diverged."""
    for line in lines:
        diverged = getattr(line, "diverged", None)
        if diverged is not None:
            failed = np.asarray([-1 if n is None else n for n in diverged])[:, None]
            divergence.raise_if_fatal(
                job.train.sweep, job.train.num_seeds, (line.arm,), failed
            )


def delete(run: Path) -> None:
    """Delete the parts of a run, its plan first; what is not theirs stays."""
    folder = run / run_layout.PARTS
    if not folder.is_dir():
        return
    for name in (PLAN_FILE, run_layout.CONFIG_FILE):
        (folder / name).unlink(missing_ok=True)
    for part in (*folder.glob("*/*"), *folder.glob("*")):
        run_folder.delete(part)
    run_folder.remove_empty(folder, *folder.glob("*"))
