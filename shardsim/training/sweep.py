"""Grids of continuous hyper-parameters: points of one program, like its seeds.

Symbols: G points, N = G * seeds. Element g * seeds + s is seed s at point g, with the
same keys at every point.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, NonNegativeFloat, PositiveFloat

from shardsim import algorithms
from shardsim.agents import action_selection, value
from shardsim.core import field_errors, fields

Name: TypeAlias = Literal[
    "learning_rate", "td_lambda", "temperature", "entropy", "load_balance"
]
"""Hyper-parameters that may differ within one program."""
Grid: TypeAlias = dict[Name, Annotated[tuple[float, ...], Field(min_length=1)]]
TYPES: Mapping[str, Any] = {
    "learning_rate": PositiveFloat,
    "td_lambda": fields.Fraction,
    "temperature": PositiveFloat,
    "entropy": NonNegativeFloat,
    "load_balance": NonNegativeFloat,
}
"""Their ranges, those of the fields that they stand for."""


def check(
    grid: Grid, learn: algorithms.Algorithm, act: action_selection.ActionSelection
) -> None:
    """Refuse values that a hyper-parameter can't have."""
    for name, values in grid.items():
        if len(set(values)) < len(values):
            raise ValueError(f"sweep.{name}: got {values}; allowed: different values")
        for got in values:
            if not fields.admits(TYPES[name], got):
                allowed = field_errors.range_of(TYPES[name])
                raise ValueError(f"sweep.{name}: got {got}; allowed: {allowed}")
    if "entropy" in grid and "entropy" not in learn.HYPER:
        raise ValueError(
            f"sweep.entropy: got values; allowed with a rule that has one, not with "
            f"algorithm {learn.kind!r}"
        )
    if "temperature" in grid and isinstance(act, action_selection.PolicyOnly):
        raise ValueError(
            "sweep.temperature: got values; allowed where V acts, not with "
            "action_selection 'policy_only'"
        )


def size(grid: Grid) -> int:
    """G."""
    return math.prod(len(values) for values in grid.values())


def points(grid: Grid) -> list[dict[str, float]]:
    """Every combination, the last name varying fastest."""
    return [
        dict(zip(grid, values, strict=True))
        for values in itertools.product(*grid.values())
    ]


def element(grid: Grid, num_seeds: int, number: int) -> str:
    """Which seed an element is and, where there is a grid, at which point."""
    point, seed = divmod(number, num_seeds)
    at = [f"{name} {value:g}" for name, value in points(grid)[point].items()]
    return f"seed {seed} at {' and '.join(at)}" if at else f"seed {seed}"


def own_balance(head: value.Head) -> float:
    """The cost of uneven gates that a head's config asks for."""
    return head.load_balance if isinstance(head, value.Sharded) else 0.0
