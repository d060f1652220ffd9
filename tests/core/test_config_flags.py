"""Flags: another kind, a removed entry, the user's names, and every fault at once."""

import dataclasses
from typing import Literal

import pytest
from pydantic import PositiveInt

from shardsim.core import config, config_files, fields


@fields.record
class Round:
    kind: Literal["round"] = "round"
    radius: PositiveInt = 1
    colour: str = "red"


@fields.record
class Square:
    kind: Literal["square"] = "square"
    side: PositiveInt = 1
    colour: str = "red"


@fields.record
class Part:
    shape: Round | Square
    drawn: bool = True


@fields.record
class Drawing:
    num_sides: int = 0
    shape: Round | Square = Round()
    more: tuple[Round | Square, ...] = ()
    parts: dict[fields.Name, Part] = dataclasses.field(default_factory=dict)
    inner: Part = Part(shape=Square())
    changes: fields.EnvChanges = dataclasses.field(default_factory=dict)

    @fields.rule("num_sides", "shape")
    def _round_has_none(self):
        if self.num_sides and self.shape.kind == "round":
            yield f"num_sides: got {self.num_sides}; allowed with a round shape: 0"

    @fields.rule("parts")
    def _at_most_two(self):
        if len(self.parts) > 2:
            yield f"parts: got {len(self.parts)}; allowed: at most 2"

    @fields.rule("more", "inner")
    def _alike(self):
        if self.inner.shape in self.more:
            yield "more: got the shape of inner; allowed: others"


DATA = {
    "shape": {"kind": "round", "radius": 3, "colour": "blue"},
    "more": [{"kind": "square", "side": 2}],
    "parts": {
        "a-b": {"shape": {"kind": "square", "side": 4}},
        "c": {"shape": {"kind": "round", "radius": 5}, "drawn": False},
    },
}


def override(*flags):
    return config_files.override(DATA, flags, Drawing)


def built(*flags):
    return config.build(Drawing, override(*flags))


@pytest.mark.parametrize(
    "flags",
    [
        ["--shape.kind", "square", "--shape.side", "7"],
        ["--shape.side", "7", "--shape.kind=square"],
        ["--shape.kind", "round", "--shape.kind", "square", "--shape.side", "7"],
        ["--shape", "{kind: square, side: 7}"],
        ["--shape", "{side: 7}", "--shape.kind", "square"],
    ],
)
def test_another_kind_drops_the_fields_of_the_old_one_and_none_of_a_flag(flags):
    assert built(*flags).shape == Square(side=7)


def test_the_same_kind_drops_nothing():
    assert built("--shape.kind", "round").shape == Round(radius=3, colour="blue")
    twice = ["--shape.kind", "square", "--shape.kind", "round"]
    assert built(*twice).shape == Round(radius=3, colour="blue")


def test_kinds_change_in_lists_and_named_entries_and_below_a_default():
    assert built("--more.0.kind", "round").more == (Round(),)
    assert built("--parts.c.shape.kind", "square").parts["c"] == Part(Square(), False)
    assert built("--parts.a_b.shape.kind", "round").parts["a-b"] == Part(Round())
    assert built("--inner.shape.kind", "round").inner == Part(Round())
    data = {"shape": {"radius": 3}}  # of the default's kind
    data = config_files.override(data, ["--shape.kind", "square"], Drawing)
    assert config.build(Drawing, data).shape == Square()


def test_an_unknown_kind_is_refused_alone():
    with pytest.raises(config.ConfigError) as caught:
        built("--shape.kind", "oval")
    assert str(caught.value) == "shape.kind: got 'oval'; allowed: round, square"


def test_null_removes_what_has_a_name():
    assert set(built("--parts.c", "null").parts) == {"a-b"}
    assert set(built("--parts.a-b", "~", "--parts.c", "null").parts) == set()
    assert set(built("--parts.a_b=").parts) == {"c"}
    again = ["--parts.c", "null", "--parts.c.shape.kind", "square"]
    assert built(*again).parts["c"] == Part(Square())
    with pytest.raises(config.ConfigError) as caught:
        override("--parts.d", "null")
    assert str(caught.value) == "parts.d: got null; allowed: a-b, c"
    # what has no name of the user's is a value
    with pytest.raises(config.ConfigError, match=r"^shape: got None; allowed"):
        built("--shape", "null")


def test_names_of_the_user_stay_as_they_are_written():
    parts = override("--parts.new-part.shape.kind", "round")["parts"]
    assert list(parts) == ["a-b", "c", "new-part"]
    assert override("--parts.01", "{}", "--parts.1", "{}")["parts"].keys() >= {
        "01",
        "1",
    }
    assert override("--num-sides", "3")["num_sides"] == 3
    assert override("--changes.num-sides", "3")["changes"] == {"num_sides": 3}


def test_a_name_of_two_is_refused():
    data = {"parts": {"a-b-c": {}, "a_b-c": {}}}
    flags = ["--parts.a-b_c.drawn", "true"]
    with pytest.raises(config.ConfigError, match=r"^a-b_c: .*allowed: a-b-c, a_b-c$"):
        config_files.override(data, flags, Drawing)
    one = config_files.override(data, ["--parts.a_b-c.drawn", "true"], Drawing)
    assert one["parts"] == {"a-b-c": {}, "a_b-c": {"drawn": True}}


def test_every_faulty_flag_is_listed():
    flags = ["x", "--shape.radius.z=1", "--more.7.side", "2", "--shape", "[1", "--name"]
    with pytest.raises(config.ConfigError) as caught:
        override(*flags)
    one, two, three, four, five = str(caught.value).splitlines()
    assert one == "x: not a flag; allowed: --dotted.field VALUE"
    assert two.startswith("shape: got '[1'; allowed: YAML (")
    assert three == "name: no value; allowed: --name VALUE"
    assert four == "shape.radius.z: unknown key; shape.radius is a leaf"
    assert five == "more.7: got 7; allowed: 0 to 0"


def test_every_fault_of_a_config_is_listed():
    with pytest.raises(config.ConfigError) as caught:
        built(
            *("--num_sides", "x", "--shape.radius", "0", "--more.0.side", "-1"),
            *("--parts.c.drwn", "true", "--inner.shape.kind", "oval"),
        )
    assert str(caught.value).splitlines() == [
        "num_sides: got 'x'; allowed: a whole number",
        "shape.radius: got 0; allowed: at least 1",
        "more.0.side: got -1; allowed: at least 1",
        "parts.c.drwn: unknown key; allowed: shape, drawn (did you mean drawn?)",
        "inner.shape.kind: got 'oval'; allowed: round, square",
    ]


def test_a_rule_waits_only_for_the_fields_that_it_reads():
    flags = ["--num_sides", "3", "--parts.d", "{shape: {kind: round}}"]
    wrong = ["--more.0.side", "x"]
    with pytest.raises(config.ConfigError) as caught:
        built(*flags, *wrong)
    assert str(caught.value).splitlines() == [
        "more.0.side: got 'x'; allowed: a whole number, at least 1",
        "num_sides: got 3; allowed with a round shape: 0",
        "parts: got 3; allowed: at most 2",
    ]
    with pytest.raises(config.ConfigError) as caught:
        built(*flags, "--more.0.side", "1")
    assert str(caught.value).splitlines() == [
        "num_sides: got 3; allowed with a round shape: 0",
        "parts: got 3; allowed: at most 2",
        "more: got the shape of inner; allowed: others",
    ]


def test_rules_of_records_inside_are_listed_beside_other_faults():
    @fields.record
    class Outer:
        size: int = 0
        drawings: dict[fields.Name, Drawing] = dataclasses.field(default_factory=dict)

    drawing = {"num_sides": 1, "inner": {"drawn": 3}}
    data = {"size": "x", "drawings": {"a": drawing, "b": {"num_sides": 2}}}
    with pytest.raises(config.ConfigError) as caught:
        config.build(Outer, data)
    assert str(caught.value).splitlines() == [
        "size: got 'x'; allowed: a whole number",
        "drawings.a.inner.shape: missing, and has no default; allowed: a mapping, its "
        "kind round | square",
        "drawings.a.inner.drawn: got 3; allowed: true or false",
        "drawings.b.num_sides: got 2; allowed with a round shape: 0",
        "drawings.a.num_sides: got 1; allowed with a round shape: 0",
    ]


def test_a_long_list_of_faults_is_cut():
    with pytest.raises(config.ConfigError) as caught:
        config.build(Drawing, {"more": [{"kind": "oval"}] * 100})
    lines = str(caught.value).splitlines()
    assert len(lines) == 41
    assert lines[-1] == "and 60 more"


def test_a_member_of_a_union_needs_a_kind_of_its_own():
    @fields.record
    class Plain:
        size: int = 1

    @fields.record
    class Other:
        kind: Literal["square"] = "square"

    with pytest.raises(TypeError, match=r"Plain: has no field `kind` .*\"plain\""):

        @fields.record
        class First:
            shape: Square | Plain

    with pytest.raises(TypeError, match=r"Square, Other: got kinds \['square', 'squa"):

        @fields.record
        class Second:
            shape: Square | Other
