"""Each verdict is reached by a planted case, and false claims are rare."""

import json

import numpy as np
import pytest

from shardsim.core import config
from shardsim.evaluation import judge, rules

RULE = rules.Rule(rules.Contrast("sharded", "mlp"), "greater", 0.2)
NOISE = np.array([-0.03, 0.02, 0.01, -0.02, 0.03, 0.0, -0.01, 0.0])


def one(sharded, mlp, rule=RULE, **arms):
    values = {"P": {"sharded": sharded + NOISE, "mlp": mlp - NOISE, **arms}}
    return judge.judge(values, {"P": rule})["P"]


@pytest.mark.parametrize(
    ("sharded", "mlp", "changes", "verdict"),
    [
        (0.9, 0.3, {}, "shard"),
        (0.3, 0.9, {}, "network"),
        (0.9, 0.3, {"direction": "less"}, "network"),
        (0.3, 0.9, {"direction": "less"}, "shard"),
        (0.5, 0.5, {}, "no difference"),
        (0.5, 0.5, {"unitary": (0.4, 0.6)}, "unitary"),
        (0.5, 0.5, {"unitary": (0.8, 1.0)}, "no difference"),
        (0.7, 0.5, {}, "undecided"),
    ],
)
def test_each_verdict_is_reached(sharded, mlp, changes, verdict):
    rule = rules.Rule(
        RULE.contrast,
        changes.get("direction", "greater"),
        0.2,
        changes.get("unitary"),
    )
    got = one(sharded, mlp, rule)
    assert got.verdict == verdict
    assert got.is_valid
    assert got.effect.estimate == pytest.approx(sharded - mlp)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "draws"),
    [
        (3, 60),
        (8, 60),
        *(pytest.param(n, 200, marks=pytest.mark.long) for n in (2, 3, 5, 8, 20)),
    ],
)
def test_false_claims_are_rare_over_the_family(n, draws):
    """At a margin's edge and in the middle, any claim of another region is false."""
    rng = np.random.default_rng(n)
    rules = {f"P{i}": RULE for i in range(4)}
    false = {0.2: 0, 0.0: 0}
    for effect in false:
        for _ in range(draws):
            values = {}
            for name in rules:
                base = rng.normal(size=n)
                noise = rng.normal(0, 0.1, n)
                values[name] = {"mlp": base, "sharded": base + effect + noise}
            verdicts = {j.verdict for j in judge.judge(values, rules).values()}
            # exactly the margin: neither beyond it nor within it
            true = {"undecided"} if effect else {"undecided", "no difference"}
            false[effect] += not verdicts <= true
    # 5 %, and two standard errors
    assert max(false.values()) / draws <= 0.05 + 2 * (0.05 * 0.95 / draws) ** 0.5


def test_three_seeds_can_decide():
    """A mean far beyond the margin, next to its spread."""
    x = {"mlp": np.zeros(3), "sharded": np.array([0.7, 0.73, 0.75])}
    verdict = judge.judge({"P": x}, {"P": RULE})["P"]
    assert (verdict.verdict, verdict.p_value < 0.005) == ("shard", True)


def test_holm_makes_the_same_data_harder_to_claim_in_a_family():
    rng = np.random.default_rng(1)
    x = {"mlp": np.zeros(8), "sharded": 0.27 + 0.07 * rng.normal(size=8)}
    alone = judge.judge({"P": x}, {"P": RULE})["P"]
    noise = {"mlp": np.zeros(8), "sharded": 0.2 + rng.normal(size=8)}
    values = {"P": x, **{f"Q{i}": noise for i in range(6)}}
    among = judge.judge(values, dict.fromkeys(values, RULE))["P"]
    assert among.p_value > alone.p_value


@pytest.mark.parametrize(
    ("control", "level", "passed"),
    [
        (rules.Requirement("planted", at_least=0.6), 0.9, "passed"),
        (rules.Requirement("planted", at_least=0.6), 0.1, "failed"),
        (rules.Requirement("planted", at_least=0.6), 0.6, "undecided"),
        (rules.Requirement("planted", at_most=0.6), 0.1, "passed"),
        (rules.Requirement("planted", baseline="mlp", at_least=0.2), 0.9, "passed"),
        (rules.Requirement("planted", baseline="mlp", at_least=0.2), 0.5, "failed"),
    ],
)
def test_controls(control, level, passed):
    rule = rules.Rule(RULE.contrast, "greater", 0.2, controls=(control,))
    got = one(0.9, 0.5, rule, planted=level + NOISE)
    assert got.controls[0].passed == passed
    assert got.is_valid == (passed == "passed")
    assert passed in got.controls[0].sentence


def test_a_control_with_one_exact_number():
    rule = rules.Rule(
        RULE.contrast,
        "greater",
        0.2,
        controls=(rules.Requirement("exact", at_most=0.0),),
    )
    assert one(0.9, 0.5, rule, exact=np.array([-0.1])).is_valid
    assert not one(0.9, 0.5, rule, exact=np.array([0.1])).is_valid


def test_one_seed_passes_no_control():
    """One training seed is no exact value: it has no interval, and shows nothing."""
    rule = rules.Rule(
        RULE.contrast,
        "greater",
        0.2,
        controls=(rules.Requirement("planted", at_least=0),),
    )
    alone = {arm: np.ones(1) for arm in ("sharded", "mlp", "planted")}
    got = judge.judge({"P": alone}, {"P": rule})["P"]
    assert got.controls[0].passed == "undecided"
    assert not got.is_valid
    told = "planted is +1.000 (one seed has no interval); it must be at least 0"
    assert got.controls[0].sentence == f"{told}: undecided."
    assert "nan" not in got.reason


def test_seeds_that_are_all_alike_are_told_so():
    """An interval of no width is no certainty: few seeds may do another thing."""
    alike = {"sharded": np.full(8, 0.5), "mlp": np.full(8, 0.5)}
    got = judge.judge({"P": alike}, {"P": RULE})["P"]
    assert got.verdict == "no difference"
    assert (
        "sharded less mlp is +0.000 in each of 8 seeds (what fewer than 31% of seeds "
        "do may go unseen), within the margin" in got.reason
    )


def test_an_exact_number_is_told_without_an_interval():
    control = rules.Requirement("exact", at_most=0.0)
    rule = rules.Rule(RULE.contrast, "greater", 0.2, controls=(control,))
    got = one(0.9, 0.5, rule, exact=np.array([-0.1]))
    assert got.controls[0].sentence == (
        "exact is -0.100; it must be at most 0: passed."
    )


@pytest.mark.parametrize(("made", "seen"), [(0.9, True), (0.5, False), (0.1, False)])
def test_whether_shards_that_are_there_would_be_seen(made, seen):
    rule = rules.Rule(RULE.contrast, "greater", 0.2, positive_control="planted")
    got = one(0.5, 0.5, rule, planted=made + NOISE)
    assert got.verdict == "no difference"
    assert got.sensitivity.detected == seen
    assert got.sensitivity.effect.estimate == pytest.approx(made - 0.5)
    assert ("the test detects" in got.sensitivity.sentence) == seen
    assert ("cannot count against" in got.sensitivity.sentence) != seen
    assert got.is_valid  # it says what the contrast is worth, and takes no claim
    assert one(0.5, 0.5).sensitivity is None


def among(bounds, **fields):
    return rules.Rule(RULE.contrast, "greater", 0.2, seeds_where=bounds, **fields)


APART = np.array([0.9, 0.1, 0.5, 0.2, 0.8, 0.0, 0.7, 0.49])
FAR = [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("bounds", "seeds", "verdict"),
    [
        (rules.Requirement("sharded/apart", at_least=0.5), FAR, "shard"),
        (
            rules.Requirement("sharded/apart", at_most=0.499),
            [1, 3, 5, 7],
            "no difference",
        ),
        (rules.Requirement("sharded/apart", "film", 0.7), [0, 4], "undecided"),
        (rules.Requirement("sharded/apart", at_least=0.85), [0], "undecided"),
        (rules.Requirement("sharded/apart", at_least=2.0), [], "undecided"),
    ],
)
def test_a_rule_about_some_seeds(bounds, seeds, verdict):
    """Half of the seeds keep what they want; what they are told by is known before."""
    kept = np.where(APART >= 0.5, 0.9, 0.3) + NOISE
    row = {"sharded/apart": APART, "film": np.full(8, 0.1)}
    values = {"sharded": kept, "mlp": 0.3 - NOISE, "planted": 0.9 + NOISE, **row}
    control = rules.Requirement("planted", at_least=0.6)
    asked = among(bounds, controls=(control,), positive_control="planted")
    got = judge.judge({"P": values}, {"P": asked})["P"]
    assert got.judged_seeds == tuple(seeds)
    assert got.verdict == verdict
    alone = {arm: x[seeds] for arm, x in values.items()}
    assert f"In {len(seeds)} of 8 seeds, where sharded/apart" in got.reason
    assert got.effect.num_seeds == got.controls[0].interval.num_seeds == len(seeds)
    if seeds:
        one_family = judge.judge({"P": alone}, {"P": RULE})["P"]
        np.testing.assert_equal(got.effect, one_family.effect)
        assert got.p_value == one_family.p_value
        assert got.sensitivity.effect.estimate == pytest.approx(
            0.6 + 2 * NOISE[seeds].mean()
        )
    else:
        assert "no number, because no seed is judged" in got.reason
    assert got.controls[0].passed == ("passed" if len(seeds) > 2 else "undecided")
    json.dumps(config.to_dict(got), allow_nan=False)


def test_of_all_seeds_neither_is_seen():
    """The mean hides what half of the seeds do; and a NaN is named by its own seed."""
    kept = np.where(APART >= 0.5, 0.9, 0.3) + NOISE
    values = {"sharded": kept, "mlp": 0.3 - NOISE, "sharded/apart": APART}
    assert judge.judge({"P": values}, {"P": RULE})["P"].verdict == "undecided"
    kept[4] = np.nan
    asked = among(rules.Requirement("sharded/apart", at_least=0.5))
    got = judge.judge({"P": values}, {"P": asked})["P"]
    assert "Arm sharded, seed 4 gave no number" in got.reason
    lost = {**values, "sharded/apart": np.where(NOISE == 0.03, np.nan, APART)}
    assert "Arm sharded, seed 4" in judge.judge({"P": lost}, {"P": asked})["P"].reason
    far = among(rules.Requirement("sharded/apart", at_most=0.49))
    assert judge.judge({"P": values}, {"P": far})["P"].verdict == "no difference"


def test_an_exact_number_is_no_seed():
    """V* is one and stays, whichever seeds are judged."""
    asked = among(
        rules.Requirement("sharded/apart", at_least=0.5),
        controls=(rules.Requirement("exact", at_least=1.0),),
    )
    row = {"sharded/apart": APART, "exact": np.ones(1), "exact/apart": np.zeros(1)}
    assert one(0.9, 0.5, asked, **row).is_valid


def test_no_claim_of_an_arm_that_learnt_nothing_stands():
    values = {"P": {"sharded": NOISE, "mlp": -NOISE, "film": NOISE}}
    for missed, unlearnt in (({"film"}, ()), ({"mlp", "film"}, ("mlp",)), ((), ())):
        got = judge.judge(values, {"P": RULE}, missed=judge.Missed(missed))["P"]
        assert (got.verdict, got.arms_below_min_return) == ("no difference", unlearnt)
        assert got.is_valid == (not unlearnt)


def test_a_control_without_a_number_says_so():
    control = rules.Requirement("planted", at_least=0)
    rule = rules.Rule(RULE.contrast, "greater", 0.2, None, (control,), "planted")
    got = one(0.9, 0.5, rule, planted=np.where(NOISE == 0, np.nan, 1.0))
    for sentence in (got.controls[0].sentence, got.sensitivity.sentence):
        assert "no number in some seed" in sentence
        assert "nan" not in sentence


def test_a_nan_is_named_and_nothing_is_claimed():
    broken = 0.9 + NOISE
    broken[3] = np.nan
    values = {"P": {"sharded": broken, "mlp": NOISE}}
    got = judge.judge(values, {"P": RULE})["P"]
    assert got.verdict == "undecided"
    assert "Arm sharded, seed 3" in got.reason
    json.dumps(config.to_dict(got), allow_nan=False)


def test_an_arm_that_is_missing_is_named():
    with pytest.raises(ValueError, match="P: got no values of arm 'mlp'"):
        judge.judge({"P": {"sharded": NOISE}}, {"P": RULE})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.Rule(RULE.contrast, "greater", 0.0), "margin: got 0.0"),
        (lambda: rules.Requirement("a"), "at_least: got nothing"),
        (
            lambda: rules.Requirement("a", "a", 0.0),
            "baseline: got 'a'; allowed: another",
        ),
        (lambda: rules.Contrast("a", "a"), "baseline: got 'a'; allowed: another"),
        (
            lambda: rules.Rule(RULE.contrast, "less", 0.1, positive_control="mlp"),
            "positive_control: got 'mlp'; allowed: an arm that is not contrasted",
        ),
        (
            lambda: rules.Rule(
                RULE.contrast,
                "less",
                0.1,
                None,
                (rules.Requirement("a", None, 0.0),) * 2,
            ),
            "controls: got one twice",
        ),
        (
            lambda: rules.Requirement("a", at_least=1.0, at_most=0.0),
            "at_least: got 1.0",
        ),
        (
            lambda: rules.Rule(RULE.contrast, "less", 0.1, (1.0, 0.0)),
            "unitary: got",
        ),
        (
            lambda: among(rules.Requirement("mlp", at_least=0.5)),
            "seeds_where: got 'mlp'; allowed: a row that is not contrasted",
        ),
        (
            lambda: among(rules.Requirement("film", "sharded", at_least=0.5)),
            "seeds_where: got 'film less sharded'; allowed: a row that is not "
            "contrasted",
        ),
        (
            lambda: among(
                rules.Requirement("film", at_least=0.5), positive_control="film"
            ),
            "seeds_where: got 'film'; allowed: a row that is not contrasted",
        ),
    ],
)
def test_impossible_rules_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_omnibus_names_its_pairs():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 4))
    features = {"sharded": x + 2, "mlp": x, "film": x}
    pairs = (rules.Contrast("sharded", "mlp"), rules.Contrast("film", "mlp"))
    first, second = judge.omnibus(features, pairs)
    assert (first.arm, first.baseline) == ("sharded", "mlp")
    assert first.p_value < 0.05
    assert second.p_value == 1.0
