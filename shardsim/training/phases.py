"""A phase of training: its environment, its data, and its losses."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import PositiveInt

from shardsim.algorithms.losses import LossWeights
from shardsim.algorithms.optimizers import Schedule
from shardsim.core import config as configs
from shardsim.core import field_errors, fields
from shardsim.core.types import Params, Trainable


@fields.record
class Phase:
    """One phase of training: who acts, what is learned, and how the env differs."""

    name: fields.Label
    """Name by which predictions and plots refer to the phase."""
    updates: PositiveInt
    """Number of updates."""
    collect: Literal["random_walker", "agent", "dataset"] = "agent"
    """Where the trajectories come from: a random walker that ignores reward, the agent
    itself, or a dataset file."""
    losses: LossWeights = LossWeights()
    """Which losses train which part, with their weights."""
    env: fields.EnvChanges = dataclasses.field(default_factory=dict)
    """Fields of the env that differ in this phase, such as rewards."""
    schedule: Schedule | None = None
    """Learning rate over the updates of this phase; null: `optimizer.schedule` over all
    updates of the run."""
    reset_envs: bool = False
    """Whether all episodes restart when the phase begins. Otherwise running episodes
    continue on their levels, with the rewards of this phase."""

    @fields.rule("schedule", "updates")
    def _warmup(self) -> Iterator[str]:
        warmup = 0 if self.schedule is None else self.schedule.warmup
        if warmup and warmup >= self.updates:
            yield (
                f"schedule.warmup: got {warmup}; allowed: less than the updates of the "
                f"phase, {self.updates}"
            )

    @fields.rule("collect", "env", "reset_envs")
    def _stored_data(self) -> Iterator[str]:
        if self.collect == "dataset" and (self.env or self.reset_envs):
            field = "env" if self.env else "reset_envs"
            yield (
                f"{field}: got {getattr(self, field)!r}; allowed with collect "
                "'dataset': none, because no environment is stepped"
            )


def params_of(env: Trainable, phase: Phase) -> Params:
    """The parameters of the environment in a phase.

    Raises:
      ValueError: the phase changes a field that no phase may change, or to a value that
        is not allowed.
    """
    return altered(env, phase.env).params()


def altered(env: Trainable, changes: dict[str, Any]) -> Trainable:
    """The environment with some of its fields changed.

    Args:
      changes: new value by field; only fields in `env.SCHEDULED` may change.

    Raises:
      ValueError: a field may not change or its value is not allowed, or the changes
        alter the shape of the observation.
    """
    field_errors.refuse(
        f"env.{field}: unknown key; allowed: "
        + (field_errors.one_of(env.SCHEDULED, field) or "none in this env")
        for field in changes
        if field not in env.SCHEDULED
    )
    if not changes:
        return env
    try:
        other = configs.build(type(env), {**configs.to_dict(env), **changes})
    except ValueError as error:
        raise ValueError(field_errors.prefixed("env", error)) from None
    if other.observation_shape != env.observation_shape:
        raise ValueError(
            f"env: got {changes!r}; allowed: changes that keep the shape of the "
            "observation"
        )
    return other
