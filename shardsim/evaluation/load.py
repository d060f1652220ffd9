"""Read a run folder or a config file as an experiment or a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shardsim.core import config as configs
from shardsim.core import config_files
from shardsim.evaluation.experiment import Experiment
from shardsim.evaluation.zoo.config import ZooConfig
from shardsim.storage import run_folder, run_layout
from shardsim.training.standalone import Training


def load(folder: Path) -> Experiment | Training:
    """Load the config of a run folder.

    Raises:
      RunError: there is no run, or its format is another one.
      ConfigError: its config cannot be read.
    """
    return read(
        config_files.read_yaml(run_folder.open_run(folder) / run_layout.CONFIG_FILE)
    )


def check_kind(data: Mapping[str, Any], kind: str, file: Path) -> None:
    """Check that a config file is of the kind that the command needs.

    Args:
      data: the config file; predictions make it an experiment, members a zoo.
      kind: "experiment", "training" or "zoo".

    Raises:
      ConfigError: it is of another kind.
    """
    if (kind == "zoo") != ("members" in data):
        got, allowed = (
            ("missing", "a zoo, which has some")
            if kind == "zoo"
            else (
                "unknown key",
                f"{_article(kind)}, which has none (for a zoo: shardsim zoo)",
            )
        )
        raise configs.ConfigError(f"members: {got} in {file}; allowed: {allowed}")
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
) -> type[Experiment] | type[Training] | type[ZooConfig]:
    """A zoo if the config has members, an experiment if predictions, or a training."""
    if "members" in data:
        return ZooConfig
    return Experiment if "predictions" in data else Training


def read_file(file: Path, flags: Sequence[str] = ()) -> dict[str, Any]:
    """A config file changed by flags, as data.

    Raises:
      ConfigError: no YAML, or what is no flag, a line each.
    """
    data = config_files.read_yaml(file)
    return config_files.override(data, flags, root(data))


def read(data: dict[str, Any]) -> Experiment | Training:
    """Build an experiment or a training.

    Raises:
      ConfigError: the data are those of a zoo, or no config.
    """
    built = configs.build(root(data), data)
    if isinstance(built, ZooConfig):
        raise configs.ConfigError(
            "members: unknown key; allowed: an experiment or a training, which have "
            "none (for a zoo: shardsim zoo)"
        )
    return built
