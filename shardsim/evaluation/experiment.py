"""The config of an experiment: all that a run depends on, checked before it starts."""

from collections.abc import Collection, Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from shardsim.agents import agent as agents
from shardsim.agents.action_selection import ActionSelection
from shardsim.core import dynamic_programming as exact
from shardsim.core import field_errors, fields
from shardsim.evaluation import measures, prediction, rules
from shardsim.evaluation.battery import EvaluationConfig
from shardsim.evaluation.exact_policies import ActingRule, acting_rule
from shardsim.training import arms as arm_rules
from shardsim.training import phases, schedule, trackers
from shardsim.training.arms import Arm, ArmConfig, size_arms
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

    @fields.rule("conditions")
    def _different_conditions(self) -> Iterator[str]:
        if len(set(self.conditions)) < len(self.conditions):
            yield "conditions: got one twice; allowed: different ones"

    @fields.rule("contrast", "references")
    def _different_pairs(self) -> Iterator[str]:
        pairs = (self.contrast, *self.references)
        if len(set(pairs)) < len(pairs):
            yield "references: got one twice; allowed: different ones"

    @property
    def pairs(self) -> dict[str, rules.Contrast]:
        """All pairs of arms by dotted field."""
        references = {f"references.{i}": p for i, p in enumerate(self.references)}
        return {"contrast": self.contrast, **references}


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
    predictions: dict[fields.Label, prediction.Prediction]
    """What each hypothesis predicts and how it is judged, by name."""
    omnibus: OmnibusConfig
    """Test of whether two arms differ at all."""
    agent: agents.AgentConfig = agents.AgentConfig()
    """Encoder and decoder, which all arms share."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Levels and conditions in which trained arms are evaluated."""
    min_return: fields.Fraction | None = 0.95
    """Fraction of the exact optimal return that a trained arm should reach; null: any
    return, and in worlds whose states cannot be listed."""
    min_return_phase: str | None = None
    """Phase by whose end it should; null: the last one."""
    max_value_error: PositiveFloat | None = None
    """Largest error of V that a trained arm may have by the end of that phase, a mean
    over seeds: root mean square of V - V* over the reachable states of the first
    condition, in sd of V* (1 is a constant). No claim stands about an arm that is
    further off; null: any error."""
    looks: tuple[PositiveInt, ...] = ()
    """Numbers of seeds at which verdicts of this run may be read, in rising order. The
    level is spent over them (O'Brien-Fleming). Empty: one look; a later one is called
    not protected."""
    log: tuple[trackers.Tracker, ...] = ()
    """Trackers that show the metrics beside metrics.jsonl: `tensorboard`, `wandb`. They
    change no result, and one that fails is left out."""

    WITHOUT_EFFECT: ClassVar[tuple[str, ...]] = trackers.FIELDS

    @fields.rule("arms")
    def _arms(self) -> Iterator[str]:
        if measures.EXACT in self.arms:
            yield (
                f"arms: got {measures.EXACT!r}; allowed: any other name, this one is V*"
            )
        yield from arm_rules.name_faults(self.arms)

    @fields.rule("train")
    def _no_sweep(self) -> Iterator[str]:
        if self.train.sweep:
            yield (
                "train.sweep: got values; allowed: none in an experiment, whose unit "
                "is the seed (`shardsim train` takes a sweep)"
            )

    @fields.rule("arms", "train")
    def _trained_arms(self) -> Iterator[str]:
        yield from arm_rules.training_faults(self.arms, self.train)

    @fields.rule("arms", "env")
    def _labelled_arms(self) -> Iterator[str]:
        yield from arm_rules.env_faults(self.arms, self.env)

    @fields.rule("env", "max_value_error", "min_return", "min_return_phase")
    def _exact_goals(self) -> Iterator[str]:
        if self.is_exact:
            return
        for field in ("min_return", "min_return_phase", "max_value_error"):
            got = getattr(self, field)
            if got is not None:
                yield f"{field}: got {got!r}; allowed: null {self._without_list}"

    @fields.rule("env", "predictions")
    def _exact_measures(self) -> Iterator[str]:
        if self.is_exact:
            return
        for name, entry in self.predictions.items():
            place, where = f"predictions.{name}", self._without_list
            if not measures.by_rollouts(entry.measure):
                kind = entry.measure.kind
                yield f"{place}.measure: got {kind!r}; allowed: 'rollouts' {where}"
            if entry.unitary_margin is not None:
                margin = entry.unitary_margin
                yield f"{place}.unitary_margin: got {margin}; allowed: null {where}"
            for field, arm in entry.arms().items():
                if arm == measures.EXACT:
                    yield f"{place}.{field}: got {arm!r}; allowed: other arms {where}"

    @fields.rule("env", "predictions")
    def _measures_in_env(self) -> Iterator[str]:
        for name, entry in self.predictions.items():
            for line in measures.env_faults(entry.measure, self.env):
                yield f"predictions.{name}.measure.{line}"

    @fields.rule("env", "train")
    def _env_of_phases(self) -> Iterator[str]:
        for index, phase in enumerate(self.train.phases):
            place = f"train.phases.{index}"
            yield from field_errors.faults(place, phases.altered, self.env, phase.env)

    @fields.rule("env", "evaluation")
    def _env_of_conditions(self) -> Iterator[str]:
        for name, changes in self.evaluation.conditions.items():
            place = f"evaluation.conditions.{name}"
            yield from field_errors.faults(place, phases.altered, self.env, changes)

    @fields.rule("env", "predictions")
    def _suitable_measures(self) -> Iterator[str]:
        for name, entry in self.predictions.items():
            if not measures.suits(entry.measure, self.env):
                yield (
                    f"predictions.{name}.measure: got {entry.measure.kind!r}; allowed: "
                    f"measures that suit the env {self.env.kind!r}"
                )

    @fields.rule("arms", "omnibus")
    def _compared_arms(self) -> Iterator[str]:
        # V* has no seeds, so nothing can be permuted
        for field, pair in self.omnibus.pairs.items():
            for side in ("arm", "baseline"):
                got = getattr(pair, side)
                yield from _unknown(f"omnibus.{field}.{side}", got, self.arms)

    @fields.rule("arms", "predictions")
    def _asked_arms(self) -> Iterator[str]:
        for name, entry in self.predictions.items():
            for field, arm in entry.arms().items():
                # V* has no seeds, so none can be selected
                exact = [] if ".seeds_where." in field else [measures.EXACT]
                place = f"predictions.{name}.{field}"
                yield from _unknown(place, arm, (*self.arms, *exact))

    @fields.rule("evaluation", "omnibus")
    def _compared_conditions(self) -> Iterator[str]:
        for condition in self.omnibus.conditions:
            known = self.evaluation.conditions
            yield from _unknown("omnibus.conditions", condition, known, "condition ")

    @fields.rule("evaluation", "predictions")
    def _asked_conditions(self) -> Iterator[str]:
        for name, entry in self.predictions.items():
            for condition in entry.measure.conditions:
                place, known = f"predictions.{name}.measure", self.evaluation.conditions
                yield from _unknown(place, condition, known, "condition ")

    @fields.rule("predictions", "train")
    def _asked_phases(self) -> Iterator[str]:
        known = self._phases_with_all_arms
        for name, entry in self.predictions.items():
            place, stages = (
                f"predictions.{name}.measure",
                measures.stages(entry.measure),
            )
            for phase in stages:
                yield from _unknown(place, phase, known, "phase ")
            places = [known.index(phase) for phase in stages if phase in known]
            if places != sorted(places):
                yield (
                    f"{place}: got phases {', '.join(stages)}; allowed: in the order "
                    "of the run"
                )

    @fields.rule("min_return_phase", "train")
    def _return_phase(self) -> Iterator[str]:
        phase = self.min_return_phase
        if phase is not None:
            known = self._phases_with_all_arms
            yield from _unknown("min_return_phase", phase, known, "phase ")

    @fields.rule("looks")
    def _rising_looks(self) -> Iterator[str]:
        if list(self.looks) != sorted(set(self.looks)):
            yield f"looks: got {self.looks}; allowed: numbers of seeds in rising order"

    @fields.rule("env", "evaluation", "min_return_phase", "predictions", "train")
    def _env_of_readings(self) -> Iterator[str]:
        ends = schedule.ends(self.train)
        for phase, names in self.phases_to_read().items():
            for name in names:
                if phase not in ends or name not in self.evaluation.conditions:
                    continue  # refused above
                for line in field_errors.faults(
                    "", phases.altered, self.env, self.at(phase, name)
                ):
                    yield f"evaluation.conditions.{name} in phase {phase!r}: {line}"

    @property
    def is_exact(self) -> bool:
        """Whether states are listed, so that exact values are computed."""
        return not exact.why_not_enumerable(self.env)

    @property
    def _without_list(self) -> str:
        """In which env no exact values are computed, and why."""
        why = exact.why_not_enumerable(self.env)
        return f"in env {self.env.kind!r}, whose states are not listed ({why})"

    @property
    def _phases_with_all_arms(self) -> list[str]:
        """The phases that train every arm, and the one that they all start from."""
        shared = schedule.shared_phases(self.train)
        return list(schedule.ends(self.train))[max(shared - 1, 0) :]

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

    def reads_features(self, condition: str) -> bool:
        """Whether some measure reads the features of E in a condition."""
        return any(
            measures.needs_features(entry.measure, condition)
            for entry in self.predictions.values()
        )

    def sized_arms(self) -> tuple[Arm, ...]:
        """Every arm with the width at which it meets `agent.value_params`.

        Raises:
          ValueError: a head that cannot meet it.
        """
        return size_arms(self.arms, self.agent, self.env)


def _unknown(
    place: str, got: str, known: Collection[str], noun: str = ""
) -> Iterator[str]:
    """A fault if a name is not known."""
    if got not in known:
        allowed = field_errors.one_of(known, got)
        yield f"{place}: got {noun}{got!r}; allowed: {allowed}"
