"""Train a run in parts: what a driver plans and joins, and what a worker trains."""

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from shardsim.core import config as configs
from shardsim.core import config_files, fields
from shardsim.evaluation import load, snapshot_metrics
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import records, run_files, run_folder, run_layout
from shardsim.training import loop, parts, schedule, standalone

LOG = logging.getLogger(__name__)

WORKER_FILE = "worker.json"
"""Who is, or was, at work on a part."""

Config: TypeAlias = Experiment | standalone.Training
TrainParts: TypeAlias = Callable[[Path, loop.TrainingJob, tuple[parts.Part, ...]], None]
"""(folder of the run, whole training, unfinished parts) -> trains all of them. A part
comes after those that it needs."""


@fields.record
class Worker:
    """worker.json: the process that trains a part."""

    host: str
    pid: int


def whole_job(
    config: Config, folder: Path, progress: loop.Progress
) -> loop.TrainingJob:
    """The training of a whole run."""
    if isinstance(config, standalone.Training):
        return standalone.job_of(config, folder, progress)
    return loop.TrainingJob(
        config.env,
        config.agent,
        config.train,
        config.sized_arms(),
        folder,
        snapshot_metrics.hook(config),
        progress,
        schedule.load_dataset(config.train, config.env),
    )


def begin(config: Config, run: Path, first: int, size: int) -> parts.Plan:
    """The plan of a run whose parts were begun before, or a new one.

    Args:
      config: of the whole run.
      first: number of the first seed that is trained.
      size: most seeds of a block of a new plan.

    Raises:
      RunError: the config is not that with which the parts were begun.
    """
    plan = parts.read_plan(run)
    if plan is None:
        parts.delete(run)  # what is left where a process was killed while it did
        plan = parts.divide(range(first, config.train.num_seeds), size)
        parts.begin(run, plan, config_files.to_yaml(config))
    _check_unchanged(config, run)
    return plan


def train(
    config: Config,
    run: Path,
    plan: parts.Plan,
    train_parts: TrainParts,
    *,
    out: Path | None = None,
    old: parts.Source | None = None,
    kept: parts.Kept | None = None,
) -> None:
    """Train a run in parts and join them; what is finished is not trained again.

    Args:
      config: of the whole run.
      run: its folder, created and locked, which holds the parts.
      plan: as `begin` returns it.
      out: folder in which the parts are joined; None: that of the run.
      old: seeds that are trained already, before those of the plan.
      kept: what the run of these seeds keeps of snapshots.

    Raises:
      Interrupted, Diverged, Failed: training stopped; all of it so far is on disk.
    """
    job = whole_job(config, out or run, lambda *_: None)
    if not loop.is_finished(job):
        unfinished = tuple(
            part
            for part in parts.parts_of(plan, job.arms, job.train)
            if not loop.is_finished(parts.job_of(job, run, part))
        )
        train_parts(run, job, unfinished)
        LOG.info("joining %d blocks of seeds", len(plan.blocks))
        blocks = parts.sources(run, plan, job)
        parts.join(job, blocks if old is None else (old, *blocks), kept)
    if out is None:
        parts.delete(run)


def _check_unchanged(config: Config, run: Path) -> None:
    """Refuse a config whose training differs from that of the parts of the run."""
    begun = load.read(
        config_files.read_yaml(run / run_layout.PARTS / run_layout.CONFIG_FILE)
    )
    for name in ("env", "agent", "arms", "train"):
        changes = configs.diff(getattr(begun, name), getattr(config, name), name)
        changes.pop("train.devices", None)  # it changes no result
        for field, (before, now) in changes.items():
            raise run_files.RunError(
                f"{run / run_layout.CONFIG_FILE}: {field}: got {now!r}; allowed: "
                f"{before!r}, with which parts of the run were trained"
            )


def train_part(
    run: Path, whole: loop.TrainingJob, part: parts.Part, wait: float = 0.0
) -> None:
    """Train a part of a run, from its last checkpoint if it has one.

    Args:
      wait: seconds in which another process may leave the folder of the part.

    Raises:
      RunError: another process is at work on the part.
      Interrupted, Diverged: as `loop.run`.
    """
    folder = parts.open_part(run, part)
    with run_folder.lock(folder, wait):
        run_folder.write_provenance(folder)
        records.write(folder / WORKER_FILE, Worker(socket.gethostname(), os.getpid()))
        loop.run(parts.job_of(whole, run, part))


def worker_of(folder: Path) -> str:
    """The host that is, or was, at work on a part; empty where none was."""
    try:
        return records.read(folder / WORKER_FILE, Worker).host
    except run_files.RunError:
        return ""
