"""True and false are no numbers, and 32 bits hold no number of any size."""

import dataclasses
from typing import Any

import pytest

from shardsim.core import config


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
        ({"sweep": {"x": [0.5, False]}}, "grid.x.1: got False; allowed: a number"),
    ],
)
def test_a_truth_is_no_number(data, line):
    with pytest.raises(config.ConfigError) as caught:
        config.build(Plan, data)
    assert str(caught.value) == line


@pytest.mark.parametrize("number", [1e-50, -1e-39, "1e-50", 1e39])
def test_a_number_that_32_bits_do_not_hold_is_refused(number):
    with pytest.raises(config.ConfigError) as caught:
        config.build(Plan, {"sweep": {"x": [0.5, number]}})
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
    data = {"limit": 1, "rows": [[1]], "sweep": {"x": [0, 1]}, "filled": True}
    found = config.build(Plan, {**data, "rest": {"y": [True, 1]}})
    assert found == Plan(1.0, 0, ((1,),), {"x": (0.0, 1.0)}, True, {"y": [True, 1]})
    assert config.build(Plan, {"limit": None}).limit is None
