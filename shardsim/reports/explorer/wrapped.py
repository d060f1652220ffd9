"""The inputs of a page for an agent of somebody else, who is asked and not looked into.

Symbols: B states, L levels, S states of a level.
"""

import dataclasses
import math
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from shardsim.agents import action_selection, value
from shardsim.agents import agent as agents
from shardsim.evaluation import battery, exact_policies, film, networks
from shardsim.reports.explorer import forward, load
from shardsim.training import arms, phases
from shardsim.training.config import TrainConfig


@runtime_checkable
class Wrapped(Protocol):
    """An agent of somebody else, as `shardsim.wrap` makes it."""

    @property
    def arm(self) -> str:
        """What it is called."""
        ...

    @property
    def env(self) -> Any: ...

    @property
    def acting(self) -> exact_policies.ActingRule: ...

    @property
    def num_shards(self) -> int: ...

    @property
    def network(self) -> networks.Network:
        """Its outputs, leaves [1, B, ...]."""
        ...


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """What a page asks the config of a run for; nothing is trained by it."""

    name: str
    env: Any
    """Any world, also one that no config can name."""
    arms: dict[str, arms.ArmConfig]
    train: TrainConfig
    agent: agents.AgentConfig = agents.AgentConfig()


def load_agent(agent: Wrapped, mazes: int) -> load.PageInputs:
    """The inputs of the page of an agent of somebody else.

    Args:
      mazes: number of levels to draw.

    Raises:
      RunError: the states of its world cannot be enumerated.
      ConfigError: it puts out what is no V or no policy.
    """
    load.check_listed(agent.env, agent.arm)
    tau = agent.acting.temperature
    selection: action_selection.ActionSelection = action_selection.PolicyOnly()
    if agent.acting.value_acts:
        selection = action_selection.Lookahead(temperature=tau)
    config = Elsewhere(
        name=agent.arm,
        env=agent.env,
        arms={agent.arm: arms.ArmConfig(value.MLP(), match_params=False)},
        train=TrainConfig(
            num_seeds=1,
            discount=agent.acting.discount,
            action_selection=selection,
            phases=(phases.Phase(name="elsewhere", updates=1),),
        ),
    )
    conditions = load.conditions_of(config, mazes)
    drawn = film.mazes(conditions, mazes)
    arm = arms.Arm(agent.arm, value.MLP(), 1, trained=True)
    side = load.Side(Path(agent.arm), config, arm, (0,), None, {})
    inputs = load.PageInputs((side,), conditions, drawn, agent.acting)
    return dataclasses.replace(
        inputs, sides=(dataclasses.replace(side, outputs={0: _asked(agent, inputs)}),)
    )


def _asked(agent: Wrapped, inputs: load.PageInputs) -> film.Outputs:
    """What the agent puts out in all states of all levels of the page."""
    levels, condition = forward.levels_of(inputs, film.CURVE_LEVELS)
    observation, context = map(np.asarray, battery.observed(agent.env, levels))
    count = math.prod(observation.shape[:2])
    mask = networks.possible(condition).reshape(count)
    value, shard_values, gates, logits = networks.Where(agent.network, mask)(
        observation.reshape(count, *observation.shape[2:]),
        context.reshape(count, context.shape[-1]),
    )
    shape = observation.shape[:2]
    leaves = (value, logits, gates, shard_values)
    return film.Outputs(
        *(np.asarray(leaf).reshape(1, *shape, *leaf.shape[2:]) for leaf in leaves)
    )
