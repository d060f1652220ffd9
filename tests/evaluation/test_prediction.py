"""Predictions are measured and judged as one family."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest

from shardsim.evaluation import measures, prediction, rules
from shardsim.evaluation.measures import base

NOISE = np.linspace(-0.01, 0.01, 8)


@dataclasses.dataclass(frozen=True)
class Level(measures.ValueAccuracy):
    """Says what each arm is at, and that it was asked."""

    METRIC: ClassVar[str] = "level"
    UNIT: ClassVar[str] = "1"
    shift: float = 0.0
    asked: list = dataclasses.field(default_factory=list, compare=False)

    def measure(self, evidence):
        """The level."""
        self.asked.append(self.shift)
        values = {
            arm: level + self.shift + NOISE for arm, level in evidence.readings.items()
        }
        return base.Measured(values)


def at(levels):
    """Evidence that holds nothing but a number for each arm."""
    return base.Evidence(None, {}, levels, None)


def question(measure, arm):
    return prediction.Prediction(
        "?",
        rules.Expected("yes", "no", "no"),
        measure,
        rules.Rule(rules.Contrast(arm, "mlp"), "greater", 0.2),
        unitary_margin=0.1,
    )


def test_v_star_has_no_seeds_to_be_chosen_by():
    rule = rules.Rule(
        rules.Contrast("a", "mlp"),
        "greater",
        0.2,
        seeds_where=rules.Requirement("b", measures.EXACT, at_least=0.0),
    )
    asked = question(Level(), "a")
    with pytest.raises(ValueError, match=r"rule\.seeds_where\.baseline: got 'exact'"):
        dataclasses.replace(asked, rule=rule)


def test_one_fixed_utility_says_nothing_of_a_tool():
    of_v = question(Level(), "a")
    with pytest.raises(
        ValueError, match=r"unitary_margin: got 0\.1; allowed with abou"
    ):
        dataclasses.replace(of_v, about="tool")
    rule = dataclasses.replace(of_v.rule, unitary=(0.0, 0.1))
    with pytest.raises(ValueError, match=r"rule\.unitary: got \(0\.0, 0\.1\); allowed"):
        dataclasses.replace(of_v, rule=rule, unitary_margin=None, about="tool")
    of_tool = dataclasses.replace(of_v, unitary_margin=None, about="tool")
    levels = {"mlp": 0.0, "a": 0.9, measures.EXACT: 0.0}
    entry = prediction.evaluate({"P1": of_tool}, at(levels))["P1"]
    assert (entry.about, entry.verdict) == ("tool", "shard")
    assert "so the answer is yes" in entry.reason
    entry = prediction.evaluate({"P1": of_v}, at(levels))["P1"]
    assert (entry.about, entry.verdict) == ("V", "shard")
    assert "as SHARD expects" in entry.reason


def test_what_several_measure_alike_is_measured_once():
    asked = []
    same, other = Level(asked=asked), Level(shift=0.5, asked=asked)
    levels = {"mlp": 0.0, "a": 0.05, "b": 0.9, measures.EXACT: 0.0}
    found = prediction.evaluate(
        {
            "P1": question(same, "a"),
            "P2": question(Level(asked=asked), "b"),
            "P3": question(other, "b"),
        },
        at(levels),
    )
    assert asked == [0.0, 0.5]
    assert [entry.verdict for entry in found.values()] == [
        "unitary",
        "shard",
        "shard",
    ]
    assert found["P3"].means["mlp"].estimate == 0.5
    assert found["P1"].values == found["P2"].values


def test_where_v_star_has_no_number_nothing_is_unitary():
    """In a maze of few squares the statistic does not exist: no range either."""
    levels = {"mlp": 0.0, "a": 0.05, measures.EXACT: np.nan}
    entry = prediction.evaluate({"P1": question(Level(), "a")}, at(levels))["P1"]
    assert entry.rule.unitary is None
    assert entry.verdict != "unitary"
