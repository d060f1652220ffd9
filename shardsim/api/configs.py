"""Configs in Python: read from a file or built from mappings, changed, printed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from shardsim.commands import devices
from shardsim.core import config as configs
from shardsim.core import config_files
from shardsim.evaluation import load
from shardsim.evaluation.experiment import Experiment
from shardsim.training.standalone import Training

Config: TypeAlias = Experiment | Training
"""An experiment has predictions and is judged; a training has none."""


def config(source: "str | Path | Mapping[str, Any] | Config", **changes: Any) -> Config:
    """A config, read from a file or built from mappings, with some fields changed.

    Changes follow the rules of flags on the command line: another `kind` drops the
    fields of the old one, and None removes an arm or a prediction.

    Args:
      source: a YAML file, nested mappings, or a config.
      changes: fields by name. Mappings change the fields inside them and leave the
        others; any other value replaces the field. A dotted name is one of a field
        inside: `**{"train.phases.1.updates": 100}`.

    Returns:
      An experiment if there are predictions, otherwise a training. Both are frozen
      records: every field is an attribute.

    Raises:
      ConfigError: what is wrong with the config, a line for each fault.

    Examples:
      >>> small = shardsim.config(file, train={"num_seeds": 4})
      >>> small.train.num_seeds
      4
      >>> list(shardsim.config(small, arms={"mlp": None}, predictions={}).arms)
      Traceback (most recent call last):
      shardsim.core.field_errors.ConfigError: omnibus.contrast: got 'mlp'; allowed: ...
    """
    return configs_of(prepared(source, changes))


def prepared(
    source: "str | Path | Mapping[str, Any] | Config", changes: Mapping[str, Any]
) -> dict[str, Any]:
    """The same as nested dictionaries, which are not checked yet."""
    if isinstance(source, str | Path):
        data = config_files.read_yaml(Path(source))
    else:
        data = configs.to_dict(source)
    return config_files.changed(data, configs.to_dict(changes), load.root(data))


def configs_of(data: dict[str, Any]) -> Config:
    """The config that dictionaries describe, for the devices of this machine."""
    devices.offer_devices(data)
    return load.read(data)


def to_yaml(config: Config) -> str:
    """A config as YAML with all its fields, which `shardsim run` and `config` read.

    Examples:
      >>> print(shardsim.to_yaml(shardsim.config(file)).splitlines()[0])
      name: tiny
    """
    return config_files.to_yaml(config)
