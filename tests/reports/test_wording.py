"""A question about a tool is answered by yes or no, in every place that shows it."""

import csv
import dataclasses
import functools
import html
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from shardsim import cli
from shardsim.commands import listings, tables, trackers
from shardsim.core import config, config_files
from shardsim.evaluation import experiment, measures, prediction, results, summary
from shardsim.evaluation import wording as words
from shardsim.evaluation.measures import base
from shardsim.reports import figures
from shardsim.reports.charts import verdicts as charts
from shardsim.reports.verdicts import comparison, counting, report, sections
from shardsim.storage import records
from tests.helpers import made_results

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
NOISE = np.linspace(-0.01, 0.01, 8)
SHIPPED = {
    "erasure": (
        *("mlp/many", "mlp/annealed", "mlp/cde", "mlp/cde_unmatched"),
        "mlp/means_specificity",
    ),
    "directions": ("mlp/stacked", "mlp/data_weighted", "mlp/all"),
}
"""Rows that are high, so that there are some of each answer."""
OF_V = re.compile(r"SHARD|NN expects|UNI expects|oracle-gated|detects? shards")


@functools.cache
def evaluated(name):
    """The shipped questions, where the rows of `SHIPPED` are at 1 and others at 0."""
    data = config_files.read_yaml(EXPERIMENTS / f"{name}.yaml")
    asked = config.build(experiment.Experiment, data).predictions

    def measure(self, evidence):
        """The same numbers for all."""
        del evidence
        rows = {"mlp", *(f"mlp/{row}" for row in self.ROWS)}
        return base.Measured({row: NOISE + (row in SHIPPED[name]) for row in rows})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measures.Inspected, "measure", measure)
        return prediction.evaluate(asked, base.Evidence(None, {}, {}, None))


@pytest.mark.parametrize("verdict", ["unitary", "no difference", "undecided"])
def test_only_two_verdicts_of_a_tool_have_words_of_their_own(verdict):
    for about in ("V", "bid", None):
        assert words.word("shard", about) == "shard"
        assert words.word("network", about) == "network"
    assert words.word("shard", "tool") == "yes"
    assert words.word("network", "tool") == "no"
    assert words.word(verdict, "tool") == words.word(verdict, "V") == verdict


@pytest.mark.skipif(not EXPERIMENTS.is_dir(), reason="no experiments beside them")
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_questions_about_tools_count_for_no_view(name):
    entries = evaluated(name)
    assert {entry.about for entry in entries.values()} == {"tool"}
    shown = {words.of(entry) for entry in entries.values()}
    assert {"yes", "no"} <= shown
    assert not {"shard", "network"} & shown
    for entry in entries.values():
        valid = dataclasses.replace(entry, is_valid=True)
        assert counting.sides(valid) == {}
        # the record has the verdict of the rule
        assert entry.verdict in ("shard", "network", "no difference")
        sentences = [entry.reason, entry.sensitivity.sentence]
        assert not OF_V.search(" ".join(sentences))
        if entry.verdict == "shard":
            assert "so the answer is yes (p = " in entry.reason
        if entry.verdict == "network":
            assert "on the other side, so the answer is no (p = " in entry.reason
        is_seen = "says yes where" in entry.sensitivity.sentence
        assert is_seen == entry.sensitivity.detected


@pytest.mark.skipif(not EXPERIMENTS.is_dir(), reason="no experiments beside them")
def test_all_that_is_shown_of_a_run_says_yes_and_no(
    tiny_run, tmp_path, monkeypatch, capsys
):
    entries = {
        name: dataclasses.replace(
            entry, is_valid=True, asked=results.Asked("before training")
        )
        for name, entry in evaluated("erasure").items()
    }
    # drawn charts take seconds, and have no words but their captions
    image = figures.Image("", "<svg/>")
    for name in ("draw", "draw_by_scheme"):
        monkeypatch.setattr(
            figures, name, lambda text, chart: figures.Figure(text, "<svg/>", (image,))
        )
    folder = tmp_path / "runs" / "erasure"
    shutil.copytree(tiny_run, folder)
    made = dataclasses.replace(
        results.read_run(folder), predictions=entries, answer=summary.answer(entries)
    )
    records.write(folder / results.FILE, made)
    expected = {name: words.of(entry) for name, entry in entries.items()}
    assert (expected["steps"], expected["specific"]) == ("yes", "no")
    assert expected["noise"] == "no difference"
    assert made.answer.startswith("Yes, in part. Verdicts: yes: steps, ")
    assert "known to be yes, the test does not say so in " in made.answer
    texts = {"answer": made.answer}

    page = " ".join(html.unescape(report.write(folder).read_text()).split())
    (table,) = re.findall(r"<h2>Verdicts</h2>.*?</table>", page)
    assert re.findall(r'data-label="verdict"[^>]*>([a-z ]+)', table) == [
        *expected.values()
    ]
    assert ">planted</th>" in table
    meanings = page.partition("What the verdicts mean")[2].partition("</dl>")[0]
    assert re.findall(r"<dt>([a-z ]+)</dt>", meanings) == [
        *("yes", "no", "no difference", "undecided", "planted")
    ]
    assert "<dt>yes means</dt><dd>Not about V. Of the tool, yes;" in page
    assert "<dt>no means</dt>" in page
    texts["report"] = page.partition("<details><summary>config.yaml")[0]
    other = tmp_path / "page.html"
    comparison.write([folder], other)
    texts["comparison"] = other.read_text()
    assert texts["comparison"].count("<strong>yes</strong>") == len(
        [word for word in expected.values() if word == "yes"]
    )

    texts["table"] = tables.table(made)
    texts["side by side"] = tables.side_by_side([folder])
    texts["list"] = tables.run_list(tmp_path)
    assert "steps: yes" in texts["list"]
    (row,) = listings.runs(tmp_path)
    assert {n: each["verdict"] for n, each in row["verdicts"].items()} == expected
    listed = listings.comparison([folder])["predictions"]
    assert [each["verdict"] for each in listed] == [*expected.values()]
    tracked = trackers._texts(made)["verdicts"].splitlines()[2:]
    assert [line.split("|")[-2].strip() for line in tracked] == [*expected.values()]
    assert trackers._final(made)["steps/verdict"] == "yes"

    for form in ("table", "markdown", "csv", "json"):
        assert cli.main(["verdicts", str(folder), "--format", form]) == 0
        texts[form] = capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert [each["verdict"] for each in rows] == [*expected.values()]
    assert {each["about"] for each in rows} == {"tool"}
    assert {each["shards_expect"] for each in rows} == {""}
    assert rows[0]["yes_means"].startswith("Not about V. Of the tool, yes;")
    data = json.loads(texts["json"])
    assert data["says_nothing"] == {"about a tool": len(expected)}
    assert sum(n for side in data["counts"].values() for n in side.values()) == 0
    first = next(line for line in texts["markdown"].splitlines() if "| steps |" in line)
    assert "steps? Yes: Not about V." in first
    for place, text in texts.items():
        assert not OF_V.search(text), place

    # the file of results is as it was
    raw = json.loads((folder / results.FILE).read_text())["predictions"]["steps"]
    assert (raw["verdict"], raw["about"]) == ("shard", "tool")


def test_questions_of_both_kinds_side_by_side():
    of_v = made_results.prediction(verdict="shard")
    of_tool = dataclasses.replace(of_v, about="tool", verdict="network")
    both = {"P1": of_v, "T1": of_tool}
    assert "shard: P1; no: T1." in summary.answer(both)
    assert {"shard", "yes", "no"} <= sections.meanings(both.values()).keys()
    assert not {"yes", "no"} & sections.meanings([of_v]).keys()
    assert [*sections.expectations(of_v)] == [
        *("SHARD expects", "NN expects", "UNI expects")
    ]
    titles = {
        "as SHARD expects": {"P1": of_v},
        "the answer is yes": {"T1": of_tool},
        "as SHARD expects; of tools, the answer is yes": both,
    }
    for side, entries in titles.items():
        assert words.phrases(entries.values()).side == side
        drawn = json.dumps(charts.effects({"": entries}).to_dict())
        assert f"effect / margin (right: {side})" in drawn
    blind = made_results.sensitivity(detected=False)
    caveat = summary.answer(
        {name: dataclasses.replace(x, sensitivity=blind) for name, x in both.items()}
    )
    assert "does not detect them in P1: there it cannot count against shards" in caveat
    assert "does not say so in T1: there it cannot count against a yes" in caveat


def test_an_old_record_is_about_v():
    data = config.to_dict(made_results.prediction())
    del data["about"]
    assert config.build(results.PredictionResult, data).about == "V"
