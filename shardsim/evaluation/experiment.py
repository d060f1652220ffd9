"""The config of an experiment: all that a run depends on, checked before it starts."""

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
                raise ValueError(
                    f"arms: got {name!r}; allowed: any other name, this one is V*"
                )
        if self.train.sweep:
            raise ValueError(
                "train.sweep: got values; allowed: none in an experiment, whose unit "
                "is the seed (`shardsim train` takes a sweep)"
            )
        check_arms(self.arms, self.env, self.train)
        try:
            exact.check_enumerable(self.env)
        except ValueError as error:
            raise ValueError(f"{error}; `shardsim train` does not need it") from None
        for field, changes in self._env_changes():
            try:
                phases.altered(self.env, changes)
            except ValueError as error:
                raise ValueError(f"{field}.{error}") from None
        self._check_names()
        self._check_phases()

    @property
    def training_acting(self) -> ActingRule:
        """The acting rule of training; returns and the return goal use it."""
        return self._acting_rule(self.train.action_selection)

    @property
    def evaluation_acting(self) -> ActingRule:
        """The acting rule of the evaluation; measures use it."""
        return self._acting_rule(
            self.evaluation.action_selection or self.train.action_selection
        )

    def _acting_rule(self, choice: ActionSelection) -> ActingRule:
        return acting_rule(choice, self.train.discount, self.env.max_steps)

    def at(self, phase: str, condition: str) -> dict[str, Any]:
        """Env fields of a condition in a phase; those of the condition come first."""
        (config,) = (p for p in self.train.phases if p.name == phase)
        return {**config.env, **self.evaluation.conditions[condition]}

    def phases_to_read(self) -> dict[str, tuple[str, ...]]:
        """Phase -> conditions in which arms are evaluated at the end of the phase."""
        conditions: dict[str, dict[str, None]] = {}  # dicts as ordered sets
        for entry in self.predictions.values():
            for phase in measures.stages(entry.measure):
                names = dict.fromkeys(entry.measure.conditions)
                conditions[phase] = conditions.get(phase, {}) | names
        if self.min_return_phase is not None:
            phase, first = self.min_return_phase, next(iter(self.evaluation.conditions))
            conditions[phase] = conditions.get(phase, {}) | {first: None}
        return {phase: tuple(names) for phase, names in conditions.items()}

    def _check_phases(self) -> None:
        """The phases that predictions name must exist and train every arm."""
        ends = schedule.ends(self.train)
        shared = schedule.shared_phases(self.train)
        with_all_arms = list(ends)[max(shared - 1, 0) :]
        named = [
            (f"predictions.{name}.measure", phase)
            for name, entry in self.predictions.items()
            for phase in measures.stages(entry.measure)
        ]
        if self.min_return_phase is not None:
            named.append(("min_return_phase", self.min_return_phase))
        for field, phase in named:
            if phase not in with_all_arms:
                allowed = field_errors.one_of(with_all_arms, phase)
                raise ValueError(f"{field}: got phase {phase!r}; allowed: {allowed}")
        for name, entry in self.predictions.items():
            stages = measures.stages(entry.measure)
            if list(stages) != sorted(stages, key=list(ends).index):
                raise ValueError(
                    f"predictions.{name}.measure: got phases {', '.join(stages)}; "
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

    def _env_changes(self) -> list[tuple[str, dict[str, Any]]]:
        """Fields of the env that phases and conditions change, by dotted field."""
        of_phases = [
            (f"train.phases.{i}", phase.env)
            for i, phase in enumerate(self.train.phases)
        ]
        of_conditions = [
            (f"evaluation.conditions.{name}", changes)
            for name, changes in self.evaluation.conditions.items()
        ]
        return of_phases + of_conditions

    def _check_names(self) -> None:
        """The arms and conditions that predictions name must exist."""
        pairs = {"contrast": self.omnibus.contrast}
        pairs |= {f"references.{i}": p for i, p in enumerate(self.omnibus.references)}
        named_arms = {
            f"omnibus.{pair_field}.{side}": getattr(pair, side)
            for pair_field, pair in pairs.items()
            for side in ("arm", "baseline")
        }
        for name, entry in self.predictions.items():
            named_arms |= {
                f"predictions.{name}.{field}": arm
                for field, arm in entry.arms().items()
            }
        for field, arm in named_arms.items():
            # V* has no seeds, so nothing can be permuted or selected
            needs_seeds = field.startswith("omnibus") or ".seeds_where." in field
            exact = [] if needs_seeds else [measures.EXACT]
            if arm not in (*self.arms, *exact):
                allowed = field_errors.one_of((*self.arms, *exact), arm)
                raise ValueError(f"{field}: got {arm!r}; allowed: {allowed}")
        for name, entry in self.predictions.items():
            if not measures.suits(entry.measure, self.env):
                raise ValueError(
                    f"predictions.{name}.measure: got {entry.measure.kind!r}; allowed: "
                    f"measures that suit the env {self.env.kind!r}"
                )
        named_conditions = {
            f"predictions.{name}.measure": entry.measure.conditions
            for name, entry in self.predictions.items()
        }
        named_conditions["omnibus.conditions"] = self.omnibus.conditions
        for field, conditions in named_conditions.items():
            for condition in conditions:
                if condition not in self.evaluation.conditions:
                    allowed = field_errors.one_of(self.evaluation.conditions, condition)
                    raise ValueError(
                        f"{field}: got condition {condition!r}; allowed: {allowed}"
                    )

    def sized_arms(self) -> tuple[Arm, ...]:
        """Every arm with the width at which it meets `agent.value_params`.

        Raises:
          ValueError: a head that cannot meet it.
        """
        return size_arms(self.arms, self.agent, self.env)
