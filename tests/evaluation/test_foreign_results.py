"""results.json of another hand: what is not what was written is one line."""

import json
import shutil

import pytest

from shardsim import cli
from shardsim.evaluation import results
from shardsim.storage import run_files
from tests.helpers import made_results


def put(data, place, value):
    *steps, last = place.split(".")
    for step in steps:
        data = data[int(step) if step.isdigit() else step]
    data[int(last) if last.isdigit() else last] = value


@pytest.fixture
def run(tiny_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    return folder


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        ("num_seeds", "2", "num_seeds: got '2'; allowed: a whole number"),
        ("num_seeds", 2.0, "num_seeds: got 2.0; allowed: a whole number"),
        ("num_seeds", True, "num_seeds: got True; allowed: a whole number"),
        ("all_valid", 1, "all_valid: got 1; allowed: true or false"),
        ("all_valid", "yes", "all_valid: got 'yes'; allowed: true or false"),
        ("min_return", "0.9", "min_return: got '0.9'; allowed: a number"),
        ("digest", 5, "digest: got 5; allowed: text"),
        ("arms.mlp.width", None, "arms.mlp.width: got None; allowed: a whole number"),
        ("arms.mlp.head.kind", "mind", "arms.mlp.head.kind: got 'mind'; allowed: mlp"),
        ("arms.mlp.return_fraction", [True, 1], "return_fraction.0: got True"),
        ("env.kind", "chess", "env.kind: got 'chess'; allowed: "),
        ("env.size", -1, "env.size: got -1; allowed: "),
        ("predictions.VE.verdict", "yes", "predictions.VE.verdict: got 'yes'; allowed"),
        ("predictions.VE.p_value", "0.1", "predictions.VE.p_value: got '0.1'"),
        ("predictions.VE.values", {}, "predictions.VE.values: got none of 'sharded'"),
        ("predictions.VE.values.mlp", [], "values: got rows of [0, 1, 2] seeds"),
        ("predictions.VE.values.mlp", [0.5] * 3, "values: got rows of [1, 2, 3] seeds"),
        ("predictions.VE.judged_seeds", [7], "judged_seeds: got (7,); allowed: seeds"),
        ("predictions.VE.rule.contrast.arm", "x", "values: got none of 'x'"),
        ("predictions.VE.asked.when", "never", "asked.when: got 'never'; allowed"),
        ("curves.mlp.update", [1], "curves.mlp.return_fraction: got 4 rows; allowed"),
        ("omnibus.value.0.p_value", [], "omnibus.value.0.p_value: got []; allowed"),
        ("kind", [], "kind: got []; allowed: experiment, training"),
        ("kind", "training", "sweep: missing, and has no default; allowed: a list"),
        ("nonsense", 1, "nonsense: unknown key; allowed: kind, name"),
    ],
)
def test_what_was_not_written_so_is_one_line(run, capsys, place, value, line):
    data = json.loads((run / results.FILE).read_text())
    put(data, place, value)
    (run / results.FILE).write_text(json.dumps(data))
    with pytest.raises(run_files.RunError) as caught:
        results.read(run)
    assert line in str(caught.value)
    for command in ("compare", "report"):
        assert cli.main([command, str(run)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines == [f"shardsim: {caught.value}"] * 2
    assert cli.main(["list", str(run.parent)]) == 0
    assert "results damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["", "3", "null", '"x"', "[[1]]", "{}", "\ufeff{}", "{]", "[" * 9999]
)
def test_what_is_no_result_is_one_line(run, capsys, text):
    (run / results.FILE).write_text(text, encoding="utf-8")
    assert cli.main(["compare", str(run)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "results.json: " in line
    (run / results.FILE).write_bytes(b"\xff\x00{")
    assert cli.main(["report", str(run)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_several_faults_are_one_line_of_a_file(run):
    data = json.loads((run / results.FILE).read_text())
    data |= {"digest": 5, "num_seeds": "x", "all_valid": None}
    (run / results.FILE).write_text(json.dumps(data))
    with pytest.raises(run_files.RunError, match=r"digest: got 5.* \(and 2 more\)$"):
        results.read(run)


def test_a_record_is_checked_when_it_is_made():
    with pytest.raises(ValueError, match=r"^verdict: got 'yes'; allowed"):
        made_results.prediction(verdict="yes")
    with pytest.raises(ValueError, match=r"^num_seeds: got '3'; allowed"):
        made_results.run(num_seeds="3")
