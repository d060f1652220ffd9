"""An experiment as a config: everything a run depends on, checked before it starts."""

import contextlib
import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any, Protocol

import jax

from shardsim import agent as agents
from shardsim import config as configs
from shardsim import encoders, exact, learning, loop, phases, schedule, value
from shardsim.comparison import measures, prediction, rules
from shardsim.comparison.battery import BatteryConfig
from shardsim.types import Trainable
from shardsim_envs import World


@dataclasses.dataclass(frozen=True)
class ArmConfig:
    """One architecture; all arms share E, D, data, keys and loop."""

    head: value.Head
    trained: bool = True
    """False: the head stays as it was initialised (a control)."""
    matched: bool = True
    """Whether the head has to meet the budget of parameters."""


@dataclasses.dataclass(frozen=True)
class OmnibusConfig:
    """Do two architectures differ more than two seeds of one do?"""

    contrast: rules.Contrast
    conditions: tuple[str, ...] = ("in_distribution",)
    references: tuple[rules.Contrast, ...] = ()
    """Other pairs by which the size of the answer can be read."""

    def __post_init__(self) -> None:
        if not self.conditions:
            raise ValueError("conditions: got none; allowed: one or more")
        pairs = (self.contrast, *self.references)
        for field, got in (("conditions", self.conditions), ("references", pairs)):
            if len(set(got)) < len(got):
                raise ValueError(f"{field}: got one twice; allowed: different ones")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything a run depends on."""

    name: str
    question: str
    world: World
    arms: dict[str, ArmConfig]
    train: schedule.TrainConfig
    predictions: dict[str, prediction.Prediction]
    omnibus: OmnibusConfig
    agent: agents.AgentConfig = agents.AgentConfig()
    battery: BatteryConfig = BatteryConfig()
    goal: float = 0.95
    """Fraction of the exact optimal return that a trained arm should reach."""

    def __post_init__(self) -> None:
        check_spelling("name", self.name)
        for name in self.arms:
            if name == measures.EXACT:
                raise ValueError(f"arms: got {name!r}; allowed: names but this one")
        if not 0 <= self.goal <= 1:
            raise ValueError(f"goal: got {self.goal}; allowed: 0 to 1")
        if self.train.grid:
            raise ValueError(
                "train.grid: got values; allowed: none in a comparison, whose unit is "
                "the seed (`shardsim train` takes a grid)"
            )
        check_arms(self.arms, self.world, self.train)
        try:
            exact.listable(self.world)
        except ValueError as error:
            raise ValueError(f"{error}; `shardsim train` does without") from None
        for place, fields in self._worlds():
            try:
                phases.altered(self.world, fields)
            except ValueError as error:
                raise ValueError(f"{place}.{error}") from None
        self._check_names()

    def _worlds(self) -> list[tuple[str, dict[str, Any]]]:
        changed = [
            (f"train.phases.{i}", phase.world)
            for i, phase in enumerate(self.train.phases)
        ]
        conditions = self.battery.conditions
        return [
            *changed,
            *((f"battery.conditions.{name}", f) for name, f in conditions.items()),
        ]

    def _check_names(self) -> None:
        """Arms and conditions that predictions speak of have to be there."""
        pairs = [self.omnibus.contrast, *self.omnibus.references]
        spoken = {"omnibus": {a for p in pairs for a in (p.arm, p.against)}}
        for name, entry in self.predictions.items():
            spoken[f"predictions.{name}.rule"] = entry.arms()
        for place, named in spoken.items():
            # V* is one and not N seeds: the omnibus has no use for it
            arms = [*self.arms, *([measures.EXACT] if place != "omnibus" else [])]
            for arm in sorted(named):
                if arm not in arms:
                    raise ValueError(
                        f"{place}: got arm {arm!r}; allowed: {', '.join(arms)}"
                    )
        for name, entry in self.predictions.items():
            if not measures.suits(entry.measure, self.world):
                raise ValueError(
                    f"predictions.{name}.measure: got {entry.measure.kind!r}; allowed: "
                    f"measures that suit the world {self.world.kind!r}"
                )
        wanted = {
            f"predictions.{name}.measure": entry.measure.conditions
            for name, entry in self.predictions.items()
        }
        wanted["omnibus.conditions"] = self.omnibus.conditions
        for place, conditions in wanted.items():
            for condition in conditions:
                if condition not in self.battery.conditions:
                    raise ValueError(
                        f"{place}: got condition {condition!r}; allowed: "
                        f"{', '.join(self.battery.conditions)}"
                    )

    def sized(self) -> tuple[loop.Arm, ...]:
        """Every arm with the width at which it meets the budget.

        Raises:
          ValueError: a head that can't meet it.
        """
        return size_arms(self.arms, self.agent, self.world)


def size_arms(
    arms: dict[str, ArmConfig], agent: agents.AgentConfig, world: Trainable
) -> tuple[loop.Arm, ...]:
    """Every arm with the width at which it meets the budget.

    Raises:
      ConfigError: a head that can't meet it, or an encoder that can't be built for
        what this world shows.
    """
    try:
        encoders.count_parameters(agent.encoder, world.observation_shape)
    except ValueError as error:
        raise configs.ConfigError(f"agent.encoder.{error}") from None
    sized = []
    for name, arm in arms.items():
        width = 1
        if arm.matched:
            try:
                width = value.solve_width(
                    arm.head, agent.encoder.features, world.num_contexts, agent.budget
                )
            except ValueError as error:
                raise configs.ConfigError(f"agent.{error} (arm {name})") from None
        sized.append(loop.Arm(name, arm.head, width, arm.trained))
    return tuple(sized)


def check_spelling(place: str, name: str) -> None:
    """Names of experiments and arms are names of files."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise ValueError(f"{place}: got {name!r}; allowed: letters, digits, - and _")


class Checked(Protocol):
    """What an experiment and a training have in common."""

    @property
    def world(self) -> Trainable: ...

    @property
    def train(self) -> schedule.TrainConfig: ...

    def sized(self) -> tuple[loop.Arm, ...]: ...


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
    found.sized()
    there = len(jax.devices())
    if found.train.devices > there:
        if jax.default_backend() == "cpu" and not _split_by_hand():
            there = max(there, os.cpu_count() or 1)
        raise configs.ConfigError(
            f"train.devices: got {found.train.devices}; allowed: 1 to {there}"
        )
    schedule.kept(found.train, found.world)


def check_arms(
    arms: dict[str, ArmConfig], world: Trainable, train: schedule.TrainConfig
) -> None:
    """Refuse names, and heads that don't suit the world or the rule."""
    for name in arms:
        check_spelling("arms", name)
        if name == loop.SHARED:
            raise ValueError(f"arms: got {name!r}; allowed: names but this one")
    trained = [name for name, arm in arms.items() if arm.trained]
    if not trained:
        raise ValueError("arms: got none that is trained; allowed: one or more")
    if train.behaviour is not None and train.behaviour not in trained:
        raise ValueError(
            f"train.behaviour: got {train.behaviour!r}; allowed: {', '.join(trained)}"
        )
    on_policy = isinstance(train.learn, learning.PPO | learning.Reinforce)
    if train.data == "paired" and on_policy and len(trained) > 1:
        raise ValueError(
            f"train.data: got 'paired'; allowed with learn {train.learn.kind!r}: "
            "'own', for it improves the policy that acted"
        )
    _check_heads(arms, world, train)


def _check_heads(
    arms: dict[str, ArmConfig], world: Trainable, train: schedule.TrainConfig
) -> None:
    clipped = isinstance(train.learn, learning.PPO) and train.learn.value_clip
    sources = len(world.reward_sources)
    for name, arm in arms.items():
        head, place = arm.head, f"arms.{name}.head"
        if not isinstance(head, value.Sharded):
            continue
        if "load_balance" in train.grid and not head.shares_move:
            raise ValueError(
                f"train.grid.load_balance: got values; allowed: none with arm {name}, "
                "no share of whose gates can be moved"
            )
        if clipped and head.td == "per_shard":
            raise ValueError(
                f"{place}.td: got 'per_shard'; allowed with a value clip: 'joint', or "
                "train.learn.value_clip: null"
            )
        if head.routing is None:
            continue
        if head.shards < sources:
            raise ValueError(
                f"{place}.shards: got {head.shards}; allowed with routing: at least "
                f"one for each reward source ({', '.join(world.reward_sources)})"
            )
        seen = head.routing.overseen
        if seen is not None and seen >= world.num_contexts:
            raise ValueError(
                f"{place}.routing.overseen: got {seen}; allowed: 0 to "
                f"{world.num_contexts - 1}"
            )
