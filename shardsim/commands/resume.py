"""`shardsim resume`: continue a run from its last checkpoint."""

import argparse
from collections.abc import Sequence

from shardsim.commands import devices, executors, extend, run, study, train
from shardsim.core import config_files
from shardsim.evaluation import load
from shardsim.execution import extension
from shardsim.storage import run_files, run_folder, run_layout
from shardsim.training import standalone


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Continue an experiment or a training with the config in its folder."""
    del flags
    extend.finish_commit(options.run)
    folder = run_folder.open_run(options.run)
    run_files.check_own(folder, options.overwrite, *run_layout.REWRITTEN)
    if study.is_study(folder):
        planned = study.open_study(folder)
        executor = executors.chosen(options)
        return study.start(planned, folder, executor, options.overwrite)
    devices.offer_devices(config_files.read_yaml(folder / run_layout.CONFIG_FILE))
    config = load.load(folder)
    devices.check_available(config)
    run_folder.write_provenance(folder)
    executor = executors.chosen(options)
    num_seeds = extension.num_seeds_begun(folder)
    if num_seeds is not None:
        return extend.start(config, folder, num_seeds, executor, options.overwrite)
    if isinstance(config, standalone.Training):
        return train.start(config, folder, executor)
    return run.start(config, folder, executor)
