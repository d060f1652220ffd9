"""Each control fails where it should: no claim rests on one that cannot."""

import numpy as np
import pytest

from shardsim.agents import action_selection
from shardsim.core import config, config_files
from shardsim.evaluation import (
    battery,
    exact_policies,
    judge,
    measures,
    prediction,
    rules,
)
from shardsim.evaluation.experiment import Experiment
from tests.evaluation.test_measures import SHOWN, world
from tests.experiments.test_experiments import FILES
from tests.helpers.made_readings import (
    DISCOUNT,
    ENV,
    details,
    evidence,
    simple,
    split,
)

NAMES = ("in_distribution", "only_0", "only_1", "with_cue", "without_cue")
ABLATION = measures.SelectiveAblation(num_groups=2)


@pytest.fixture(scope="module")
def conditions():
    few = battery.EvaluationConfig(levels=24)
    return {name: battery.build(ENV, world(name), few, DISCOUNT) for name in SHOWN}


@pytest.fixture(scope="module")
def how():
    return exact_policies.acting_rule(
        action_selection.Lookahead(), DISCOUNT, ENV.max_steps
    )


def seeds(reading, n=8):
    """The same agent in n seeds."""
    leaves = [np.repeat(leaf, n, axis=0) for leaf in reading[:5]]
    return type(reading)(*leaves, reading.unit_shard)


def by_context(condition):
    """V in two parts, each at work in its own context."""
    return split(condition.optimal, condition.context.argmax(axis=-1), 2)


def copies(condition):
    """The same V in two parts that are alike everywhere."""
    made = by_context(condition)
    half = np.repeat(made.value[..., None] / 2, 2, axis=-1)
    return made._replace(shard_values=half, units=half, gates=np.ones_like(made.gates))


def asked(measure, rule):
    return {"P": prediction.Prediction("?", rules.Expected("", "", ""), measure, rule)}


def judged(conditions, how, arms, rule, measure=ABLATION):
    made = {
        arm: {name: seeds(reading) for name, reading in own.items()}
        for arm, own in arms.items()
    }
    return prediction.evaluate(asked(measure, rule), evidence(conditions, how, made))[
        "P"
    ]


def test_an_untrained_head_can_fail(conditions, how):
    """Zero passes whatever the measure does; a V that parts contexts does not."""
    condition = conditions["in_distribution"]
    control = rules.Requirement("untrained", at_least=-0.3, at_most=0.3)
    rule = rules.Rule(
        rules.Contrast("sharded", "mlp"), "greater", 0.2, controls=(control,)
    )
    arms = {"sharded": by_context(condition), "mlp": copies(condition)}
    zero = simple(np.zeros_like(condition.optimal))
    for untrained, passed in ((zero, True), (by_context(condition), False)):
        named = {**arms, "untrained": untrained}
        got = judged(
            conditions,
            how,
            {arm: {"in_distribution": reading} for arm, reading in named.items()},
            rule,
        )
        assert got.verdict == "shard"
        assert got.is_valid == passed


@pytest.mark.parametrize("rival", ["ensemble", "per_source", "film"])
def test_shards_have_to_beat_what_has_no_gates(conditions, how, rival):
    """Parts without gates, which labels or chance gave one context each, do as well."""
    condition = conditions["in_distribution"]
    rule = rules.Rule(rules.Contrast("routed", "mlp"), "greater", 0.2, beats=(rival,))
    arms = {"routed": by_context(condition), "mlp": copies(condition)}
    for other, verdict in (
        (copies(condition), "shard"),
        (by_context(condition), "undecided"),
    ):
        named = {**arms, rival: other}
        got = judged(
            conditions,
            how,
            {arm: {"in_distribution": reading} for arm, reading in named.items()},
            rule,
        )
        assert got.verdict == verdict


def extinguished(conditions, kept):
    """V* of every condition, times what is left of it."""
    return {
        name: simple(kept.get(name, 1.0) * conditions[name].optimal) for name in NAMES
    }


EXTINCTION = measures.SelectiveExtinction(same_context="with_cue")


def staged(conditions, how, after, exact_after):
    """Evidence of an extinction in only_0."""
    before = extinguished(conditions, {})
    seen = evidence(conditions, how, {"arm": after})
    stages = {
        "acquisition": {"arm": before, "exact": before},
        "extinction": {"arm": after, "exact": exact_after},
    }
    return seen._replace(stages=stages)


def test_v_star_fails_where_nothing_was_extinguished(conditions, how):
    """A world that goes on paying leaves V* where it was: no claim about unlearning."""
    gone = extinguished(conditions, {"only_0": 0.0, "with_cue": 0.0})
    control = (rules.Requirement("exact", at_least=0.99),)
    for exact, passed in ((gone, True), (extinguished(conditions, {}), False)):
        values = EXTINCTION.measure(staged(conditions, how, gone, exact)).values
        rows = {**values, "mlp": values["arm"]}
        rule = rules.Rule(
            rules.Contrast("arm", "mlp"), "greater", 0.2, controls=control
        )
        got = judge.judge({"P": rows}, {"P": rule})["P"]
        assert got.controls[0].passed == ("passed" if passed else "failed")


def test_a_mean_of_v_is_no_bid(conditions, how):
    """V falls by 0.3 everywhere: its mean drops, its bids and the return do not."""
    lower = {
        name: simple(conditions[name].optimal - 0.3 * (name in ("only_0", "with_cue")))
        for name in NAMES
    }
    seen = staged(conditions, how, lower, extinguished(conditions, {}))
    values = EXTINCTION.measure(seen).values
    assert values["arm"][0] == 1.0
    assert values["arm/bid"][0] == 0.0
    assert values["arm/return"][0] == 0.0


def test_a_bid_that_is_gone_is_found(conditions, how):
    """V is flat in only_0, as high as it was: its mean stays, its bid is gone."""
    flat = {
        name: simple(
            np.full_like(c.optimal, c.optimal[c.reachable].mean())
            if name == "only_0"
            else c.optimal
        )
        for name, c in conditions.items()
        if name in NAMES
    }
    found = EXTINCTION.measure(
        staged(conditions, how, flat, extinguished(conditions, {}))
    )
    assert abs(found.values["arm"][0]) < 0.1
    assert found.values["arm/bid"][0] == pytest.approx(1.0)
    assert found.values["arm/return"][0] == pytest.approx(1.0)
    told = details(found, "arm")
    assert told["drop of the bid in only_0"] == pytest.approx(1.0)
    assert told["drop of the return in only_1"] == pytest.approx(0.0, abs=1e-6)


def test_a_bid_is_what_v_says_and_not_the_reward(conditions, how):
    """A step that pays without an end, added to the world, is no bid of V."""
    lower = extinguished(conditions, {"only_0": 0.5, "with_cue": 0.5})
    exact = extinguished(conditions, {})
    paying = {}
    for name, condition in conditions.items():
        reward = np.array(condition.table.reward)
        reward[..., 0] += 3.0
        table = condition.table._replace(reward=reward)
        paying[name] = condition._replace(table=table)
    seen = staged(conditions, how, lower, exact)
    # the best action under V* is asked of the world as it was
    before, after = (
        EXTINCTION._bid(
            seen._replace(conditions=world),
            "arm",
            "only_0",
            "extinction",
            np.ones((1, 24)),
        )
        for world in (conditions, paying)
    )
    assert before == pytest.approx(
        EXTINCTION._bid(seen, "arm", "only_0", "acquisition", np.ones((1, 24))) / 2
    )
    assert np.abs(after).max() < 1.0


def test_the_verdict_says_what_it_is_about(conditions, how):
    """A rule on V, with the bid and the return beside it; or a rule on the bid."""
    gone = extinguished(conditions, {"only_0": 0.0, "with_cue": 0.0})
    seen = staged(conditions, how, gone, gone)
    mlp = {phase: {**own, "mlp": own["arm"]} for phase, own in seen.stages.items()}
    seen = seen._replace(
        stages=mlp, readings={**seen.readings, "mlp": seen.readings["arm"]}
    )
    for pair, about in (
        (rules.Contrast("arm", "mlp"), "V"),
        (rules.Contrast("arm/bid", "mlp/bid"), "bid"),
        (rules.Contrast("arm/return", "mlp/return"), "return"),
    ):
        rule = rules.Rule(pair, "greater", 0.2)
        got = prediction.evaluate(asked(EXTINCTION, rule), seen)["P"]
        assert got.about == about
        assert {*got.beside} == {"bid", "return"}
        assert got.beside["bid"].estimate == 0.0
    assert measures.about(ABLATION, "arm") == "return"


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_shipped_rules_have_controls_that_can_fail(file):
    """Every one asks for V, has a random read-out, and has to beat film."""
    found = config.build(Experiment, config_files.read_yaml(file))
    assert found.max_value_error == 0.25
    for arm in found.arms.values():
        assert arm.trained or arm.readout == "random"
    for name, entry in found.predictions.items():
        pair = entry.rule.contrast
        (arm, slash, row), (other, *_) = (
            each.partition("/") for each in (pair.arm, pair.baseline)
        )
        # an arm beside itself, or beside V*, is no claim about gates; film has its own
        if other not in (arm, measures.EXACT, "film"):
            assert f"film{slash}{row}" in entry.rule.beats, name
            rival = {"routed": "per_source", "competing": "ensemble"}.get(arm, "film")
            assert f"{rival}{slash}{row}" in entry.rule.beats, name
        stages = measures.stages(entry.measure)
        zero = [c for c in entry.rule.controls if c.arm == "untrained"]
        assert not (stages and zero), name  # it is the same in every phase
        of_v_star = [c for c in entry.rule.controls if c.arm == "exact"]
        if entry.measure.kind == "selective_extinction":
            assert rules.Requirement("exact", at_least=0.99) in of_v_star
        elif stages:  # V* has its own number there, which a mistake would move
            assert of_v_star, name
