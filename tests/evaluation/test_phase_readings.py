"""What is asked of the ends of phases: by hand, and of a run that stopped there."""

import copy
import pathlib

import numpy as np
import pytest
import yaml

from shardsim import cli
from shardsim.agents import action_selection
from shardsim.core import config
from shardsim.evaluation import (
    battery,
    exact_policies,
    experiment,
    measures,
    phase_readings,
    results,
    state_readings,
)
from shardsim.storage import run_files
from shardsim.training import schedule
from shardsim_envs import ContextFruits
from tests.helpers.made_readings import details

ENV = ContextFruits(size=3, max_steps=8)
SHOWN = {
    "only_0": {"contexts_shown": ((0,),)},
    "only_1": {"contexts_shown": ((1,),)},
    "only_0_with_cue": {"contexts_shown": ((0,),), "cue_probability": 1.0},
}
MEASURE = {
    "kind": "selective_extinction",
    "before_phase": "earn",
    "after_phase": "lose",
}


def reading(value):
    """A one-part reading of V [N, L, S]."""
    value = np.asarray(value, np.float64)
    prior = np.zeros((*value.shape, 4))
    one, part = np.ones_like(value)[..., None], value[..., None]
    return state_readings.Reading(value, part, one, part, prior, np.zeros(1, int))


@pytest.fixture(scope="module")
def conditions():
    few = battery.EvaluationConfig(levels=4)
    return {
        name: battery.build(ENV, ContextFruits(size=3, **fields).params(), few, 0.9)
        for name, fields in SHOWN.items()
    }


def measured(conditions, whole, left, **changes):
    """S of seeds whose V is V* times `whole`, and times `left` of that afterwards."""
    measure = measures.SelectiveExtinction(**changes)

    def at(share):
        return {
            name: reading(np.array(share[name])[:, None, None] * condition.optimal)
            for name, condition in conditions.items()
        }

    full = dict.fromkeys(conditions, whole)
    after = {name: np.multiply(whole, left[name]) for name in conditions}
    kept = {"acquisition": {"arm": at(full)}, "extinction": {"arm": at(after)}}
    how = exact_policies.acting_rule(action_selection.Lookahead(), 0.9, ENV.max_steps)
    readings = {"arm": kept["extinction"]["arm"]}
    return measure.measure(measures.Evidence(ENV, conditions, readings, how, kept))


def test_by_hand(conditions):
    """Drops .5 and .1; nothing kept; V that rises; a drop too small to count."""
    left = {
        "only_0": [0.5, 0.0, 0.5, 0.95],
        "only_1": [0.9, 0.0, 1.2, 0.0],
        "only_0_with_cue": [0.5, 0.0, 0.9, 0.95],
    }
    found = measured(conditions, [2.0, 1.0, 0.5, 1.0], left)
    got = found.values
    np.testing.assert_allclose(got["arm"], [2 / 3, 0.0, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(
        got["arm/same_context"], [0.0, 0.0, 2 / 3, 0.0], atol=1e-6
    )
    np.testing.assert_allclose(got["arm/drop"], [0.5, 1.0, 0.5, 0.05], atol=1e-6)
    told = details(found, "arm")
    before, after = (
        told[f"mean V in only_1 after {phase}"]
        for phase in ("acquisition", "extinction")
    )
    shares = (2.0 * 0.9 + 0.0 + 0.5 * 1.2 + 0.0) / 4.5
    assert after / before == pytest.approx(shares, rel=1e-5)
    got = measured(conditions, [1.0] * 4, left, min_drop=0.0).values
    assert got["arm"][3] == pytest.approx((0.05 - 1) / 1.05)


def test_what_was_never_wanted_is_not_lost(conditions):
    left = {name: [0.0, 0.0] for name in conditions}
    got = measured(conditions, [0.0, -1.0], left).values
    assert got["arm"].tolist() == [0.0, 0.0]


def staged(tiny, **changes):
    """The tiny experiment with a phase in which nothing pays, and a look back."""
    data = copy.deepcopy(tiny)
    lose = {
        "env": {"contexts_shown": [[0]], "rewards": [[0, 0], [0, 1]]},
        "reset_envs": True,
    }
    learnt = data["train"]["phases"][-1]
    data["train"]["phases"].append({**learnt, **lose, "name": "lose", "updates": 6})
    data["evaluation"]["conditions"] = {
        "in_distribution": {},
        **{name: copy.deepcopy(fields) for name, fields in SHOWN.items()},
    }
    asked = data["predictions"]["VE"]
    control = {"arm": "exact", "at_least": 0.99}
    rule = {**asked["rule"], "direction": "greater", "controls": [control]}
    data["predictions"] = {"P13": {**asked, "measure": dict(MEASURE), "rule": rule}}
    data["min_return_phase"] = "earn"
    for path, new in changes.items():
        place, _, field = path.rpartition("__")
        inner = data
        for key in place.split("__") if place else []:
            inner = inner[int(key) if key.isdigit() else key]
        inner[field] = new
    return data


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("staged")
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(staged(tiny)))
    assert cli.main(["run", str(path), "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.mark.slow
def test_a_stage_is_the_run_that_ended_there(run, tiny_run):
    """`tiny_run` is the same experiment without the last phase."""
    read = run_files.read_arrays(run / "snapshots" / "mlp" / "0000013.npz")
    ended = run_files.read_arrays(tiny_run / "weights" / "mlp.npz")
    assert {name for name in ended if not name.startswith("aux")} == set(read)
    for name, array in read.items():
        np.testing.assert_array_equal(array, ended[name])
    mine, whole = (results.read_run(folder) for folder in (run, tiny_run))
    assert mine.min_return_phase == "earn"
    assert mine.phase_ends == {"look": 3, "earn": 13, "lose": 19}
    for arm, entry in mine.arms.items():
        assert entry.return_fraction == whole.arms[arm].return_fraction
        assert entry.value_error == whole.arms[arm].value_error
    text = (run / "report.html").read_text()
    assert "of the optimal return by the end of phase earn, less than" in text


def test_the_curves_say_where_a_phase_begins(run, tiny_run):
    """But for the first one of the heads, where they begin themselves."""
    mine, whole = ((f / "figures" / "curves.svg").read_text() for f in (run, tiny_run))
    assert ">lose<" in mine
    assert ">earn<" not in mine + whole


def test_what_a_run_says_of_its_stages(run):
    """V* of each phase's own rewards: gone in one context, kept in the other."""
    found = results.read_run(run).predictions["P13"]
    assert found.values["exact"] == (1.0,)
    assert found.values["exact/same_context"] == (0.0,)
    assert found.values["untrained"] == (0.0, 0.0)
    assert found.values["exact/drop"] == (1.0,)
    told = details(found, "exact")
    assert told["drop of V in only_0"] == 1.0
    assert told["drop of V in only_1"] == 0.0
    for phase in ("earn", "lose"):
        assert told[f"return in only_1 after {phase}"] == pytest.approx(1.0, abs=0.05)
    before, after = (told[f"mean V in only_1 after {p}"] for p in ("earn", "lose"))
    assert before == pytest.approx(after, abs=1e-6)
    assert before > 0.1


def test_how_far_apart_gates_are(conditions):
    """Parts that share a context by halves, and by 3/4 in the other: 1/4 apart. In a
    second seed each has its own; there alone V is kept."""

    def shared(first, level, optimal):
        made = reading(np.multiply.outer(level, np.ones_like(optimal)))
        gates = np.stack([first, 1 - np.asarray(first)], axis=-1)
        gates = np.broadcast_to(gates[:, None, None], (*made.value.shape, 2))
        return made._replace(gates=gates)

    whole, left = [1.0, 1.0], {"only_0": [0.0, 0.0], "only_1": [0.0, 1.0]}
    shares = {"only_0": [0.5, 1.0], "only_1": [0.75, 0.0]}
    before, after = (
        {
            name: shared(
                shares.get(name, [0.5, 1.0]), level.get(name, whole), c.optimal
            )
            for name, c in conditions.items()
        }
        for level in ({}, left)
    )
    kept = {"acquisition": {"arm": before}, "extinction": {"arm": after}}
    how = exact_policies.acting_rule(action_selection.Lookahead(), 0.9, ENV.max_steps)
    shown = measures.Evidence(ENV, conditions, {"arm": after}, how, kept)
    found = measures.SelectiveExtinction().measure(shown)
    np.testing.assert_allclose(found.values["arm/gate_distance"], [0.25, 1.0])
    told = details(found, "arm")
    assert told["distance of the gates of both conditions before it"] == 0.625
    assert told["seeds in which that distance is > 1/2"] == 0.5

    def both(name):
        return [
            told[f"{name}, in {seeds}"] for seeds in ("those seeds", "the other seeds")
        ]

    assert both("S") == pytest.approx([1.0, 0.0])
    assert both("V that is left in only_1") == pytest.approx([1.0, 0.0])
    whole = told["return in only_1 after extinction"]
    assert np.mean(both("return in only_1 after it")) == pytest.approx(whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"predictions__P13__measure__before_phase": "acquisition"},
            "predictions.P13.measure: got phase 'acquisition'; allowed: look, earn, l",
        ),
        (
            {
                "predictions__P13__measure__before_phase": "lose",
                "predictions__P13__measure__after_phase": "earn",
            },
            "predictions.P13.measure: got phases lose, earn; allowed: in the order of",
        ),
        (
            {"min_return_phase": "later"},
            "min_return_phase: got phase 'later'; allowed: look, earn",
        ),
        (
            {"predictions__P13__measure__retained": "only_2"},
            "predictions.P13.measure: got condition 'only_2'; allowed",
        ),
    ],
)
def test_what_is_not_there_is_refused(tiny, changes, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        config.build(experiment.Experiment, staged(tiny, **changes))


def test_no_arm_is_apart_before_the_last_phase_that_all_share(tiny):
    data = staged(tiny, min_return_phase="glance")
    look = data["train"]["phases"][0]
    data["train"]["phases"].insert(0, {**look, "name": "glance"})
    with pytest.raises(ValueError, match="got phase 'glance'; allowed: look, earn"):
        config.build(experiment.Experiment, data)
    data["min_return_phase"] = "look"
    found = config.build(experiment.Experiment, data)
    assert schedule.ends(found.train)["look"] == 6


def test_a_condition_has_to_suit_the_phase_it_is_read_in(tiny):
    """Both do by themselves; together good and bad would look the same."""
    data = staged(tiny, env={"kind": "reskin", "size": 4})
    data["train"]["phases"][-1]["env"] = {"good": [2, 2]}
    data["evaluation"]["conditions"] = {
        "in_distribution": {},
        **{name: {"bad": [1, n]} for n, name in enumerate(SHOWN)},
    }
    config.build(experiment.Experiment, data)
    data["evaluation"]["conditions"]["only_1"] = {"bad": [2, 2]}
    with pytest.raises(ValueError, match=r"conditions\.only_1 in phase 'lose': env"):
        config.build(experiment.Experiment, data)


def test_only_what_is_asked_for_is_read(tiny):
    found = config.build(experiment.Experiment, staged(tiny))
    names = ("only_0", "only_1", "only_0_with_cue")
    assert found.phases_to_read() == {
        "earn": (*names, "in_distribution"),
        "lose": names,
    }
    nothing = config.build(experiment.Experiment, copy.deepcopy(tiny))
    assert nothing.phases_to_read() == {}
    assert phase_readings.read(nothing, {}, {}, pathlib.Path("unread")) == {}
