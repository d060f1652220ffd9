"""Every measure gives its statistic on resamples of the levels, for all arms alike."""

import jax
import numpy as np
import pytest

from shardsim.agents import action_selection
from shardsim.core.statistics import crossed
from shardsim.evaluation import battery, exact_policies, measures
from shardsim.evaluation.measures import base, two_goals
from tests.evaluation.test_measures import SHOWN, world
from tests.helpers.made_readings import DISCOUNT, ENV, evidence, simple, split

LEVELS = 24
NOISY = np.random.default_rng(0)


@pytest.fixture(scope="module")
def conditions():
    config = battery.EvaluationConfig(levels=LEVELS)
    return {name: battery.build(ENV, world(name), config, DISCOUNT) for name in SHOWN}


@pytest.fixture(scope="module")
def how():
    return exact_policies.acting_rule(
        action_selection.Lookahead(), DISCOUNT, ENV.max_steps
    )


def test_bits_of_a_mean_depend_on_no_seed_or_row_beside_it():
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(20, 33, 9)), rng.random((33, 9)) < 0.8
    weights = np.vstack([np.ones(33), rng.multinomial(33, np.full(33, 1 / 33), 100)])
    whole = base.level_mean(x, mask, weights)
    for seeds in (1, 2, 3, 7):
        for rows in (1, 2, 5, 101):
            part = base.level_mean(x[:seeds], mask, weights[:rows])
            np.testing.assert_array_equal(part, whole[:rows, :seeds])


def noisy(condition, seeds=3):
    """A V that is wrong in another way in every seed and level, of two shards."""
    owner = condition.context.argmax(axis=-1)
    parts = []
    for _ in range(seeds):
        error = NOISY.normal(0, 0.2, condition.optimal.shape)
        parts.append(split(condition.optimal + error, owner, 2))
    first = parts[0]
    leaves = [
        np.concatenate(leaf) for leaf in zip(*(p[:5] for p in parts), strict=True)
    ]
    return type(first)(*leaves, first.unit_shard)


def faded(conditions):
    """V after an extinction: a third of it in one condition, most of it elsewhere."""
    kept = {name: 0.3 if name == "only_0" else 0.8 for name in conditions}
    made = {name: noisy(c) for name, c in conditions.items()}
    return {n: r._replace(value=kept[n] * r.value) for n, r in made.items()}


def one_by_one(conditions, which):
    """The same conditions, with the levels of a resample one by one."""
    table = {}
    for name, c in conditions.items():
        pick = {
            field: getattr(c, field)[which]
            for field in ("optimal", "best", "reachable", "context")
        }
        levels = jax.tree.map(lambda leaf: np.asarray(leaf)[which], c.levels)
        rows = jax.tree.map(lambda leaf: np.asarray(leaf)[which], c.table)
        table[name] = c._replace(**pick, levels=levels, table=rows)
    return table


def picked(reading, which):
    return type(reading)(*(x[:, which] for x in reading[:5]), reading.unit_shard)


@pytest.mark.parametrize(
    "measure",
    [
        measures.CueEffect(),
        measures.Conflict(),
        measures.AgreementShift(),
        measures.ValueAccuracy(),
        measures.SelectiveExtinction(),
    ],
    ids=lambda measure: measure.kind,
)
def test_a_resample_is_a_battery_of_its_levels(conditions, how, measure):
    """Weights say what a battery with the levels of the resample would have said."""
    arms = {a: {n: noisy(c) for n, c in conditions.items()} for a in ("a", "b")}
    asked = evidence({**conditions, "only_0_with_cue": conditions["only_0"]}, how, arms)
    stages = {
        phase: {a: {**r, "only_0_with_cue": r["only_0"]} for a, r in got.items()}
        for phase, got in (
            ("acquisition", asked.readings),
            ("extinction", {a: faded(conditions) for a in asked.readings}),
        )
    }
    asked = asked._replace(stages=stages)
    found = measure.measure(asked)
    assert found.num_levels == LEVELS
    weights = crossed.level_weights(np.zeros(LEVELS))
    for draw in (0, 17):
        which = np.repeat(np.arange(LEVELS), weights[1 + draw].astype(int))
        again = measure.measure(
            asked._replace(
                conditions=one_by_one(asked.conditions, which),
                readings={
                    a: {n: picked(r, which) for n, r in own.items()}
                    for a, own in asked.readings.items()
                },
                stages={
                    phase: {
                        a: {n: picked(r, which) for n, r in own.items()}
                        for a, own in got.items()
                    }
                    for phase, got in stages.items()
                },
            )
        )
        assert set(found.by_levels) == set(found.values)
        for row in ("a", "b", "exact"):
            np.testing.assert_allclose(
                found.by_levels[row][draw], again.values[row], rtol=1e-6, atol=1e-7
            )
        assert not np.allclose(found.by_levels["a"][draw], found.values["a"])


def test_an_ablation_is_chosen_and_measured_anew(conditions, how):
    """Levels of each context stay in their half, so no resample lacks a context."""
    arms = {"a": {"in_distribution": noisy(conditions["in_distribution"])}}
    found = measures.SelectiveAblation(num_groups=2).measure(
        evidence(conditions, how, arms)
    )
    drawn = found.by_levels["a"]
    assert np.isfinite(drawn).all()
    assert drawn.shape == (crossed.LEVEL_RESAMPLES, 3)
    sample = found.sample("a")
    wide, narrow = (
        crossed.mean_interval(one) for one in (sample, crossed.Sample(sample.values))
    )
    assert wide.estimate == narrow.estimate


def test_a_brief_measure_says_the_same_of_the_arms(conditions, how):
    """At a snapshot: no reference rows, no resamples, the same numbers."""
    arms = {"a": {"in_distribution": noisy(conditions["in_distribution"])}}
    asked = evidence(conditions, how, arms)
    measure = measures.SelectiveAblation(num_groups=2)
    whole = measure.measure(asked)
    brief = measure.measure(asked._replace(brief=True, level_resamples=0))
    assert set(brief.values) == {"a", "exact"}
    np.testing.assert_array_equal(brief.values["a"], whole.values["a"])
    assert brief.by_levels["a"].shape == (0, 3)


def test_a_regression_of_weighted_squares_is_that_of_repeated_squares():
    """Three squares twice, one not at all: normal equations against lstsq."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(12, 4)), rng.normal(size=(2, 12))
    weights = np.ones((2, 12))
    weights[1, :4] = 2.0, 2.0, 2.0, 0.0
    slopes = two_goals._coefficients(y, x, weights)
    for row, times in enumerate(weights.astype(int)):
        which = np.repeat(np.arange(12), times)
        design = (x[which] - x[which].mean(0)) / x[which].std(0)
        for seed in range(2):
            target = y[seed, which]
            target = (target - target.mean()) / target.std()
            expected, *_ = np.linalg.lstsq(design, target, rcond=None)
            np.testing.assert_allclose(slopes[row, seed], expected, rtol=1e-8)


def test_what_all_levels_say_alike_has_no_error_of_levels(conditions, how):
    """V is off by one number everywhere: other levels say the same of the cue."""
    made = {n: simple(np.full_like(c.optimal, 0.5)) for n, c in conditions.items()}
    found = measures.AgreementShift().measure(evidence(conditions, how, {"a": made}))
    assert np.ptp(found.by_levels["a"]) < 0.5
