"""Config records: what a field says of itself is what it accepts."""

import dataclasses
import pickle
from typing import Annotated, Any, Literal

import jax
import numpy as np
import pytest
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from shardsim.core import config, field_errors, fields


@fields.record
class Side:
    kind: Literal["side"] = "side"
    length: PositiveInt = 1


@fields.record
class Ring:
    kind: Literal["ring"] = "ring"


@fields.record
class Plan:
    limit: float | None = None
    count: int = 0
    rows: tuple[tuple[int, ...], ...] = ()
    grid: dict[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    filled: bool = False
    label: str = ""
    rest: dict[str, Any] = dataclasses.field(default_factory=dict)


@fields.record
class Ranged:
    count: PositiveInt = 1
    share: fields.Fraction = 0.5
    decay: fields.Decay = 0.5
    open: Annotated[float, Field(gt=0, lt=1)] = 0.5
    sizes: fields.Sizes = (1,)
    seed: fields.Seed = 0
    name: fields.Name = "a"
    depth: Annotated[int, Field(ge=2, le=5)] | None = None


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"limit": True}, "limit: got True; allowed: a number or null"),
        ({"limit": "1"}, "limit: got '1'; allowed: a number or null"),
        ({"count": True}, "count: got True; allowed: a whole number"),
        ({"count": "1"}, "count: got '1'; allowed: a whole number"),
        ({"count": 2.0}, "count: got 2.0; allowed: a whole number"),
        ({"count": None}, "count: got None; allowed: a whole number"),
        ({"filled": 1}, "filled: got 1; allowed: true or false"),
        ({"filled": "no"}, "filled: got 'no'; allowed: true or false"),
        ({"label": 1}, "label: got 1; allowed: text"),
        ({"label": b"a"}, "label: got b'a'; allowed: text"),
        ({"rows": [[1], [2, True]]}, "rows.1.1: got True; allowed: a whole number"),
        ({"rows": "12"}, "rows: got '12'; allowed: a list, each a list, each a whole"),
        ({"grid": {"x": [0.5, False]}}, "grid.x.1: got False; allowed: a number"),
        (
            {"grid": {"x": [float("nan")]}},
            "grid.x.0: got nan; allowed: a finite number",
        ),
    ],
)
def test_numbers_text_and_switches_are_not_each_other(data, line):
    for make in (lambda: config.build(Plan, data), lambda: Plan(**data)):
        with pytest.raises(config.ConfigError) as caught:
            make()
        assert str(caught.value).startswith(line)


@pytest.mark.parametrize("number", [1e-50, -1e-39, 1e39, -(10**39)])
def test_a_number_that_32_bits_can_not_hold_is_refused(number):
    with pytest.raises(config.ConfigError) as caught:
        config.build(Plan, {"grid": {"x": [0.5, number]}})
    assert str(caught.value) == (
        f"grid.x.1: got {number!r}; allowed: 0, or 1.2e-38 to 3.4e+38 in size"
    )


@pytest.mark.parametrize("number", [2**32 + 1, -(2**32) - 1, 10**40])
def test_so_is_a_whole_one(number):
    with pytest.raises(config.ConfigError) as caught:
        config.build(Plan, {"count": number})
    assert str(caught.value) == f"count: got {number}; allowed: at most 2**32 in size"
    assert config.build(Plan, {"count": 2**32, "limit": 2**40}).count == 2**32


def test_the_bounds_are_those_of_float32():
    assert np.finfo(np.float32).tiny == fields.LEAST
    assert np.finfo(np.float32).max == fields.MOST
    for number in (0.0, fields.LEAST, -fields.MOST, 1e-30, 7):
        assert Plan(limit=number).limit == number


def test_numbers_and_switches_in_their_own_places_are_read():
    data = {"limit": 1, "rows": [[1]], "grid": {"x": [0, 1]}, "filled": True}
    built = config.build(Plan, {**data, "rest": {"y": [True, 1]}})
    assert built == Plan(1.0, 0, ((1,),), {"x": (0.0, 1.0)}, True, "", {"y": [True, 1]})
    assert isinstance(built.limit, float)


def test_numpy_numbers_become_plain_ones():
    built = Plan(limit=np.float32(0.5), count=np.int64(3))
    assert (type(built.limit), type(built.count)) == (float, int)
    with pytest.raises(config.ConfigError, match=r"^count: got np\.True_"):
        Plan(count=np.bool_(True))


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("count", 0, "at least 1"),
        ("share", 1.1, "0 to 1"),
        ("share", -0.1, "0 to 1"),
        ("decay", 1, "0 to less than 1"),
        ("open", 0, "more than 0 and less than 1"),
        ("open", 1.0, "more than 0 and less than 1"),
        ("sizes", [], "one or more"),
        ("seed", -1, "0 to 2**32 - 1"),
        ("seed", 2**32, "0 to 2**32 - 1"),
        ("name", "a b", "letters, digits, - and _, 64 at most"),
        ("name", "", "letters, digits, - and _, 64 at most"),
        ("name", "a\n", "letters, digits, - and _, 64 at most"),
        ("name", "a" * 65, "letters, digits, - and _, 64 at most"),
        ("depth", 6, "2 to 5"),
        ("depth", 1, "2 to 5"),
    ],
)
def test_a_value_out_of_range_is_told_the_range(field, value, allowed):
    line = f"{field}: got {value!r}; allowed: {allowed}"
    with pytest.raises(config.ConfigError) as caught:
        Ranged(**{field: value})
    assert str(caught.value) == line
    with pytest.raises(config.ConfigError) as caught:
        dataclasses.replace(Ranged(), **{field: value})
    assert str(caught.value) == line


def test_the_ends_of_a_range_belong_to_it():
    ends = Ranged(1, 1.0, 0.0, 0.1, (1,), 2**32 - 1, "a" * 64, 5)
    assert dataclasses.replace(ends, share=0.0, depth=2).depth == 2


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (float, "a number"),
        (int | None, "a whole number or null"),
        (int | str, "a whole number or text"),
        (Any, "a value"),
        (Literal["up", "down"], "'up' or 'down'"),
        (Side, "a mapping of kind, length"),
        (Side | Ring | None, "a mapping, its kind side | ring or null"),
        (dict[str, Side], "a mapping of names, each to a mapping of kind, length"),
        (tuple[float, float] | None, "a list of 2, each a number or null"),
        (tuple[tuple[int, ...], ...], "a list, each a list, each a whole number"),
        (fields.Sizes, "a list of one or more, each a whole number, at least 1"),
        (PositiveFloat | None, "a number, more than 0 or null"),
        (NonNegativeFloat, "a number, at least 0"),
        (Annotated[int, Field(le=7)], "a whole number, at most 7"),
        (Annotated[float, Field(gt=0, le=7)], "a number, more than 0 and up to 7"),
        (
            Annotated[tuple[int, ...], Field(min_length=2, max_length=4)],
            "a list of 2 to",
        ),
    ],
)
def test_a_type_says_what_it_holds(hint, text):
    assert field_errors.describe(hint).startswith(text)


def test_a_field_of_many_kinds_that_is_left_out_names_them():
    @fields.record
    class Drawing:
        shape: Side | Ring

    for make in (lambda: config.build(Drawing, {}), lambda: Drawing()):
        with pytest.raises(config.ConfigError) as caught:
            make()
        assert str(caught.value) == (
            "shape: missing, and has no default; allowed: a mapping, its kind "
            "side | ring"
        )


def test_unknown_and_surplus_arguments_are_named():
    with pytest.raises(config.ConfigError) as caught:
        Side(lenght=2)
    assert str(caught.value) == (
        "lenght: unknown key; allowed: kind, length (did you mean length?)"
    )
    with pytest.raises(config.ConfigError, match="Side: got 3; allowed: 2 values"):
        Side("side", 2, 3)


def test_a_rule_across_fields_is_told_at_its_place():
    @fields.record
    class Pair:
        low: int = 0
        high: int = 1

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError(f"low: got {self.low}; allowed: up to {self.high}")

    @fields.record
    class Pairs:
        more: tuple[Pair, ...] = ()

    with pytest.raises(config.ConfigError, match=r"^more\.1\.low: got 2; allowed: up"):
        config.build(Pairs, {"more": [{}, {"low": 2}]})
    with pytest.raises(config.ConfigError, match=r"^low: got 2; allowed: up to 1$"):
        Pair(low=2)


def test_records_are_frozen_hashable_and_equal_by_value():
    one, other = Ranged(sizes=[2, 3]), Ranged(sizes=(2, 3))
    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == one
    assert one.sizes == (2, 3)  # a list would not be hashable
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.count = 2


def test_a_record_is_a_static_argument_of_one_program():
    traced = []

    def scaled(plan: Ranged, x: jax.Array) -> jax.Array:
        traced.append(plan)
        return x * plan.share

    program = jax.jit(scaled, static_argnums=0)
    for share in (0.5, 0.5, 0.25):
        assert program(Ranged(share=share), np.float32(4.0)) == 4 * share
    assert len(traced) == 2


def test_numbers_of_results_may_have_any_finite_size():
    @fields.record(kw_only=True, float64=True)
    class Result:
        p_value: float
        interval: tuple[float | None, ...] = ()

    tiny = Result(p_value=1e-200, interval=(None, 1e300))
    assert config.build(Result, config.to_dict(tiny)) == tiny
    for bad in (float("nan"), "1", True):
        with pytest.raises(config.ConfigError, match=r"^p_value: got"):
            Result(p_value=bad)
    with pytest.raises(config.ConfigError, match=r"^p_value: missing"):
        Result(1.0)


def test_a_name_at_fault_is_told_with_the_mapping_that_holds_it():
    @fields.record
    class Named:
        more: dict[fields.Name, Side] = dataclasses.field(default_factory=dict)

    for name in ("a b", "a.b", "a\nb", ""):
        with pytest.raises(config.ConfigError) as caught:
            config.build(Named, {"more": {name: {}}})
        assert str(caught.value) == (
            f"more: got {name!r}; allowed: letters, digits, - and _, 64 at most"
        )
    with pytest.raises(config.ConfigError) as caught:
        config.build(Named, {"more\nless": {}})
    assert str(caught.value).startswith("'more\\nless': unknown key; allowed: more")


def test_a_long_value_is_cut():
    with pytest.raises(config.ConfigError) as caught:
        Plan(count="x" * 1000)
    assert len(str(caught.value)) < 250
