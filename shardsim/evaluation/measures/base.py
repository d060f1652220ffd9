"""What a measure gets and gives. Symbols: N seeds."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from shardsim.core import statistics
from shardsim.core.types import Environment
from shardsim.evaluation import battery

EXACT = "exact"
"""The arm whose V is V* of the world's rewards: one fixed utility, without a net."""


Stages: TypeAlias = Mapping[str, dict[str, dict[str, battery.Reading]]]
"""Phase -> arm -> condition -> reading at its end."""


class Evidence(NamedTuple):
    """All that measures may look at: arrays and the world, no trainer."""

    env: Environment
    conditions: dict[str, battery.Condition]
    readings: dict[str, dict[str, battery.Reading]]
    """Arm -> condition -> reading."""
    acting: battery.ActingRule
    stages: Mapping[str, dict[str, dict[str, battery.Reading]]] = (
        types.MappingProxyType({})
    )
    """Of the phases and conditions that a measure asks for."""


@dataclasses.dataclass(frozen=True)
class Detail:
    """A number beside a metric, the mean over all seeds."""

    arm: str | None
    """Whose number it is; None: of the condition itself."""
    name: str
    """What it is, in words."""
    unit: str
    value: float | None
    """None where it does not exist."""
    low: float | None = None
    """Lower end of its 95 % interval; None where it has none."""
    high: float | None = None


class Measured(NamedTuple):
    """A statistic, one number for each training seed."""

    values: dict[str, Float[np.ndarray, " N"]]
    """By arm. A row `arm/what` is a reference that controls may ask for."""
    details: tuple[Detail, ...] = ()
    """Numbers for the report."""


def detail(arm: str | None, name: str, unit: str, x: Any) -> Detail:
    """The mean of some numbers, or one number."""
    mean = float(np.mean(x))
    return Detail(arm, name, unit, mean if np.isfinite(mean) else None)


def extra_rows(measure: Any) -> tuple[str, ...]:
    """What stands behind `arm/` in the rows that a measure gives besides `arm`."""
    return getattr(measure, "ROWS", ())


def stages(measure: Any) -> tuple[str, ...]:
    """The phases at whose ends a measure looks at its conditions."""
    return getattr(measure, "stages", ())


def suits(measure: Any, env: Environment) -> bool:
    """Whether the world offers what a measure asks of it (its `NEEDS`)."""
    return isinstance(env, getattr(measure, "NEEDS", Environment))


def value_acts(measure: Any) -> bool:
    """Whether V has to act where a measure is taken (its `VALUE_ACTS`)."""
    return getattr(measure, "VALUE_ACTS", False)


def check_different(field: str, names: tuple[str, ...]) -> None:
    """Refuse to set a condition against itself."""
    if len(set(names)) < len(names):
        raise ValueError(f"{field}: got {names}; allowed: different conditions")


def selectivity(
    target: Float[np.ndarray, "..."], others: Float[np.ndarray, "..."], least: float
) -> Float[np.ndarray, "..."]:
    """(target - others) / (target + others) of two drops in [0, 1]; in [-1, 1].

    Args:
      least: a drop of the target below this is none, and the selectivity 0.
    """
    total = np.where(target + others > 0, target + others, 1.0)
    return np.where(target < least, 0.0, (target - others) / total)


def share(arm: str, name: str, chosen: Bool[np.ndarray, " N"]) -> Detail:
    """The share of seeds that do something, with its interval (95 %)."""
    count, n = int(chosen.sum()), len(chosen)
    low, high = statistics.share_interval(count, n)
    return Detail(arm, name, f"share of {n} seeds", count / n, low, high)


def masked_mean(
    x: Float[np.ndarray, "N L S"], mask: np.ndarray
) -> Float[np.ndarray, " N"]:
    """Mean over the states where the mask is true."""
    return (x * mask).sum(axis=(1, 2)) / mask.sum()
