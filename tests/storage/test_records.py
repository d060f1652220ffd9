"""A file is a record: what is written is read back, and what is damaged is named."""

import dataclasses
import json
import math

import numpy as np
import pytest

from shardsim.core import fields
from shardsim.storage import records, run_files


@fields.record(kw_only=True, float64=True)
class Inner:
    low: records.Number
    high: records.Number = None


@fields.record(kw_only=True, float64=True)
class Outer:
    kind: str = "outer"
    name: str
    values: dict[str, records.SeedNumbers]
    inner: Inner
    more: tuple[Inner, ...] = ()


MADE = Outer(
    name="a",
    values={"mlp": (0.1, None, 1e-30), "sharded": ()},
    inner=Inner(low=-0.5),
    more=(Inner(low=0.1 + 0.2, high=3.0), Inner(low=None)),
)


def test_numbers_that_are_not_finite_are_none():
    assert records.number(math.nan) is records.number(-math.inf) is None
    assert records.number(None) is None
    assert records.number(np.float32(0.1)) == float(np.float32(0.1))
    x = np.asarray([[0.5, np.nan], [np.inf, -1.0]])
    assert records.numbers(x) == ((0.5, None), (None, -1.0))
    assert records.numbers([1, [2.0, None]]) == (1, (2.0, None))


def test_a_record_comes_back_as_it_was(tmp_path):
    """Bit for bit: JSON holds the shortest decimal that gives the same double."""
    path = tmp_path / "outer.json"
    records.write(path, MADE)
    assert records.read(path, Outer) == MADE
    assert json.loads(path.read_text())["more"][0]["low"] == 0.1 + 0.2


def test_lines_of_a_kind_come_back_and_a_torn_one_is_skipped(tmp_path):
    path = tmp_path / "lines.jsonl"
    assert list(records.lines(path, Outer)) == []
    records.append(path, MADE)
    with path.open("a") as file:
        file.write('{"kind": "outer", "na')
    other = dataclasses.replace(MADE, name="b")
    records.append(path, dataclasses.replace(MADE, kind="another"))
    records.append(path, other)
    assert list(records.lines(path, Outer)) == [MADE, other]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda data: data.pop("name"), "outer.json: name: missing"),
        (lambda data: data["inner"].pop("low"), "outer.json: inner.low: missing"),
        (lambda data: data.update(size=3), "outer.json: size: unknown key"),
        (lambda data: data["more"][1].update(mean=3), "more.1.mean: unknown key"),
        (lambda data: data.update(values={"mlp": ["x"]}), "values.mlp.0: got 'x'"),
        (lambda data: data.update(inner=5), "outer.json: inner: got 5"),
        (lambda data: data.update(name=None), "outer.json: name: got None"),
    ],
)
def test_a_damaged_record_is_named_by_file_and_field(tmp_path, change, line):
    path = tmp_path / "outer.json"
    records.write(path, MADE)
    data = run_files.read_json(path)
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(run_files.RunError) as error:
        records.read(path, Outer)
    assert line in str(error.value)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "No such file"),
        ("{", "no JSON"),
        ("[]", "got no fields"),
        ('{"name": NaN}', "NaN is not a number in JSON"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_record_is_named_by_its_file(tmp_path, text, line):
    path = tmp_path / "outer.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(run_files.RunError, match=rf"outer\.json: .*{line}"):
        records.read(path, Outer)
