"""The training of a study: what is the same in two cells is trained once.

Cells that agree in all that decides the bits of an arm share a *pool*: a training that
has every arm of these cells once, under a name that follows from its config. Pools are
trained in parts, all of them at once. A cell then takes its parts from the pool, or
from a cell that is finished already, and is joined, judged and reported like any run.

Symbols: N seeds.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shardsim.core import config as configs
from shardsim.core import config_files, json_text
from shardsim.evaluation import film, load, results
from shardsim.evaluation.experiment import Experiment
from shardsim.execution import scheduler, training
from shardsim.storage import run_files, run_folder, run_layout, snapshots, trained
from shardsim.training import arms as training_arms
from shardsim.training import loop, metric_records, parts, schedule, standalone

SHARED = training_arms.SHARED_PHASES


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A cell whose seeds are missing."""

    label: str
    """The levels of the cell, in words."""
    folder: Path
    """Its run folder."""
    experiment: Experiment
    """With all seeds that it will have."""
    first: int = 0
    """Number of the first missing seed."""

    @property
    def seeds(self) -> range:
        """Numbers of the missing seeds."""
        return range(self.first, self.experiment.train.num_seeds)


class Finished(NamedTuple):
    """A cell that is judged, whose arms others may take."""

    folder: Path
    experiment: Experiment


class Supply(NamedTuple):
    """A run folder that has some arms for a block of seeds."""

    folder: Path
    block: parts.Block
    names: dict[str, str]
    """Arm of a cell, or `shared` -> its name in the folder."""


def key_of(experiment: Experiment) -> str:
    """Digest of all that decides the bits of an arm, but for the arm and its seed.

    Arms that learn from the same data decide each other's. The shared phases run with
    the head of the first trained arm, so that belongs to them.
    """
    train = experiment.train
    learners = [arm for arm in experiment.arms.values() if arm.trained]
    others: list[Any] = learners[: min(schedule.shared_phases(train), 1)]
    if train.data == "tandem":
        names = [name for name, arm in experiment.arms.items() if arm.trained]
        acting = train.behaviour_arm or names[0]
        others = [*learners, names.index(acting)]
    plain = dataclasses.replace(
        train, num_seeds=1, devices=1, snapshots="values", behaviour_arm=None
    )
    return configs.digest([experiment.env, experiment.agent, plain, others])


def names_in_pool(experiment: Experiment) -> dict[str, str]:
    """The name of each arm of a cell in its pool: its head and a digest of its config.

    Arms of a cell that are the same have one name, unless they learn together.
    """
    names: dict[str, str] = {}
    for arm, config in experiment.arms.items():
        name = f"{config.head.kind}-{configs.digest(config)[:8]}"
        if experiment.train.data == "tandem":
            count = sum(other.startswith(name) for other in names.values())
            name = f"{name}-{count}" if count else name
        names[arm] = name
    return names


@dataclasses.dataclass(frozen=True)
class Pool:
    """What some cells share, as a training of its own."""

    folder: Path
    label: str
    """The first of its cells, in words."""
    config: standalone.Training
    plan: parts.Plan
    needed: frozenset[str]
    """Places of the parts that some cell takes from here."""

    def job(self, progress: loop.Progress) -> loop.TrainingJob:
        """The training of the whole pool."""
        return standalone.job_of(self.config, self.folder, progress)

    def parts(self, job: loop.TrainingJob) -> Iterator[parts.Part]:
        """The parts that some cell needs; those that others need come first."""
        for part in parts.parts_of(self.plan, job.arms, job.train):
            if part.place in self.needed:
                yield part

    def tasks(self, progress: loop.Progress) -> list[scheduler.Task]:
        """The parts that are not trained yet."""
        job = self.job(progress)
        return [
            scheduler.Task(self.folder, job, part, self.label)
            for part in self.parts(job)
            if not loop.is_finished(parts.job_of(job, self.folder, part))
        ]


@dataclasses.dataclass(frozen=True)
class Supplies:
    """Where each cell finds its parts."""

    pools: dict[str, Pool]
    """By key."""
    finished: tuple[Finished, ...]

    def plan_of(self, cell: Wanted) -> parts.Plan:
        """The blocks of a cell's missing seeds."""
        return _clipped(self.pools[key_of(cell.experiment)].plan, cell.seeds)

    def train_parts(self, cell: Wanted) -> training.TrainParts:
        """What fills the parts of a cell."""

        def fill(
            run: Path, job: loop.TrainingJob, unfinished: tuple[parts.Part, ...]
        ) -> None:
            for part in unfinished:
                _fill(run, job, part, self._supply(cell, part), cell.experiment)

        return fill

    def is_ready(self, cell: Wanted) -> bool:
        """Whether all parts of a cell are trained."""
        job = training.whole_job(cell.experiment, cell.folder, lambda *_: None)
        for part in parts.parts_of(self.plan_of(cell), job.arms, job.train):
            folder = self._supply(cell, part).folder
            for arm, name in self._supply(cell, part).names.items():
                if arm != SHARED and name not in trained.read(folder):
                    return False
        return True

    def _supply(self, cell: Wanted, part: parts.Part) -> Supply:
        found = _from_finished(self.finished, cell.experiment, part)
        if found is not None:
            return found
        pool = self.pools[key_of(cell.experiment)]
        names = {**names_in_pool(cell.experiment), SHARED: SHARED}
        own = {arm: names[arm] for arm in part.arms}
        name = _part_name(part, names)
        (block,) = (b for b in pool.plan.blocks if _holds(b, part.block))
        folder = pool.folder / run_layout.PARTS / str(block) / name
        return Supply(folder, block, own)


def _part_name(part: parts.Part, names: Mapping[str, str]) -> str:
    """The name of a cell's part in its pool."""
    if part.name == SHARED:
        return SHARED
    return "+".join(names[arm] for arm in part.arms)


def _holds(outer: parts.Block, inner: parts.Block) -> bool:
    return outer.first <= inner.first and inner.seeds.stop <= outer.seeds.stop


def _clipped(plan: parts.Plan, seeds: range) -> parts.Plan:
    """The blocks of a plan, as far as they have some seeds."""
    edges = [
        (max(block.first, seeds.start), min(block.seeds.stop, seeds.stop))
        for block in plan.blocks
    ]
    return parts.Plan(
        tuple(parts.Block(low, high - low) for low, high in edges if low < high)
    )


def supplies(
    study: Path,
    wanted: Sequence[Wanted],
    finished: Sequence[Finished],
    size: int | None,
) -> Supplies:
    """The pools of some cells, with the parts that are missing.

    Args:
      study: folder of the study.
      wanted: cells with missing seeds.
      finished: cells that are judged.
      size: most seeds of a block; None: all.
    """
    by_key: dict[str, list[Wanted]] = {}
    for cell in wanted:
        by_key.setdefault(key_of(cell.experiment), []).append(cell)
    pools = {
        key: _pool(study / run_layout.POOLS / key, cells, finished, size)
        for key, cells in by_key.items()
    }
    return Supplies(pools, tuple(finished))


def _pool(
    folder: Path,
    cells: Sequence[Wanted],
    finished: Sequence[Finished],
    size: int | None,
) -> Pool:
    plan = _plan(folder, cells, finished, size)
    config = _config(cells, max(block.seeds.stop for block in plan.blocks))
    needed = set()
    for cell in cells:
        names = names_in_pool(cell.experiment)
        clipped = _clipped(plan, cell.seeds)
        sized = cell.experiment.sized_arms()
        for part in parts.parts_of(clipped, sized, cell.experiment.train):
            if _from_finished(finished, cell.experiment, part) is not None:
                continue
            (block,) = (b for b in plan.blocks if _holds(b, part.block))
            needed.add(f"{block}/{_part_name(part, names)}")
            if part.needs_shared:
                needed.add(f"{block}/{SHARED}")
    return Pool(folder, cells[0].label, config, plan, frozenset(needed))


def _config(cells: Sequence[Wanted], num_seeds: int) -> standalone.Training:
    """A training with every arm of some cells once, the first trained one first."""
    first = cells[0].experiment
    arms: dict[str, training_arms.ArmConfig] = {}
    for cell in cells:
        names = names_in_pool(cell.experiment)
        arms |= {names[arm]: each for arm, each in cell.experiment.arms.items()}
    if first.train.data == "own":
        leader = next(n for n, arm in arms.items() if arm.trained)
        rest = sorted(arms.keys() - {leader})
        arms = {name: arms[name] for name in (leader, *rest)}
    behaviour, devices = first.train.behaviour_arm, first.train.devices
    train = dataclasses.replace(
        first.train,
        num_seeds=num_seeds,
        behaviour_arm=behaviour and names_in_pool(first)[behaviour],
        devices=1 if devices != "auto" and num_seeds % devices else devices,
    )
    return standalone.Training("trained", first.env, arms, train, first.agent)


def _plan(
    folder: Path,
    cells: Sequence[Wanted],
    finished: Sequence[Finished],
    size: int | None,
) -> parts.Plan:
    """Blocks with an edge wherever the seeds of a cell begin or end.

    Blocks that are begun stay as they are.
    """
    old = parts.read_plan(folder)
    begun = () if old is None else old.blocks
    ends = {edge for cell in cells for edge in (cell.seeds.start, cell.seeds.stop)}
    key = key_of(cells[0].experiment)
    ends |= {
        each.experiment.train.num_seeds
        for each in finished
        if key_of(each.experiment) == key
    }
    most = max(cell.seeds.stop for cell in cells)
    inside = {seed for block in begun for seed in block.seeds if seed != block.first}
    edges = {edge for edge in ends - inside if edge <= most}
    edges |= {edge for block in begun for edge in (block.first, block.seeds.stop)}
    blocks: list[parts.Block] = []
    ordered = sorted(edges)
    for low, high in itertools.pairwise(ordered):
        block = parts.Block(low, high - low)
        if block in begun:
            blocks.append(block)
        else:
            blocks += parts.divide(range(low, high), size or high - low).blocks
    return parts.Plan(tuple(blocks))


def begin(pool: Pool) -> None:
    """Create the folder of a pool with its plan, or write its new plan."""
    text = config_files.to_yaml(pool.config)
    if (pool.folder / run_layout.CONFIG_FILE).is_file():
        run_files.write_text(pool.folder / run_layout.CONFIG_FILE, text)
        run_folder.write_provenance(pool.folder)
    else:
        run_folder.create(pool.folder, text, overwrite=True)
    parts.begin(pool.folder, pool.plan, text)


def delete_pools(study: Path) -> None:
    """Delete what was trained for several cells; they hold it themselves."""
    for folder in (study / run_layout.POOLS).glob("*"):
        parts.delete(folder)
        run_folder.delete(folder)
    run_folder.remove_empty(study / run_layout.POOLS)


def _from_finished(
    finished: Sequence[Finished], experiment: Experiment, part: parts.Part
) -> Supply | None:
    """A finished cell that has the arms of a part for all its seeds; None: none has.

    Of earlier updates it keeps what the agents put out in some levels, so that these
    have to be the same.
    """
    names = {**names_in_pool(experiment), SHARED: SHARED}
    for each in finished:
        have = each.experiment
        if key_of(have) != key_of(experiment) or _kept(have) != _kept(experiment):
            continue
        block = parts.Block(0, have.train.num_seeds)
        if not _holds(block, part.block):
            continue
        there = {own: arm for arm, own in names_in_pool(have).items()}
        there[SHARED] = SHARED
        if all(names[arm] in there for arm in part.arms):
            own = {arm: there[names[arm]] for arm in part.arms}
            return Supply(each.folder, block, own)
    return None


def _kept(experiment: Experiment) -> str:
    """Digest of what decides the outputs that a finished cell keeps, and metrics."""
    return configs.digest(
        [
            experiment.evaluation.levels,
            experiment.evaluation.seed,
            experiment.evaluation.conditions,
            experiment.omnibus.conditions,
            experiment.phases_to_read(),
            experiment.train.snapshots,
        ]
    )


def _fill(
    run: Path,
    whole: loop.TrainingJob,
    part: parts.Part,
    supply: Supply,
    experiment: Experiment,
) -> None:
    """Write a part of a cell from where its arms are trained."""
    folder = parts.open_part(run, part)
    job = parts.job_of(whole, run, part)
    first = part.block.first - supply.block.first
    seeds = slice(first, first + part.block.num_seeds)
    arms = {arm.name: arm for arm in whole.arms}
    arms_there: dict[str, list[str]] = {}
    for arm, there in supply.names.items():
        arms_there.setdefault(there, []).append(arm)
    for arm in part.arms:
        if arm != SHARED:
            name = trained.place(supply.folder, supply.names[arm])
            weights = _of_seeds(run_files.read_arrays(name), seeds)
            run_files.write_arrays(trained.place(folder, arm), weights, compressed=True)
    lines: list[metric_records.ChunkMetrics | metric_records.SnapshotMetrics] = []
    for line in metric_records.lines(supply.folder):
        for arm in arms_there.get(line.arm, ()):
            own = dataclasses.replace(
                parts.of_seeds(line, seeds.start, seeds.stop), arm=arm
            )
            if isinstance(own, metric_records.SnapshotMetrics):
                own = _snapshot(job, own, supply, seeds, arms[arm], experiment)
            lines.append(own)
    if part.name == SHARED:  # in the order of a training
        lines.sort(key=lambda line: part.arms.index(line.arm))
    text = "".join(json_text.dumps(configs.to_dict(line)) + "\n" for line in lines)
    run_files.write_lines(folder / metric_records.FILE, text)
    loop.mark_trained(job)


def _snapshot(
    job: loop.TrainingJob,
    line: metric_records.SnapshotMetrics,
    supply: Supply,
    seeds: slice,
    arm: training_arms.Arm,
    experiment: Experiment,
) -> metric_records.SnapshotMetrics:
    """Write a snapshot of some seeds, and measure it if it is not measured yet."""
    there = supply.names[arm.name]
    path = snapshots.place(supply.folder, there, line.update)
    last = not path.exists()  # a finished run has the weights alone
    arrays = run_files.read_arrays(
        trained.place(supply.folder, there) if last else path
    )
    out = snapshots.place(job.folder, arm.name, line.update)
    if snapshots.keeps_values(arrays):
        by_seed = film.kept(experiment).by_seed
        run_files.write_arrays(out, _of_seeds(arrays, seeds, by_seed), compressed=True)
        return line
    own = _of_seeds(arrays, seeds)
    run_files.write_arrays(out, own)
    if line.return_fraction is not None:
        return line
    agents = snapshots.population(job.agent, arm.head, arm.width, job.env, own)
    return job.report(arm.name, line.update, agents)


def _of_seeds(
    arrays: Mapping[str, np.ndarray],
    seeds: slice,
    by_seed: frozenset[str] | None = None,
) -> dict[str, np.ndarray]:
    """Arrays of some seeds; those without an axis of seeds stay."""
    return {
        name: array[seeds] if by_seed is None or name in by_seed else array
        for name, array in arrays.items()
    }


def finished_cell(folder: Path) -> Finished | None:
    """A cell with its config, if it is judged with that; None otherwise.

    Raises:
      RunError, ConfigError: its files are damaged.
    """
    if not (folder / results.FILE).exists():
        return None
    experiment = load.load(folder)
    if not isinstance(experiment, Experiment):
        return None
    if results.read(folder).digest != configs.digest(experiment):
        return None
    return Finished(folder, experiment)
