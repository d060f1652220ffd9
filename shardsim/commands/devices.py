"""Checks of devices and files that a config needs, before anything is trained."""

import contextlib
import os
from collections.abc import Mapping
from typing import Any, Protocol

import jax

from shardsim.core import config as configs
from shardsim.core.types import Trainable
from shardsim.evaluation import measures
from shardsim.evaluation.experiment import Experiment
from shardsim.training import arms, schedule
from shardsim.training.config import TrainConfig


class Checked(Protocol):
    """What an experiment and a training have in common."""

    @property
    def env(self) -> Trainable: ...

    @property
    def train(self) -> TrainConfig: ...

    def sized_arms(self) -> tuple[arms.Arm, ...]: ...


def offer_devices(data: Mapping[str, Any]) -> None:
    """Split a CPU into the devices that a config asks for, while that can be done.

    A machine whose devices are not CPUs takes no notice; one that was split by hand
    (XLA_FLAGS) stays as it is.
    """
    train = data.get("train")
    wanted = train.get("devices", 1) if isinstance(train, Mapping) else 1
    cores = 0 if _split_by_hand() else os.cpu_count() or 1
    if isinstance(wanted, int) and 1 < wanted <= cores:
        with contextlib.suppress(RuntimeError):  # JAX has begun: what is there stays
            jax.config.update("jax_num_cpu_devices", wanted)


def _split_by_hand() -> bool:
    return "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")


def check_there(found: Checked) -> None:
    """Refuse what this machine lacks, and arms that can't be, before all else."""
    found.sized_arms()
    there = len(jax.devices())
    if found.train.devices > there:
        if jax.default_backend() == "cpu" and not _split_by_hand():
            there = max(there, os.cpu_count() or 1)
        raise configs.ConfigError(
            f"train.devices: got {found.train.devices}; allowed: 1 to {there}"
        )
    schedule.load_dataset(found.train, found.env)


def check_new(found: Checked) -> None:
    """Refuse what can't be answered, and what this machine lacks, before all else.

    A run that is there goes on: it may be older than what is refused by now.
    """
    check_there(found)
    if not isinstance(found, Experiment) or found.evaluation_acting.value_acts:
        return
    for name, entry in found.predictions.items():
        if measures.value_acts(entry.measure):
            got = (
                "'policy_only'"
                if found.evaluation.action_selection
                else "none, and training has 'policy_only'"
            )
            raise configs.ConfigError(
                f"evaluation.action_selection: got {got}; allowed with "
                f"predictions.{name}.measure {entry.measure.kind!r}, which asks what V "
                "does to acting: lookahead, value_only"
            )
