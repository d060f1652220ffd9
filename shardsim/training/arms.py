"""Arms: the architectures of a comparison, their widths, and what suits them not."""

import dataclasses

from shardsim import algorithms
from shardsim.agents import agent as agents
from shardsim.agents import encoders, value
from shardsim.core import config as configs
from shardsim.core import fields
from shardsim.core.types import Trainable
from shardsim.training.config import TrainConfig

SHARED_PHASES = "shared"
"""In the place of an arm, for the phases that all arms share."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """One architecture of the comparison."""

    name: str
    head: value.Head
    width: int
    trained: bool


@fields.record
class ArmConfig:
    """One architecture; arms share E, D, data, random keys and the training loop."""

    head: value.Head
    """The value head."""
    trained: bool = True
    """false: the head stays as it was initialised (control)."""
    match_params: bool = True
    """Whether the head has to meet the parameter budget; if false, it comes as close as
    it can."""


def size_arms(
    arms: dict[str, ArmConfig], agent: agents.AgentConfig, world: Trainable
) -> tuple[Arm, ...]:
    """Every arm with the width at which it meets the budget, or comes nearest to it.

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
        solve = value.solve_width if arm.match_params else value.nearest_width
        features, contexts = agent.encoder.features, world.num_contexts
        try:
            width = solve(arm.head, features, contexts, agent.value_params)
        except ValueError as error:
            raise configs.ConfigError(f"agent.{error} (arm {name})") from None
        sized.append(Arm(name, arm.head, width, arm.trained))
    return tuple(sized)


def check_arms(
    arms: dict[str, ArmConfig], world: Trainable, train: TrainConfig
) -> None:
    """Refuse names, and heads that don't suit the world or the rule."""
    for name in arms:
        if name == SHARED_PHASES:
            raise ValueError(f"arms: got {name!r}; allowed: names but this one")
    trained = [name for name, arm in arms.items() if arm.trained]
    if not trained:
        raise ValueError("arms: got none that is trained; allowed: one or more")
    together = len("+".join(trained))
    if train.data == "tandem" and together > 200:
        raise ValueError(
            f"arms: got names of {together} letters; allowed with data 'tandem', whose "
            "checkpoints have the name of all: 200"
        )
    if train.behaviour_arm is not None and train.behaviour_arm not in trained:
        raise ValueError(
            f"train.behaviour_arm: got {train.behaviour_arm!r}; allowed: {', '.join(trained)}"
        )
    if train.behaviour_arm is not None and train.data == "own":
        raise ValueError(
            f"train.behaviour_arm: got {train.behaviour_arm!r}; allowed with data 'own', where "
            "each arm acts for itself: null"
        )
    on_policy = isinstance(train.algorithm, algorithms.PPO | algorithms.Reinforce)
    if train.data == "tandem" and on_policy and len(trained) > 1:
        raise ValueError(
            f"train.data: got 'tandem'; allowed with algorithm {train.algorithm.kind!r}: "
            "'own', for it improves the policy that acted"
        )
    _check_heads(arms, world, train)


def _check_heads(
    arms: dict[str, ArmConfig], world: Trainable, train: TrainConfig
) -> None:
    clipped = isinstance(train.algorithm, algorithms.PPO) and train.algorithm.value_clip
    sources = len(world.reward_sources)
    for name, arm in arms.items():
        head, place = arm.head, f"arms.{name}.head"
        if not isinstance(head, value.Sharded):
            continue
        if "load_balance" in train.sweep and not head.shares_move:
            raise ValueError(
                f"train.sweep.load_balance: got values; allowed: none with arm {name}, "
                "no share of whose gates can be moved"
            )
        if "load_balance" in train.sweep and head.routing is not None:
            raise ValueError(
                f"train.sweep.load_balance: got values; allowed: none with arm {name}, "
                "whose gates learn from labels alone"
            )
        if clipped and head.td_error == "per_shard":
            raise ValueError(
                f"{place}.td_error: got 'per_shard'; allowed with a value clip: 'joint', or "
                "train.algorithm.value_clip: null"
            )
        if head.routing is None:
            continue
        if head.num_shards < sources:
            raise ValueError(
                f"{place}.num_shards: got {head.num_shards}; allowed with routing: at least "
                f"one for each reward source ({', '.join(world.reward_sources)})"
            )
        seen = head.routing.oversight_context
        if seen is not None and seen >= world.num_contexts:
            raise ValueError(
                f"{place}.routing.oversight_context: got {seen}; allowed: 0 to "
                f"{world.num_contexts - 1}"
            )
