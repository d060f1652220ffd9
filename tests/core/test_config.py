"""Configs: what is wrong is one line that names field, value and what is allowed."""

import dataclasses
import datetime
from pathlib import Path
from typing import Literal

import pytest
import yaml
from pydantic import PositiveFloat

from shardsim.core import config, config_files, fields
from shardsim.evaluation import experiment

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"


@fields.record
class Round:
    kind: Literal["round"] = "round"
    radius: PositiveFloat = 1.0


@fields.record
class Square:
    kind: Literal["square"] = "square"
    side: int = 1


@fields.record
class Drawing:
    name: str
    shape: Round | Square = Round()
    more: tuple[Round | Square, ...] = ()
    named: dict[str, Square] = dataclasses.field(default_factory=dict)
    pair: tuple[int, int] = (1, 2)

    def __post_init__(self) -> None:
        if sum(self.pair) > 100:
            raise ValueError(f"pair: got {self.pair}; allowed: a sum up to 100")


def build(**data):
    return config.build(Drawing, data)


def test_fields_without_a_kind_are_those_of_the_default():
    assert build(name="a", shape={"radius": 2}) == Drawing("a", Round(radius=2.0))
    with pytest.raises(config.ConfigError, match=r"shape\.side: unknown key"):
        build(name="a", shape={"side": 2})


def test_builds_unions_lists_and_dictionaries():
    got = build(
        name="a",
        shape={"kind": "square", "side": 3},
        more=[{"kind": "round", "radius": 2}, {"kind": "square"}],
        named={"x": {"side": 4}},
        pair=[5, 6],
    )
    assert got == Drawing(
        "a",
        Square(side=3),
        (Round(radius=2.0), Square()),
        {"x": Square(side=4)},
        (5, 6),
    )


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({}, "name: missing, and has no default; allowed: text"),
        (
            {"name": "a", "nome": 1},
            "nome: unknown key; allowed: name, shape, more, named, pair "
            "(did you mean name?)",
        ),
        (
            {"name": "a", "zzz": 1},
            "zzz: unknown key; allowed: name, shape, more, named, pair",
        ),
        (
            {"nam": "a"},
            "nam: unknown key; allowed: name, shape, more, named, pair "
            "(did you mean name?)",
        ),
        (
            {"name": "a", "shape": {"kind": "oval"}},
            "shape.kind: got 'oval'; allowed: round, square",
        ),
        (
            {"name": "a", "shape": {"kind": "sqare"}},
            "shape.kind: got 'sqare'; allowed: round, square (did you mean square?)",
        ),
        (
            {"name": "a", "more": [{"radius": 1}]},
            "more.0.kind: got nothing; allowed: round, square",
        ),
        (
            {"name": "a", "shape": {"kind": "round", "side": 1}},
            "shape.side: unknown key; allowed: kind, radius",
        ),
        (
            {"name": "a", "shape": {"kind": "round", "radius": -1}},
            "shape.radius: got -1; allowed: more than 0",
        ),
        (
            {"name": "a", "more": [{"kind": "square", "side": "wide"}]},
            "more.0.side: got 'wide'; allowed: a whole number",
        ),
        (
            {"name": "a", "named": {"x": {"side": True}}},
            "named.x.side: got True; allowed: a whole number",
        ),
        (
            {"name": "a", "pair": [1, "b"]},
            "pair.1: got 'b'; allowed: a whole number",
        ),
        (
            {"name": "a", "pair": [1]},
            "pair: got [1]; allowed: a list of 2, each a whole number",
        ),
        (
            {"name": "a", "pair": [1, 2, 3]},
            "pair: got [1, 2, 3]; allowed: a list of 2, each a whole number",
        ),
        (
            {"name": "a", "pair": [1, 100]},
            "pair: got (1, 100); allowed: a sum up to 100",
        ),
        (
            {"name": "a", "shape": {"kind": []}},
            "shape.kind: got []; allowed: round, square",
        ),
        (
            {"name": "a", "shape": {"kind": {}}},
            "shape.kind: got {}; allowed: round, square",
        ),
        (
            {"name": "a", "shape": 3},
            "shape: got 3; allowed: a mapping, its kind round | square",
        ),
        (
            {"name": "a", "named": {"x": 3}},
            "named.x: got 3; allowed: a mapping of kind, side",
        ),
        (
            {"name": "a", "named": 3},
            "named: got 3; allowed: a mapping of names, each to a mapping of kind, "
            "side",
        ),
        (
            {"name": "a", "shape": {"kind": "round", "radius": float("inf")}},
            "shape.radius: got inf; allowed: a finite number",
        ),
        (
            {"name": "a", "shape": {"kind": "round", "radius": float("nan")}},
            "shape.radius: got nan; allowed: a finite number",
        ),
        (
            {"name": datetime.date(2024, 1, 1)},
            "name: got datetime.date(2024, 1, 1); allowed: text",
        ),
    ],
)
def test_what_is_wrong_is_named(data, line):
    with pytest.raises(config.ConfigError) as caught:
        config.build(Drawing, data)
    assert str(caught.value) == line


def test_flags_go_over_the_file_and_the_last_one_wins():
    data = {"a": {"b_c": 1, "list": [{"x": 1}, {"x": 2}]}, "with-dash": {"y": 0}}
    flags = [
        "--a.b-c",
        "2",
        "--a.b-c=3",
        "--a.list.1.x",
        "[1, 2]",
        "--with-dash.y",
        "9",
    ]
    got = config_files.override(data, flags)
    assert got == {
        "a": {"b_c": 3, "list": [{"x": 1}, {"x": [1, 2]}]},
        "with-dash": {"y": 9},
    }
    assert data["a"]["b_c"] == 1


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["x"], "x: not a flag"),
        (["--a.b"], "a.b: no value"),
        (["--l.7.x", "1"], "l.7: got 7; allowed: 0 to 0"),
        (["--n.m", "1"], "n.m: unknown key; n is a leaf"),
        (["--n", "[1"], r"^n: got '\[1'; allowed: YAML \(while parsing [^\n]*$"),
        (["--n=%"], "^n: got '%'; allowed: YAML"),
        (["--l.0", "{x: 1, x: 2}"], "^l.0: got .*; allowed: YAML .*x: given twice"),
    ],
)
def test_flags_that_are_wrong_are_named(flags, line):
    with pytest.raises(config.ConfigError, match=line):
        config_files.override({"l": [{}], "n": 3}, flags)


def test_a_resolved_config_reads_back_the_same():
    data = config_files.read_yaml(QUICKSTART)
    once = config.build(experiment.Experiment, data)
    again = config.build(
        experiment.Experiment, yaml.safe_load(config_files.to_yaml(once))
    )
    assert once == again
    assert config.digest(once) == config.digest(again)
    assert config.diff(once, again) == {}


def test_a_new_field_that_is_null_leaves_the_digest():
    """Runs of before it can be judged, resumed and extended."""
    old = dataclasses.make_dataclass("Old", [("a", int)], frozen=True)
    optional = ("b", int | None, dataclasses.field(default=None))
    new = dataclasses.make_dataclass("New", [("a", int), optional], frozen=True)
    needed = dataclasses.make_dataclass(
        "Needed", [("a", int), ("b", int | None, dataclasses.field(default=2))]
    )
    assert config.digest(new(1)) == config.digest(old(1))
    assert config.digest({"x": [new(1)]}) == config.digest({"x": [old(1)]})
    assert config.digest(new(1, 2)) != config.digest(old(1))
    assert config.digest(needed(1, None)) != config.digest(old(1))
    assert config.digest({"b": None}) != config.digest({})  # a value that is stated


def test_digest_and_diff_see_a_change():
    data = config_files.read_yaml(QUICKSTART)
    one = config.build(experiment.Experiment, data)
    changed = config_files.override(data, ["--train.num-seeds", "20"])
    two = config.build(experiment.Experiment, changed)
    assert config.digest(one) != config.digest(two)
    assert config.diff(one, two) == {"train.num_seeds": (16, 20)}


def test_digest_and_diff_see_the_order_of_names():
    """The first condition is the one whose returns are told."""
    one, two = {"x": {"a": 1, "b": 2}}, {"x": {"b": 2, "a": 1}}
    assert config.digest(one) != config.digest(two)
    assert config.diff(one, two) == {"x.order": (["a", "b"], ["b", "a"])}
    assert config.diff(one, {"x": {"a": 1, "c": 0, "b": 2}}) == {"x.c": (None, 0)}


def test_diff_looks_into_lists_of_dictionaries():
    one = build(name="a", more=[{"kind": "square"}, {"kind": "round"}])
    two = build(name="a", more=[{"kind": "square", "side": 3}])
    found = config.diff(one, two)
    assert found["more.0.side"] == (1, 3)
    assert found["more.1"] == ({"kind": "round", "radius": 1.0}, None)
    assert len(found) == 2
    assert config.diff(build(name="a", pair=[1, 2]), build(name="a", pair=[1, 3])) == {
        "pair": ([1, 2], [1, 3])
    }
