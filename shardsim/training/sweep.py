"""Sweeps: grids of continuous hyperparameters, trained together in one program.

Symbols: G points, N = G * seeds. Element g * seeds + s is seed s at point g; a seed has
the same random keys at every point.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, NonNegativeFloat, PositiveFloat

from shardsim import algorithms
from shardsim.agents import action_selection
from shardsim.core import field_errors, fields

Name: TypeAlias = Literal[
    "learning_rate", "td_lambda", "temperature", "entropy", "load_balance"
]
"""Hyperparameters that may differ within one program."""
Grid: TypeAlias = dict[Name, Annotated[tuple[float, ...], Field(min_length=1)]]
"""Values of each hyperparameter; empty: no sweep."""
TYPES: Mapping[str, Any] = {
    "learning_rate": PositiveFloat,
    "td_lambda": fields.Fraction,
    "temperature": PositiveFloat,
    "entropy": NonNegativeFloat,
    "load_balance": NonNegativeFloat,
}
"""Range of each hyperparameter: that of the config field it replaces."""


def faults(
    grid: Grid,
    algorithm: algorithms.Algorithm,
    selection: action_selection.ActionSelection,
) -> Iterator[str]:
    """Values that are repeated or out of range, hyperparameters without effect."""
    for name, values in grid.items():
        if len(set(values)) < len(values):
            yield f"sweep.{name}: got {values}; allowed: different values"
        for number in values:
            if not fields.admits(TYPES[name], number):
                allowed = field_errors.range_of(TYPES[name])
                yield f"sweep.{name}: got {number}; allowed: {allowed}"
    if "entropy" in grid and "entropy" not in algorithm.HYPER:
        yield (
            "sweep.entropy: got values; allowed with an algorithm that has an entropy "
            f"bonus, not with {algorithm.kind!r}"
        )
    if "temperature" in grid and isinstance(selection, action_selection.PolicyOnly):
        yield (
            "sweep.temperature: got values; allowed where V acts, not with "
            "action_selection 'policy_only'"
        )


def size(grid: Grid) -> int:
    """G, the number of points; 1 without a sweep."""
    return math.prod(len(values) for values in grid.values())


def points(grid: Grid) -> list[dict[str, float]]:
    """All G combinations of values; the last hyperparameter varies fastest."""
    return [
        dict(zip(grid, values, strict=True))
        for values in itertools.product(*grid.values())
    ]


def element(grid: Grid, num_seeds: int, number: int, first: int = 0) -> str:
    """Describe an element, e.g. "seed 3 at learning_rate 0.01 and entropy 0".

    Args:
      number: of the element, in [0, N).
      first: number of the first seed.
    """
    point, seed = divmod(number, num_seeds)
    seed += first
    values = [f"{name} {value:g}" for name, value in points(grid)[point].items()]
    return f"seed {seed} at {' and '.join(values)}" if values else f"seed {seed}"
