"""The answer is put together from the verdicts, and from nothing else."""

import dataclasses
from pathlib import Path

import pytest

from shardsim.commands import run
from shardsim.core import config, config_files
from shardsim.evaluation import (
    battery,
    experiment,
    measures,
    results,
    state_readings,
    summary,
)
from shardsim.storage import records
from shardsim.training import metric_records
from tests.helpers.made_results import control, interval, prediction, sensitivity

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"


def answer(valid=True, below=(), blind=(), **verdicts):
    return summary.answer(
        {
            name: prediction(
                verdict=verdict,
                is_valid=valid and not below,
                arms_below_min_return=tuple(below),
                sensitivity=sensitivity(name not in blind) if blind else None,
            )
            for name, verdict in verdicts.items()
        }
    )


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ({}, "Nothing was asked: the config has no prediction."),
        (
            {"A": "no difference"},
            "No, in nothing that was asked. Verdicts: no difference: A.",
        ),
        (
            {"A": "undecided", "B": "no difference", "C": "undecided"},
            "Not shown. Verdicts: no difference: B; undecided: A, C.",
        ),
        (
            {"A": "network", "B": "shard"},
            "Yes, in part. Verdicts: shard: B; network: A.",
        ),
    ],
)
def test_the_answer_follows_from_the_verdicts(verdicts, sentence):
    assert answer(**verdicts) == sentence


def test_no_claim_stands_where_a_control_fell():
    got = answer(valid=False, A="shard")
    assert got.startswith("No claim stands: controls did not pass in A")
    assert "Yes" not in got


def test_the_claims_of_others_stand_where_one_falls():
    entries = {
        "A": prediction(verdict="shard", is_valid=False),
        "B": prediction(verdict="undecided", is_valid=True),
    }
    assert summary.answer(entries) == (
        "No claim stands for A: controls did not pass in A. For the others: Not shown. "
        "Verdicts: undecided: B."
    )


def test_no_claim_stands_of_what_was_not_learnt():
    got = answer(below=["mlp"], A="no difference")
    assert (
        got == "No claim stands: an arm of the contrast missed its minimum return in A."
    )


def test_no_claim_stands_of_a_v_of_learning():
    far = prediction(is_valid=False, arms_above_max_value_error=("mlp",))
    assert summary.answer({"A": far}) == (
        "No claim stands: V of a compared arm is too far from V* in A."
    )
    failed = prediction(
        is_valid=False,
        arms_above_max_value_error=("mlp",),
        controls=(control("failed"),),
    )
    assert "controls did not pass in A; V of a compared arm" in summary.answer(
        {"A": failed}
    )


def test_the_answer_names_a_look_that_is_not_protected():
    late = prediction(look=results.Look(2, False))
    assert "Look 2 at this run, not protected" in summary.answer({"A": late})
    planned = prediction(look=results.Look(2, True, 0.048))
    assert "not protected" not in summary.answer({"A": planned})


def snapshot(arm, update, error, **statistics):
    return metric_records.SnapshotMetrics(
        arm=arm, update=update, value_error=error, statistics=statistics
    )


def test_effects_over_training_are_paired_by_snapshot(tmp_path):
    """Seeds 0 and 1: .3 and .1 at update 5, .4 and .4 at 9; `mlp` lacks update 7."""
    lines = [
        snapshot("sharded", 5, (0.5, 0.7), A=(0.5, 0.4), B=(1.0, 1.0)),
        snapshot("sharded", 7, (0.4, 0.4), A=(9.0, 9.0)),
        snapshot("sharded", 9, (0.2, 0.2), A=(0.6, 0.7)),
        snapshot("mlp", 5, (1.0, 2.0), A=(0.2, 0.3)),
        snapshot("mlp", 9, (0.1, 0.1), A=(0.2, 0.3)),
    ]
    for line in lines:
        records.append(tmp_path / metric_records.FILE, line)
    values = {"sharded": (0.6, 0.7), "mlp": (0.2, 0.3)}
    means = {arm: interval(n=2) for arm in values}
    asked = prediction(values=values, means=means)
    drawn = summary.effect_curves(tmp_path, {"A": asked, "B": asked, "C": asked})
    assert set(drawn) == {"A"}
    found = drawn["A"]
    assert found.update == (5, 9)
    assert [e.estimate for e in found.effect] == pytest.approx([0.2, 0.4])
    assert found.value_error == pytest.approx((1.5, 0.2))
    chosen = dataclasses.replace(asked, judged_seeds=(0,))
    (one,) = summary.effect_curves(tmp_path, {"A": chosen}).values()
    assert [e.estimate for e in one.effect] == pytest.approx([0.3, 0.4])


def test_the_answer_says_where_shards_would_not_be_seen():
    got = answer(blind=["B"], A="no difference", B="no difference")
    assert got.startswith("No, in nothing that was asked. Verdicts: no difference: A, ")
    assert "the test does not detect them in B: there it cannot count against" in got


def test_returns_are_of_the_acting_of_training():
    """V* under a D that walks at random, which alone acts in training."""
    flags = {
        "--env.size": "4",
        "--evaluation.levels": "4",
        "--train.action_selection": "{kind: policy_only}",
        "--evaluation.action_selection": "{kind: value_only, temperature: 0.001}",
    }
    words = [word for pair in flags.items() for word in pair]
    data = config_files.override(config_files.read_yaml(QUICKSTART), words)
    found = config.build(experiment.Experiment, data)
    world, discount = found.env, found.train.discount
    condition = battery.build(world, world.params(), found.evaluation, discount)
    reading = state_readings.exact_reading(condition, world.num_actions)
    evidence = measures.Evidence(world, {"a": condition}, {}, found.evaluation_acting)
    arm = run._arm_result(found, found.sized_arms()[0], reading, evidence, None)
    assert arm.mean_return_fraction < 0.8
    assert arm.mean_evaluation_return_fraction > 0.99
    assert arm.value_error == (0.0,)
