"""`shardsim config`: print a config with all its fields, explain them, or its schema.

`read_experiment` and `read_training` are how every command reads a config file.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from shardsim.commands import devices
from shardsim.contest.config import Contest
from shardsim.core import config as configs
from shardsim.core import config_files, config_schema, field_errors
from shardsim.evaluation import load
from shardsim.evaluation import study as studies
from shardsim.evaluation.experiment import Experiment
from shardsim.evaluation.zoo.config import ZooConfig
from shardsim.training.standalone import Training

ROOTS: Final[Mapping[str, type]] = {
    "experiment": Experiment,
    "training": Training,
    "study": studies.Study,
    "zoo": ZooConfig,
    "contest": Contest,
}
"""What a config file can describe, for a command each."""


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Print the resolved config, the explanation of a field, or the JSON Schema."""
    if options.schema is not None:
        print(schema(options.schema), end="")
    elif options.explain is not None:
        data = None
        if options.file is not None:
            data = load.read_file(options.file, flags, root)
        print(explain(options.explain, data))
    elif options.file is None:
        read = f" (read as fields: {' '.join(flags)})" if flags else ""
        raise configs.ConfigError(f"file: got nothing; allowed: a YAML file{read}")
    elif load.is_study(config_files.read_yaml(options.file)):
        planned = read_study(options.file, flags)
        print(config_files.to_yaml(planned.study), end="")
    else:
        data = load.read_file(options.file, flags, root)
        if root(data) is ZooConfig:
            print(config_files.to_yaml(configs.build(ZooConfig, data)), end="")
            return 0
        devices.offer_devices(data)
        is_contest = root(data) is Contest
        config = configs.build(Contest, data) if is_contest else load.read(data)
        devices.check_new(config)
        print(config_files.to_yaml(config), end="")
    return 0


def root(data: Mapping[str, Any]) -> type:
    """The record that a config file describes."""
    return Contest if "pipelines" in data else load.root(data)


def read_experiment(file: Path, flags: Sequence[str]) -> Experiment:
    """Read an experiment and check that this machine can run it.

    Raises:
      ConfigError: naming the field, its value and what is allowed.
    """
    experiment = configs.build(Experiment, _read(file, flags, "experiment"))
    devices.check_new(experiment)
    return experiment


def read_training(file: Path, flags: Sequence[str]) -> Training:
    """Read a training and check that this machine can run it.

    Raises:
      ConfigError: naming the field, its value and what is allowed.
    """
    training = configs.build(Training, _read(file, flags, "training"))
    devices.check_new(training)
    return training


def read_zoo(file: Path, flags: Sequence[str]) -> ZooConfig:
    """Read a zoo.

    Raises:
      ConfigError: naming the field, its value and what is allowed.
    """
    data = load.read_file(file, flags, root)
    load.check_kind(data, "zoo", file)
    return configs.build(ZooConfig, data)


def read_contest(file: Path, flags: Sequence[str]) -> Contest:
    """Read a contest and check that this machine can train its agents.

    Raises:
      ConfigError: naming the field, its value and what is allowed.
    """
    contest = configs.build(Contest, _read(file, flags, "contest"))
    devices.check_new(contest)
    return contest


class Planned(NamedTuple):
    """A study whose cells have been checked."""

    study: studies.Study
    cells: list[studies.Cell]
    experiments: dict[str, Experiment]
    """By the name of the cell."""


def plan(study: studies.Study) -> Planned:
    """Build all cells and check that this machine can train them.

    Raises:
      ConfigError: a line for each fault, with the cell and its field.
    """
    cells = studies.cells(study)
    devices.offer_devices(cells[0].data)
    experiments = studies.build(cells)
    field_errors.refuse(
        line
        for name, experiment in experiments.items()
        for line in field_errors.faults(f"cells.{name}", devices.check_new, experiment)
    )
    return Planned(study, cells, experiments)


def read_study(file: Path, flags: Sequence[str]) -> Planned:
    """Read a study and check that this machine can train all of its cells.

    Raises:
      ConfigError: naming the field, or the cell and its field, the value and what is
        allowed.
    """
    return plan(studies.read(file, tuple(flags)))


def _read(file: Path, flags: Sequence[str], kind: str) -> dict[str, Any]:
    """A config file changed by flags, as data; it must be of the right kind."""
    data = load.read_file(file, flags, root)
    load.check_kind(data, kind, file)
    devices.offer_devices(data)
    return data


def schema(kind: str) -> str:
    """The JSON Schema of what a config file can describe, as a file."""
    return config_schema.to_json(ROOTS[kind])


def explain(field: str, data: Mapping[str, Any] | None = None) -> str:
    """Meaning, range, default and choices of a dotted field.

    Args:
      field: e.g. "train.num_seeds"; "" is the root.
      data: a config file, which decides between the choices of a field. Without it
        the fields of experiments are searched first, then those of trainings, studies,
        zoos and contests.

    Raises:
      ConfigError: there is no such field; the text suggests the nearest one.
    """
    if data is not None:
        return config_schema.explain(root(data), field, data)
    errors = []
    for each in ROOTS.values():
        try:
            return config_schema.explain(each, field)
        except configs.ConfigError as error:
            errors.append(error)
    raise errors[0] from None
