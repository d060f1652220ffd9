"""Grids of continuous hyper-parameters: points of one program, like its seeds.

Symbols: G points, N = G * seeds. Element g * seeds + s is seed s at point g, with the
same keys at every point.
"""

import itertools
import math
from collections.abc import Mapping

from shardsim import algorithms
from shardsim.agents import action_selection, value

RANGES = {
    "learning_rate": (0.0, math.inf, "more than 0"),
    "td_lambda": (-math.inf, 1.0, "0 to 1"),
    "temperature": (0.0, math.inf, "more than 0"),
    "entropy": (-math.inf, math.inf, "at least 0"),
    "load_balance": (-math.inf, math.inf, "at least 0"),
}
"""Bounds that a value must lie beyond and not beyond, and how they are told."""
Grid = Mapping[str, tuple[float, ...]]


def check(
    grid: Grid, learn: algorithms.Algorithm, act: action_selection.ActionSelection
) -> None:
    """Refuse names and values that no hyper-parameter has."""
    for name, values in grid.items():
        if name not in RANGES:
            raise ValueError(f"sweep.{name}: unknown key; allowed: {', '.join(RANGES)}")
        above, most, allowed = RANGES[name]
        if not values:
            raise ValueError(f"sweep.{name}: got no value; allowed: one or more")
        if len(set(values)) < len(values):
            raise ValueError(f"sweep.{name}: got {values}; allowed: different values")
        for got in values:
            if not (got > above and 0 <= got <= most and math.isfinite(got)):
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
