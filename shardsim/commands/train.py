"""`shardsim train`: train arms on any environment, without judging them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from shardsim.commands import config, progress
from shardsim.core import config_files
from shardsim.storage import run_folder
from shardsim.training import standalone


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Create the run folder, train, and print one line for each arm."""
    training = config.read_training(options.file, flags)
    folder = options.out or Path("runs") / training.name
    run_folder.create(folder, config_files.to_yaml(training), options.overwrite)
    return start(training, folder)


def start(training: standalone.Training, folder: Path) -> int:
    """Train in a run folder, from its last checkpoint if it has one."""
    if training.train.num_seeds == 1:
        progress.say(
            "train.num_seeds 1: shows that the training runs and what one agent earns. "
            "How much agents or arms differ by chance needs 2 seeds"
        )
    with run_folder.lock(folder), progress.training(training) as advance:
        result = standalone.run(training, folder, advance)
    for name, arm in result.arms.items():
        print(standalone.describe_arm(training.train, name, arm))
    print(folder)
    return 0
