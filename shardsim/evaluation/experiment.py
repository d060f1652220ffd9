"""An experiment as a config: everything a run depends on, checked before it starts."""

from typing import Annotated, Any

from pydantic import Field

from shardsim.agents import agent as agents
from shardsim.agents.action_selection import ActionSelection
from shardsim.core import dynamic_programming as exact
from shardsim.core import field_errors, fields
from shardsim.evaluation import measures, prediction, rules
from shardsim.evaluation.battery import ActingRule, EvaluationConfig, acting_rule
from shardsim.training import phases, schedule
from shardsim.training.arms import Arm, ArmConfig, check_arms, size_arms
from shardsim.training.config import TrainConfig
from shardsim_envs import World


@fields.record
class OmnibusConfig:
    """Question 0: do two arms differ more than two seeds of one arm do?"""

    contrast: rules.Contrast
    """The two arms of the permutation test."""
    conditions: Annotated[tuple[str, ...], Field(min_length=1)] = ("in_distribution",)
    """Conditions whose values the test compares."""
    references: tuple[rules.Contrast, ...] = ()
    """Other pairs of arms, which show how large the difference is."""

    def __post_init__(self) -> None:
        pairs = (self.contrast, *self.references)
        for field, got in (("conditions", self.conditions), ("references", pairs)):
            if len(set(got)) < len(got):
                raise ValueError(f"{field}: got one twice; allowed: different ones")


@fields.record
class Experiment:
    """An experiment: a question, arms, their training, and predictions about them."""

    name: fields.Name
    """Name of the experiment and of its default run folder."""
    question: str
    """The question in one sentence, for the report."""
    env: World
    """The environment."""
    arms: dict[fields.Name, ArmConfig]
    """The architectures that are compared, by name."""
    train: TrainConfig
    """How all arms are trained."""
    predictions: dict[str, prediction.Prediction]
    """What each hypothesis predicts and how it is judged, by name."""
    omnibus: OmnibusConfig
    """Test of whether two arms differ at all."""
    agent: agents.AgentConfig = agents.AgentConfig()
    """Encoder and decoder, which all arms share."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Levels and conditions in which trained arms are evaluated."""
    min_return: fields.Fraction = 0.95
    """Fraction of the exact optimal return that a trained arm should reach."""
    min_return_phase: str | None = None
    """Phase by whose end it should; null: the last one."""

    def __post_init__(self) -> None:
        for name in self.arms:
            if name == measures.EXACT:
                raise ValueError(f"arms: got {name!r}; allowed: names but this one")
        if self.train.sweep:
            raise ValueError(
                "train.sweep: got values; allowed: none in a comparison, whose unit is "
                "the seed (`shardsim train` takes a grid)"
            )
        check_arms(self.arms, self.env, self.train)
        try:
            exact.check_enumerable(self.env)
        except ValueError as error:
            raise ValueError(f"{error}; `shardsim train` does without") from None
        for place, changes in self._worlds():
            try:
                phases.altered(self.env, changes)
            except ValueError as error:
                raise ValueError(f"{place}.{error}") from None
        self._check_names()
        self._check_stages()

    @property
    def training_acting(self) -> ActingRule:
        """How arms act in training: returns are of it."""
        return self._acting_rule(self.train.action_selection)

    @property
    def evaluation_acting(self) -> ActingRule:
        """How arms act when they are looked at: what is measured is of it."""
        return self._acting_rule(
            self.evaluation.action_selection or self.train.action_selection
        )

    def _acting_rule(self, choice: ActionSelection) -> ActingRule:
        return acting_rule(choice, self.train.discount, self.env.max_steps)

    def at(self, phase: str, condition: str) -> dict[str, Any]:
        """Fields of the world of a condition in a phase: its own go before."""
        (found,) = (p for p in self.train.phases if p.name == phase)
        return {**found.env, **self.evaluation.conditions[condition]}

    def phases_to_read(self) -> dict[str, tuple[str, ...]]:
        """Phases at whose ends the arms are looked at, and in which conditions."""
        found: dict[str, dict[str, None]] = {}
        for entry in self.predictions.values():
            for phase in measures.stages(entry.measure):
                names = dict.fromkeys(entry.measure.conditions)
                found[phase] = found.get(phase, {}) | names
        if self.min_return_phase is not None:
            first = next(iter(self.evaluation.conditions))
            found[self.min_return_phase] = found.get(self.min_return_phase, {}) | {
                first: None
            }
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
        if self.min_return_phase is not None:
            asked.append(("min_return_phase", self.min_return_phase))
        for place, phase in asked:
            if phase not in apart:
                allowed = field_errors.one_of(apart, phase)
                raise ValueError(f"{place}: got phase {phase!r}; allowed: {allowed}")
        for name, entry in self.predictions.items():
            asked_of = measures.stages(entry.measure)
            if list(asked_of) != sorted(asked_of, key=list(ends).index):
                raise ValueError(
                    f"predictions.{name}.measure: got phases {', '.join(asked_of)}; "
                    "allowed: in the order of the run"
                )
        for phase, names in self.phases_to_read().items():
            for name in names:
                try:
                    phases.altered(self.env, self.at(phase, name))
                except ValueError as error:
                    raise ValueError(
                        f"evaluation.conditions.{name} in phase {phase!r}: {error}"
                    ) from None

    def _worlds(self) -> list[tuple[str, dict[str, Any]]]:
        changed = [
            (f"train.phases.{i}", phase.env)
            for i, phase in enumerate(self.train.phases)
        ]
        conditions = self.evaluation.conditions
        return [
            *changed,
            *((f"evaluation.conditions.{name}", f) for name, f in conditions.items()),
        ]

    def _check_names(self) -> None:
        """Arms and conditions that predictions speak of have to be there."""
        pairs = {"contrast": self.omnibus.contrast}
        pairs |= {f"references.{i}": p for i, p in enumerate(self.omnibus.references)}
        spoken = {
            f"omnibus.{at}.{side}": getattr(pair, side)
            for at, pair in pairs.items()
            for side in ("arm", "baseline")
        }
        for name, entry in self.predictions.items():
            spoken |= {f"predictions.{name}.{at}": a for at, a in entry.arms().items()}
        for place, arm in spoken.items():
            # V* is one and not N seeds: there is nothing to permute, or to choose
            seeds = place.startswith("omnibus") or ".seeds_where." in place
            exact = [] if seeds else [measures.EXACT]
            if arm not in (*self.arms, *exact):
                allowed = field_errors.one_of((*self.arms, *exact), arm)
                raise ValueError(f"{place}: got {arm!r}; allowed: {allowed}")
        for name, entry in self.predictions.items():
            if not measures.suits(entry.measure, self.env):
                raise ValueError(
                    f"predictions.{name}.measure: got {entry.measure.kind!r}; allowed: "
                    f"measures that suit the world {self.env.kind!r}"
                )
        wanted = {
            f"predictions.{name}.measure": entry.measure.conditions
            for name, entry in self.predictions.items()
        }
        wanted["omnibus.conditions"] = self.omnibus.conditions
        for place, conditions in wanted.items():
            for condition in conditions:
                if condition not in self.evaluation.conditions:
                    allowed = field_errors.one_of(self.evaluation.conditions, condition)
                    raise ValueError(
                        f"{place}: got condition {condition!r}; allowed: {allowed}"
                    )

    def sized_arms(self) -> tuple[Arm, ...]:
        """Every arm with the width at which it meets the budget.

        Raises:
          ValueError: a head that can't meet it.
        """
        return size_arms(self.arms, self.agent, self.env)
