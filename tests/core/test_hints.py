"""A field that is left out is told by what it holds."""

import dataclasses
from typing import Any, Literal

import pytest

from shardsim.core import config, hints


@dataclasses.dataclass(frozen=True)
class Side:
    kind: str = "side"
    length: int = 1


@dataclasses.dataclass(frozen=True)
class Ring:
    kind: str = "ring"


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        (float, "a number"),
        (int | None, "a whole number"),
        (int | str, "a whole number or a text"),
        (Any, "a value"),
        (Literal["up", "down"], "up | down"),
        (Side, "a mapping of kind, length"),
        (Side | Ring | None, "a mapping, its kind side | ring"),
        (dict[str, Side], "a mapping of names, each to a mapping of kind, length"),
        (tuple[float, float] | None, "a list, each a number"),
        (tuple[tuple[int, ...], ...], "a list, each a list, each a whole number"),
    ],
)
def test_what_is_left_out_is_told_by_what_it_holds(hint, told):
    assert hints.wanted(hint) == told


def test_a_field_of_many_kinds_that_is_left_out_names_them():
    @dataclasses.dataclass(frozen=True)
    class Drawing:
        shape: Side | Ring

    with pytest.raises(config.ConfigError) as caught:
        config.build(Drawing, {})
    assert str(caught.value) == (
        "shape: missing, and has no default; allowed: a mapping, its kind side | ring"
    )
