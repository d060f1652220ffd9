"""Ranges of the parameters of a world, and what they ask of each other."""

import typing
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from shardsim.core import fields
from shardsim_envs.gridworld.rules import Rules

MaxSteps = Annotated[int, Field(ge=1, lt=2**31)]
"""A time limit, counted in 32 bits."""
BoardSize = Annotated[int, Field(ge=2, le=25)]
"""Side of a board."""


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise PydanticCustomError("size", "odd, 5 to 25")
    return size


MazeSize = Annotated[
    int,
    Field(ge=5, le=25, json_schema_extra={"not": {"multipleOf": 2}}),
    AfterValidator(_odd),
    fields.Allowed("odd, 5 to 25"),
]
"""Side of a board whose walls are made by `mazes.layout`: rooms lie at odd cells, so
that 7 cells make 3 x 3 rooms."""
Checks: typing.TypeAlias = dict[str, tuple[bool, str]]
"""Field -> (whether it suits the other fields, what is allowed)."""


def refuse(world: Rules, rules: Checks) -> None:
    """Refuse fields that do not suit each other.

    Raises:
      ValueError: the first such field, its value and what is allowed.
    """
    for field, (suits, allowed) in rules.items():
        if not suits:
            got = getattr(world, field)
            raise ValueError(f"{field}: got {got!r}; allowed: {allowed}")


def room(world: typing.Any, things: int) -> tuple[bool, str]:
    """Do the things and the agent find room on a board with a wall around it?

    A tree has 2 M - 1 free cells, M rooms; others have at least M, see `mazes.layout`.
    """
    rooms = ((world.size - 1) // 2) ** 2
    free = 2 * rooms - 1 if world.layout == "tree" else rooms
    return things + 1 <= free, f"at most {free - 1} things at size {world.size}"


def between(pair: tuple[int, int], low: int, high: int) -> tuple[bool, str]:
    """Is it (fewest, most) within bounds?"""
    allowed = f"two numbers, the first not above the second, {low} to {high}"
    return low <= pair[0] <= pair[1] <= high, allowed
