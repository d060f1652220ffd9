"""What forecasts cost, in nats per decision, without sampling.

    loss = - sum_s w(s) sum_a pi(a | s) log q(a | s)

pi is what the agent does, w its own occupancy, q the forecast. ORACLE forecasts pi, and
its loss is the entropy; the rest is what a forecaster does not know:

    loss - entropy = sum_s w(s) KL(pi(. | s) || q(. | s)) >= 0

Symbols: N agents, D conditions, L levels, S states, A actions.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from shardsim.contest import fitting
from shardsim.contest.evidence import AgentEvidence, Evidence
from shardsim.contest.fitting import UNIFORM_SHARE, Fitted
from shardsim.contest.forecasters import Oracle, Reference
from shardsim.core.statistics import crossed

BINS = 10
"""Bins of equal width of a calibration curve."""


class Calibration(NamedTuple):
    """How often actions are taken that were forecast with some probability.

    All are sums over the decisions of the agents, each with its occupancy.
    """

    weight: Float[np.ndarray, " bins"]
    """Of all actions whose forecast is in the bin."""
    forecast: Float[np.ndarray, " bins"]
    """Of the same times what was forecast."""
    taken: Float[np.ndarray, " bins"]
    """Of the same times the probability with which agents take them."""


class Scores(NamedTuple):
    """What each forecaster pays for each agent in each condition and level."""

    agents: tuple[AgentEvidence, ...]
    """[N]"""
    conditions: tuple[str, ...]
    """[D]"""
    loss: dict[str, Float[np.ndarray, "N D L"]]
    """By forecaster, nats per decision; NaN where the agent is not asked."""
    calibration: dict[str, Calibration]
    """By forecaster."""

    @property
    def seeds(self) -> Int[np.ndarray, " N"]:
        """Seed of each agent."""
        return np.array([agent.seed for agent in self.agents])


def score(forecasters: Mapping[str, Fitted | Reference], asked: Evidence) -> Scores:
    """Score all forecasters on the same questions.

    Args:
      forecasters: by name.
      asked: agents of one arm, with the behaviour that is asked about.
    """
    agents, conditions = asked.agents, tuple(asked.situations)
    levels = max(len(given.level) for given in asked.situations.values())
    loss = {
        name: np.full((len(agents), len(conditions), levels), np.nan)
        for name in forecasters
    }
    sums = {name: np.zeros((3, BINS)) for name in forecasters}
    for column, (condition, given) in enumerate(asked.situations.items()):
        rows_of: dict[str, list[int]] = {}
        for row, agent in enumerate(agents):
            if condition in agent.behaviour:
                rows_of.setdefault(agent.history.name, []).append(row)
        histories = [agents[rows[0]].history for rows in rows_of.values()]
        if not histories:
            continue
        expected = {
            name: fitting.forecasts(one, given, histories)
            for name, one in forecasters.items()
            if isinstance(one, Fitted)
        }
        for number, rows in enumerate(rows_of.values()):
            behaviour = [agents[row].behaviour[condition] for row in rows]
            policy = np.stack([each.policy for each in behaviour]).astype(np.float64)
            weight = np.stack([each.occupancy for each in behaviour]).astype(np.float64)
            for name, one in forecasters.items():
                forecast = (
                    np.broadcast_to(expected[name][number], policy.shape)
                    if isinstance(one, Fitted)
                    else _reference(one, policy)
                )
                loss[name][rows, column] = losses(policy, weight, forecast)
                sums[name] += _calibration(policy, weight, forecast)
    return Scores(
        agents,
        conditions,
        loss,
        {name: Calibration(*each) for name, each in sums.items()},
    )


def losses(
    policy: Float[np.ndarray, "*N L S A"],
    occupancy: Float[np.ndarray, "*N L S"],
    forecast: Float[np.ndarray, "*N L S A"],
) -> Float[np.ndarray, "*N L"]:
    """Expected log-loss of a forecast in each level, in nats per decision."""
    joint = occupancy[..., None] * policy
    # what an agent never does costs nothing, even where it was ruled out
    cost = np.where(joint > 0, -np.log(np.where(joint > 0, forecast, 1.0)), 0.0)
    total: Float[np.ndarray, "*N L"] = (joint * cost).sum(axis=(-2, -1))
    return total


def _reference(
    reference: Reference, policy: Float[np.ndarray, "N L S A"]
) -> Float[np.ndarray, "N L S A"]:
    """ORACLE as it is; OTHERS mixed with random actions, as all forecasts are."""
    forecast = reference.forecast(policy)
    if isinstance(reference, Oracle):
        return forecast
    return (1 - UNIFORM_SHARE) * forecast + UNIFORM_SHARE / policy.shape[-1]


def _calibration(
    policy: Float[np.ndarray, "N L S A"],
    occupancy: Float[np.ndarray, "N L S"],
    forecast: Float[np.ndarray, "N L S A"],
) -> Float[np.ndarray, "3 bins"]:
    place = np.minimum((forecast * BINS).astype(int), BINS - 1).reshape(-1)
    weight = np.broadcast_to(occupancy[..., None], policy.shape)
    each = (weight, weight * forecast, weight * policy)
    return np.stack([np.bincount(place, x.reshape(-1), BINS) for x in each])


def sample(
    values: Float[np.ndarray, "N D L"],
    seeds: Int[np.ndarray, " N"],
    conditions: Sequence[int] | None = None,
) -> crossed.Sample:
    """The mean of each seed over its histories and conditions, with levels resampled.

    Agents of one seed share all keys, so the seed is what is sampled. Histories and
    conditions are those of the contest.

    Args:
      values: of each agent in each condition and level; NaN where it is not asked.
      seeds: of the agents.
      conditions: which conditions; None: all.
    """
    chosen = values if conditions is None else values[:, list(conditions)]
    is_asked = np.isfinite(chosen).all(axis=2)
    by_seed = np.stack(
        [
            chosen[seeds == seed][is_asked[seeds == seed]].mean(axis=0)
            if is_asked[seeds == seed].any()
            else np.full(chosen.shape[2], np.nan)
            for seed in np.unique(seeds)
        ]
    )
    return of_levels(by_seed)


def of_levels(by_seed: Float[np.ndarray, "n L"]) -> crossed.Sample:
    """The mean of each seed over levels, and over resamples of the levels."""
    levels = by_seed.shape[1]
    means = by_seed.mean(axis=1)
    if levels == 1:
        return crossed.Sample(means)
    weights = crossed.level_weights(np.zeros(levels))[1:]
    return crossed.Sample(means, weights @ by_seed.T / levels, levels)
