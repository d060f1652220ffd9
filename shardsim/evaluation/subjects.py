"""One agent in the states of one condition: what an inspection tool is asked about.

Symbols: N seeds, n states, L levels, S states of a level, D features, C contexts,
A actions.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from shardsim.agents import agent as agents
from shardsim.agents import value
from shardsim.core.types import Environment
from shardsim.evaluation import battery, state_readings


class Subject(NamedTuple):
    """V of one agent, or of one member of a zoo, in reachable states of a condition."""

    head: value.ValueHead
    """V of the features; tools that read weights may read its layers."""
    features: Float[np.ndarray, "n D"]
    """Output of E, as V reads it."""
    given: Float[np.ndarray, "n C"]
    """The context that the gates of an oracle-gated head get."""
    context: Int[np.ndarray, " n"]
    """The true context, in [0, C)."""
    level: Int[np.ndarray, " n"]
    """The level of each state, a row of `condition`."""
    output: value.ValueOutput
    """V and its parts; leaves [n, ...]."""
    num_contexts: int
    """C."""
    state: Int[np.ndarray, " n"]
    """Its number in the level."""
    env: Environment
    """The world."""
    condition: battery.Condition
    """All levels with their exact values."""
    agent: agents.Agent | None = None
    """E, D and V; None for a member of a zoo, which is a V alone."""
    policy_logits: Float[np.ndarray, "n A"] | None = None
    """log D(a | s); None without an agent."""

    @property
    def held_out(self) -> Bool[np.ndarray, " n"]:
        """Half of the levels, on which what was fitted to the others is tested."""
        return self.level % 2 == 1

    @property
    def optimal(self) -> Float[np.ndarray, " n"]:
        """V*."""
        return self.condition.optimal[self.level, self.state]


def of_reading(
    env: Environment,
    condition: battery.Condition,
    population: agents.Agent,
    reading: state_readings.Reading,
    seed: int,
) -> Subject:
    """One trained agent in all reachable states of a condition.

    Args:
      population: agents of all seeds, leaves [N, ...].
      reading: what they say in the condition, with the features of E.
      seed: number of the agent, in [0, N).

    Raises:
      ValueError: the reading has no features.
    """
    if reading.features is None:
        raise ValueError("inspected: got a reading without features")
    agent: agents.Agent = jax.tree.map(lambda leaf: jnp.asarray(leaf)[seed], population)
    level, state = np.nonzero(condition.reachable)
    at = seed, level, state
    output = value.ValueOutput(
        reading.value[at],
        reading.shard_values[at],
        reading.gates[at],
        reading.units[at],
    )
    given = condition.context[level, state]
    return Subject(
        head=agent.value,
        features=reading.features[at],
        given=given.astype(np.float32),
        context=given.argmax(axis=-1),
        level=level,
        output=output,
        num_contexts=given.shape[-1],
        state=state,
        env=env,
        condition=condition,
        agent=agent,
        policy_logits=reading.policy_logits[at],
    )
