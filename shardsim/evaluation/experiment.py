"""An experiment as a config: everything a run depends on, checked before it starts."""

import contextlib
import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Protocol

import jax

from shardsim.agents import agent as agents
from shardsim.agents.action_selection import Acting
from shardsim.core import config as configs
from shardsim.core import dynamic_programming as exact
from shardsim.core.types import Trainable
from shardsim.evaluation import measures, prediction, rules
from shardsim.evaluation.battery import BatteryConfig, Judged, judged
from shardsim.training import loop, phases, schedule
from shardsim.training.arms import ArmConfig, check_arms, check_spelling, size_arms
from shardsim_envs import World


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
    goal_after: str | None = None
    """The phase by whose end it should; None is the last one."""

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
        self._check_stages()

    @property
    def acts(self) -> Judged:
        """How arms act in training: returns are of it."""
        return self._judged(self.train.acting)

    @property
    def looked_at(self) -> Judged:
        """How arms act when they are looked at: what is measured is of it."""
        return self._judged(self.battery.acting or self.train.acting)

    def _judged(self, choice: Acting) -> Judged:
        return judged(choice, self.train.discount, self.world.max_steps)

    def at(self, phase: str, condition: str) -> dict[str, Any]:
        """Fields of the world of a condition in a phase: its own go before."""
        (found,) = (p for p in self.train.phases if p.name == phase)
        return {**found.world, **self.battery.conditions[condition]}

    def staged(self) -> dict[str, tuple[str, ...]]:
        """Phases at whose ends the arms are looked at, and in which conditions."""
        found: dict[str, dict[str, None]] = {}
        for entry in self.predictions.values():
            for phase in measures.stages(entry.measure):
                names = dict.fromkeys(entry.measure.conditions)
                found[phase] = found.get(phase, {}) | names
        if self.goal_after is not None:
            first = next(iter(self.battery.conditions))
            found[self.goal_after] = found.get(self.goal_after, {}) | {first: None}
        return {phase: tuple(names) for phase, names in found.items()}

    def _check_stages(self) -> None:
        """Phases that predictions speak of have to be there, and every arm in them."""
        ends = schedule.ends(self.train)
        shared = schedule.shared_phases(self.train)
        apart = list(ends)[max(shared - 1, 0) :]
        asked = [
            (f"predictions.{name}.measure", phase)
            for name, entry in self.predictions.items()
            for phase in measures.stages(entry.measure)
        ]
        if self.goal_after is not None:
            asked.append(("goal_after", self.goal_after))
        for place, phase in asked:
            if phase not in apart:
                raise ValueError(
                    f"{place}: got phase {phase!r}; allowed: {', '.join(apart)}"
                )
        for name, entry in self.predictions.items():
            asked_of = measures.stages(entry.measure)
            if list(asked_of) != sorted(asked_of, key=list(ends).index):
                raise ValueError(
                    f"predictions.{name}.measure: got phases {', '.join(asked_of)}; "
                    "allowed: in the order of the run"
                )
        for phase, names in self.staged().items():
            for name in names:
                try:
                    phases.altered(self.world, self.at(phase, name))
                except ValueError as error:
                    raise ValueError(
                        f"battery.conditions.{name} in phase {phase!r}: {error}"
                    ) from None

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
        pairs = {"contrast": self.omnibus.contrast}
        pairs |= {f"references.{i}": p for i, p in enumerate(self.omnibus.references)}
        spoken = {
            f"omnibus.{at}.{side}": getattr(pair, side)
            for at, pair in pairs.items()
            for side in ("arm", "against")
        }
        for name, entry in self.predictions.items():
            spoken |= {f"predictions.{name}.{at}": a for at, a in entry.arms().items()}
        for place, arm in spoken.items():
            # V* is one and not N seeds: there is nothing to permute, or to choose
            seeds = place.startswith("omnibus") or ".among." in place
            exact = [] if seeds else [measures.EXACT]
            if arm not in (*self.arms, *exact):
                raise ValueError(
                    f"{place}: got {arm!r}; allowed: {', '.join((*self.arms, *exact))}"
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


def check_new(found: Checked) -> None:
    """Refuse what can't be answered, and what this machine lacks, before all else.

    A run that is there goes on: it may be older than what is refused by now.
    """
    check_there(found)
    if not isinstance(found, Experiment) or found.looked_at.value_acts:
        return
    for name, entry in found.predictions.items():
        if measures.value_acts(entry.measure):
            got = (
                "'prior'" if found.battery.acting else "none, and training has 'prior'"
            )
            raise configs.ConfigError(
                f"battery.acting: got {got}; allowed with predictions.{name}.measure "
                f"{entry.measure.kind!r}, which asks what V does to acting: lookahead, "
                "value"
            )
