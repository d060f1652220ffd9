"""Ranges of the fields of worlds, and checks across fields."""

import typing
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from shardsim.core import field_errors, fields
from shardsim_envs.gridworld.rules import Rules

MaxSteps = Annotated[int, Field(ge=1, lt=2**31)]
"""A time limit in env steps; int32 counts them."""
BoardSize = Annotated[int, Field(ge=2, le=25)]
"""Rows and columns of a square board."""


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise PydanticCustomError("allowed", "odd, 5 to 25")
    return size


MazeSize = Annotated[
    int,
    Field(ge=5, le=25, json_schema_extra={"not": {"multipleOf": 2}}),
    AfterValidator(_odd),
    fields.Allowed("odd, 5 to 25"),
]
"""Rows and columns of a board with walls by `mazes.layout`. Rooms are the cells at odd
rows and columns: 7 cells a side make 3 x 3 rooms."""
Checks: typing.TypeAlias = dict[str, tuple[bool, str]]
"""Field -> (whether it fits the other fields, what is allowed)."""


def check(world: Rules, checks: Checks) -> None:
    """Check that the fields of a world fit together.

    Raises:
      ValueError: every field that does not, its value and what is allowed, a line
        each.
    """
    field_errors.refuse(
        f"{field}: got {getattr(world, field)!r}; allowed: {allowed}"
        for field, (is_valid, allowed) in checks.items()
        if not is_valid
    )


def room(world: typing.Any, things: int) -> tuple[bool, str]:
    """Whether the things and the agent fit on a board with walls.

    The layout `tree` has 2 M - 1 free cells, where M is the number of rooms; the others
    have at least M, see `mazes.layout`.

    Returns:
      (whether they fit, what is allowed).
    """
    rooms = ((world.size - 1) // 2) ** 2
    free = 2 * rooms - 1 if world.layout == "tree" else rooms
    return things + 1 <= free, f"at most {free - 1} things at size {world.size}"


def between(pair: tuple[int, int], low: int, high: int) -> tuple[bool, str]:
    """Whether a pair (fewest, most) is in order and within bounds; what is allowed."""
    allowed = f"two numbers, the first not above the second, {low} to {high}"
    return low <= pair[0] <= pair[1] <= high, allowed
