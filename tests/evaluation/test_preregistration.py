"""Questions are kept as they were before training; what is younger is labelled."""

import copy
import dataclasses
import json
import re
import shutil

import pytest
import yaml

from shardsim import cli
from shardsim.core import config, config_files
from shardsim.evaluation import (
    load,
    measures,
    prediction,
    preregistration,
    results,
    rules,
    summary,
)
from shardsim.evaluation.experiment import Experiment
from shardsim.reports.verdicts import sections
from shardsim.storage import records, run_files, run_folder, run_layout
from tests.helpers import made_results

OTHER = {"question": "Another?"}


def changed(folder, change):
    """Edits the config of a run folder."""
    path = folder / run_layout.CONFIG_FILE
    data = config_files.read_yaml(path)
    change(data)
    path.write_text(config_files.to_yaml(config.build(Experiment, data)))
    return load.load(folder)


@pytest.fixture
def run(tiny_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    return folder


def margin(data):
    data["predictions"]["VE"]["rule"]["margin"] = 0.01


def goal(data):
    data["min_return"] = 0.5


def levels(data):
    data["evaluation"]["levels"] = 5


def added(data):
    data["predictions"]["VE2"] = {**copy.deepcopy(data["predictions"]["VE"]), **OTHER}


def left_out(data):
    added(data)
    del data["predictions"]["VE"]


def test_the_questions_are_kept_with_time_and_revision(tiny_run):
    kept = preregistration.read(tiny_run)
    asked = preregistration.questions(load.load(tiny_run))
    assert kept.questions == asked
    assert kept.digest == config.digest(asked)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00", kept.time)
    source = run_files.read_json(tiny_run / "provenance.json")
    assert (kept.revision, kept.version) == (
        source["revision"],
        source["versions"]["shardsim"],
    )
    result = results.read_run(tiny_run)
    assert result.predictions["VE"].asked == results.Asked("before training")
    assert result.omnibus.asked == results.Asked("before training")
    assert "All questions were fixed before training started (20" in (
        (tiny_run / "report.html").read_text()
    )


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (lambda data: None, []),
        (lambda data: data["train"].update(updates_per_call=2), []),
        (margin, ["predictions.VE.rule.margin: 0.05, now 0.01"]),
        (goal, ["min_return: 0.95, now 0.5"]),
        (levels, ["evaluation.levels: 4, now 5"]),
        (
            lambda data: data.update(min_return_phase="look"),
            ["min_return_phase: None, now look"],
        ),
        (
            lambda data: data["predictions"]["VE"].update(OTHER),
            [
                "predictions.VE.question: Is V nearer to the exact value when it is "
                "made of shards?, now Another?"
            ],
        ),
        (
            lambda data: data["predictions"]["VE"]["rule"]["controls"].clear(),
            [
                "predictions.VE.rule.controls: [{'arm': 'exact', 'baseline': None, "
                "'at_least': None, 'at..., now []"
            ],
        ),
        (
            lambda data: data["evaluation"].update(
                action_selection={"kind": "value_only", "temperature": 0.1}
            ),
            [
                "evaluation.action_selection: None, now {'kind': 'value_only', "
                "'temperature': 0.1}"
            ],
        ),
    ],
)
def test_every_change_of_what_judges_is_listed(run, change, lines):
    registered = preregistration.read(run)
    asked = preregistration.asked(changed(run, change), registered)["VE"]
    assert list(asked.changes) == lines
    assert asked.when == ("afterwards" if lines else "before training")


def test_a_question_that_is_added_or_left_out(run):
    registered = preregistration.read(run)
    asked = preregistration.asked(changed(run, added), registered)
    assert asked["VE"] == results.Asked("before training")
    assert asked["VE2"].changes == ("predictions.VE2: added",)
    # without it p is adjusted for fewer, so that it concerns those that stay
    one = changed(run, left_out)
    assert preregistration.removed(one, registered.questions) == ("VE",)
    asked = preregistration.asked(one, registered)["VE2"]
    assert asked.changes == ("predictions.VE2: added", "predictions.VE: left out")


@pytest.mark.parametrize(
    ("rows", "has_about", "change"),
    [
        # a tool's question when none could say so: nothing has changed
        (("mlp/own", "mlp/shuffled"), False, ()),
        (("mlp/own", "mlp/shuffled"), True, ("about: None, now tool",)),
        (("sharded", "mlp"), False, ("about: None, now tool",)),
    ],
)
def test_a_question_fixed_before_it_could_say_that_it_is_about_a_tool(
    run, rows, has_about, change
):
    question = prediction.Prediction(
        "?",
        rules.Expected("yes", "no", "no"),
        measures.Inspected(),
        rules.Rule(rules.Contrast(*rows), "greater", 0.1),
    )
    plain = dataclasses.replace(load.load(run), predictions={"Q": question})
    asked = preregistration.questions(plain)
    digest = config.digest(asked)
    path = run / preregistration.FILE
    registered = dataclasses.replace(
        preregistration.read(run), questions=asked, digest=digest
    )
    assert registered.has_about
    records.write(path, registered)
    if not has_about:
        data = json.loads(path.read_text())
        del data["has_about"]
        del data["questions"]["predictions"]["Q"]["about"]
        path.write_text(json.dumps(data))
    registered = preregistration.read(run)  # its digest is the same without the field
    assert registered.has_about == has_about
    own = preregistration.asked(plain, registered)["Q"]
    assert own == results.Asked("before training")
    of_tool = dataclasses.replace(question, about="tool")
    now = dataclasses.replace(plain, predictions={"Q": of_tool})
    changes = preregistration.asked(now, registered)["Q"].changes
    assert changes == tuple(f"predictions.Q.{line}" for line in change)


def test_the_comparison_of_architectures_is_a_question_too(run):
    registered = preregistration.read(run)
    assert preregistration.omnibus_asked(changed(run, margin), registered) == (
        results.Asked("before training")
    )
    other = {"contrast": {"arm": "mlp", "baseline": "sharded"}}
    one = changed(run, lambda data: data.update(omnibus=other))
    asked = preregistration.omnibus_asked(one, registered)
    assert asked.when == "afterwards"
    assert len(asked.changes) == 2


@pytest.mark.slow
def test_a_run_that_is_judged_anew_says_so_everywhere(run, capsys):
    """The whole way: edit, resume, and look at each place that shows verdicts."""

    def change(data):
        margin(data)
        added(data)

    before = (run / preregistration.FILE).read_bytes()
    changed(run, change)
    assert cli.main(["resume", str(run)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "(asked" in text
    assert (run / preregistration.FILE).read_bytes() == before
    result = results.read_run(run)
    assert result.predictions["VE"].asked.changes == (
        "predictions.VE.rule.margin: 0.05, now 0.01",
    )
    assert result.predictions["VE2"].asked.changes == ("predictions.VE2: added",)
    report = (run / "report.html").read_text()
    assert "VE: asked afterwards (predictions.VE.rule.margin: 0.05, now 0.01)" in report
    assert "Fixed before training started (20" in report
    assert "All questions were fixed" not in report
    for words in (["list", run.parent], ["compare", run], ["report", run]):
        assert cli.main([*map(str, words)]) == 0
        text = capsys.readouterr().out
        if words[0] != "report":  # a table breaks lines where it likes
            assert text.count("afterwards)") == 2, words
    page = run.parent / "page.html"
    assert cli.main(["inspect", str(run), "--out", str(page), "--quick"]) == 0
    assert "VE: asked afterwards (" in page.read_text()

    # the old questions again: nothing is left to say
    def back(data):
        data["predictions"]["VE"]["rule"]["margin"] = 0.05
        del data["predictions"]["VE2"]

    changed(run, back)
    assert cli.main(["resume", str(run)]) == 0
    assert results.read_run(run).predictions["VE"].asked.when == "before training"


@pytest.mark.slow
def test_a_run_without_the_record_does_not_claim_it(run, capsys):
    """Its record was deleted, and its results say nothing of it either."""
    (run / preregistration.FILE).unlink()
    data = json.loads((run / results.FILE).read_text())
    for row in (*data["predictions"].values(), data["omnibus"]):
        del row["asked"]
    del data["removed_questions"]
    (run / results.FILE).write_text(json.dumps(data))
    result = results.read_run(run)
    assert result.predictions["VE"].asked.when == "not recorded"
    said = "It is not recorded whether the questions were fixed before training."
    assert sections.asked(result, None) == [said]
    assert cli.main(["report", str(run)]) == 0
    assert said in (run / "report.html").read_text()
    changed(run, margin)
    assert cli.main(["resume", str(run), "--overwrite"]) == 0
    assert not (run / preregistration.FILE).exists()  # it would be a lie
    assert results.read_run(run).predictions["VE"].asked.when == "not recorded"
    capsys.readouterr()
    assert cli.main(["list", str(run.parent)]) == 0
    assert "recorded when asked)" in capsys.readouterr().out


def test_until_training_begins_the_questions_may_change(tiny_yaml, tmp_path):
    data = yaml.safe_load(tiny_yaml.read_text())
    experiment = config.build(Experiment, data)
    text = config_files.to_yaml(experiment)
    folder = run_folder.create(tmp_path / "run", text, overwrite=False)
    first = preregistration.register(experiment, folder)
    other = changed(folder, margin)
    second = preregistration.register(other, folder)
    assert second.digest != first.digest
    (folder / "metrics.jsonl").write_text('{"kind": "chunk"}\n')
    assert preregistration.register(experiment, folder) == second
    assert preregistration.asked(experiment, second)["VE"].when == "afterwards"


def test_a_record_that_was_edited_is_refused(run, capsys):
    path = run / preregistration.FILE
    data = json.loads(path.read_text())
    data["questions"]["min_return"] = 0.5
    path.write_text(json.dumps(data))
    for text in (path.read_text(), "{", "[]", '{"digest": 1}'):
        path.write_text(text)
        assert cli.main(["resume", str(run)]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "preregistration.json" in line


def test_the_answer_names_what_was_asked_afterwards():
    late = results.Asked("afterwards", ("predictions.P2: added",))
    one, two = made_results.prediction(), made_results.prediction(asked=late)
    assert "asked after" not in summary.answer({"P1": one}).lower()
    text = summary.answer({"P1": one, "P2": two})
    assert " Asked after training had started: P2." in text
    assert " All were asked after training had started." in summary.answer({"P2": two})


def test_every_verdict_carries_its_label():
    late = results.Asked("afterwards", ("x",))
    entry = made_results.prediction(verdict="shard")
    assert sections.verdict(entry) == "shard (not recorded when asked)"
    entry = made_results.prediction(asked=results.Asked("before training"))
    assert sections.verdict(entry) == "undecided"
    entry = made_results.prediction(asked=late)
    assert sections.verdict(entry) == "undecided (asked afterwards)"
