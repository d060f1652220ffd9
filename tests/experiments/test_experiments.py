"""Every experiment: it resolves, script and config are one call, and it runs."""

import ast
import dataclasses
import re
import runpy
import sys
from pathlib import Path

import pytest

from shardsim import cli
from shardsim.core import config, config_files
from shardsim.evaluation import experiment
from tests.helpers import documents
from tests.helpers.whole_trainings import answers

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "experiments").glob("*.yaml"))
COMMANDS = "\n".join(documents.first_commands())
OTHERS = [path for path in FILES if f"experiments/{path.stem}." not in COMMANDS]
"""Those that the test of the first pages' commands does not run."""


def test_no_two_files_are_run_into_one_folder():
    found = (ROOT / "experiments").rglob("*.yaml")
    names = [config_files.read_yaml(path)["name"] for path in found]
    assert len(set(names)) == len(names) > 10


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_it_resolves_and_is_called_like_its_file(path):
    found = config.build(experiment.Experiment, config_files.read_yaml(path))
    assert found.name == path.stem
    sizes = {arm.name: arm.width for arm in found.sized_arms()}
    assert all(width >= 1 for width in sizes.values())


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_controls_run_beside_the_arms(path):
    found = config.build(experiment.Experiment, config_files.read_yaml(path))
    kinds = {arm.head.kind for arm in found.arms.values()}
    assert {"mlp", "film", "oracle_gated"} <= kinds
    asked = {one.rule.contrast.arm.split("/")[0] for one in found.predictions.values()}
    # some ask whether one network has shards, or what true gates show: no other head
    assert "sharded" in kinds or asked <= {"mlp", "oracle_gated"}
    assert any(not arm.trained for arm in found.arms.values())
    for name, entry in found.predictions.items():
        assert entry.rule.controls, f"{name} has no control"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_parameters_of_all_arms_are_within_two_percent(path):
    from shardsim.commands import run

    found = config.build(experiment.Experiment, config_files.read_yaml(path))
    for arm in found.sized_arms():
        count = run.value_params(found, arm)
        assert abs(count - found.agent.value_params) <= 0.02 * found.agent.value_params


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_script_and_config_are_the_same_call(path, monkeypatch):
    script = path.with_suffix(".py")
    called = []
    monkeypatch.setattr(cli, "main", lambda words: called.append(words) or 0)
    monkeypatch.setattr(sys, "argv", [str(script), "--train.num-seeds", "3"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(script), run_name="__main__")
    assert called == [["run", str(path), "--train.num-seeds", "3"]]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_its_docstring_is_a_lab_note(path):
    note = ast.get_docstring(ast.parse(path.with_suffix(".py").read_text()))
    found = config.build(experiment.Experiment, config_files.read_yaml(path))
    for word in ("Question.", "SHARD:", "Command:", "Minutes:", "Seen:"):
        assert word in note
    for name in found.predictions:
        assert re.search(rf"\b{name}\b", note), f"{name} is not spoken of"
    assert re.search(r"Minutes: +\d", note)


@pytest.mark.slow
@pytest.mark.few(1, rest="long")
@pytest.mark.parametrize("path", OTHERS, ids=lambda p: p.stem)
def test_it_runs_to_its_report(path, small, tmp_path, capsys):
    out = tmp_path / "run"
    asked = config.build(experiment.Experiment, config_files.read_yaml(path))
    later = range(2, len(asked.train.phases))
    small += [f"--train.phases.{n}.updates=4" for n in later]
    assert cli.main(["run", str(path), "--out", str(out), *small]) == 0
    assert str(out / "report.html") in capsys.readouterr().out
    answers(out, asked)


def test_fields_of_an_experiment_are_all_there():
    """What a file leaves out is in the resolved config: nothing hangs on the code."""
    found = config.build(experiment.Experiment, config_files.read_yaml(FILES[0]))
    written = config.to_dict(found)
    assert set(written) == {f.name for f in dataclasses.fields(found)}
    again = config.build(experiment.Experiment, written)
    assert again == found
    assert config.digest(again) == config.digest(found)
