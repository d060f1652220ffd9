"""A phase of a schedule: its world, its data, and what learns."""

import dataclasses
from typing import Any, Literal

from shardsim.algorithms.losses import LossWeights
from shardsim.core import config as configs
from shardsim.core.types import Params, Trainable


@dataclasses.dataclass(frozen=True)
class Phase:
    """One phase, as a list of them makes a schedule."""

    name: str
    updates: int
    collect: Literal["random_walker", "agent", "dataset"] = "agent"
    """Who acts: the goal-agnostic walker, the agent itself, or somebody whose
    trajectories are in the file `train.dataset`."""
    losses: LossWeights = LossWeights()
    env: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the world that differ in this phase (rewards, what is shown)."""
    reset_envs: bool = False
    """Whether all episodes begin anew with the phase. Else those under way are played
    to their end, on levels of the phase before, by the rewards of this one."""

    def __post_init__(self) -> None:
        if self.updates < 1:
            raise ValueError(f"updates: got {self.updates}; allowed: at least 1")
        if self.collect == "dataset" and (self.env or self.reset_envs):
            field = "env" if self.env else "reset_envs"
            raise ValueError(
                f"{field}: got {getattr(self, field)!r}; allowed with collect 'dataset': "
                "nothing, for no world is played"
            )


def params_of(env: Trainable, phase: Phase) -> Params:
    """The world of a phase.

    Raises:
      ValueError: a field that no phase may change, or that the world refuses.
    """
    return altered(env, phase.env).params()


def altered(env: Trainable, fields: dict[str, Any]) -> Trainable:
    """The world with some of its scheduled fields changed."""
    for field in fields:
        if field not in env.SCHEDULED:
            allowed = ", ".join(env.SCHEDULED) or "none in this env"
            raise ValueError(f"env.{field}: unknown key; allowed: {allowed}")
    if not fields:
        return env
    try:
        other = configs.build(type(env), {**configs.to_dict(env), **fields})
    except ValueError as error:
        raise ValueError(f"env.{error}") from None
    if other.observation_shape != env.observation_shape:
        raise ValueError(
            f"env: got {fields!r}; allowed: what leaves the observation as it is"
        )
    return other
