"""Arms: the architectures of a comparison, their widths, and checks of configs."""

import dataclasses

from shardsim import algorithms
from shardsim.agents import agent as agents
from shardsim.agents import encoders, value
from shardsim.core import config as configs
from shardsim.core import fields
from shardsim.core.types import Trainable
from shardsim.training.config import TrainConfig

SHARED_PHASES = "shared"
"""Name used in place of an arm for the phases that all arms share."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """One architecture of the comparison, with its size."""

    name: str
    head: value.Head
    width: int
    """Hidden units of the head (of each shard)."""
    trained: bool
    """False: the head stays as it was initialised."""


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
    arms: dict[str, ArmConfig], agent: agents.AgentConfig, env: Trainable
) -> tuple[Arm, ...]:
    """Solve the width of every arm from the parameter budget of V.

    Args:
      arms: config of each arm, by name.
      agent: gives the encoder and the budget `value_params`.
      env: gives the shapes of observations and contexts.

    Raises:
      ConfigError: a head cannot meet the budget, or the encoder cannot be built for
        the observations of this environment.
    """
    try:
        encoders.count_parameters(agent.encoder, env.observation_shape)
    except ValueError as error:
        raise configs.ConfigError(f"agent.encoder.{error}") from None
    sized = []
    for name, arm in arms.items():
        solve = value.solve_width if arm.match_params else value.nearest_width
        features, contexts = agent.encoder.features, env.num_contexts
        try:
            width = solve(arm.head, features, contexts, agent.value_params)
        except ValueError as error:
            raise configs.ConfigError(f"agent.{error} (arm {name})") from None
        sized.append(Arm(name, arm.head, width, arm.trained))
    return tuple(sized)


def check_arms(arms: dict[str, ArmConfig], env: Trainable, train: TrainConfig) -> None:
    """Check the names of arms, and that heads suit the environment and the training.

    Raises:
      ValueError: a field that is not allowed; the text names it.
    """
    for name in arms:
        if name == SHARED_PHASES:
            raise ValueError(f"arms: got {name!r}; allowed: names other than this one")
    trained = [name for name, arm in arms.items() if arm.trained]
    if not trained:
        raise ValueError("arms: got none that is trained; allowed: one or more")
    length = len("+".join(trained))
    if train.data == "tandem" and length > 200:
        raise ValueError(
            f"arms: got names of {length} letters together; allowed with data "
            "'tandem', whose checkpoints are named by all arms: 200"
        )
    if train.behaviour_arm is not None and train.behaviour_arm not in trained:
        raise ValueError(
            f"train.behaviour_arm: got {train.behaviour_arm!r}; allowed: "
            f"{', '.join(trained)}"
        )
    if train.behaviour_arm is not None and train.data == "own":
        raise ValueError(
            f"train.behaviour_arm: got {train.behaviour_arm!r}; allowed with data "
            "'own', where each arm acts for itself: null"
        )
    on_policy = isinstance(train.algorithm, algorithms.PPO | algorithms.Reinforce)
    if train.data == "tandem" and on_policy and len(trained) > 1:
        raise ValueError(
            "train.data: got 'tandem'; allowed with algorithm "
            f"{train.algorithm.kind!r}: 'own', because it is on-policy"
        )
    _check_heads(arms, env, train)


def _check_heads(
    arms: dict[str, ArmConfig], env: Trainable, train: TrainConfig
) -> None:
    algorithm = train.algorithm
    clipped = isinstance(algorithm, algorithms.PPO) and algorithm.value_clip
    sources = len(env.reward_sources)
    for name, arm in arms.items():
        head, place = arm.head, f"arms.{name}.head"
        if not isinstance(head, value.Sharded):
            continue
        if "load_balance" in train.sweep and not head.shares_move:
            raise ValueError(
                f"train.sweep.load_balance: got values; allowed: none with arm {name}, "
                "because the shares of its gates have no gradient"
            )
        if "load_balance" in train.sweep and head.routing is not None:
            raise ValueError(
                f"train.sweep.load_balance: got values; allowed: none with arm {name}, "
                "because its gates learn from labels alone"
            )
        if clipped and head.td_error == "per_shard":
            raise ValueError(
                f"{place}.td_error: got 'per_shard'; allowed with a value clip: "
                "'joint', or train.algorithm.value_clip: null"
            )
        if head.routing is None:
            continue
        if head.num_shards < sources:
            raise ValueError(
                f"{place}.num_shards: got {head.num_shards}; allowed with routing: at "
                f"least one for each reward source ({', '.join(env.reward_sources)})"
            )
        context = head.routing.oversight_context
        if context is not None and context >= env.num_contexts:
            raise ValueError(
                f"{place}.routing.oversight_context: got {context}; allowed: 0 to "
                f"{env.num_contexts - 1}"
            )
