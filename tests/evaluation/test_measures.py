"""Every measure finds what is planted and nothing where nothing is."""

import numpy as np
import pytest

from shardsim.agents import action_selection
from shardsim.evaluation import battery, exact_policies, measures, state_readings
from shardsim.evaluation.measures import selective_ablation
from shardsim_envs import ContextFruits
from tests.helpers.made_readings import (
    DISCOUNT,
    ENV,
    details,
    evidence,
    simple,
    split,
)

SHOWN = {
    "in_distribution": {},
    "only_0": {"contexts_shown": ((0,),)},
    "only_1": {"contexts_shown": ((1,),)},
    "conflict": {"contexts_shown": ((0, 1),)},
    "with_cue": {"cue_probability": 1.0},
    "without_cue": {"cue_probability": 0.0},
}


def world(name):
    options = {"size": 4, "max_steps": 20, **SHOWN[name]}
    return ContextFruits(**options).params()


@pytest.fixture(scope="module")
def conditions():
    config = battery.EvaluationConfig(levels=24)
    return {name: battery.build(ENV, world(name), config, DISCOUNT) for name in SHOWN}


@pytest.fixture(scope="module")
def how():
    return exact_policies.acting_rule(
        action_selection.Lookahead(), DISCOUNT, ENV.max_steps
    )


class TestSelectiveRemoval:
    measure = measures.SelectiveAblation(num_groups=2)

    def value(self, conditions, how, made):
        arms = {"arm": {"in_distribution": made}}
        return self.measure.measure(evidence(conditions, how, arms)).values["arm"][0]

    def test_finds_parts_that_serve_one_context_each(self, conditions, how):
        condition = conditions["in_distribution"]
        made = split(condition.optimal, condition.context.argmax(axis=-1), 2)
        two = [np.concatenate([x, 0 * x]) for x in made[:5]]  # a seed without value
        arms = {
            "arm": {"in_distribution": state_readings.Reading(*two, made.unit_shard)}
        }
        found = self.measure.measure(evidence(conditions, how, arms))
        assert found.values["arm"] == pytest.approx([1.0, 0.0])
        # by chance the right one of two parts goes first, or the other
        chance = found.values["arm/random"]
        assert 0 < chance[0] < 1
        assert chance[0] * 8 == pytest.approx(round(chance[0] * 8))  # 4 draws each
        assert chance[1] == 0
        (share,) = (
            d for d in found.details if (d.arm, d.low is None) == ("arm", False)
        )
        assert share.name == "seeds in which S > 1/2"
        assert share.value == 0.5
        assert (share.low, share.high) == pytest.approx((0.0126, 0.9874), abs=1e-4)

    def test_finds_nothing_in_parts_that_share_every_context(self, conditions, how):
        optimal = conditions["in_distribution"].optimal
        cell = np.broadcast_to(np.arange(optimal.shape[1]) % 2, optimal.shape)
        assert self.value(conditions, how, split(optimal, cell, 2)) < 0.5

    def test_finds_nothing_when_parts_are_copies(self, conditions, how):
        condition = conditions["in_distribution"]
        made = split(condition.optimal, np.zeros_like(condition.optimal), 2)
        copies = np.repeat(made.shard_values[..., :1] / 2, 2, axis=-1)
        made = made._replace(
            shard_values=copies, units=copies, gates=np.ones_like(made.gates)
        )
        assert abs(self.value(conditions, how, made)) < 0.1

    def test_an_untrained_head_has_nothing_to_remove(self, conditions, how):
        made = simple(np.zeros_like(conditions["in_distribution"].optimal))
        assert self.value(conditions, how, made) == 0.0

    def test_selectivity_by_hand(self):
        drops = np.array([[[0.8, 0.2], [0.1, 0.5]], [[0.05, 0.0], [0.0, 1.0]]])
        got = selective_ablation.selective(drops, min_drop=0.1)
        # the drop of .05 is too small to count
        np.testing.assert_allclose(got, [[0.6, 0.4 / 0.6], [0.0, 1.0]])

    @pytest.mark.parametrize("parts", [2, 3, 4, 8])
    def test_one_function_is_judged_alike_whatever_its_units_are_called(
        self, conditions, how, parts
    ):
        """Twelve units, each at work in one context; shards by label, or none."""
        condition = conditions["in_distribution"]
        context = condition.context.argmax(axis=-1)
        made = split(condition.optimal, context, 2)
        units = np.repeat(made.units / 6, 6, axis=-1)
        one = made._replace(units=units, unit_shard=np.zeros(12, int))
        shards = made._replace(units=units, unit_shard=np.repeat([0, 1], 6))
        measure = measures.SelectiveAblation(num_groups=parts)
        arms = {"one": {"in_distribution": one}, "shards": {"in_distribution": shards}}
        values = measure.measure(evidence(conditions, how, arms)).values
        assert values["shards"][0] == pytest.approx(1.0)
        # with three groups a cut cannot fall between the contexts
        assert (0.3 if parts == 3 else 0.999) < values["one"][0] <= 1.0

    @pytest.mark.parametrize("shown", ["in_distribution", "only_0"])
    def test_no_number_where_a_context_is_lacking(self, how, shown):
        few = battery.EvaluationConfig(levels=2)
        found = {"in_distribution": battery.build(ENV, world(shown), few, DISCOUNT)}
        arms = {"arm": {"in_distribution": simple(found["in_distribution"].optimal)}}
        arm = self.measure.measure(evidence(found, how, arms)).values["arm"]
        assert np.isnan(arm).all()

    def test_units_of_a_monolith_are_taken_by_what_they_do(self, conditions, how):
        condition = conditions["in_distribution"]
        owner = condition.context.argmax(axis=-1)
        made = split(condition.optimal, owner, 2)._replace(unit_shard=np.zeros(2, int))
        assert self.value(conditions, how, made) == pytest.approx(1.0)


@pytest.mark.parametrize("measure", [measures.CueEffect(), measures.ValueAccuracy()])
def test_there_is_no_number_in_units_of_nothing(measure, conditions, how):
    poor = {n: c._replace(optimal=0 * c.optimal) for n, c in conditions.items()}
    made = {n: simple(c.optimal) for n, c in conditions.items()}
    found = measure.measure(evidence(poor, how, {"arm": made}))
    assert np.isnan(found.values["arm"]).all()


class TestEffect:
    def values(self, conditions, how, with_cue, without_cue):
        names = ("only_0", "only_1")
        made = {
            "with_cue": simple(with_cue),
            "without_cue": simple(without_cue),
            **{n: simple(conditions[n].optimal) for n in names},
        }
        found = measures.CueEffect().measure(evidence(conditions, how, {"arm": made}))
        return found.values

    def test_a_value_that_ignores_the_cue(self, conditions, how):
        v = conditions["with_cue"].optimal
        values = self.values(conditions, how, v, v)
        assert values["arm"][0] == 0
        assert values["arm/reference"][0] > 0.05
        assert values["exact"][0] == pytest.approx(0, abs=1e-6)

    def test_a_planted_effect_is_found_at_its_size(self, conditions, how):
        condition = conditions["without_cue"]
        mask = condition.reachable & conditions["with_cue"].reachable
        scale = condition.optimal[mask].mean()
        planted = condition.optimal + 0.3 * scale
        values = self.values(conditions, how, planted, condition.optimal)
        assert values["arm"][0] == pytest.approx(0.3, rel=0.01)


class TestConflict:
    def value(self, conditions, how, together):
        a, b = conditions["only_0"].optimal, conditions["only_1"].optimal
        made = {"only_0": simple(a), "only_1": simple(b), "conflict": simple(together)}
        arms = {"arm": made}
        return measures.Conflict().measure(evidence(conditions, how, arms)).values

    def test_bids_that_add_up_and_bids_that_do_not(self, conditions, how):
        a, b = conditions["only_0"].optimal, conditions["only_1"].optimal
        added = self.value(conditions, how, 0.6 * a + 0.4 * b)
        picked = self.value(conditions, how, np.maximum(a, b))
        assert added["arm"][0] > 0.05
        assert picked["arm"][0] < -0.05
        # one utility picks the better outcome
        assert added["exact"][0] < -0.05

    def test_a_flat_value_is_neither(self, conditions, how):
        flat = np.zeros_like(conditions["conflict"].optimal)
        assert self.value(conditions, how, flat)["arm"][0] == 0.0


class TestAgreement:
    def test_a_policy_that_is_its_value_s_own_never_parts(self, conditions, how):
        made = {}
        for name in ("in_distribution", "conflict"):
            condition = conditions[name]
            q = exact_policies.q_values(condition.optimal[None], condition, DISCOUNT)
            made[name] = simple(condition.optimal)._replace(policy_logits=q)
        found = measures.AgreementShift().measure(
            evidence(conditions, how, {"arm": made})
        )
        assert found.values["arm"][0] == 0
        assert details(found, "arm")["agreement in conflict"] == 1.0
        assert found.values["exact"][0] == 0

    def test_a_policy_that_parts_off_distribution_is_found(self, conditions, how):
        made = {}
        for name, sign in (("in_distribution", 1), ("conflict", -1)):
            condition = conditions[name]
            q = exact_policies.q_values(condition.optimal[None], condition, DISCOUNT)
            made[name] = simple(condition.optimal)._replace(policy_logits=sign * q)
        found = measures.AgreementShift().measure(
            evidence(conditions, how, {"arm": made})
        )
        assert found.values["arm"][0] > 0.8

    def test_ties_count_as_agreement(self, conditions, how):
        flat = simple(np.zeros_like(conditions["conflict"].optimal))
        flat = flat._replace(
            policy_logits=np.random.default_rng(0).normal(size=flat.policy_logits.shape)
        )
        arms = {"arm": {"in_distribution": flat, "conflict": flat}}
        found = measures.AgreementShift().measure(evidence(conditions, how, arms))
        # V is 0: all actions tie but next to a fruit, where the reward tells
        assert details(found, "arm")["agreement in in_distribution"] > 0.7


class TestValueAccuracy:
    def test_exact_is_zero_and_the_mean_is_one(self, conditions, how):
        condition = conditions["in_distribution"]
        mean = condition.optimal[condition.reachable].mean()
        arms = {
            "mean": {"in_distribution": simple(np.full_like(condition.optimal, mean))}
        }
        found = measures.ValueAccuracy().measure(evidence(conditions, how, arms))
        assert found.values["exact"][0] == 0
        assert found.values["mean"][0] == pytest.approx(1.0, rel=1e-5)


def test_a_world_without_squares_is_refused(conditions, how):
    with pytest.raises(ValueError, match="needs an environment with decision"):
        measures.TwoGoals(condition="only_0").measure(evidence(conditions, how, {}))
