"""Gates and verdicts on losses that are written down."""

import numpy as np
import pytest

from shardsim.contest import verdicts
from shardsim.contest.evidence import AgentEvidence, Evidence
from shardsim.contest.scores import Scores
from shardsim.contest.verdicts import Judged, Judging
from tests.contest import synthetic

KINDS = ("shards", "network", "utility", "film", "latent_preferences", "constant")
SEEDS, LEVELS = 8, 6


def judged(extra, condition_extra=None, words=(("A",), ("B",))):
    """Losses of 1 plus what each kind loses more, with noise of seeds and levels.

    Args:
      extra: by kind.
      condition_extra: by kind and condition, in the place of `extra`.
    """
    rng = np.random.default_rng(0)
    histories = [synthetic.history(*word) for word in words]
    agents = tuple(
        AgentEvidence("mlp", history, seed, {})
        for history in histories
        for seed in range(SEEDS)
    )
    conditions = ("both", "conflict")
    common = 1 + 0.1 * rng.standard_normal((len(agents), 2, LEVELS))
    loss = {}
    for kind in KINDS:
        own = np.array(
            [
                (condition_extra or {}).get((kind, c), extra.get(kind, 0.0))
                for c in conditions
            ]
        )
        noise = 0.002 * rng.standard_normal(common.shape)
        loss[kind] = common + noise + own[None, :, None]
    return Judged(Scores(agents, conditions, loss, {}), {kind: kind for kind in KINDS})


@pytest.fixture(scope="module")
def everything():
    given = {
        "both": synthetic.situations(LEVELS, ((1, 0), (0, 1))),
        "conflict": synthetic.situations(LEVELS, ((1, 1),)),
    }
    return Evidence(given, ())


def answers(everything, one, held_out=("A",), conditions=("conflict",)):
    return verdicts.verdicts(Judging(), {"mlp": one}, everything, held_out, conditions)


def test_shards_win_where_rivals_lose_more_than_the_margin(everything):
    lost = {"network": 0.1, "utility": 0.2, "film": 0.05, "latent_preferences": 0.06}
    found = answers(everything, judged(lost))
    for name in ("NN - SHARD", "LPG - SHARD", "UNI - SHARD", "FILM - SHARD", "P5"):
        assert found[name].verdict == "SHARD", name
    assert found["NN - SHARD"].effect.estimate == pytest.approx(0.1, abs=0.005)
    assert found["P5"].effect.estimate == pytest.approx(0.2, abs=0.005)
    assert found["P12"].verdict == "SHARD"
    assert found["P12"].against["FILM"].estimate == pytest.approx(0.05, abs=0.005)
    assert "NN loses +0.1" in found["NN - SHARD"].sentence


def test_rivals_win_and_ties_are_no_difference(everything):
    found = answers(everything, judged({"network": -0.1, "utility": 0.005}))
    assert found["NN - SHARD"].verdict == "NN"
    assert found["UNI - SHARD"].verdict == "no difference"
    assert found["FILM - SHARD"].verdict == "no difference"


def test_a_conflict_is_judged_where_contexts_conflict_alone(everything):
    extra = {("network", "conflict"): 0.1, ("utility", "conflict"): 0.1}
    found = answers(everything, judged({}, extra))
    assert found["P12"].verdict == "undecided", "FILM is not beaten"
    with_film = {**extra, ("film", "conflict"): 0.1}
    found = answers(everything, judged({}, with_film))
    assert found["P12"].verdict == "SHARD"
    assert found["P5"].verdict == "no difference", "it leaves the conflict out"


def test_what_a_contest_lacks_is_not_asked(everything):
    one = judged({})
    del one.champions["network"]
    found = answers(everything, one, held_out=())
    assert found["NN - SHARD"].verdict == "not asked"
    assert found["NN - SHARD"].effect is None
    assert "nobody forecasts as NN" in found["NN - SHARD"].sentence
    for name in ("P5", "P13", "P15"):
        assert found[name].verdict == "not asked", name
    calm = Evidence(
        {"both": everything.situations["both"]}
        | {"conflict": everything.situations["both"]},
        (),
    )
    assert answers(calm, judged({}))["P12"].verdict == "not asked"


def test_a_trend_is_a_slope_by_doubling(everything):
    """The advantage is .1, .15 and .2 at widths 16, 64 and 256: .025 a doubling."""
    config = Judging(trend={"mlp": 16, "wide": 64, "wider": 256})
    by_arm = {
        "mlp": judged({"utility": 0.1}),
        "wide": judged({"utility": 0.15}),
        "wider": judged({"utility": 0.2}),
    }
    found = verdicts.verdicts(config, by_arm, everything, (), ("conflict",))["P25"]
    assert found.effect.estimate == pytest.approx(0.025, abs=1e-3)
    assert found.verdict == "it grows"
    flat = {name: judged({"utility": 0.1}) for name in by_arm}
    found = verdicts.verdicts(config, flat, everything, (), ("conflict",))["P25"]
    assert found.verdict == "no difference"
    assert answers(everything, judged({}))["P25"].verdict == "not asked"
    with pytest.raises(ValueError, match="two and more different numbers"):
        Judging(trend={"mlp": 16, "wide": 16})


def test_gates_pass_where_the_right_forecaster_wins():
    config = Judging()
    good = {
        "oracle_gated": judged({"network": 0.05, "utility": 0.1}),
        "exact": judged({"shards": 0.05, "network": 0.05}),
        "random": judged({"constant": 0.1}),
    }
    found = verdicts.gates(config, good)
    assert {gate.passed for gate in found.values()} == {"passed"}
    assert "SHARD beats NN and UNI" in found["gated"].sentence


@pytest.mark.parametrize(
    ("gate", "arm", "lost"),
    [
        ("gated", "oracle_gated", {"network": -0.05, "utility": 0.1}),
        ("exact", "exact", {"utility": 0.05}),
        ("random", "random", {"constant": 0.1, "network": 0.1}),
    ],
)
def test_gates_fail_where_another_forecaster_wins(gate, arm, lost):
    assert verdicts.gates(Judging(), {arm: judged(lost)})[gate].passed == "failed"


def test_gates_without_agents_do_not_pass():
    found = verdicts.gates(Judging(), {})
    assert {gate.passed for gate in found.values()} == {"undecided"}
    assert "has no such agents" in found["exact"].sentence
