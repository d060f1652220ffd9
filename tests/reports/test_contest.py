"""The page and the tables of a contest, from results that are written down."""

import re

import pytest

from shardsim.contest import results
from shardsim.evaluation.results import Interval
from shardsim.reports import contest as tables
from shardsim.reports import text_tables
from shardsim.reports.verdicts import contest as page
from tests.reports.test_report import BROWSER, CHECK, SIZES, shown

NAMES = {"oracle": 0.0, "shards": 0.05, "mine": 0.04, "constant": 0.4}


def interval(x):
    return Interval(x, x - 0.01, x + 0.01, 0.95, 8)


def score(x):
    return results.Score(loss=interval(1 + x), excess=interval(x))


def forecaster(name, x):
    is_oracle = name == "oracle"
    return results.ForecasterResult(
        kind="network" if name == "mine" else name,
        is_reference=is_oracle,
        parameters=0 if is_oracle else 11,
        evidence_loss=None if is_oracle else 1 + x,
        score=score(x),
        by_condition={"both": score(x), "conflict": score(2 * x)},
        learning=(
            results.LearningPoint(8, score(1.5 * x)),
            results.LearningPoint(16, score(x)),
        ),
        code_length=None if is_oracle else 20 * (1 + x),
        calibration=(
            results.CalibrationBin(0.1, 0.2, 0.7),
            results.CalibrationBin(None, None, 0.0),
            results.CalibrationBin(0.9, 0.8, 0.3),
        ),
    )


def gate(passed):
    return results.GateResult(
        arm="oracle_gated",
        statement="SHARD beats NN and UNI on agents with shards built in",
        differences={"NN - SHARD": interval(0.1)},
        passed=passed,
        sentence="",
    )


def verdict(title, word):
    return results.VerdictResult(
        title=title,
        statement="What is compared.",
        unit="nats per decision",
        effect=None if word == "not asked" else interval(0.1),
        against={},
        margin=0.02,
        verdict=word,
        p_value=None if word == "not asked" else 0.01,
        sentence="Why.",
    )


def contest(stands=True, question="Who <forecasts>?"):
    cells = tuple(
        results.Cell(
            history=history,
            condition=condition,
            is_held_out=history == "A-B",
            winner="mine",
            lead=0.03,
            excess={"mine": 0.04, "shards": 0.07},
        )
        for history, condition in (
            ("A-B", "both"),
            ("A-B", "conflict"),
            ("A", "conflict"),
        )
    )
    own = results.ArmScores(
        agents=16,
        seeds=8,
        forecasters={name: forecaster(name, x) for name, x in NAMES.items()},
        cells=cells,
        surprising=(
            results.Surprise(
                history="A-B",
                condition="conflict",
                seed=3,
                excess=0.2,
                losses={"mine": 1.2, "shards": 1.3},
                opens="shardsim inspect runs/c --history A-B --condition "
                "conflict --arms mlp --out page.html --long-flag a-long-value",
            ),
        ),
    )
    return results.ContestResult(
        name="contest",
        question=question,
        arm="mlp",
        histories={"A": False, "A-B": True},
        conditions={"both": False, "conflict": True},
        levels=16,
        seeds=8,
        steps=300,
        restarts=4,
        uniform_share=0.001,
        arms={"mlp": own, "oracle_gated": own},
        gates={"gated": gate("passed" if stands else "failed")},
        verdicts={
            "NN - SHARD": verdict("NN - SHARD", "NN"),
            "P13": verdict("P13, renewal", "not asked"),
        },
        stands=stands,
    )


@pytest.fixture
def written(tmp_path):
    """The page and the tables of a result that has been written and read again."""

    def write(result):
        (tmp_path / results.FILE).write_text(results.text(result))
        again = results.read(tmp_path)
        assert again == result
        return page.page(again), tables.markdown(again)

    return write


def test_the_page_says_who_wins_and_what_stands(written):
    html, markdown = written(contest())
    assert "NN (mine) forecasts the agents of mlp best: +0.040" in html
    assert "Who &lt;forecasts&gt;?" in html
    assert "<strong>NN</strong>" in html
    assert "no claim" not in html
    assert "shardsim inspect runs/c --history A-B" in html
    for heading in ("Who wins where", "Learning curves", "Calibration", "Controls"):
        assert f"<h2>{heading}</h2>" in html
    assert html.count("<picture>") == 4
    assert not re.search(r'(src|href)="http', html)
    assert "| NN (mine) | 1.040 | +0.040 [+0.030, +0.050] | 11 | 20.80 |" in markdown
    assert "conflict *" in markdown


def test_the_order_is_that_of_losses():
    own = contest().arms["mlp"]
    assert tables.by_loss(own) == ["oracle", "mine", "shards", "constant"]


def test_nothing_is_claimed_where_a_control_failed(written):
    html, markdown = written(contest(stands=False))
    assert "No claim stands, because not every control passed" in html
    assert "<strong>NN</strong>" not in html
    assert "without controls: NN" in html
    assert "no claim (NN)" in markdown
    assert "no claim (not asked)" not in markdown
    assert 'class="failed"' in html


def test_a_contest_without_its_arm_has_a_page(written):
    other = contest()
    html, _ = written(
        results.ContestResult(
            **{
                **vars(other),
                "arms": {"oracle_gated": other.arms["mlp"]},
                "verdicts": {},
            }
        )
    )
    assert "There are no agents of the arm mlp" in html
    assert "Leaderboard" not in html


@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_a_browser_draws_it_without_complaint(written, tmp_path, size):
    html, _ = written(contest())
    path = tmp_path / "page.html"
    path.write_text(html.replace("</body>", CHECK))
    dom, said = shown(path, tmp_path, size)
    assert said == []
    assert "<title>checked 4</title>" in dom


def test_the_tables_fit_a_terminal():
    text = tables.terminal(contest())
    assert (
        max(map(len, text.split("\n\nNN (mine)")[0].splitlines())) <= text_tables.WIDTH
    )
    assert "Leaderboard" in text
