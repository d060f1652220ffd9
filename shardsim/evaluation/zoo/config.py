"""The config of a zoo: its world, its members, and the metrics that they calibrate."""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, PositiveFloat, PositiveInt

from shardsim.agents import encoders, value
from shardsim.core import field_errors, fields
from shardsim.evaluation import tools
from shardsim_envs import ContextFruits

Role: TypeAlias = Literal["yes", "no", "graded", "function", "component"]
"""Whether a member has shards: `yes` and `no` are the classes that a metric has to
separate; `graded` members are asked for an order alone; of a `function` the function is
that of shards and the weights are not; a `component` only serves to build others."""


@fields.record
class Fit:
    """Steps of Adam on batches of the listed states."""

    steps: PositiveInt = 4_000
    """Steps; the learning rate falls to 0 along a cosine."""
    batch: PositiveInt = 512
    """States of a step."""
    rate: PositiveFloat = 0.003
    """Learning rate of the first step."""


@fields.record(kw_only=True)
class Trained:
    """A head fitted to exact values, or to the values of another member."""

    kind: Literal["trained"] = "trained"
    shards: Role
    """Whether it has shards: the truth that metrics are measured by."""
    head: value.Head
    """V; a `td_error` of `per_shard` fits each shard by itself."""
    teacher: fields.Label | None = None
    """Member whose V it learns; null: the exact value V*."""
    target: Literal["value", "sources"] = "value"
    """What is fitted: V, or the value of each source of reward by the part of its
    number."""
    context: Literal["true", "shuffled"] = "true"
    """The context that an oracle-gated head gets: the true one, or one that is drawn
    at random for each level and tells nothing."""
    encoder: Literal["shared", "modular"] = "shared"
    """The features of E, or those of one module for each context after E, of which the
    module of the context that shows is open."""
    competition: fields.Fraction = 0.0
    """Fraction of the steps in which the parts of a `sharded` head compete: the loss is
    the likelihood of a mixture under a softmax of all gates, as in `distillation`."""
    params_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of `value_params` that the head has."""
    fit: Fit | None = None
    """Training of this member; null: `fit_members`."""
    parted: Annotated[float, Field(gt=0, le=1)] | None = None
    """Least information of the largest gate about the context, as a fraction of log C.
    A seed below it is not selected: its gates have not parted. null: every seed."""


@fields.record(kw_only=True)
class Rotated:
    """Another member behind a random rotation of E's output, which V undoes."""

    kind: Literal["rotated"] = "rotated"
    shards: Role
    """Whether it has shards."""
    of: fields.Label
    """The member; its V is that of this one."""


@fields.record(kw_only=True)
class Blended:
    """V = weight * first V + (1 - weight) * second V, of two members of equal width."""

    kind: Literal["blended"] = "blended"
    shards: Role
    """Whether it has shards."""
    first: fields.Label
    """Member with shards."""
    second: fields.Label
    """Member without shards."""
    weight: fields.Fraction
    """lambda, the weight of the first one."""


@fields.record(kw_only=True)
class RandomReadout:
    """A head with random weights on the trained E, scaled to the spread of V*."""

    kind: Literal["random"] = "random"
    shards: Role
    """Whether it has shards."""
    head: value.Head
    """V, none of whose weights is trained."""


Member: TypeAlias = Trained | Rotated | Blended | RandomReadout


Expected: TypeAlias = Literal["separates", "fails"]


@fields.record(kw_only=True)
class Metric:
    """A metric of shardedness: the statistic of a tool."""

    expected: Expected
    """Whether it was expected to separate members with shards from those without,
    stated before it was run."""
    tool: tools.Tool
    """The tool and its settings."""


@fields.record(kw_only=True)
class Ordinary:
    """Trained agents of a run, of whose V the metrics are asked."""

    run: Annotated[str, Field(min_length=1)]
    """Folder of the run, in the world and with the discount of the zoo."""
    arm: fields.Label
    """The arm of the run."""


@fields.record
class ZooConfig:
    """A zoo: members whose shards are known, and metrics that are measured by them."""

    name: fields.Name
    """Name of the zoo and of its default folder."""
    env: ContextFruits
    """The world. Each context has to show alone."""
    members: dict[fields.Name, Member]
    """The value functions by name, each after those that it is built from."""
    metrics: dict[fields.Name, Metric]
    """The metrics by name."""
    agents: dict[fields.Name, Ordinary] = dataclasses.field(default_factory=dict)
    """Ordinary agents by name, drawn beside the members. They count for no AUROC."""
    num_seeds: Annotated[int, Field(ge=2)] = 20
    """N, seeds of each member. All members of a seed share E."""
    seed: fields.Seed = 0
    """Seed of the training."""
    discount: fields.Decay = 0.9
    """Discount of the exact values."""
    encoder: encoders.MLPEncoder = encoders.MLPEncoder(widths=(256, 128, 64))
    """E, trained to tell the context and what the level is worth in each context."""
    value_params: PositiveInt = 8_456
    """Parameters of V of every member."""
    boards: PositiveInt = 8_192
    """Boards whose states are listed for training, in each context."""
    fit_encoder: Fit = Fit(steps=32_000, batch=256, rate=0.01)
    """Training of E."""
    fit_members: Fit = Fit(steps=12_000, rate=0.01)
    """Training of each member on the features of E, which no longer changes."""
    levels: Annotated[int, Field(ge=2)] = 256
    """Levels of a battery, on which members are measured; none is trained on."""
    states: PositiveInt = 2_048
    """Reachable states of a battery, drawn once, that metrics read."""
    batteries: Annotated[tuple[fields.Seed, ...], Field(min_length=2, max_length=2)] = (
        1_000_003,
        1_000_033,
    )
    """Seeds of the levels of two batteries. All results are of the first one; the
    second one says what a repetition gives."""
    min_return: fields.Fraction = 0.95
    """Fraction of the exact optimal return that a member with `yes` or `no` has to
    reach where it acts by V."""
    max_error: PositiveFloat = 0.1
    """Largest error of V against V*, in sd of V*, that counts as exact."""

    @fields.rule("env")
    def _decorrelated(self) -> Iterator[str]:
        if self.env.contexts < 2:
            yield f"env.contexts: got {self.env.contexts}; allowed: at least 2"
        if any(len(shown) != 1 for shown in self.env.contexts_shown):
            yield "env.contexts_shown: got several at once; allowed: one in each set"

    @fields.rule("env", "levels")
    def _even_levels(self) -> Iterator[str]:
        if self.levels % (2 * self.env.contexts):
            yield (
                f"levels: got {self.levels}; allowed: a multiple of "
                f"{2 * self.env.contexts}, for both halves of each context"
            )

    @fields.rule("batteries")
    def _different_batteries(self) -> Iterator[str]:
        if len(set(self.batteries)) < len(self.batteries):
            yield "batteries: got one seed twice; allowed: different ones"

    @fields.rule("members")
    def _built_of_earlier_ones(self) -> Iterator[str]:
        earlier: list[str] = []
        for name, member in self.members.items():
            for field, other in sources_of(member).items():
                if other not in earlier:
                    allowed = field_errors.one_of(earlier, other)
                    yield f"members.{name}.{field}: got {other!r}; allowed: {allowed}"
            earlier.append(name)
        roles = [member.shards for member in self.members.values()]
        for role in ("yes", "no"):
            if role not in roles:
                yield f"members: got none with shards {role!r}; allowed: at least one"

    @fields.rule("metrics")
    def _of_v_alone(self) -> Iterator[str]:
        for name, metric in self.metrics.items():
            if tools.needs_agent(metric.tool):
                yield (
                    f"metrics.{name}.tool: got {metric.tool.kind!r}; allowed: "
                    "tools that ask V of the features alone, which a member is"
                )

    @fields.rule("agents", "members")
    def _other_names(self) -> Iterator[str]:
        for name in self.agents:
            if name in self.members:
                yield f"agents: got {name!r}; allowed: other names than of members"

    @fields.rule("members")
    def _plain_layers(self) -> Iterator[str]:
        for name, member in self.members.items():
            for field, other in sources_of(member).items():
                found = self.members.get(other)
                plain = isinstance(found, Trained) and _is_plain(found)
                if found is not None and not plain:
                    yield (
                        f"members.{name}.{field}: got {other!r}; allowed: a trained "
                        "member with one hidden layer, the shared E and true contexts"
                    )

    @fields.rule("env", "members")
    def _parts_of_sources(self) -> Iterator[str]:
        for name, member in self.members.items():
            if isinstance(member, Trained) and member.target == "sources":
                parts = getattr(member.head, "num_parts", None)
                if parts != self.env.fruits:
                    yield (
                        f"members.{name}.head: got {member.head.kind!r} with {parts} "
                        f"parts; allowed with target 'sources': 'ungated' with "
                        f"{self.env.fruits}"
                    )

    @fields.rule("members")
    def _competing_parts(self) -> Iterator[str]:
        for name, member in self.members.items():
            if not isinstance(member, Trained) or not member.competition:
                continue
            if member.head.kind != "sharded":
                yield (
                    f"members.{name}.competition: got {member.competition}; allowed "
                    f"with head {member.head.kind!r}, which has no gates to learn: 0"
                )

    @fields.rule("encoder", "env")
    def _modules_divide_features(self) -> Iterator[str]:
        if self.encoder.features % self.env.contexts:
            yield (
                f"encoder.widths: got {self.encoder.features} features; allowed: a "
                f"multiple of {self.env.contexts} contexts"
            )


def _is_plain(member: Trained) -> bool:
    """Whether others can be built of a member: one hidden layer on the shared E."""
    layers = member.head.hidden if isinstance(member.head, value.MLP) else ()
    is_shared = member.encoder == "shared" and member.context == "true"
    return is_shared and not layers and member.head.kind != "linear"


def sources_of(member: Member) -> dict[str, str]:
    """Field -> the other member that it names."""
    match member:
        case Trained(teacher=teacher):
            return {} if teacher is None else {"teacher": teacher}
        case Rotated(of=of):
            return {"of": of}
        case Blended(first=first, second=second):
            return {"first": first, "second": second}
        case RandomReadout():
            return {}
