"""The answer is put together from the verdicts, and from nothing else."""

from pathlib import Path

import pytest

from shardsim.commands import run
from shardsim.core import config
from shardsim.evaluation import battery, experiment, measures, summary

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"


def found(stand=True, unlearnt=(), blind=(), **verdicts):
    predictions = {
        name: {
            "verdict": verdict,
            "stands": stand and not unlearnt,
            "unlearnt": list(unlearnt),
            "sensitivity": {"seen": name not in blind} if blind else None,
        }
        for name, verdict in verdicts.items()
    }
    return {"predictions": predictions, "controls stand": stand and not unlearnt}


@pytest.mark.parametrize(
    ("verdicts", "answer"),
    [
        ({}, "Nothing was asked: the config holds no prediction."),
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
def test_the_answer_follows_from_the_verdicts(verdicts, answer):
    assert summary.answer(found(**verdicts)) == answer


def test_no_claim_stands_where_a_control_fell():
    got = summary.answer(found(stand=False, A="shard"))
    assert got.startswith(
        "No claim stands: controls did not come out as they must in A"
    )
    assert "Yes" not in got


def test_no_claim_stands_of_what_was_not_learnt():
    got = summary.answer(found(unlearnt=["mlp"], A="no difference"))
    assert got == "No claim stands: an arm of the contrast missed the goal in A."


def test_the_answer_says_where_shards_would_not_be_seen():
    got = summary.answer(found(blind=["B"], A="no difference", B="no difference"))
    assert got.startswith("No, in nothing that was asked. Verdicts: no difference: A, ")
    assert "Shards made by hand are not seen in B: what is not seen there is no" in got


def test_returns_are_of_the_acting_of_training():
    """V* under a D that walks at random, which alone acts in training."""
    flags = {
        "--env.size": "4",
        "--evaluation.levels": "4",
        "--train.action_selection": "{kind: prior}",
        "--evaluation.action_selection": "{kind: value, temperature: 0.001}",
    }
    words = [word for pair in flags.items() for word in pair]
    data = config.override(config.read_yaml(QUICKSTART), words)
    found = config.build(experiment.Experiment, data)
    world, discount = found.env, found.train.discount
    condition = battery.build(world, world.params(), found.evaluation, discount)
    reading = battery.exact_reading(condition, world.num_actions)
    evidence = measures.Evidence(world, {"a": condition}, {}, found.evaluation_acting)
    about = run._about(found, found.sized_arms()[0], reading, evidence)
    assert about["mean return fraction"] < 0.8
    assert about["mean return fraction looked at"] > 0.99
