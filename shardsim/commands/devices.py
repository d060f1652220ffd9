"""Checks of devices and files that a config needs, before anything is trained."""

import contextlib
import os
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax

from shardsim.core import config as configs
from shardsim.core.types import Trainable
from shardsim.evaluation import measures
from shardsim.evaluation.experiment import Experiment
from shardsim.training import arms, schedule
from shardsim.training.config import TrainConfig


@runtime_checkable
class HasTraining(Protocol):
    """What an experiment and a training have in common."""

    @property
    def env(self) -> Trainable: ...

    @property
    def train(self) -> TrainConfig: ...

    def sized_arms(self) -> tuple[arms.Arm, ...]: ...


def offer_devices(data: Mapping[str, Any]) -> None:
    """Split the CPU into as many JAX devices as a config asks for.

    This works only before JAX starts its backend; later it does nothing. It has no
    effect on a GPU, and a split that the user set in XLA_FLAGS stays as it is.

    Args:
      data: a config file; `train.devices` is read from it, and may be invalid.
    """
    train = data.get("train")
    requested = train.get("devices", 1) if isinstance(train, Mapping) else 1
    cores = 0 if _split_by_user() else os.cpu_count() or 1
    if isinstance(requested, int) and 1 < requested <= cores:
        with contextlib.suppress(RuntimeError):  # the backend has started already
            jax.config.update("jax_num_cpu_devices", requested)


def _split_by_user() -> bool:
    return "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")


def check_available(config: HasTraining) -> None:
    """Check that this machine has what a run needs, before anything is trained.

    Raises:
      ConfigError: more devices than there are.
      RunError: the dataset is missing, or from another environment.
      ValueError: an arm that cannot meet its number of parameters.
    """
    config.sized_arms()
    available = len(jax.devices())
    if config.train.devices > available:
        if jax.default_backend() == "cpu" and not _split_by_user():
            available = max(available, os.cpu_count() or 1)
        raise configs.ConfigError(
            f"train.devices: got {config.train.devices}; allowed: 1 to {available}"
        )
    schedule.load_dataset(config.train, config.env)


def check_new(config: HasTraining) -> None:
    """Check a new run: `check_available`, and that its predictions can be answered.

    `resume` skips the second check: a run may be older than the check.

    Raises:
      ConfigError: as `check_available`, or a measure needs V to act and it does not.
    """
    check_available(config)
    if not isinstance(config, Experiment) or config.evaluation_acting.value_acts:
        return
    for name, entry in config.predictions.items():
        if measures.value_acts(entry.measure):
            got = (
                "'policy_only'"
                if config.evaluation.action_selection
                else "none, and training has 'policy_only'"
            )
            raise configs.ConfigError(
                f"evaluation.action_selection: got {got}; allowed with "
                f"predictions.{name}.measure {entry.measure.kind!r}, which measures "
                "what V does to acting: lookahead, value_only"
            )
