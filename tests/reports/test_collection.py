"""All verdicts as one table: what a row says, and for and against whom it counts."""

import csv
import dataclasses
import inspect
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from shardsim import cli
from shardsim.contest import results as contest_results
from shardsim.contest import verdicts as contest_verdicts
from shardsim.core import config, config_files
from shardsim.evaluation import experiment, results, rules
from shardsim.reports.verdicts import collection, counting, table
from shardsim.storage import records, run_files, run_folder
from shardsim.training.results import Timing
from tests.helpers import made_results

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CONTRAST = rules.Contrast("sharded", "mlp")
RULE = rules.Rule(CONTRAST, "greater", 0.2, positive_control="oracle_gated")
OF_V_STAR = dataclasses.replace(RULE, contrast=rules.Contrast("mlp", "exact"))


def seen(estimate=0.8, low=0.6, high=1.0, detected=True):
    effect = made_results.interval(estimate, low, high)
    return made_results.sensitivity(detected, effect=effect)


def entry(**changes):
    made = {
        "rule": RULE,
        "values": {"sharded": (0.1,) * 8, "mlp": (0.1,) * 8, "exact": (0.1,)},
        "means": dict.fromkeys(("sharded", "mlp", "exact"), made_results.interval()),
        "effect": made_results.interval(0.2, 0.1, 0.3),
        "sensitivity": seen(),
        **changes,
    }
    return made_results.prediction(**made)


def test_the_share_of_the_planted_effect_by_hand():
    assert collection.share_of_planted(entry()) == pytest.approx(0.25)
    # an effect on the other side is a share below 0
    other = made_results.interval(-0.4, -0.5, -0.3)
    assert collection.share_of_planted(entry(effect=other)) == pytest.approx(-0.5)
    less = dataclasses.replace(RULE, direction="less")
    planted = seen(-0.8, -1.0, -0.6)
    assert collection.share_of_planted(
        entry(rule=less, sensitivity=planted)
    ) == pytest.approx(-0.25)
    # nothing is planted that could be shared
    for planted in (None, seen(-0.8, -1.0, -0.6), seen(0.1, -0.1, 0.3)):
        assert collection.share_of_planted(entry(sensitivity=planted)) is None


@pytest.mark.parametrize(
    ("verdict", "changes", "expected"),
    [
        ("shard", {}, {"shard": "for", "network": "against"}),
        ("network", {}, {"shard": "against", "network": "for"}),
        ("no difference", {}, {"shard": "against", "network": "for"}),
        ("unitary", {}, {"shard": "against", "unitary": "for"}),
        ("undecided", {}, {}),
        ("shard", {"is_valid": False}, {}),
        ("no difference", {"sensitivity": seen(detected=False)}, {}),
        ("unitary", {"sensitivity": None}, {}),
        (
            "shard",
            {"rule": dataclasses.replace(RULE, unitary=(-0.1, 0.1))},
            {"shard": "for", "network": "against", "unitary": "against"},
        ),
        ("shard", {"rule": OF_V_STAR}, {"shard": "for", "unitary": "against"}),
        ("network", {"rule": OF_V_STAR}, {"shard": "against", "unitary": "against"}),
        ("no difference", {"rule": OF_V_STAR}, {"shard": "against"}),
        ("unitary", {"rule": OF_V_STAR}, {"shard": "against", "unitary": "for"}),
        ("shard", {"rule": OF_V_STAR, "is_valid": False}, {}),
    ],
)
def test_for_and_against_whom_a_verdict_counts(verdict, changes, expected):
    assert counting.sides(entry(verdict=verdict, **changes)) == expected


@pytest.mark.parametrize("verdict", ["shard", "network", "no difference"])
def test_two_rows_of_one_arm_count_but_for_a_question_about_a_tool(verdict):
    """As P20b does, which asks of one arm whether it wants two changed things alike."""
    pair = rules.Contrast("mlp", "mlp/reference")
    made = entry(
        verdict=verdict,
        rule=dataclasses.replace(RULE, contrast=pair),
        values=dict.fromkeys((pair.arm, pair.baseline), (0.1,) * 8),
        means=dict.fromkeys((pair.arm, pair.baseline), made_results.interval()),
    )
    assert counting.sides(made) == counting.sides(entry(verdict=verdict)) != {}
    assert counting.sides(dataclasses.replace(made, about="tool")) == {}


@pytest.mark.skipif(not EXPERIMENTS.is_dir(), reason="no experiments beside them")
def test_which_shipped_questions_are_about_tools():
    by_file = {}
    for file in EXPERIMENTS.glob("*.yaml"):
        predictions = config_files.read_yaml(file)["predictions"]
        by_file[file.stem] = {each.get("about") for each in predictions.values()}
    of_tools = {name for name, subjects in by_file.items() if "tool" in subjects}
    assert of_tools == {"erasure", "directions"}
    assert by_file["erasure"] == by_file["directions"] == {"tool"}


def test_every_answer_of_a_contest_is_counted_or_left_out_on_purpose():
    source = inspect.getsource(contest_verdicts)
    named = {
        word
        for found in re.findall(r"winners = (\{.*?\})", source, re.S)
        for word in re.findall(r'"[a-z]+": "([^"]+)"', found)
    } | {contest_verdicts.TITLES[kind] for kind in contest_verdicts.TITLES}
    ours = {*counting.OF_CONTEST, "SHARD"}
    references = {"CONSTANT", "ORACLE", "OTHERS"}  # they are no rivals
    assert named - references == ours


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs and one that has not finished."""
    root = tmp_path_factory.mktemp("runs")
    late = results.Asked("afterwards", ("predictions.P2: added",))
    predictions = {
        "P1": entry(verdict="shard", asked=results.Asked("before training")),
        "P2": entry(verdict="no difference", asked=late, question="a | b, V*?"),
    }
    missed = {
        "P3": entry(
            is_valid=False,
            controls=(made_results.control("failed"),),
            arms_below_min_return=("mlp",),
            arms_above_max_value_error=("film", "mlp"),
        )
    }
    for name, made in (("one", predictions), ("two", missed)):
        folder = run_folder.create(root / name, f"name: {name}\n", overwrite=False)
        result = made_results.run(name=name, predictions=made)
        records.write(folder / results.FILE, result)
    records.write(root / "one" / "timing.json", Timing(90.0, 30.0))
    run_folder.create(root / "begun", "name: begun\n", overwrite=False)
    return root


def asked(words, capsys):
    assert cli.main(["verdicts", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_a_folder_of_runs_is_one_table_in_every_format(runs, capsys):
    assert cli.main(["verdicts", str(runs), "--format", "json"]) == 0
    printed = capsys.readouterr()
    assert re.search(r"left out: \S+/begun: .*not finished", printed.err)
    found = json.loads(printed.out)
    by_name = {row["prediction"]: row for row in found["verdicts"]}
    assert list(by_name) == ["P1", "P2", "P3"]
    assert by_name["P1"]["minutes"] == 2.0
    assert by_name["P3"]["minutes"] is None
    assert by_name["P1"]["counts_for"] == "shards"
    assert by_name["P2"]["counts_against"] == "shards"
    assert by_name["P3"]["why_not"].startswith("a control did not pass; return of mlp")
    assert by_name["P1"]["command"] == f"shardsim run {runs}/one/config.yaml"
    assert found["counts"] == {
        "shards": {"for": 1, "against": 1},
        "network": {"for": 1, "against": 1},
        "one utility": {"for": 0, "against": 0},
    }
    assert found["says_nothing"] == {"no claim stands": 1}
    rows = list(csv.DictReader(io.StringIO(asked([runs, "--format", "csv"], capsys))))
    assert [row["prediction"] for row in rows] == ["P1", "P2", "P3"]
    assert float(rows[0]["share_of_planted"]) == pytest.approx(0.25)
    text = asked([runs / "one", runs / "two"], capsys)
    assert "none: a control," in text
    assert "3 verdicts, 1 of which count for no view" in text
    page = asked([runs, "--format", "markdown"], capsys)
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table[:5]} == {16}
    assert r"a &#124; b, V\*?" in page
    assert "stands, asked afterwards" in page


def test_of_a_page_only_what_is_between_its_marks_is_replaced(runs, tmp_path, capsys):
    page = tmp_path / "index.md"
    own = f"# Verdicts\n\nMine.\n\n{table.BEGIN}\nold\n{table.END}\n\nMore.\n"
    page.write_text(own)
    words = [runs, "--format", "markdown", "--out", page]
    assert cli.main(["verdicts", *map(str, words)]) == 2
    assert "which exists" in capsys.readouterr().err
    assert page.read_text() == own
    asked([*words, "--overwrite"], capsys)
    once = page.read_text()
    assert once.startswith(f"# Verdicts\n\nMine.\n\n{table.BEGIN}\n\n|")
    assert once.endswith(f"{table.END}\n\nMore.\n")
    assert "old" not in once
    asked([*words, "--overwrite"], capsys)
    assert page.read_text() == once
    page.write_text(table.END + table.BEGIN)
    assert cli.main(["verdicts", *map(str, words), "--overwrite"]) == 2
    assert "do not pair" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere", "got no folder"),
        ("begun", "not finished"),
        ("empty", "got no verdicts in it"),
        ("twice", "twice; allowed: different ones"),
    ],
)
def test_what_has_no_verdicts_is_refused(runs, tmp_path, capsys, place, message):
    (tmp_path / "empty").mkdir()
    folders = {
        "begun": [runs / "begun"],
        "empty": [tmp_path / "empty"],
        "twice": [runs, runs / "one"],
    }.get(place, [tmp_path / "nowhere"])
    assert cli.main(["verdicts", *map(str, folders)]) == 2
    assert message in capsys.readouterr().err


def made_contest(folder, stands):
    """A contest in which the first question is won by shards, the last by nobody."""
    answers = {"UNI - SHARD": "SHARD", "P12": "NN", "P15": "order matters"}
    verdicts = {
        name: contest_results.VerdictResult(
            title=name,
            statement="Who?",
            unit="total variation" if name == "P15" else contest_verdicts.NATS,
            effect=made_results.interval(0.1, 0.05, 0.15),
            against={},
            margin=0.02,
            verdict=verdict,
            p_value=0.01,
            sentence=".",
        )
        for name, verdict in answers.items()
    }
    gate = contest_results.GateResult(
        arm="gated", statement=".", differences={}, passed="passed", sentence="."
    )
    failed = dataclasses.replace(gate, passed="passed" if stands else "failed")
    made = contest_results.ContestResult(
        name="made",
        question="?",
        arm="mlp",
        histories={},
        conditions={},
        levels=2,
        seeds=3,
        steps=1,
        restarts=1,
        uniform_share=0.0,
        arms={},
        gates={"gated": gate, "exact": failed},
        verdicts=verdicts,
        stands=stands,
    )
    folder.mkdir()
    (folder / "shardsim_contest.json").write_text("{}")
    (folder / "config.yaml").write_text("name: made\n")
    (folder / contest_results.FILE).write_text(contest_results.text(made))
    return collection.rows(collection.sources(folder).judged)


def test_a_contest_counts_for_who_forecasts_better(tmp_path):
    uni, nets, order = made_contest(tmp_path / "stands", True)
    assert (uni.counts_for, uni.counts_against) == ("shards", "one utility")
    assert (nets.counts_for, nets.counts_against) == ("network", "shards")
    assert order.counts_for == "shards, network"
    assert (uni.would_have_been_seen, order.would_have_been_seen) == (True, None)
    assert uni.command == f"shardsim contest {tmp_path}/stands/config.yaml"
    assert table.counts([uni, nets, order]) == {
        "shards": {"for": 2, "against": 1},
        "network": {"for": 2, "against": 0},
        "one utility": {"for": 0, "against": 2},
    }
    (uni, *_) = made_contest(tmp_path / "failed", False)
    assert (uni.counts_for, uni.why_not) == ("", "gates not passed: exact")


def test_a_zoo_is_refused_because_it_judges_metrics(tmp_path):
    (tmp_path / "shardsim_zoo.json").write_text("{}")
    with pytest.raises(run_files.RunError, match="judges metrics and no predictions"):
        collection.sources(tmp_path)


@pytest.mark.skipif(not EXPERIMENTS.is_dir(), reason="no experiments beside them")
def test_a_command_makes_the_config_of_the_run_again(runs, tmp_path):
    shipped = tmp_path / "experiments"
    shipped.mkdir()
    file = shipped / "quickstart.yaml"
    shutil.copy(EXPERIMENTS / "quickstart.yaml", file)
    folder = tmp_path / "run"
    shutil.copytree(runs / "one", folder)
    flags = ["--train.num_seeds=20", "--env.size=9", "--predictions.VE=null"]
    data = config_files.override(
        config_files.read_yaml(file), flags, experiment.Experiment
    )
    made = config.build(experiment.Experiment, data)
    (folder / "config.yaml").write_text(config_files.to_yaml(made))
    (row, _) = collection.rows(collection.sources(folder).judged, shipped)
    words = row.command.split()
    assert words[:3] == ["shardsim", "run", str(file)]
    assert sorted(words[3:]) == sorted(flags)
    # a config with much that differs is named itself
    many = dataclasses.replace(made, question="Else?", name="quickstart")
    for number, name in enumerate(made.arms):
        arms = {**many.arms, f"{name}{number}": many.arms[name]}
        many = dataclasses.replace(many, arms=arms)
    (folder / "config.yaml").write_text(config_files.to_yaml(many))
    (row, _) = collection.rows(collection.sources(folder).judged, shipped)
    assert row.command == f"shardsim run {folder}/config.yaml"
