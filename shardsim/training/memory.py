"""What a training takes at least, in bytes, by the fields that decide about it.

Symbols: N seeds (times the points of a sweep), B environments, T steps, O numbers of an
observation.
"""

import math
from collections.abc import Sequence

from shardsim.agents import action_selection, encoders, value
from shardsim.agents import agent as agents
from shardsim.core.types import Trainable
from shardsim.training import arms as training_arms
from shardsim.training.config import TrainConfig


def least(
    env: Trainable,
    agent: agents.AgentConfig,
    train: TrainConfig,
    arms: Sequence[training_arms.Arm],
) -> dict[str, int]:
    """The arrays of the largest group of arms that is trained together.

    A number of an observation takes one byte or more, a weight four and as many for its
    gradient.
    """
    seeds, observation = train.population, math.prod(env.observation_shape)
    states = seeds * train.num_envs * observation
    contexts = env.num_contexts
    heads = [
        value.count_parameters(arm.head, agent.encoder.features, contexts, arm.width)
        for arm in arms
        if arm.trained
    ]
    encoder = encoders.count_parameters(agent.encoder, env.observation_shape)
    group = heads if train.data == "tandem" else [max(heads)]
    parts = {
        "agent": 8 * seeds * sum(encoder + head for head in group),
        "train.num_envs": states,
        "train.num_steps": states * train.num_steps,
        "train.num_reset_states": seeds * train.num_reset_states * observation,
    }
    search = train.action_selection
    if isinstance(search, action_selection.Search):
        parts["train.action_selection.simulations"] = states * search.simulations
    return parts
