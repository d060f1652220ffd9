"""What trains the parts of a run: this process, others beside it, or a Ray cluster."""

import argparse
import contextlib
import dataclasses
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from shardsim.commands import progress
from shardsim.core import processor
from shardsim.core.field_errors import ConfigError
from shardsim.execution import local, scheduler, training
from shardsim.training import arms, loop, parts

OPTIONS = ("workers", "retries", "address", "worker_cpus", "worker_gpus")
"""Options that need an executor."""
RAY_OPTIONS = ("address", "worker_cpus", "worker_gpus")
"""Options of Ray alone."""


@dataclasses.dataclass(frozen=True)
class Executor:
    """What trains the parts of a run, from the options of a command."""

    kind: Literal["here", "local", "ray", "begin"] = "here"
    """This process, processes beside it, a Ray cluster, or whoever comes later."""
    block_seeds: int | None = None
    """Most seeds of a part; None: as many as keep all workers busy."""
    workers: int | None = None
    """Parts at a time; None: one a core."""
    retries: int = 3
    """How often a part whose worker was lost starts again."""
    address: str | None = None
    """Of a Ray cluster; None: one on this machine alone."""
    worker_cpus: int = 1
    """Cores of a Ray worker."""
    worker_gpus: float = 0.0
    """GPUs of a Ray worker."""


def chosen(options: argparse.Namespace) -> Executor | None:
    """The executor of the options of a command; None: this process trains all at once.

    Raises:
      ConfigError: an option that is out of range, or has no effect.
    """
    given = {n: getattr(options, n) for n in OPTIONS if getattr(options, n) is not None}
    kind = options.executor
    for name in given:
        if kind is None:
            raise ConfigError(f"{name}: got a value; allowed with --executor")
        if kind != "ray" and name in RAY_OPTIONS:
            raise ConfigError(f"{name}: got a value; allowed with --executor ray")
    least = {"workers": 1, "retries": 0, "worker_cpus": 1, "worker_gpus": 0}
    numbers = {**given, "block_seeds": options.block_seeds}
    for name, number in numbers.items():
        if number is not None and number < least.get(
            name, 1 if name == "block_seeds" else number
        ):
            raise ConfigError(
                f"{name}: got {number}; allowed: {least.get(name, 1)} or more"
            )
    if options.begin and kind is not None:
        raise ConfigError(f"executor: got {kind!r}; allowed with --begin: none")
    if options.begin:
        return Executor("begin", options.block_seeds)
    if kind is None and options.block_seeds is None:
        return None
    if kind is not None:
        # a driver that looks at a GPU must leave it to its workers
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    return Executor(kind or "here", options.block_seeds, **given)


def train_parts(
    executor: Executor | None, config: training.Config, folder: Path
) -> None:
    """Train a run in parts and join them, if it is one to be trained in parts.

    Without an executor, this process goes on with parts that were begun before.
    """
    if executor is None and parts.read_plan(folder) is None:
        parts.delete(folder)  # what is left where a process was killed while it did
        return
    train, size = trainer(executor, config, config.train.num_seeds)
    plan = training.begin(config, folder, 0, size)
    training.train(config, folder, plan, train)


def trainer(
    executor: Executor | None, config: training.Config, num_seeds: int
) -> tuple[training.TrainParts, int]:
    """What trains parts, and the most seeds of a block.

    Args:
      num_seeds: seeds that are trained.
    """
    executor = executor or Executor()
    if executor.kind in ("here", "begin"):
        train = _here(config) if executor.kind == "here" else _begin
        return train, executor.block_seeds or num_seeds
    workers = executor.workers or len(processor.cores())
    groups = len(arms.groups(config.sized_arms(), config.train))
    blocks = min(-(-workers // groups), num_seeds)
    size = executor.block_seeds or -(-num_seeds // blocks)
    return _elsewhere(executor, workers), size


def _here(config: training.Config) -> training.TrainParts:
    """Train parts one after the other in this process."""

    def train(
        run: Path, job: loop.TrainingJob, unfinished: tuple[parts.Part, ...]
    ) -> None:
        updates = sum(parts.num_updates(part, config.train) for part in unfinished)
        with progress.training(config, total=updates) as advance:
            job = dataclasses.replace(job, progress=advance)
            for part in unfinished:
                training.train_part(run, job, part)

    return train


def _begin(
    run: Path, job: loop.TrainingJob, unfinished: tuple[parts.Part, ...]
) -> None:
    """Leave the parts to others.

    Raises:
      Begun: always.
    """
    del job
    work = f"shardsim work {shlex.quote(str(run))}"
    raise scheduler.Begun(
        f"{len(unfinished)} parts to train, anywhere: {work}\n"
        f"then join them: {loop.resume_command(run)}"
    )


def _elsewhere(executor: Executor, num_workers: int) -> training.TrainParts:
    """Train parts in other processes."""

    def train(
        run: Path, job: loop.TrainingJob, unfinished: tuple[parts.Part, ...]
    ) -> None:
        tasks = [scheduler.Task(run, job, part) for part in unfinished]
        drive(executor, run, tasks, num_workers)

    return train


def drive(
    executor: Executor, run: Path, tasks: Sequence[scheduler.Task], num_workers: int
) -> None:
    """Train parts in other processes, and show how far they are.

    Args:
      run: folder of the run or the study that is resumed after a stop.
      num_workers: parts at a time, on this machine.
    """
    with _workers(executor, num_workers) as workers, progress.parts() as show:
        scheduler.drive(run, tasks, workers, retries=executor.retries, show=show)


@contextlib.contextmanager
def _workers(executor: Executor, num_workers: int) -> Iterator[scheduler.Workers]:
    if executor.kind == "local":
        yield local.Processes(num_workers)
        return
    from shardsim.execution import ray_cluster

    with ray_cluster.connected(executor.address) as cluster:
        yield cluster.workers(
            executor.workers, executor.worker_cpus, executor.worker_gpus
        )
