"""The input and the output of a measure, and helpers that measures share.

Symbols: N seeds, L levels, S states of a level.
"""

import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from shardsim.agents import agent as agents
from shardsim.core import docstrings, fields
from shardsim.core.statistics import crossed, intervals
from shardsim.core.types import Environment
from shardsim.evaluation import battery, exact_policies, state_readings

EXACT = "exact"
"""Name of the arm whose V is the exact V*: one fixed utility, without a network."""


Stages: TypeAlias = Mapping[str, dict[str, dict[str, state_readings.Reading]]]
"""Phase -> arm -> condition -> reading at the end of the phase."""


class Evidence(NamedTuple):
    """Everything that a measure may use: arrays and the environment, no trainer."""

    env: Environment
    conditions: dict[str, battery.Condition]
    readings: dict[str, dict[str, state_readings.Reading]]
    """Arm -> condition -> reading."""
    acting: exact_policies.ActingRule
    stages: Mapping[str, dict[str, dict[str, state_readings.Reading]]] = (
        types.MappingProxyType({})
    )
    """Readings at the ends of phases, for those that a measure asks for."""
    level_resamples: int = crossed.LEVEL_RESAMPLES
    """B, resamples of the levels on which a statistic is computed again."""
    brief: bool = False
    """Whether the rows of the arms are enough: measures leave out what takes long
    beside them, as at the snapshots of a training."""
    populations: Mapping[str, agents.Agent] = types.MappingProxyType({})
    """Arm -> its agents, leaves [N, ...]; none of agents of somebody else."""
    unlisted: Mapping[str, battery.Levels] = types.MappingProxyType({})
    """Levels of each condition in a world whose states cannot be listed. There
    `conditions` is empty, and arms have no readings."""


@fields.record(float64=True)
class Detail:
    """A number that the report shows beside a metric: a mean over all seeds."""

    arm: str | None
    """The arm that it describes; None: it describes the condition."""
    name: str
    """What it is, in words."""
    unit: str
    value: float | None
    """None if it does not exist."""
    low: float | None = None
    """Lower end of its 95 % interval; None if it has none."""
    high: float | None = None


class Measured(NamedTuple):
    """A statistic, one number for each training seed."""

    values: dict[str, Float[np.ndarray, " N"]]
    """By row. A row is an arm, or `ARM/ROW`: a reference that controls can use."""
    details: tuple[Detail, ...] = ()
    """Numbers for the report."""
    by_levels: Mapping[str, Float[np.ndarray, "B N"]] = types.MappingProxyType({})
    """The same rows on each of B resamples of the levels (`crossed.level_weights`).
    Rows that it lacks are judged as if there were no other levels."""
    num_levels: int = 0
    """L, levels of a condition."""

    def sample(self, row: str) -> crossed.Sample:
        """The numbers of a row, and what other levels would make of them."""
        values, drawn = self.values[row], self.by_levels.get(row)
        return crossed.Sample(values, drawn, self.num_levels)


def resampled(
    rows: Mapping[str, Float[np.ndarray, "rows N"]],
    num_levels: int,
    details: tuple[Detail, ...] | list[Detail] = (),
) -> Measured:
    """A statistic that was computed for each row of `crossed.level_weights`.

    Args:
      rows: by row, [1 + B, N]: in the battery, then on each of its resamples.
      num_levels: L.
      details: numbers for the report.
    """
    return Measured(
        {row: x[0] for row, x in rows.items()},
        tuple(details),
        {row: x[1:] for row, x in rows.items()},
        num_levels,
    )


def level_weights(
    evidence: Evidence, strata: Int[np.ndarray, " L"] | None = None
) -> Float[np.ndarray, "rows L"]:
    """How often each level counts: once in the battery, then in each resample.

    Args:
      strata: kind of each level, as many of which are in every resample; None: levels
        are all of one kind.
    """
    if strata is None:
        condition = next(iter(evidence.conditions.values()))
        strata = np.zeros(len(condition.best), int)
    return crossed.level_weights(strata, evidence.level_resamples)


def level_mean(
    x: Shaped[np.ndarray, "N L S"],
    mask: Bool[np.ndarray, "L S"],
    weights: Float[np.ndarray, "rows L"],
) -> Float[np.ndarray, "rows N"]:
    """Mean of numbers or booleans where the mask is true, by seed and row of weights.

    NaN where no state has a weight. The bits of a number do not depend on how many
    seeds and rows are beside it.
    """
    total = (x * mask).sum(axis=2, dtype=np.float64)
    states = weights @ mask.sum(axis=1)  # whole numbers
    # a matrix product adds up in an order that depends on the shapes
    means: np.ndarray = np.einsum("rl,nl->rn", weights, total)
    return means / np.where(states > 0, states, np.nan)[:, None]


def detail(arm: str | None, name: str, unit: str, x: Any) -> Detail:
    """The mean of some numbers, or one number."""
    mean = float(np.mean(x))
    return Detail(arm, name, unit, mean if np.isfinite(mean) else None)


def extra_rows(measure: Any) -> tuple[str, ...]:
    """Names ROW of the rows `ARM/ROW` that a measure gives besides `ARM`."""
    return getattr(measure, "ROWS", ())


def beside(measure: Any) -> tuple[str, ...]:
    """Extra rows whose effects stand beside that of the contrasted rows (`BESIDE`)."""
    return getattr(measure, "BESIDE", ())


def about(measure: Any, row: str) -> str:
    """What a row of a measure is about: V, the bid of an action, the return (`ABOUT`).

    Args:
      row: `ARM` or `ARM/ROW`.
    """
    extra = row.partition("/")[2]
    if extra in beside(measure):
        return extra
    return getattr(measure, "ABOUT", "V")


def stages(measure: Any) -> tuple[str, ...]:
    """The phases at whose ends a measure needs readings."""
    return getattr(measure, "stages", ())


def needs_features(measure: Any, condition: str) -> bool:
    """Whether a measure reads the features of E in a condition (`NEEDS_FEATURES`)."""
    return getattr(measure, "NEEDS_FEATURES", False) and condition in measure.conditions


def suits(measure: Any, env: Environment) -> bool:
    """Whether the environment has the interface that a measure needs (`NEEDS`)."""
    return isinstance(env, getattr(measure, "NEEDS", Environment))


def value_acts(measure: Any) -> bool:
    """Whether a measure makes sense only if V takes part in acting (`VALUE_ACTS`)."""
    return getattr(measure, "VALUE_ACTS", False)


def at_snapshots(measure: Any) -> bool:
    """Whether a measure is cheap enough for every snapshot of a training."""
    return getattr(measure, "AT_SNAPSHOTS", True)


def by_rollouts(measure: Any) -> bool:
    """Whether a measure plays episodes and needs no exact values (`BY_ROLLOUTS`)."""
    return getattr(measure, "BY_ROLLOUTS", False)


def env_faults(measure: Any, env: Environment) -> Iterator[str]:
    """What the fields of a measure and an environment have against each other."""
    check = getattr(measure, "env_faults", None)
    return iter(()) if check is None else check(env)


def formula(measure: Any) -> str:
    """The equation of a measure: the docstring of its method `measure`, or of what it
    asks by (`formula_of`)."""
    return docstrings.of(getattr(measure, "formula_of", type(measure)).measure)


def repeated(field: str, names: tuple[str, ...]) -> Iterator[str]:
    """A fault if a measure compares a condition with itself."""
    if len(set(names)) < len(names):
        yield f"{field}: got {names}; allowed: different conditions"


def same_phase(before: str, after: str) -> Iterator[str]:
    """A fault if a measure compares a phase (`before_phase`) with itself."""
    if before == after:
        yield f"after_phase: got {after!r}; allowed: another than before_phase"


def selectivity(
    target: Float[np.ndarray, "..."], others: Float[np.ndarray, "..."], min_drop: float
) -> Float[np.ndarray, "..."]:
    """Selectivity S = (target - others) / (target + others) of two drops.

    Args:
      target: drop of what was removed, in [0, 1].
      others: drop of the rest, in [0, 1].
      min_drop: S is 0 if the target drops by less than this.

    Returns:
      S in [-1, 1]: 1 if only the target drops, 0 if both drop alike.
    """
    total = np.where(target + others > 0, target + others, 1.0)
    return np.where(target < min_drop, 0.0, (target - others) / total)


def share(arm: str, name: str, chosen: Bool[np.ndarray, " N"]) -> Detail:
    """The share of seeds for which `chosen` is true, with its 95 % interval."""
    count, n = int(chosen.sum()), len(chosen)
    low, high = intervals.share_interval(count, n)
    return Detail(arm, name, f"share of {n} seeds", count / n, low, high)
