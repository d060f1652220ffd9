"""`shardsim config --schema` and `--explain`: what may stand in a config file."""

from collections.abc import Mapping
from typing import Any, Final

from shardsim.core import config_schema
from shardsim.core.config import ConfigError
from shardsim.evaluation.experiment import Experiment
from shardsim.training.standalone import Training

ROOTS: Final[Mapping[str, type]] = {"experiment": Experiment, "training": Training}
"""What a config file may hold: for `shardsim run`, and for `shardsim train`."""


def schema(root: str) -> str:
    """The JSON Schema of an experiment or a training, as a file."""
    return config_schema.to_json(ROOTS[root])


def explain(field: str, data: Mapping[str, Any] | None = None) -> str:
    """Meaning, range, default and choices of a dotted field.

    Args:
      data: a config file; without one, fields of experiments and trainings are known.

    Raises:
      ConfigError: there is no such field; the nearest is suggested.
    """
    if data is not None:
        root = ROOTS["experiment" if "predictions" in data else "training"]
        return config_schema.explain(root, field, data)
    try:
        return config_schema.explain(Experiment, field)
    except ConfigError as error:
        try:
            return config_schema.explain(Training, field)
        except ConfigError:
            raise error from None
