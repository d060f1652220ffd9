"""Read a run folder or a config file as an experiment or a training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shardsim.core import config as configs
from shardsim.core import config_files
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import run_folder
from shardsim.training.standalone import Training


def load(folder: Path) -> Experiment | Training:
    """What a run folder is a run of.

    Raises:
      RunError: there is no run, or one of another format.
      ConfigError: its config can't be read.
    """
    return read(
        config_files.read_yaml(run_folder.open_run(folder) / run_folder.CONFIG_FILE)
    )


def check_kind(data: Mapping[str, Any], built: str, file: Path) -> None:
    """Refuse a file that is for the other command, by what it has or lacks."""
    if built == "experiment" and "predictions" not in data:
        raise configs.ConfigError(
            f"predictions: missing in {file}; allowed: an experiment, which has some "
            "(for a training: shardsim train)"
        )
    if built == "training" and "predictions" in data:
        raise configs.ConfigError(
            f"predictions: unknown key in {file}; allowed: a training, which has none "
            "(for an experiment: shardsim run)"
        )


def read(data: dict[str, Any]) -> Experiment | Training:
    """The experiment of a config that makes predictions, else its training."""
    if "predictions" in data:
        return configs.build(Experiment, data)
    return configs.build(Training, data)
