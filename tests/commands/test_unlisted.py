"""An experiment in a world whose states are not listed, by every command."""

import json

import pytest
import yaml

from shardsim import cli
from shardsim.evaluation import results
from tests.helpers import run_folders

ASKED = {
    "question": "Who picks up more shields?",
    "expected": {"shard": "It.", "network": "Nobody.", "unitary": "Nobody."},
    "measure": {
        "kind": "rollouts",
        "of": "times",
        "event": "shield",
        "condition": "tame",
        "episodes": 4,
        "steps": 16,
    },
    "rule": {
        "contrast": {"arm": "sharded", "baseline": "mlp"},
        "direction": "greater",
        "margin": 0.1,
        "controls": [{"arm": "mlp", "baseline": "mlp/random", "at_least": -5}],
    },
}


@pytest.fixture(scope="module")
def monsters_yaml(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("unlisted") / "monsters.yaml"
    world = {"kind": "monster_world", "size": 7, "monsters": 1, "shields": 2}
    data = {
        **tiny,
        "name": "monsters",
        "env": {**world, "apples": 3, "max_steps": 8},
        "min_return": None,
        "evaluation": {
            "levels": 4,
            "conditions": {"in_distribution": {}, "tame": {"sharpness": 0}},
        },
        "predictions": {"P18": ASKED},
    }
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def run(monsters_yaml):
    folder = monsters_yaml.parent / "run"
    run_folders.shardsim("run", monsters_yaml, "--out", folder)
    return folder


def test_a_run_is_judged_by_its_episodes(run):
    found = results.read_run(run)
    entry = found.predictions["P18"]
    assert len(entry.values["sharded"]) == 2
    assert entry.num_levels == 4
    assert entry.controls[0].interval.estimate is not None
    assert any("episodes of each seed" in one.name for one in entry.details)
    # what needs exact values has no number, and fails nobody
    assert not found.is_exact
    arm = found.arms["mlp"]
    assert arm.reached_min_return
    assert arm.return_fraction == arm.value_error == (None, None)
    assert found.curves == found.effect_curves == {}
    # architectures are compared at the starts of the levels
    tests = (*found.omnibus.value, *found.omnibus.policy)
    assert all(each.distance is not None for each in tests)


def test_the_report_says_what_is_left_out(run, capsys):
    before = (run / "report.html").read_bytes()
    text = before.decode()
    assert "The states of monster_world are not listed (its monsters move" in text
    assert "over the starts of the levels" in text
    assert "V, policy and shards on some levels" not in text
    assert not (run / "maps.json").exists()
    assert cli.main(["report", str(run), "--overwrite"]) == 0
    assert (run / "report.html").read_bytes() == before
    capsys.readouterr()


def test_other_commands_read_it(run, tiny_run, tmp_path, capsys):
    page = tmp_path / "page.html"
    both = [str(run), str(tiny_run)]
    assert cli.main(["compare", *both, "--out", str(page)]) == 0
    assert "P18" in page.read_text()
    assert (
        cli.main(["compare", str(run), str(run), "--out", str(tmp_path / "two.html")])
        == 0
    )
    assert cli.main(["list", str(run.parent)]) == 0
    capsys.readouterr()
    assert cli.main(["verdicts", str(run), "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["prediction"] == "P18"
    out = tmp_path / "inspect.html"
    assert cli.main(["inspect", str(run), "--out", str(out)]) == 2
    assert "got env 'monster_world'; allowed: an environment whose" in (
        capsys.readouterr().err
    )
    assert not out.exists()


@pytest.mark.slow
def test_the_same_config_gives_the_same_bits(run, monsters_yaml):
    """Resumed as well: every snapshot keeps its agents."""
    folder = monsters_yaml.parent / "again"
    run_folders.shardsim("run", monsters_yaml, "--out", folder)
    run_folders.assert_same(folder, run)
    (folder / results.FILE).unlink()
    run_folders.shardsim("resume", folder)
    run_folders.assert_same(folder, run)
