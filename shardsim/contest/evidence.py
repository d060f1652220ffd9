"""What a forecaster may look at, and what it is asked about.

An agent is trained by a history: a sequence of events, each a phase of training. It is
then asked in conditions: sets of levels that differ from training. A forecaster is
fitted on some histories in some conditions, its evidence. It is asked about histories
and conditions that the evidence does not hold.

Symbols: L levels, S states of a level, A actions, C contexts, F sources of reward,
H, W board, P planes.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import PositiveInt

from shardsim.core import fields


class Situations(NamedTuple):
    """Levels of one condition, with all their states."""

    observation: UInt8[np.ndarray, "L S H W P"]
    shown: Float[np.ndarray, "L C"]
    """1 for each context that a level shows."""
    successor: Int[np.ndarray, "L S A"]
    """The state that follows."""
    taken: Float[np.ndarray, "L S A F"]
    """1 where the step takes source f, whatever reward it gives."""
    terminated: Bool[np.ndarray, "L S A"]
    """Whether the step ends the episode."""
    reachable: Bool[np.ndarray, "L S"]
    """Whether an episode that has not terminated can be in the state."""
    start: Int[np.ndarray, " L"]
    """The first state of an episode."""
    level: Int[np.ndarray, " L"]
    """Number of each level; one number has the same keys in all conditions."""
    context: Float[np.ndarray, "L C"] | None = None
    """1 for each context that decides what a level pays, even if it is not shown; None:
    those that are shown."""
    rewards: tuple[tuple[float, ...], ...] | None = None
    """Reward by context and source, where the condition sets it; None: it is that of
    the last event of the agent's history."""


@fields.record
class Event:
    """One phase of a history."""

    name: fields.Label
    """Its letter or word in the name of the history."""
    rewards: tuple[tuple[float, ...], ...]
    """Reward by context and source."""
    contexts_shown: tuple[tuple[int, ...], ...]
    """Sets of contexts that a level may show, chosen with equal probability."""
    updates: PositiveInt
    """Updates of training."""


class History(NamedTuple):
    """What an agent was trained by, in order, after the pretraining of all."""

    name: str
    events: tuple[Event, ...]


class Behaviour(NamedTuple):
    """What one agent does in the levels of a condition, without sampling."""

    policy: Float[np.ndarray, "L S A"]
    """Probability of each action."""
    occupancy: Float[np.ndarray, "L S"]
    """Expected share of the decisions of an episode in each state; sums to 1 in every
    level."""


class AgentEvidence(NamedTuple):
    """One trained agent."""

    arm: str
    history: History
    seed: int
    """Number of the training seed; agents of one seed share all keys."""
    behaviour: dict[str, Behaviour]
    """By condition."""


class Evidence(NamedTuple):
    """Agents with their behaviour, and the conditions that it is of."""

    situations: dict[str, Situations]
    """By condition."""
    agents: tuple[AgentEvidence, ...]


class Split(NamedTuple):
    """All that is known, in two parts that have no answer in common."""

    evidence: Evidence
    """What forecasters are fitted on."""
    asked: Evidence
    """Held-out histories in all conditions, and held-out conditions of the others."""


def split(
    everything: Evidence, histories: Collection[str], conditions: Collection[str]
) -> Split:
    """Set some histories and some conditions apart from the evidence.

    Args:
      everything: all agents in all conditions.
      histories: names of the histories that are held out.
      conditions: names of the conditions that are held out.

    Raises:
      ValueError: a name is unknown, or nothing is left to fit on.
    """
    known = {agent.history.name for agent in everything.agents}
    for field, names, all_names in (
        ("histories", histories, known),
        ("conditions", conditions, set(everything.situations)),
    ):
        if not set(names) < all_names:
            raise ValueError(
                f"{field}: got {sorted(names)}; allowed: some, but not all, of "
                f"{sorted(all_names)}"
            )
    shared = [name for name in everything.situations if name not in conditions]
    fitted, asked = [], []
    for agent in everything.agents:
        if agent.history.name in histories:
            asked.append(agent)
            continue
        fitted.append(_in_conditions(agent, shared))
        if conditions:
            asked.append(_in_conditions(agent, conditions))
    situations = {name: everything.situations[name] for name in shared}
    return Split(
        Evidence(situations, tuple(fitted)),
        Evidence(everything.situations, tuple(asked)),
    )


def _in_conditions(agent: AgentEvidence, names: Collection[str]) -> AgentEvidence:
    behaviour = {
        name: each for name, each in agent.behaviour.items() if name in set(names)
    }
    return agent._replace(behaviour=behaviour)


def of_levels(evidence: Evidence, first: int, last: int) -> Evidence:
    """The same agents in the levels from `first` up to, not including, `last`."""
    part = slice(first, last)
    situations = {
        name: given._replace(
            **{
                field: array[part]
                for field, array in given._asdict().items()
                if field != "rewards" and array is not None
            }
        )
        for name, given in evidence.situations.items()
    }
    agents = tuple(
        agent._replace(
            behaviour={
                name: Behaviour(each.policy[part], each.occupancy[part])
                for name, each in agent.behaviour.items()
            }
        )
        for agent in evidence.agents
    )
    return Evidence(situations, agents)


def of_arm(evidence: Evidence, arm: str) -> Evidence:
    """The agents of one arm."""
    agents = tuple(agent for agent in evidence.agents if agent.arm == arm)
    return evidence._replace(agents=agents)


def rewards_of(
    situations: Situations, history: History
) -> tuple[tuple[float, ...], ...]:
    """Reward by context and source, in a condition after a history."""
    return situations.rewards or history.events[-1].rewards


def pays(situations: Situations, history: History) -> Float[np.ndarray, "L F"]:
    """What a take of each source pays in each level, after a history.

    It is the largest reward of all contexts that decide, and 0 if none does.
    """
    decides = situations.shown if situations.context is None else situations.context
    rewards = np.asarray(rewards_of(situations, history), np.float32)
    best = np.where(decides[:, :, None] > 0, rewards[None], -np.inf).max(axis=1)
    return np.where(np.isfinite(best), best, 0).astype(np.float32)


def refuse_leak(evidence: Evidence, asked: Evidence) -> None:
    """Refuse evidence that holds an answer.

    An answer is the behaviour of any agent of the asked history, in the asked condition
    and level, whatever its arm and seed.

    Raises:
      ValueError: naming the first history, condition and level.
    """
    seen = _cells(evidence)
    for (history, condition), levels in _cells(asked).items():
        both = sorted(levels & seen.get((history, condition), set()))
        if both:
            raise ValueError(
                f"evidence: got history {history!r} in condition {condition!r}, level "
                f"{both[0]}; allowed: nothing that is asked about"
            )


def _cells(evidence: Evidence) -> dict[tuple[str, str], set[int]]:
    """Numbers of levels by history and condition."""
    cells: dict[tuple[str, str], set[int]] = {}
    for agent in evidence.agents:
        for condition in agent.behaviour:
            levels = evidence.situations[condition].level.tolist()
            cells.setdefault((agent.history.name, condition), set()).update(levels)
    return cells
