"""Arms: the architectures of a comparison, their widths, and checks of configs."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from shardsim import algorithms
from shardsim.agents import agent as agents
from shardsim.agents import encoders, value
from shardsim.core import field_errors, fields
from shardsim.core.types import Trainable
from shardsim.training.config import TrainConfig

SHARED_PHASES = "shared"
"""Name used in place of an arm for the phases that all arms share."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """One architecture of the comparison, with its size."""

    name: str
    head: value.HeadConfig
    width: int
    """Hidden units of the head (of each shard)."""
    trained: bool
    """False: the head stays as it was initialised."""
    readout: Literal["zero", "random"] = "zero"
    """What an untrained head reads out of its hidden units."""


@fields.record
class ArmConfig:
    """One architecture; arms share E, D, data, random keys and the training loop."""

    head: value.Head
    """The value head."""
    trained: bool = True
    """false: the head stays as it was initialised (control)."""
    readout: Literal["zero", "random"] = "zero"
    """What the last layer of an untrained head is. `zero`: V is 0 everywhere, so every
    measure of it is 0 too. `random`: V is a random function of the features, a control
    that can fail. A trained head starts at zero."""
    match_params: bool = True
    """Whether the head has to meet the parameter budget; if false, it comes as close as
    it can."""

    @fields.rule("trained", "readout")
    def _zero_at_first(self) -> Iterator[str]:
        if self.trained and self.readout != "zero":
            yield (
                f"readout: got {self.readout!r}; allowed for a trained arm, whose V is "
                "0 at first: 'zero'"
            )


def size_arms(
    arms: dict[str, ArmConfig], agent: agents.AgentConfig, env: Trainable
) -> tuple[Arm, ...]:
    """Solve the width of every arm from the parameter budget of V.

    Args:
      arms: config of each arm, by name.
      agent: gives the encoder and the budget `value_params`.
      env: gives the shapes of observations and contexts.

    Raises:
      ConfigError: heads that cannot meet the budget, or an encoder that cannot be
        built for the observations of this environment.
    """
    field_errors.refuse(
        field_errors.faults(
            "agent.encoder",
            encoders.count_parameters,
            agent.encoder,
            env.observation_shape,
        )
    )
    sized, faults = [], []
    for name, arm in arms.items():
        solve = value.solve_width if arm.match_params else value.nearest_width
        features, contexts = agent.encoder.features, env.num_contexts
        try:
            width = solve(arm.head, features, contexts, agent.value_params)
        except ValueError as error:
            faults.append(f"agent.{error} (arm {name})")
        else:
            sized.append(Arm(name, arm.head, width, arm.trained, arm.readout))
    field_errors.refuse(faults)
    return tuple(sized)


def groups(arms: Sequence[Arm], train: TrainConfig) -> tuple[tuple[Arm, ...], ...]:
    """The trained arms that learn from the same data; the first of a group acts."""
    trained = tuple(arm for arm in arms if arm.trained)
    if train.data == "own":
        return tuple((arm,) for arm in trained)
    if train.behaviour_arm is None:
        return (trained,)
    return (tuple(sorted(trained, key=lambda a: a.name != train.behaviour_arm)),)


def name_faults(arms: dict[str, ArmConfig]) -> Iterator[str]:
    """What is wrong with the names of arms, whatever the rest of a config says."""
    if SHARED_PHASES in arms:
        yield f"arms: got {SHARED_PHASES!r}; allowed: names other than this one"
    if not any(arm.trained for arm in arms.values()):
        yield "arms: got none that is trained; allowed: one or more"


def training_faults(
    arms: Mapping[str, Arm | ArmConfig], train: TrainConfig
) -> Iterator[str]:
    """What arms and the training have against each other."""
    trained = [name for name, arm in arms.items() if arm.trained]
    length = len("+".join(trained))
    if train.data == "tandem" and length > 200:
        yield (
            f"arms: got names of {length} letters together; allowed: 200, because data "
            "'tandem' names its checkpoints by all arms"
        )
    if train.behaviour_arm is not None and train.behaviour_arm not in trained:
        allowed = field_errors.one_of(trained, train.behaviour_arm)
        yield f"train.behaviour_arm: got {train.behaviour_arm!r}; allowed: {allowed}"
    elif train.behaviour_arm is not None and train.data == "own":
        yield (
            f"train.behaviour_arm: got {train.behaviour_arm!r}; allowed with data "
            "'own', where each arm acts for itself: null"
        )
    on_policy = isinstance(train.algorithm, algorithms.PPO | algorithms.Reinforce)
    if train.data == "tandem" and on_policy and len(trained) > 1:
        yield (
            "train.data: got 'tandem'; allowed with algorithm "
            f"{train.algorithm.kind!r}: 'own', because it is on-policy"
        )
    algorithm = train.algorithm
    clipped = isinstance(algorithm, algorithms.PPO) and algorithm.value_clip
    for name, arm in arms.items():
        head, place = arm.head, f"arms.{name}.head"
        if "load_balance" in train.sweep and isinstance(head, value.Balanced):
            fault = ""
            if value.routing(head) is not None:
                fault = "its gates learn from labels alone"
            elif not head.shares_move:
                fault = "the shares of its gates have no gradient"
            if fault:
                yield (
                    "train.sweep.load_balance: got values; allowed: none with arm "
                    f"{name}, because {fault}"
                )
        if clipped and value.source_parts(head) is not None:
            yield (
                f"{place}.labels: got values; allowed with a value clip: null, or "
                "train.algorithm.value_clip: null"
            )
        if clipped and value.has_shard_errors(head):
            yield (
                f"{place}.td_error: got 'per_shard'; allowed with a value clip: "
                "'joint', or train.algorithm.value_clip: null"
            )


def env_faults(arms: Mapping[str, Arm | ArmConfig], env: Trainable) -> Iterator[str]:
    """What heads whose shards learn from labels have against an environment."""
    sources = env.reward_sources
    for name, arm in arms.items():
        head, place = arm.head, f"arms.{name}.head"
        labels = value.labels(head)
        if labels is None:
            continue
        if value.routing(head) is not None and isinstance(head, value.Routed):
            size, field, use = head.num_shards, "num_shards", "routing"
        elif isinstance(head, value.Labelled):
            size, field, use = head.num_parts, "num_parts", "labels"
        if size < len(sources):
            yield (
                f"{place}.{field}: got {size}; allowed with {use}: at least one for "
                f"each reward source ({', '.join(sources)})"
            )
        context = labels.oversight_context
        if context is not None and context >= env.num_contexts:
            yield (
                f"{place}.{use}.oversight_context: got {context}; allowed: 0 to "
                f"{env.num_contexts - 1}"
            )
