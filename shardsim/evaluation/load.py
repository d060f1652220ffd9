"""Read a run folder or a config file as an experiment or a training."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shardsim.core import config as configs
from shardsim.core import config_files
from shardsim.evaluation.experiment import Experiment
from shardsim.evaluation.study import Study
from shardsim.evaluation.zoo.config import ZooConfig
from shardsim.storage import run_files, run_folder, run_layout
from shardsim.training.standalone import Training

MARKS = {"experiments": "study", "members": "zoo", "pipelines": "contest"}
"""Fields by which a config is known, and what it then describes."""


def load(folder: Path) -> Experiment | Training:
    """Load the config of a run folder.

    Raises:
      RunError: there is no run, or its format is another one.
      ConfigError: its config cannot be read.
    """
    data = config_files.read_yaml(run_folder.open_run(folder) / run_layout.CONFIG_FILE)
    if is_study(data):
        raise run_files.RunError(
            f"{folder}: got a study; allowed: a run, such as those in "
            f"{folder / run_layout.CELLS}"
        )
    try:
        return read(data)
    except configs.ConfigError as error:
        lines = (
            f"{line}, or a kind from outside (--plugin FILE, shardsim.register)"
            if "kind: got" in line
            else line
            for line in str(error).splitlines()
        )
        raise configs.ConfigError("\n".join(lines)) from None


def check_kind(data: Mapping[str, Any], kind: str, file: Path) -> None:
    """Check that a config file is of the kind that the command needs.

    Args:
      data: the config file; predictions make it an experiment, members a zoo,
        pipelines a contest.
      kind: "experiment", "training", "zoo" or "contest".

    Raises:
      ConfigError: it is of another kind.
    """
    for key, noun in MARKS.items():
        if noun != kind and key in data:
            raise configs.ConfigError(
                f"{key}: unknown key in {file}; allowed: {_article(kind)}, which has "
                f"none (for a {noun}: shardsim {noun})"
            )
    for key, noun in MARKS.items():
        if noun == kind and key not in data:
            raise configs.ConfigError(
                f"{key}: missing in {file}; allowed: a {noun}, which has some"
            )
    if kind == "experiment" and "predictions" not in data:
        raise configs.ConfigError(
            f"predictions: missing in {file}; allowed: an experiment, which has some "
            "(for a training: shardsim train)"
        )
    if kind == "training" and "predictions" in data:
        raise configs.ConfigError(
            f"predictions: unknown key in {file}; allowed: a training, which has none "
            "(for an experiment: shardsim run)"
        )


def _article(kind: str) -> str:
    return f"an {kind}" if kind == "experiment" else f"a {kind}"


def root(
    data: Mapping[str, Any],
) -> type[Experiment] | type[Training] | type[Study] | type[ZooConfig]:
    """A study by experiments, a zoo by members, an experiment by predictions."""
    if is_study(data):
        return Study
    if "members" in data:
        return ZooConfig
    return Experiment if "predictions" in data else Training


def is_study(data: Mapping[str, Any]) -> bool:
    """Whether a config is that of a study, which names experiments."""
    return "experiments" in data


def read_file(
    file: Path,
    flags: Sequence[str] = (),
    root_of: Callable[[Mapping[str, Any]], type] = root,
) -> dict[str, Any]:
    """A config file changed by flags, as data.

    Args:
      root_of: what a config describes, from its data.

    Raises:
      ConfigError: no YAML, or what is no flag, a line each.
    """
    data = config_files.read_yaml(file)
    return config_files.override(data, flags, root_of(data))


def read(data: dict[str, Any]) -> Experiment | Training:
    """Build an experiment or a training.

    Raises:
      ConfigError: naming the field, its value and what is allowed; also where the data
        are those of a study, a zoo or a contest.
    """
    for key, noun in MARKS.items():
        if key in data:
            raise configs.ConfigError(
                f"{key}: unknown key; allowed: an experiment or a training, which have "
                f"none (for a {noun}: shardsim {noun})"
            )
    if "predictions" in data:
        return configs.build(Experiment, data)
    return configs.build(Training, data)
