"""What agents do, without any forecast: renewal, and the order of events.

Both compare agents of different histories, seed by seed, on the same levels.

Symbols: n seeds, L levels, S states, A actions, C contexts, F sources of reward.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from shardsim.contest.evidence import (
    AgentEvidence,
    Behaviour,
    Event,
    Evidence,
    History,
    Situations,
)
from shardsim.core.statistics import energy


class Contrast(NamedTuple):
    """Two numbers for each seed and level, and what they are of."""

    first: Float[np.ndarray, "n L"]
    second: Float[np.ndarray, "n L"]
    pairs: tuple[tuple[str, str], ...]
    """Histories that were compared."""


class Extinction(NamedTuple):
    """Two histories that differ in where an acquired value was extinguished."""

    elsewhere: str
    """History ABA: acquired in context a, extinguished in another one, asked in a."""
    same_place: str
    """History AAB: acquired and extinguished in a, asked in the other context."""
    context: int
    """a"""
    other: int
    source: int
    """What a take of paid in the acquisition."""


def extinctions(histories: Sequence[History]) -> list[Extinction]:
    """All pairs of histories for a renewal.

    They share everything but the last event. The event before it pays for one source in
    one context. The last event pays nothing, and shows that context or another one.
    """
    found = []
    for first in histories:
        for second in histories:
            before, same = first.events[:-1], second.events[:-1]
            if len(before) == 0 or before != same:
                continue
            context = _only_context(before[-1])
            other = _only_context(first.events[-1])
            if context is None or other is None or context == other:
                continue
            if context != _only_context(second.events[-1]):
                continue
            paid = before[-1].rewards[context]
            stops = _pays_nothing(first.events[-1]) and _pays_nothing(second.events[-1])
            if stops and max(paid) > 0:
                source = int(np.argmax(paid))
                found.append(
                    Extinction(first.name, second.name, context, other, source)
                )
    return found


def _only_context(event: Event) -> int | None:
    """The context that all levels of an event show; None if there are several."""
    shown = {context for group in event.contexts_shown for context in group}
    return shown.pop() if len(shown) == 1 else None


def _pays_nothing(event: Event) -> bool:
    shown = {context for group in event.contexts_shown for context in group}
    return not any(any(event.rewards[context]) for context in shown)


def renewal(everything: Evidence) -> Contrast | None:
    """Takes of an acquired source per decision, ABA against AAB.

    Extinction that is bound to its context lets the source be taken again where it was
    acquired (ABA), and less so elsewhere (AAB).

    Args:
      everything: agents of one arm.

    Returns:
      None if the contest has no such histories and conditions.
    """
    agents = _by_history(everything.agents)
    histories = [own[0].history for own in agents.values()]
    first: list[np.ndarray] = []
    second: list[np.ndarray] = []
    pairs = []
    for pair in extinctions(histories):
        inside = _showing(everything, pair.context)
        outside = _showing(everything, pair.other)
        if inside is None or outside is None:
            continue
        for condition, history, takes in (
            (inside, pair.elsewhere, first),
            (outside, pair.same_place, second),
        ):
            given = everything.situations[condition]
            takes.append(
                np.stack(
                    [
                        takes_per_decision(given, a.behaviour[condition], pair.source)
                        for a in agents[history]
                    ]
                )
            )
        pairs.append((pair.elsewhere, pair.same_place))
    if not pairs:
        return None
    return Contrast(np.mean(first, axis=0), np.mean(second, axis=0), tuple(pairs))


def takes_per_decision(
    situations: Situations, behaviour: Behaviour, source: int
) -> Float[np.ndarray, " L"]:
    """Expected takes of a source per decision in each level."""
    joint = behaviour.occupancy[:, :, None] * behaviour.policy
    total: Float[np.ndarray, " L"] = (joint * situations.taken[..., source]).sum(
        axis=(1, 2)
    )
    return total


def _showing(everything: Evidence, context: int) -> str | None:
    """The first condition whose levels all show this context alone."""
    for name, given in everything.situations.items():
        alone = np.zeros(given.shown.shape[1])
        alone[context] = 1.0
        if (given.shown == alone).all():
            return name
    return None


class Order(NamedTuple):
    """How far the order of events decides what agents do."""

    contrast: Contrast
    """Total variation between agents of two orders, and of one order, as pseudovalues
    of the seeds: their mean is that over all pairs of different seeds."""
    test: energy.EnergyTest
    """Of all policies at once, swapping the orders within seeds."""


def order(everything: Evidence) -> Order | None:
    """Whether the same events in reverse order lead to other behaviour.

      TV(i, j) = sum_s w(s) 1/2 sum_a |pi_i(a | s) - pi_j(a | s)|

    w is the mean occupancy of the agents of both orders. The mean over pairs of seeds
    is one of a statistic of pairs, so each seed has its jackknife pseudovalue: the
    variance of plain means by seed would be a quarter of what it is.

    Args:
      everything: agents of one arm.

    Returns:
      None if the contest has no history with its reverse, or fewer than three seeds.
    """
    agents = _by_history(everything.agents)
    pairs = list(_reversed(agents))
    if not pairs or min(len(own) for own in agents.values()) < 3:
        return None
    between, within = [], []
    features: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for one, two in pairs:
        for condition in everything.situations:
            both = [
                [a.behaviour[condition] for a in agents[name]] for name in (one, two)
            ]
            weight = np.mean([b.occupancy for own in both for b in own], axis=0)
            first, second = (np.stack([b.policy for b in own]) for own in both)
            between.append(_of_seeds(_distances(first, second, weight)))
            within += [_of_seeds(_distances(x, x, weight)) for x in (first, second)]
            for own, policies in zip(features, (first, second), strict=True):
                scaled = policies * np.sqrt(weight)[None, :, :, None]
                own.append(scaled.reshape(len(policies), -1))
    test = energy.paired_permutation_energy(
        *(np.concatenate(own, axis=1) for own in features)
    )
    contrast = Contrast(np.mean(between, axis=0), np.mean(within, axis=0), tuple(pairs))
    return Order(contrast, test)


def _reversed(agents: dict[str, list[AgentEvidence]]) -> Iterator[tuple[str, str]]:
    """Pairs of histories whose events are each other's in reverse order."""
    by_events = {own[0].history.events: name for name, own in agents.items()}
    for events, name in by_events.items():
        other = by_events.get(events[::-1])
        if other is not None and other > name:
            yield name, other


def _distances(
    first: Float[np.ndarray, "n L S A"],
    second: Float[np.ndarray, "n L S A"],
    weight: Float[np.ndarray, "L S"],
) -> Float[np.ndarray, "n n L"]:
    """Total variation of every pair in each level."""
    rows = [
        0.5 * (np.abs(one - second).sum(axis=-1) * weight).sum(axis=-1) for one in first
    ]
    return np.stack(rows)


def _of_seeds(distances: Float[np.ndarray, "n n L"]) -> Float[np.ndarray, "n L"]:
    """Pseudovalues of the seeds; their mean is that over pairs of different seeds."""
    n = len(distances)
    pairs = distances * (~np.eye(n, dtype=bool))[:, :, None]
    own = (pairs.sum(axis=0) + pairs.sum(axis=1)) / (2 * (n - 1))
    whole = own.mean(axis=0)
    return n * whole - (n - 1) * (n * whole - 2 * own) / (n - 2)


def _by_history(
    agents: Sequence[AgentEvidence],
) -> dict[str, list[AgentEvidence]]:
    """Agents by history, in the order of their seeds."""
    found: dict[str, list[AgentEvidence]] = {}
    for agent in sorted(agents, key=lambda a: a.seed):
        found.setdefault(agent.history.name, []).append(agent)
    return found
