"""Checks of devices and files that a config needs, before anything is trained."""

import contextlib
import os
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import jax

from shardsim.agents import agent as agents
from shardsim.core import config as configs
from shardsim.core import memory, processor
from shardsim.core.types import Trainable
from shardsim.evaluation import measures
from shardsim.evaluation.experiment import Experiment
from shardsim.training import arms, schedule
from shardsim.training import memory as training_memory
from shardsim.training.config import TrainConfig


@runtime_checkable
class HasTraining(Protocol):
    """What an experiment and a training have in common."""

    @property
    def env(self) -> Trainable: ...

    @property
    def agent(self) -> agents.AgentConfig: ...

    @property
    def train(self) -> TrainConfig: ...

    def sized_arms(self) -> tuple[arms.Arm, ...]: ...


def offer_devices(data: Mapping[str, Any]) -> None:
    """Split the CPU into as many JAX devices as a config asks for: `auto`, its cores.

    This works only before JAX starts its backend; later it does nothing. It has no
    effect on a GPU, and a split that the user set in XLA_FLAGS stays as it is.

    Args:
      data: a config file; `train.devices` is read from it, and may be invalid.
    """
    train = data.get("train")
    requested = train.get("devices", "auto") if isinstance(train, Mapping) else 1
    cores = 0 if _split_by_user() else len(processor.cores())
    if requested == "auto":
        requested = cores
    if isinstance(requested, int) and 1 < requested <= cores:
        with contextlib.suppress(RuntimeError):  # the backend has started already
            jax.config.update("jax_num_cpu_devices", requested)


def _split_by_user() -> bool:
    return "host_platform_device_count" in os.environ.get("XLA_FLAGS", "")


def check_available(config: HasTraining) -> None:
    """Check that this machine has what a run needs, before anything is trained.

    Raises:
      ConfigError: more devices than there are, or sizes beyond the memory.
      RunError: the dataset is missing, or from another environment.
      ValueError: an arm that cannot meet its number of parameters.
    """
    sized = config.sized_arms()
    available, devices = len(jax.devices()), schedule.num_devices(config.train)
    if devices > available:
        raise configs.ConfigError(
            f"train.devices: got {devices}; allowed: {_allowed(devices, available)}"
        )
    parts = training_memory.least(config.env, config.agent, config.train, sized)
    if isinstance(config, Experiment):
        parts["evaluation.levels"] = _evaluation_bytes(config, len(sized))
    memory.check(parts, devices)
    schedule.load_dataset(config.train, config.env)


def _evaluation_bytes(config: Experiment, num_arms: int) -> int:
    """Transitions of all states, and V and the policy of all arms in them."""
    # without a list of states, agents are asked at the starts of levels alone
    per_level = config.env.num_states if config.is_exact else 1
    states = config.evaluation.levels * per_level
    transitions = 9 * config.env.num_actions
    readings = 4 * (1 + config.env.num_actions) * num_arms * config.train.num_seeds
    return len(config.evaluation.conditions) * states * (transitions + readings)


def _allowed(requested: int, available: int) -> str:
    """Numbers of devices that are allowed, when a number is too large."""
    cores = len(processor.cores())
    can_split = jax.default_backend() == "cpu" and not _split_by_user()
    most = f"1 to {available}" if available > 1 else "1"
    if can_split and requested <= cores:
        return (
            f"{most}, because this process has started JAX with {available} (up to "
            f"{cores} in a new process)"
        )
    return f"1 to {max(available, cores)}" if can_split else most


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
