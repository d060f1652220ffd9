"""True and false are no numbers, and 32 bits hold no number of any size."""

import dataclasses
from typing import Any, Literal

import pytest

from shardsim import config, leaves


@dataclasses.dataclass(frozen=True)
class Plan:
    limit: float | None = None
    count: int = 0
    rows: tuple[tuple[int, ...], ...] = ()
    grid: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    filled: bool = False
    rest: dict[str, Any] = dataclasses.field(default_factory=dict)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"limit": True}, "limit: got True; allowed: a number"),
        ({"rows": [[1], [2, True]]}, "rows.1.1: got True; allowed: a number"),
        ({"grid": {"x": [0.5, False]}}, "grid.x.1: got False; allowed: a number"),
    ],
)
def test_a_truth_is_no_number(data, line):
    with pytest.raises(config.ConfigError) as caught:
        config.build(Plan, data)
    assert str(caught.value) == line


@pytest.mark.parametrize("number", [1e-50, -1e-39, "1e-50", 1e39])
def test_a_number_that_32_bits_do_not_hold_is_refused(number):
    with pytest.raises(config.ConfigError) as caught:
        config.build(Plan, {"grid": {"x": [0.5, number]}})
    assert str(caught.value) == (
        f"grid.x.1: got {number!r}; allowed: 0, or 1.2e-38 to 3.4e+38 in size"
    )


@pytest.mark.parametrize("number", [2**32 + 1, -(2**32) - 1, 10**40])
def test_so_is_a_whole_one(number):
    with pytest.raises(config.ConfigError) as caught:
        config.build(Plan, {"count": number})
    line = f"count: got {number}; allowed: at most 2**32 in size"
    assert str(caught.value) == line
    assert config.build(Plan, {"count": 2**32, "limit": 2**40}).count == 2**32


@pytest.mark.parametrize("number", [0.0, 1e-30, -1e30, 7])
def test_one_that_they_hold_is_read(number):
    assert config.build(Plan, {"limit": number}).limit == number


def test_numbers_and_truths_in_their_own_places_are_read():
    data = {"limit": 1, "rows": [[1]], "grid": {"x": [0, 1]}, "filled": True}
    found = config.build(Plan, {**data, "rest": {"y": [True, 1]}})
    assert found == Plan(1.0, 0, ((1,),), {"x": (0.0, 1.0)}, True, {"y": [True, 1]})
    assert config.build(Plan, {"limit": None}).limit is None


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
    assert leaves.wanted(hint) == told


def test_a_field_of_many_kinds_that_is_left_out_names_them():
    @dataclasses.dataclass(frozen=True)
    class Drawing:
        shape: Side | Ring

    with pytest.raises(config.ConfigError) as caught:
        config.build(Drawing, {})
    assert str(caught.value) == (
        "shape: missing, and has no default; allowed: a mapping, its kind side | ring"
    )
