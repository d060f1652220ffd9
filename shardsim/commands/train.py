"""`shardsim train`: train arms on any environment, without judging them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from shardsim.commands import config, executors, progress, trackers
from shardsim.core import config_files
from shardsim.storage import run_folder
from shardsim.training import results, standalone


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Create the run folder, train, and print one line for each arm."""
    training = config.read_training(options.file, flags)
    folder = options.out or Path("runs") / training.name
    run_folder.create(folder, config_files.to_yaml(training), options.overwrite)
    return start(training, folder, executors.chosen(options))


def start(
    training: standalone.Training,
    folder: Path,
    executor: executors.Executor | None = None,
) -> int:
    """Train in a run folder, and print one line for each arm.

    Args:
      executor: what trains it in parts; None: this process trains all.
    """
    print(folder)
    show(training, folder, train(training, folder, executor))
    return 0


def train(
    training: standalone.Training,
    folder: Path,
    executor: executors.Executor | None = None,
) -> results.TrainingResult:
    """Train in a run folder, from its last checkpoint if it has one; show the progress.

    Args:
      executor: what trains it in parts; None: this process trains all.
    """
    if training.train.num_seeds == 1:
        progress.say(
            "train.num_seeds 1: shows that the training runs and what one agent earns. "
            "How much agents or arms differ by chance needs 2 seeds"
        )
    with run_folder.lock(folder):
        executors.train_parts(executor, training, folder)
        with (
            progress.training(training) as advance,
            trackers.following(training, folder) as follower,
        ):
            result = standalone.run(training, folder, follower.beside(advance))
            follower.finish(result)
            return result


def show(
    training: standalone.Training, folder: Path, result: results.TrainingResult
) -> None:
    """Print one line for each arm, and the folder."""
    for name, arm in result.arms.items():
        print(standalone.describe_arm(training.train, name, arm))
    print(folder)
