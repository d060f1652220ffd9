"""`shardsim extend`: train more seeds of a run or a study, and judge all of them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from shardsim.commands import (
    devices,
    executors,
    progress,
    run,
    study,
    trackers,
    train,
)
from shardsim.core import config_files
from shardsim.core.field_errors import ConfigError
from shardsim.evaluation import load
from shardsim.evaluation import results as judged
from shardsim.execution import extension, training
from shardsim.storage import run_files, run_folder, run_layout
from shardsim.training import results, standalone


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Extend a run to a number of seeds, with the config in its folder."""
    del flags
    finish_commit(options.run)
    folder = run_folder.open_run(options.run)
    if study.is_study(folder):
        executor = executors.chosen(options)
        return study.extend(folder, options.num_seeds, executor, options.overwrite)
    run_files.check_own(folder, options.overwrite, *run_layout.REWRITTEN)
    devices.offer_devices(config_files.read_yaml(folder / run_layout.CONFIG_FILE))
    config = load.load(folder)
    begun = extension.num_seeds_begun(folder)
    if begun not in (None, options.num_seeds):
        raise ConfigError(
            f"num_seeds: got {options.num_seeds}; allowed: {begun}, to which the run "
            "is being extended"
        )
    executor = executors.chosen(options)
    return start(config, folder, options.num_seeds, executor, options.overwrite)


def start(
    old: training.Config,
    folder: Path,
    num_seeds: int,
    executor: executors.Executor | None,
    overwrite: bool,
) -> int:
    """Train the missing seeds, judge the longer run, and put it in place; print it.

    Args:
      old: config of the run.
      overwrite: whether results that were changed are replaced.
    """
    extension.check(folder, old)
    config = extension.longer(old, num_seeds)
    devices.check_new(config)
    with run_folder.lock(folder):
        missing = num_seeds - old.train.num_seeds
        train_parts, size = executors.trainer(executor, config, missing)
        whole = extension.train(old, config, folder, train_parts, size)
        with progress.training(config) as advance:
            result: judged.RunResult | results.TrainingResult
            if isinstance(config, standalone.Training):
                result = standalone.run(config, whole, advance)
            else:
                result = run.run(config, whole, advance)
        run_files.check_own(folder, overwrite, *run_layout.REWRITTEN)
        extension.commit(folder)
        with trackers.following(config, folder) as follower:
            follower.finish(result)
    if isinstance(config, standalone.Training):
        assert isinstance(result, results.TrainingResult)
        train.show(config, folder, result)
    else:
        assert isinstance(result, judged.RunResult)
        run.show(result, folder)
    return 0


def finish_commit(folder: Path) -> None:
    """Finish putting a longer run in place, if a process was stopped while it did."""
    mark = folder / run_layout.PARTS / run_layout.COMMIT_FILE
    if mark.exists():
        with run_folder.lock(folder):
            extension.finish_commit(folder)
