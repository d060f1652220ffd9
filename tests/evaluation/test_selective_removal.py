"""Edits of growing capacity: what is planted is removed alone, and chance is chance."""

import dataclasses

import numpy as np
import pytest

from shardsim.agents import action_selection
from shardsim.evaluation import battery, exact_policies, measures
from tests.evaluation.test_measures import world
from tests.helpers.made_readings import DISCOUNT, ENV, evidence, split

LINEAR = measures.SelectiveRemoval()
RANKED = measures.SelectiveRemoval(family="ranked", capacities=(2, 4, 8))


@pytest.fixture(scope="module")
def conditions():
    few = battery.EvaluationConfig(levels=64)
    made = battery.build(ENV, world("in_distribution"), few, DISCOUNT)
    return {"in_distribution": made}


@pytest.fixture(scope="module")
def how():
    return exact_policies.acting_rule(
        action_selection.Lookahead(), DISCOUNT, ENV.max_steps
    )


def with_features(reading, condition, seed=0):
    """The reading with features that hold V and the context, mixed at random."""
    rng = np.random.default_rng(seed)
    context = condition.context.argmax(axis=-1).astype(float)
    board = np.stack([condition.optimal, context, condition.optimal * context], -1)
    mixed = board @ rng.normal(size=(3, 12))
    return reading._replace(features=mixed[None])


def by_context(condition, units=4):
    """Units at work in one context each, some of each."""
    made = split(condition.optimal, condition.context.argmax(axis=-1), 2)
    many = np.repeat(made.units / units, units, axis=-1)
    return made._replace(units=many, unit_shard=np.zeros(2 * units, int))


def dense(condition, units=8):
    """Units that are at work in every context, which say V together."""
    made = by_context(condition)
    shares = np.random.default_rng(1).dirichlet(np.ones(units))
    many = made.value[..., None] * shares
    return made._replace(units=many)


def measured(conditions, how, measure, **arms):
    condition = conditions["in_distribution"]
    own = {
        arm: {"in_distribution": with_features(reading, condition)}
        for arm, reading in arms.items()
    }
    return measure.measure(evidence(conditions, how, own))


@pytest.mark.parametrize("measure", [LINEAR, RANKED], ids=("linear", "ranked"))
def test_units_of_one_context_are_removed_alone(conditions, how, measure):
    condition = conditions["in_distribution"]
    found = measured(
        conditions, how, measure, apart=by_context(condition), dense=dense(condition)
    )
    values = found.values
    # all that V gives: without it the agent walks at random
    condition_of = conditions["in_distribution"]
    without, whole = (
        exact_policies.expected_return(
            exact_policies.policy(
                v[None], np.zeros((*v.shape, 4))[None], condition_of, how
            ),
            condition_of,
            how.discount,
            how.max_steps,
        )[0, 1::2].mean()
        for v in (0 * condition.optimal, condition.optimal)
    )
    best = max(
        d.value for d in found.details if d.arm == "apart" and d.name.endswith("own")
    )
    assert best == pytest.approx(1 - without / whole, abs=0.1)
    assert values["apart/own"][0] > values["dense/own"][0] + 0.15
    assert abs(values["dense/own"][0]) < 0.1
    np.testing.assert_allclose(
        values["apart"], values["apart/own"] - values["apart/random"]
    )
    assert values["apart/shuffled"][0] < 0.25
    assert set(found.by_levels) == set(values)


def test_shuffled_contexts_pick_the_right_shard_as_often_as_the_wrong_one(
    conditions, how
):
    """Two whole shards: one order takes all or puts it on the other context."""
    condition = conditions["in_distribution"]
    made = split(condition.optimal, condition.context.argmax(axis=-1), 2)
    half = measures.SelectiveRemoval(family="ranked", capacities=(4,))
    values = measured(conditions, how, half, arm=made).values
    assert values["arm/own"][0] > 0.4
    assert abs(values["arm/shuffled"][0]) < 0.6 * values["arm/own"][0]


def test_taking_everything_is_not_selective(conditions, how):
    """All units of a ranked edit: every context loses all, so S is 0."""
    condition = conditions["in_distribution"]
    whole = measures.SelectiveRemoval(family="ranked", capacities=(8,))
    found = measured(conditions, how, whole, arm=by_context(condition))
    assert found.values["arm/own"][0] == pytest.approx(0.0, abs=1e-6)
    assert found.values["arm"][0] == pytest.approx(0.0, abs=1e-6)


def test_a_small_drop_counts(conditions, how):
    """No floor: S grows with the share of V that an edit can take."""
    condition = conditions["in_distribution"]
    made = by_context(condition)
    half = measures.SelectiveRemoval(family="ranked", capacities=(1,))
    some = measured(conditions, how, half, arm=made).values["arm/own"][0]
    assert 0.0 < some < 0.9


def test_no_number_where_there_is_nothing(conditions, how):
    condition = conditions["in_distribution"]
    table = condition.table._replace(reward=0 * np.asarray(condition.table.reward))
    poor = {"in_distribution": condition._replace(table=table)}
    found = measured(poor, how, LINEAR, arm=by_context(condition))
    assert np.isnan(found.values["arm"]).all()
    few = battery.EvaluationConfig(levels=2)
    one = {"in_distribution": battery.build(ENV, world("only_0"), few, DISCOUNT)}
    alone = measured(one, how, LINEAR, arm=by_context(one["in_distribution"]))
    assert np.isnan(alone.values["arm"]).all()


def test_partial_least_squares_of_full_capacity_is_least_squares():
    """Three units, capacity 3: the normal equations."""
    rng = np.random.default_rng(3)
    units, value = rng.normal(size=(6, 5, 3)), rng.normal(size=(6, 5))
    context, fitted = np.arange(6) % 2, np.ones((6, 5), bool)
    module = measures.selective_removal
    edits = module._linear(units, value, fitted, context, (1, 3))
    for c in range(2):
        target = value * (context == c)[:, None]
        b, *_ = np.linalg.lstsq(units.reshape(-1, 3), target.reshape(-1), rcond=None)
        np.testing.assert_allclose(edits[1, c], units @ b, rtol=1e-8, atol=1e-10)
        # one component is the direction of the covariance
        direction = units.reshape(-1, 3).T @ target.reshape(-1)
        score = units @ direction
        slope = (score * target).sum() / np.square(score).sum()
        np.testing.assert_allclose(edits[0, c], slope * score, rtol=1e-8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"capacities": ()}, "capacities: got"),
        ({"capacities": (4, 2)}, "capacities: got .* rising"),
        ({"family": "ranked", "capacities": (16,)}, "capacities: got .* up to 8"),
    ],
)
def test_what_is_no_curve_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(LINEAR, **changes)


def test_features_are_asked_for(conditions, how):
    condition = conditions["in_distribution"]
    bare = {"arm": {"in_distribution": by_context(condition)}}
    with pytest.raises(ValueError, match="without features"):
        LINEAR.measure(evidence(conditions, how, bare))
    assert measures.needs_features(LINEAR, "in_distribution")
    assert not measures.needs_features(LINEAR, "conflict")
    assert not measures.needs_features(measures.SelectiveAblation(), "in_distribution")
