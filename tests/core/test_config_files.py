"""YAML files: what is no tree of fields, or is for the other command, is one line."""

import pytest

from shardsim import cli
from shardsim.core import config, config_files, fields


def lines(capsys):
    return capsys.readouterr().err.strip().splitlines()


@fields.record
class Named:
    name: str


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
    ["&a {name: a, more: [*a]}", "{2024-01-01: a}", "{name: a, [1]: b}"],
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


def test_a_name_that_yaml_takes_for_a_date_is_told(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: 2024-01-01")
    with pytest.raises(config.ConfigError, match=r"name: got datetime\.date"):
        config.build(Named, config_files.override(config_files.read_yaml(path), []))


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
