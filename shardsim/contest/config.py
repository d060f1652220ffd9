"""The config of a contest: agents, their histories, conditions and forecasters."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from shardsim.agents import agent as agents
from shardsim.agents.action_selection import Lookahead, PolicyOnly, ValueOnly
from shardsim.contest import evidence, fitting, histories, verdicts
from shardsim.contest import forecasters as kinds
from shardsim.core import config as configs
from shardsim.core import dynamic_programming, field_errors, fields
from shardsim.evaluation import exact_policies
from shardsim.training import arms as arm_rules
from shardsim.training import phases
from shardsim.training.arms import Arm, ArmConfig, size_arms
from shardsim.training.config import TrainConfig
from shardsim.training.phases import Phase
from shardsim_envs import ContextFruits

EVENT_FIELDS = ("rewards", "contexts_shown")
"""Env fields that an event may change: those that forecasters are told of."""


@fields.record
class ContestArm(ArmConfig):
    """One architecture, whose agents are forecast by themselves."""

    agent: agents.AgentConfig | None = None
    """Encoder, decoder and size of V of this arm; null: those of the contest."""


@fields.record
class Condition:
    """Levels in which agents are asked what they do."""

    env: fields.EnvChanges = dataclasses.field(default_factory=dict)
    """Env fields that differ from `env`. Where `rewards` is not among them, the rewards
    are those of the last event of an agent's history."""
    moved: bool = False
    """Whether every object lies on another cell than in the other conditions, on the
    same floors."""
    hidden: tuple[str, ...] = ()
    """Planes of the observation that agents do not see, such as `cue`: an ablation of
    what they are given."""


@fields.record
class ContestEvaluation:
    """In which levels and conditions agents are asked."""

    conditions: Annotated[dict[fields.Label, Condition], Field(min_length=1)]
    """Conditions by name."""
    levels: Annotated[int, Field(ge=2)] = 32
    """L, levels of each condition; level i has the same keys in all of them."""
    seed: fields.Seed = 1_000_003
    """Seed of the levels; training never uses it."""
    action_selection: PolicyOnly | Lookahead | ValueOnly | None = None
    """How agents act; null: as in training, a search by its first step."""


@fields.record
class Contest:
    """A contest: who forecasts what agents do after histories that nobody was shown?"""

    name: fields.Name
    """Name of the contest and of its default folder."""
    question: str
    """The question in one sentence, for the page."""
    env: ContextFruits
    """The world."""
    arms: dict[fields.Name, ContestArm]
    """The architectures by name; forecasters are fitted for each alone."""
    train: TrainConfig
    """How all arms are trained. The last phase is an event: it is trained once for each
    event of a history, with the env fields of the event. The phases before it come
    before every history."""
    pipelines: histories.Pipelines
    """The histories."""
    evaluation: ContestEvaluation
    """Levels and conditions in which agents are asked."""
    held_out: histories.HeldOut = histories.HeldOut()
    """What no forecaster is fitted on."""
    forecasters: dict[fields.Name, kinds.Forecaster] = dataclasses.field(
        default_factory=dict
    )
    """Forecasters by name, beside the standard ones; one with the name of a standard
    kind takes its place."""
    standard: bool = True
    """Whether shardsim's forecasters take part with their default settings."""
    budget: fitting.Budget = fitting.Budget()
    """How long every forecaster is fitted."""
    judging: verdicts.Judging = verdicts.Judging()
    """Whose agents the question is about, and what has to hold first."""
    agent: agents.AgentConfig = agents.AgentConfig()
    """Encoder, decoder and size of V of the arms that have none of their own."""

    @fields.rule("arms")
    def _arms(self) -> Iterator[str]:
        yield from arm_rules.name_faults(dict(self.arms))

    @fields.rule("train")
    def _one_run_each(self) -> Iterator[str]:
        if self.train.sweep:
            yield "train.sweep: got values; allowed: none in a contest"
        if self.train.data != "own":
            yield "train.data: got 'tandem'; allowed in a contest: 'own'"
        if self.train.num_seeds < 2:
            yield "train.num_seeds: got 1; allowed in a contest: at least 2"
        kind = self.train.optimizer.schedule.kind
        if kind != "constant":
            yield (
                f"train.optimizer.schedule.kind: got {kind!r}; allowed in a contest: "
                "'constant', because histories of other lengths share their training"
            )
        for index, phase in enumerate(self.train.phases):
            if phase.collect == "dataset":
                yield (
                    f"train.phases.{index}.collect: got 'dataset'; allowed in a "
                    "contest: 'agent', 'random_walker'"
                )
        last = len(self.train.phases) - 1
        if self.event.env:
            yield (
                f"train.phases.{last}.env: got {self.event.env!r}; allowed: none, "
                "because each event says what differs (pipelines.events)"
            )

    @fields.rule("arms", "train")
    def _trained_arms(self) -> Iterator[str]:
        yield from arm_rules.training_faults(dict(self.arms), self.train)

    @fields.rule("arms", "env")
    def _labelled_arms(self) -> Iterator[str]:
        yield from arm_rules.env_faults(dict(self.arms), self.env)

    @fields.rule("env", "train")
    def _env_of_phases(self) -> Iterator[str]:
        for index, phase in enumerate(self.train.phases):
            place = f"train.phases.{index}"
            yield from field_errors.faults(place, phases.altered, self.env, phase.env)

    @fields.rule("env", "pipelines")
    def _events_that_can_be_run(self) -> Iterator[str]:
        before: list[tuple[str, Any]] = []
        for name, changes in self.pipelines.events.items():
            place = f"pipelines.events.{name}"
            other = [field for field in changes if field not in EVENT_FIELDS]
            for field in other:
                allowed = field_errors.one_of(EVENT_FIELDS, field)
                yield f"{place}.{field}: unknown key; allowed: {allowed}"
            faults = _world_faults(place, phases.altered, self.env, changes)
            if not other:
                yield from faults
            if not (other or faults):
                world = phases.altered(self.env, changes)
                yield from _twice(place, "event", name, world, before)

    @fields.rule("env", "evaluation")
    def _conditions_that_can_be_listed(self) -> Iterator[str]:
        before: list[tuple[str, Any]] = []
        for name, condition in self.evaluation.conditions.items():
            place = f"evaluation.conditions.{name}"
            for index, plane in enumerate(condition.hidden):
                if plane not in self.env.plane_names:
                    allowed = field_errors.one_of(self.env.plane_names, plane)
                    yield f"{place}.hidden.{index}: got {plane!r}; allowed: {allowed}"
            faults = _world_faults(
                f"{place}.env", phases.altered, self.env, condition.env
            )
            if not faults:
                world = phases.altered(self.env, condition.env)
                listed = dynamic_programming.check_enumerable
                faults = _world_faults(place, listed, world)
            yield from faults
            if not faults:
                looks = (
                    world,
                    "rewards" in condition.env,
                    condition.moved,
                    sorted(condition.hidden),
                )
                yield from _twice(place, "condition", name, looks, before)

    @fields.rule("env", "evaluation", "pipelines")
    def _rewards_in_conditions(self) -> Iterator[str]:
        for name in self.evaluation.conditions:
            for event in self.pipelines.events:
                yield from field_errors.faults(
                    f"evaluation.conditions.{name} after event {event!r}",
                    self.world_in,
                    name,
                    event,
                )

    @fields.rule("held_out", "pipelines")
    def _held_out_histories(self) -> Iterator[str]:
        every = histories.words(self.pipelines)
        names = list(map(histories.name_of, every))
        for index, word in enumerate(self.held_out.histories):
            if word not in every:
                got = histories.name_of(word)
                allowed = field_errors.one_of(names, got)
                yield f"held_out.histories.{index}: got {got!r}; allowed: {allowed}"
        count = len(self.held_out_words)
        if not 0 < count < len(every):
            yield (
                f"held_out.share: got {self.held_out.share}, which is {count} of "
                f"{len(every)} histories; allowed: some, but not all"
            )

    @fields.rule("held_out", "evaluation")
    def _held_out_conditions(self) -> Iterator[str]:
        known = self.evaluation.conditions
        for index, name in enumerate(self.held_out.conditions):
            if name not in known:
                allowed = field_errors.one_of(known, name)
                yield f"held_out.conditions.{index}: got {name!r}; allowed: {allowed}"
        if set(self.held_out.conditions) >= set(known):
            yield "held_out.conditions: got all; allowed: some"

    @fields.rule("arms", "judging")
    def _judged_arms(self) -> Iterator[str]:
        gates = self.judging.gates
        asked = {
            "arm": self.judging.arm,
            "gates.gated": gates.gated,
            "gates.random": gates.random,
            **{f"trend.{name}": name for name in self.judging.trend},
        }
        for field, name in asked.items():
            if name is not None and name not in self.arms:
                allowed = field_errors.one_of(self.arms, name)
                yield f"judging.{field}: got {name!r}; allowed: {allowed}"
        if gates.exact in self.arms:
            yield (
                f"judging.gates.exact: got {gates.exact!r}, an arm; allowed: another "
                "name, its agents need no training"
            )

    @fields.rule("forecasters", "standard")
    def _some_competitor(self) -> Iterator[str]:
        got = [forecaster.kind for forecaster in self.entrants.values()]
        if set(got) <= {"oracle", "others"}:
            yield (
                f"forecasters: got {', '.join(got) or 'none'}; allowed without the "
                "standard ones: at least one that is fitted"
            )

    @property
    def entrants(self) -> dict[str, kinds.Forecaster]:
        """Who forecasts, by name."""
        return {**(kinds.every() if self.standard else {}), **self.forecasters}

    @property
    def event(self) -> Phase:
        """The phase of an event; the fields of its env are those of the event."""
        return self.train.phases[-1]

    @property
    def pretraining(self) -> tuple[Phase, ...]:
        """The phases before every history."""
        return self.train.phases[:-1]

    @property
    def words(self) -> tuple[histories.Word, ...]:
        """The histories as words of events."""
        return histories.words(self.pipelines)

    @property
    def held_out_words(self) -> tuple[histories.Word, ...]:
        """The histories that no forecaster is fitted on."""
        return histories.held_out(self.held_out, self.words, self.pipelines.seed)

    @property
    def acting(self) -> exact_policies.ActingRule:
        """How agents act in the conditions."""
        choice = self.evaluation.action_selection or self.train.action_selection
        return exact_policies.acting_rule(
            choice, self.train.discount, self.env.max_steps
        )

    def agent_of(self, arm: str) -> agents.AgentConfig:
        """Encoder, decoder and size of V of an arm."""
        return self.arms[arm].agent or self.agent

    def sized_arms(self) -> tuple[Arm, ...]:
        """Every arm with the width at which it meets its `value_params`.

        Raises:
          ConfigError: a head that cannot meet it.
        """
        return tuple(
            arm
            for name, each in self.arms.items()
            for arm in size_arms({name: each}, self.agent_of(name), self.env)
        )

    def history(self, word: histories.Word) -> evidence.History:
        """A history as forecasters see it."""
        return evidence.History(
            histories.name_of(word), tuple(map(self._event_of, word))
        )

    def _event_of(self, name: str) -> evidence.Event:
        world = self.world_of(name)
        return evidence.Event(
            name, world.rewards, world.contexts_shown, self.event.updates
        )

    def world_of(self, event: str) -> ContextFruits:
        """The world of an event."""
        return _altered(self.env, self.pipelines.events[event])

    def world_in(self, condition: str, last_event: str) -> ContextFruits:
        """The world of a condition, for agents whose history ends with an event."""
        world = self.world_of(last_event)
        changes = {
            "rewards": world.rewards,
            **self.evaluation.conditions[condition].env,
        }
        return _altered(self.env, changes)


def _altered(env: ContextFruits, changes: Mapping[str, Any]) -> ContextFruits:
    world = phases.altered(env, dict(changes))
    assert isinstance(world, ContextFruits)
    return world


def _world_faults(place: str, check: Callable[..., Any], *args: Any) -> list[str]:
    """What a check of an env refuses, under another name of the env."""
    return [
        f"{place}{line.removeprefix('env')}"
        for line in field_errors.faults("", check, *args)
    ]


def _twice(
    place: str, noun: str, name: str, looks: Any, before: list[tuple[str, Any]]
) -> Iterator[str]:
    """A fault if something is the same as one before it, which would be a leak."""
    same = [other for other, seen in before if seen == looks]
    if same:
        yield (
            f"{place}: got the {noun} {same[0]!r} again; allowed: {noun}s that differ, "
            "so that nothing held out is shown under another name"
        )
    before.append((name, looks))


def trained_digest(contest: Contest) -> str:
    """Digest of what trained agents depend on, not of who is asked and what."""
    data = configs.to_dict(contest)
    train = data["train"]
    for field in ("num_seeds", "devices", "updates_per_call"):
        del train[field]
    events = data["pipelines"]["events"]
    kept = {field: data[field] for field in ("env", "agent", "arms")}
    return configs.digest({**kept, "train": train, "events": events})
