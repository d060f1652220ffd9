"""What is asked of the parameters of a world when it is made."""

import dataclasses
import typing

import numpy as np

from shardsim_envs.gridworld import grid, mazes
from shardsim_envs.gridworld.rules import Rules

WHOLE = int(np.iinfo(np.int32).max)
FINITE = float(np.finfo(np.float32).max)
Checks: typing.TypeAlias = dict[str, tuple[bool, str]]
"""Field -> (is it fine?, what is allowed)."""


def refuse(world: Rules, rules: Checks) -> None:
    """Refuse what can't be played, naming the field.

    Raises:
      ValueError: with the first field that is not fine, its value, what is allowed.
    """
    for field, (fine, allowed) in (*_kinds(world).items(), *rules.items()):
        if not fine:
            got = getattr(world, field)
            raise ValueError(f"{field}: got {got!r}; allowed: {allowed}")


def _kinds(world: Rules) -> Checks:
    """Numbers of the kind and size that compiled programs take."""
    rules: Checks = {}
    for field in dataclasses.fields(typing.cast(typing.Any, world)):
        value = getattr(world, field.name)
        if isinstance(value, list):
            rules[field.name] = (False, "tuples, which may be hashed")
        elif isinstance(field.default, int):
            whole = isinstance(value, int | np.integer)
            whole = whole and bool(-WHOLE <= value <= WHOLE)
            rules[field.name] = (whole, f"a whole number up to {WHOLE}")
        elif isinstance(field.default, float | tuple):
            rules[field.name] = (_finite(value), "finite numbers")
    return rules


def _finite(value: typing.Any) -> bool:
    """Is it a number of float32, or a tuple of such?"""
    if isinstance(value, tuple):
        return all(map(_finite, value))
    fine = isinstance(value, int | float | np.number)
    return fine and bool(-FINITE <= value <= FINITE)


def episode(world: Rules) -> Checks:
    """Fields that every world has."""
    views = typing.get_args(grid.View)
    return {
        "max_steps": (world.max_steps >= 1, "at least 1"),
        "view": (world.view in views, " or ".join(map(repr, views))),
    }


def maze(world: typing.Any) -> Checks:
    """Fields of worlds whose walls are made by `mazes.layout`."""
    layouts = typing.get_args(mazes.Layout)
    return {
        **episode(world),
        "layout": (world.layout in layouts, " or ".join(map(repr, layouts))),
        "size": (world.size in range(5, 26, 2), "odd, 5 to 25"),
    }


def chance(value: float) -> tuple[bool, str]:
    """Is it a probability?"""
    return 0 <= value <= 1, "0 to 1"


def room(world: typing.Any, things: int) -> tuple[bool, str]:
    """Do the things and the agent find room on a board with a wall around it?

    A tree has 2 M - 1 free cells, M rooms; others have at least M, see `mazes.layout`.
    """
    rooms = ((world.size - 1) // 2) ** 2
    free = 2 * rooms - 1 if world.layout == "tree" else rooms
    return things + 1 <= free, f"at most {free - 1} things at size {world.size}"


def between(pair: tuple[int, int], low: int, high: int) -> tuple[bool, str]:
    """Is it (fewest, most) within bounds?"""
    fine = len(pair) == 2 and low <= pair[0] <= pair[1] <= high
    return fine, f"two numbers, the first not above the second, {low} to {high}"


def numbers(values: tuple[float, ...], count: int) -> tuple[bool, str]:
    """Are there as many numbers as there should be?"""
    return len(values) == count, f"{count} numbers"
