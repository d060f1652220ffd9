"""Levels, shares of seeds, planted margins, further rivals, looks and the goal of V."""

import dataclasses
import json

import numpy as np
import pytest

from shardsim.core import config
from shardsim.core.statistics import crossed
from shardsim.evaluation import (
    judge,
    prediction,
    preregistration,
    results,
    rules,
    sentences,
)
from shardsim.reports.verdicts import sections
from tests.helpers import made_results

PAIR = rules.Contrast("sharded", "mlp")
RULE = rules.Rule(PAIR, "greater", 0.2)
NOISE = np.array([-0.03, 0.02, 0.01, -0.02, 0.03, 0.0, -0.01, 0.0])
SHARE = rules.ShareOfSeeds(at_least=0.5)


def one(rule=RULE, **rows):
    return judge.judge({"P": rows}, {"P": rule})["P"]


def with_levels(x, spread, seed=0, levels=32):
    """Numbers of seeds which other levels move, all of them alike."""
    move = np.random.default_rng(seed).normal(0, spread, (400, 1))
    return crossed.Sample(x, x + move, levels)


def test_levels_count_as_seeds_do():
    """Eight seeds agree; other levels would say another thing of all of them."""
    arm, still = (
        0.7 + NOISE,
        crossed.Sample(0.3 - NOISE, np.tile(0.3 - NOISE, (400, 1))),
    )
    sure = one(sharded=with_levels(arm, 0.01), mlp=still._replace(num_levels=32))
    assert (sure.verdict, sure.num_levels) == ("shard", 32)
    unsure = one(sharded=with_levels(arm, 0.3), mlp=still._replace(num_levels=32))
    assert unsure.verdict == "undecided"
    assert unsure.effect.estimate == sure.effect.estimate
    assert unsure.effect.high - unsure.effect.low > 1.0
    alone = one(sharded=arm, mlp=still.values)
    assert (alone.verdict, alone.num_levels) == ("shard", 0)
    entry = made_results.prediction(num_levels=32)
    assert sections.beside(entry) == "over seeds and 32 levels"
    assert sections.beside(made_results.prediction()) == "over seeds"


def family(rng, draws, effect, spread, aware):
    """Share of draws with a claim at the border, where any claim is false."""
    false = 0
    for _ in range(draws):
        level = rng.normal(0, spread)
        x = effect + level + rng.normal(0, 0.1, 8)
        sample = crossed.Sample(x)
        if aware:
            move = rng.normal(0, spread, (200, 1))
            sample = crossed.Sample(x, x + move, 32)
        got = one(
            sharded=sample, mlp=crossed.Sample(np.zeros(8), np.zeros((200, 8)), 32)
        )
        false += got.verdict != "undecided"
    return false / draws


def test_false_claims_are_rare_where_levels_are_sampled():
    """At the margin: a judge that knows seeds alone makes false claims."""
    draws = 80
    blind, aware = (
        family(np.random.default_rng(1), draws, 0.2, 0.15, knows)
        for knows in (False, True)
    )
    assert aware <= 0.05 + 2 * (0.05 * 0.95 / draws) ** 0.5
    assert blind > 0.2


@pytest.mark.parametrize(
    ("counts", "margin", "verdict"),
    [
        ((9, 0), 0.1, "shard"),
        ((0, 9), 0.1, "network"),
        ((0, 0), 0.2, "no difference"),
        ((9, 6), 0.1, "undecided"),
    ],
)
def test_shares_of_seeds(counts, margin, verdict):
    """All or nothing in 20 seeds: their mean is undecided, their share is not."""
    arms = [np.where(np.arange(20) < k, 0.95, 0.02) for k in counts]
    rule = dataclasses.replace(RULE, margin=margin, estimand=SHARE)
    got = one(rule, sharded=arms[0], mlp=arms[1])
    assert got.verdict == verdict
    assert got.effect.estimate == (counts[0] - counts[1]) / 20
    assert f"at least 0.5: sharded {counts[0]} of 20 (" in got.reason
    assert "Boschloo's p = " in got.reason
    if counts == (9, 0):
        assert one(sharded=arms[0], mlp=arms[1]).verdict == "undecided"
        less = dataclasses.replace(
            rule, direction="less", estimand=rules.ShareOfSeeds(at_most=0.5)
        )
        assert one(less, sharded=arms[0], mlp=arms[1]).verdict == "shard"
    json.dumps(config.to_dict(got), allow_nan=False)
    entry = made_results.prediction(rule=rule)
    assert entry.effect_unit == "share of seeds"
    assert made_results.prediction().effect_unit == "sd of V*"


def test_shares_of_seeds_with_a_nan_claim_nothing():
    rule = dataclasses.replace(RULE, estimand=SHARE)
    broken = np.ones(8)
    broken[2] = np.nan
    got = one(rule, sharded=broken, mlp=np.zeros(8))
    assert got.verdict == "undecided"
    assert "Arm sharded, seed 2 gave no number" in got.reason


def planted(share=0.25, **changes):
    return dataclasses.replace(
        rules.Rule(PAIR, "greater", positive_control="planted", share_of_planted=share),
        **changes,
    )


@pytest.mark.parametrize(
    ("arm", "verdict"),
    [(0.6, "shard"), (0.05, "no difference"), (-0.6, "network"), (0.25, "undecided")],
)
@pytest.mark.parametrize("direction", ["greater", "less"])
def test_a_margin_is_a_share_of_the_planted_effect(arm, verdict, direction):
    """The planted effect is 1, so a quarter of it is .25."""
    sign = 1 if direction == "greater" else -1
    rows = {"sharded": sign * arm + NOISE, "mlp": -NOISE, "planted": sign + 0 * NOISE}
    got = one(planted(direction=direction), **rows)
    assert got.verdict == verdict
    assert got.margin == pytest.approx(0.25, abs=0.01)
    assert got.margin_of_planted == 0.25
    assert "0.25 (25% of the planted effect)" in got.reason
    assert got.sensitivity.detected
    fixed = one(
        dataclasses.replace(
            planted(), direction=direction, share_of_planted=None, margin=0.25
        ),
        **rows,
    )
    assert fixed.margin_of_planted == pytest.approx(0.25, abs=0.01)
    assert "0.25 (25% of the planted effect)" in fixed.reason
    entry = made_results.prediction(margin=0.25, margin_of_planted=0.25)
    assert sections.margin(entry) == "0.25 (25% of the planted effect)"


def test_a_share_of_nothing_is_no_margin():
    for control in (NOISE, NOISE - 0.5):
        got = one(planted(), sharded=0.9 + NOISE, mlp=-NOISE, planted=control)
        assert got.verdict == "undecided"
        assert not got.sensitivity.detected
    assert "planted effect, which is not above 0" in got.reason


@pytest.mark.slow
def test_the_error_of_the_planted_effect_counts():
    """At the border any claim is false, however the planted effect is spread."""
    rng, draws, false = np.random.default_rng(5), 150, 0
    for _ in range(draws):
        control = 1.0 + rng.normal(0, 0.4, 8)
        arm = 0.5 + rng.normal(0, 0.05, 8)
        got = one(planted(0.5), sharded=arm, mlp=np.zeros(8), planted=control)
        false += got.verdict != "undecided"
    assert false / draws <= 0.05 + 2 * (0.05 * 0.95 / draws) ** 0.5


@pytest.mark.parametrize(("film", "verdict"), [(0.3, "shard"), (0.85, "undecided")])
def test_a_shard_verdict_beats_film_too(film, verdict):
    """What a head without shards does as well is no sign of shards."""
    rule = dataclasses.replace(RULE, beats=("film",), positive_control="planted")
    rows = {"sharded": 0.9 + NOISE, "mlp": 0.3 - NOISE, "planted": 1.0 + NOISE}
    got = one(rule, film=film + 0 * NOISE, **rows)
    assert got.verdict == verdict
    assert got.against["film"].estimate == pytest.approx(0.9 - film)
    assert "It has to beat film too: sharded less film is" in got.reason
    assert got.sensitivity.detected == (film == 0.3)
    without = one(dataclasses.replace(rule, beats=()), film=film + NOISE, **rows)
    assert (without.verdict, without.against) == ("shard", {})
    shares = dataclasses.replace(rule, estimand=SHARE)
    assert one(shares, film=film + 0 * NOISE, **rows).verdict == verdict


@pytest.mark.slow
def test_shards_that_do_as_well_as_film_are_rarely_claimed():
    """Far above mlp, and above film by the margin alone: any claim is false."""
    rule = dataclasses.replace(RULE, beats=("film",))
    rng, draws, false = np.random.default_rng(8), 150, [0, 0]
    for _ in range(draws):
        film = rng.normal(0.5, 0.1, 8)
        rows = {
            "sharded": film + 0.2 + rng.normal(0, 0.1, 8),
            "mlp": rng.normal(0, 0.1, 8),
            "film": film,
        }
        for index, one_rule in enumerate((rule, RULE)):
            false[index] += one(one_rule, **rows).verdict == "shard"
    assert false[0] / draws <= 0.05 + 2 * (0.05 * 0.95 / draws) ** 0.5
    assert false[1] / draws > 0.9


@pytest.mark.parametrize(
    ("far", "named"),
    [({"mlp"}, ("mlp",)), ({"film"}, ("film",)), ({"planted"}, ()), ((), ())],
)
def test_no_claim_stands_where_v_is_too_far(far, named):
    rule = dataclasses.replace(RULE, beats=("film",))
    rows = {"sharded": 0.9 + NOISE, "mlp": NOISE, "film": NOISE, "planted": NOISE}
    got = judge.judge(
        {"P": rows}, {"P": rule}, missed=judge.Missed(max_value_error=far)
    )["P"]
    assert got.verdict == "shard"
    assert got.arms_above_max_value_error == named
    assert got.is_valid == (not named)


def test_a_row_of_an_arm_misses_with_its_arm():
    rule = rules.Rule(rules.Contrast("sharded/drop", "mlp/drop"), "greater", 0.2)
    rows = {"sharded/drop": 0.9 + NOISE, "mlp/drop": NOISE}
    missed = judge.Missed(max_value_error={"mlp"})
    got = judge.judge({"P": rows}, {"P": rule}, missed=missed)["P"]
    assert not got.is_valid


def test_a_planned_look_spends_its_part_of_the_level():
    """p = .01 at 8 of 20 planned seeds is .01 * .05 / .00194 = .26: no claim yet."""
    x = {"mlp": np.zeros(8), "sharded": 0.27 + 0.07 * np.linspace(-1, 1, 8)}
    full = judge.judge({"P": x}, {"P": RULE})["P"]
    assert full.verdict == "shard"
    first, second = (
        preregistration.look_at((8, 20), (), 8),
        preregistration.look_at((8, 20), (8,), 20),
    )
    early = judge.judge({"P": x}, {"P": RULE}, look=first)["P"]
    assert early.p_value == pytest.approx(
        min(1, full.p_value * 0.05 / first.alpha), rel=1e-6
    )
    assert early.verdict == "undecided"
    assert (second.number, second.protected) == (2, True)
    late = judge.judge({"P": x}, {"P": RULE}, look=second)["P"]
    assert late.p_value == pytest.approx(full.p_value * 0.05 / 0.04806, rel=1e-3)


def test_a_look_that_was_not_planned_is_called_so():
    look = preregistration.look_at((), (8,), 20)
    assert (look.number, look.protected, look.alpha) == (2, False, 0.05)
    asked = results.Asked("before training")
    entry = made_results.prediction(verdict="shard", look=look, asked=asked)
    assert sections.verdict(entry) == "shard (second look, not protected)"
    assert preregistration.look_at((8, 20), (), 12).protected
    assert not preregistration.look_at((8, 20), (12,), 20).protected
    third = made_results.prediction(
        look=preregistration.look_at((8,), (8, 9, 10, 11, 12, 13), 20)
    )
    assert sections.look(third) == "look 7, not protected"
    assert not sections.look(made_results.prediction())


def test_the_report_says_what_a_look_spends():
    for look, sentence in (
        (results.Look(2, True, 0.0481), "8, 20 seeds; this one spends 0.0481 of the"),
        (results.Look(2, False), "8, 20 seeds; this one, at 3, is not among them or"),
    ):
        run = made_results.run(predictions={"P": made_results.prediction(look=look)})
        (line,) = sections._planned_looks(run, (8, 20))
        assert sentence in line
    assert sections._planned_looks(run, ()) == []


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.Rule(PAIR, "greater"), "margin: got None with share_of_planted"),
        (lambda: planted(margin=0.2), "margin: got 0.2 with share_of_planted 0.25"),
        (
            lambda: rules.Rule(PAIR, "greater", share_of_planted=0.25),
            "share_of_planted: got 0.25; allowed without a positive_control",
        ),
        (lambda: planted(1.0), "share_of_planted: got 1.0; allowed: "),
        (lambda: planted(estimand=SHARE), "margin: got None; allowed with estimand"),
        (
            lambda: dataclasses.replace(RULE, margin=1.5, estimand=SHARE),
            "margin: got 1.5; allowed with estimand 'share'",
        ),
        (
            lambda: dataclasses.replace(RULE, unitary=(0.0, 1.0), estimand=SHARE),
            "unitary: got",
        ),
        (lambda: rules.ShareOfSeeds(), "at_least: got nothing"),
        (lambda: rules.ShareOfSeeds(at_least=1.0, at_most=0.0), "at_least: got 1.0"),
        (lambda: dataclasses.replace(RULE, beats=("mlp",)), "beats: got 'mlp'"),
        (lambda: dataclasses.replace(RULE, beats=("a", "a")), "beats: got 'a'"),
        (
            lambda: dataclasses.replace(
                RULE, beats=("a",), seeds_where=rules.Requirement("a", at_least=0.0)
            ),
            "seeds_where: got 'a'",
        ),
        (
            lambda: prediction.Prediction(
                "?",
                rules.Expected("", "", ""),
                made_results.prediction().measure,
                dataclasses.replace(RULE, estimand=SHARE),
                unitary_margin=0.1,
            ),
            "unitary_margin: got 0.1; allowed with estimand 'share'",
        ),
    ],
)
def test_impossible_rules_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_margin_above_the_planted_effect_says_so():
    assert sentences.of_planted(0.25) == "25% of the planted effect"
    assert sentences.of_planted(158.4) == "more than the planted effect"
