"""YAML files: what is no tree of fields, or is for the other command, is one line."""

import copy
import dataclasses
import pickle
import re
from itertools import pairwise
from typing import Any

import pytest
import yaml

from shardsim import cli
from shardsim.core import config, config_files, fields, yaml_text


def lines(capsys):
    return capsys.readouterr().err.strip().splitlines()


@fields.record
class Named:
    name: str


@fields.record
class Nested:
    name: str
    named: dict[str, Named] = dataclasses.field(default_factory=dict)


@fields.record
class Measured:
    size: float = 0.0
    count: int = 0
    rest: Any = None


@fields.record
class Arms:
    arms: dict[fields.Name, Named]


def test_a_file_that_is_no_config_is_named(tmp_path):
    with pytest.raises(config.ConfigError, match=r"nothing\.yaml: No such file"):
        config_files.read_yaml(tmp_path / "nothing.yaml")
    torn = tmp_path / "torn.yaml"
    torn.write_text("a: [1, 2")
    with pytest.raises(config.ConfigError, match="no YAML"):
        config_files.read_yaml(torn)
    torn.write_text("- 1")
    with pytest.raises(config.ConfigError, match="a mapping"):
        config_files.read_yaml(torn)


@pytest.mark.parametrize(
    "text",
    [
        "&a {name: a, more: [*a]}",
        "{name: a, [1]: b}",
        "{name: a, {b: c}: d}",
        "!!map [1]",
        "{name: !!int x}",
        "{name: !!int {a: 1}}",
        "{name: !!float 0x1F}",
        "{name: !!bool yes}",
        "{name: !!null none}",
        "{name: !!str [a]}",
        "{name: !!binary aGk=}",
        "{name: !!timestamp 2025-02-30}",
        "{name: !!set {a}}",
        "{name: !!python/object:os.system x}",
        "{name: !mine x}",
        "{name: *nowhere}",
        "{<<: 3}",
        "{<<: [1]}",
        "name: " + "[" * 100_000,
        "{name: " * 100_000,
        "name: " + "9" * 5_000,
        "a: &a [x]\n"
        + "".join(f"{b}: &{b} [{f'*{a}, ' * 9}]\n" for a, b in pairwise("abcdefghi")),
        "a: 1\n---\nb: 2",
        "%YAML 3.0\n---\na: 1",
        "a: \x00",
    ],
)
def test_yaml_that_is_no_tree_of_fields_is_one_line(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(config.ConfigError, match=r"a\.yaml: [^\n]*$"):
        config_files.read_yaml(path)


def test_what_a_file_says_twice_is_named(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nmore:\n  - {side: 1}\n  - side: 2\n    side: 3\n")
    with pytest.raises(config.ConfigError, match=r"side: given twice .*line 5"):
        config_files.read_yaml(path)
    # a merge is no repetition, in whatever order the mappings are put together
    path.write_text("a: &a {x: 1}\nb: {c: &c {<<: *a, x: 2}}\nd: {<<: *c, x: 3}\n")
    found = config_files.read_yaml(path)
    assert (found["b"]["c"], found["d"]) == ({"x": 2}, {"x": 3})


WORDS = (
    *("2025-02-30", "2025-01-01", "2025-13-01", "2025-01-01T25:00:00Z", "12:30:00"),
    *("on", "off", "yes", "no", "y", "n", "Yes", "ON", "0x1F", "0x_", "0o7", "0b1"),
    *("1_000", "007", "010", "1", "-1", "+1", "1e3", "12e5", "1.50", ".5", "5."),
    *(".inf", "-.INF", ".nan", "1e999", "190:20:30", "=", "<<", "1,000", "None"),
    "9" * 1000,
)
"""Words that a reader of YAML 1.1 or 1.2 takes for something else, or fails at."""


@pytest.mark.parametrize("word", WORDS)
def test_a_name_is_text_as_it_is_written(tmp_path, word):
    """The same in a file, as a key, and in a flag; and what is printed reads back."""
    path = tmp_path / "a.yaml"
    key = f"'{word}'" if word in ("<<", "=") else word
    path.write_text(f"name: {word}\nnamed:\n  {key}: {{name: '{word}'}}")
    read = config.build(Nested, config_files.read_yaml(path))
    assert read == Nested(word, {word: Named(word)})
    flags = [f"--name={word}", f"--named.{word}.name", word]
    flags = [] if {*".="} & {*word} else flags
    by_flag = config_files.override({"name": word, "named": {word: {}}}, flags, Nested)
    assert not flags or config.build(Nested, by_flag) == read
    for load in (yaml.safe_load, yaml_text.load):
        assert config.build(Nested, load(config_files.to_yaml(read))) == read


@pytest.mark.parametrize("word", ["~", "null", "NULL", "", "true", "False", "TRUE"])
def test_null_and_switches_are_no_text(tmp_path, word):
    path = tmp_path / "a.yaml"
    path.write_text(f"name: {word}")
    with pytest.raises(config.ConfigError, match=r"^name: got (None|True|False); "):
        config.build(Named, config_files.read_yaml(path))
    path.write_text(f"name: a\nnamed: {{{word or chr(39) * 2}: {{name: b}}}}")
    read = config.build(Nested, config_files.read_yaml(path))
    assert read.named == {word: Named("b")}


@pytest.mark.parametrize(
    ("word", "number"),
    [("1", 1), ("-7", -7), ("+3", 3), ("1e3", 1000.0), (".5", 0.5), ("-2.E-1", -0.2)],
)
def test_numbers_are_written_as_in_json(word, number):
    built = config.build(Measured, yaml_text.load(f"{{size: {word}, rest: {word}}}"))
    assert (built.size, built.rest) == (number, number)
    assert type(built.size) is float
    whole = yaml_text.load(f"{{count: {word}}}")
    if isinstance(number, int):
        assert type(config.build(Measured, whole).count) is int
    else:
        with pytest.raises(
            config.ConfigError, match=rf"got {re.escape(word)}; allowed"
        ):
            config.build(Measured, whole)
    copies = copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))
    assert all(each["count"].written == word for each in copies)


@pytest.mark.parametrize("word", ["0x1F", "1_000", "007", "12:30", "1e", "yes", "0o7"])
def test_no_word_is_silently_another_number(word):
    data = yaml_text.load(f"{{count: {word}, size: {word}}}")
    with pytest.raises(config.ConfigError) as caught:
        config.build(Measured, data)
    one, other = str(caught.value).splitlines()
    assert one == f"size: got {word!r}; allowed: a number"
    assert other == f"count: got {word!r}; allowed: a whole number"


@pytest.mark.parametrize(
    "text",
    [
        "{1: x, 1: y}",
        "{1: x, '1': y}",
        "{on: x, 'on': y}",
        "{!!int 1: x, !!str 1: y}",
        "{a: x, ? a : y}",
        "{<<: {a: 1}, <<: {b: 1}}",
        '{\u00e9: x, "\\xe9": y}',
    ],
)
def test_a_key_is_given_once(text):
    with pytest.raises(ValueError, match="given twice"):
        yaml_text.load(
            text.encode().decode("unicode_escape") if "u00" in text else text
        )


@pytest.mark.parametrize(
    ("one", "other"), [("a", "A"), ("a-b", "a_b"), ("ss", "SS"), ("x1", "X1")]
)
def test_names_that_read_alike_are_refused(one, other):
    """Files of two such arms are one file on some systems, and flags mix them up."""
    with pytest.raises(config.ConfigError) as caught:
        config.build(Arms, {"arms": {one: {"name": "x"}, other: {"name": "y"}}})
    assert str(caught.value) == (
        f"arms: got {one!r} and {other!r}; allowed: names that differ in more than "
        "case, - and _"
    )


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a\nb", "\x1b[0m", "a" * 65, "\u200b"]
)
def test_a_label_is_one_printable_line(name):
    @fields.record
    class Labels:
        more: dict[fields.Label, Named]

    with pytest.raises(config.ConfigError) as caught:
        config.build(Labels, {"more": {name: {"name": "x"}}})
    assert str(caught.value) == (
        f"more: got {name!r}; allowed: printable text in one line, 64 letters at most"
    )
    for good in ("swap rewards", "P-\xe4", "\u03bb = 0.9", "a.b"):
        config.build(Labels, {"more": {good: {"name": "x"}}})


def test_two_arms_stay_two(training_yaml, capsys):
    path = training_yaml()
    text = path.read_text().replace("\n  mlp:", "\n  1:").replace("sharded:\n", "01:\n")
    path.write_text(text)
    assert cli.main(["config", str(path)]) == 0
    arms = yaml_text.load(capsys.readouterr().out)["arms"]
    assert {name: arm["head"]["kind"] for name, arm in arms.items()} == {
        "1": "mlp",
        "01": "sharded",
    }


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_is_utf_8_with_or_without_a_mark(tmp_path, mark):
    path = tmp_path / "a.yaml"
    path.write_bytes(mark + "name: \xe4\u03bb".encode())
    assert config_files.read_yaml(path) == {"name": "\xe4\u03bb"}
    path.write_bytes("name: \xe4".encode("latin-1"))
    with pytest.raises(config.ConfigError, match=r"a\.yaml: no YAML \(.*utf-8"):
        config_files.read_yaml(path)


def test_a_file_for_the_other_command_is_told_which(
    tiny_yaml, training_yaml, tmp_path, capsys
):
    out = ["--out", str(tmp_path / "out")]
    assert cli.main(["run", str(training_yaml()), *out]) == 2
    assert cli.main(["train", str(tiny_yaml), *out]) == 2
    one, other = lines(capsys)
    assert "predictions: missing" in one
    assert "shardsim train" in one
    assert "predictions: unknown key" in other
    assert "shardsim run" in other
    assert not (tmp_path / "out").exists()


def test_a_file_of_trajectories_that_is_missing_is_told_with_its_field(
    training_yaml, tmp_path, capsys
):
    missing = str(tmp_path / "none.npz")
    phase = {"name": "earn", "updates": 4, "collect": "dataset"}
    path = training_yaml(dataset=missing, phases=[phase])
    assert cli.main(["train", str(path), "--out", str(tmp_path / "out")]) == 2
    (line,) = lines(capsys)
    assert f"train.dataset: {missing}: No such file" in line
    assert not (tmp_path / "out").exists()
