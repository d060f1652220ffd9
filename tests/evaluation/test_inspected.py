"""An inspection tool as a measure: its subjects, its rows, and a rule of a config."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from shardsim.agents import action_selection, encoders, value
from shardsim.agents import agent as agents
from shardsim.core import config, config_files, dynamic_programming
from shardsim.evaluation import (
    battery,
    exact_policies,
    measures,
    prediction,
    state_readings,
    subjects,
    tools,
)
from shardsim.evaluation.tools import truth_like
from shardsim.evaluation.zoo.config import ZooConfig
from tests.helpers import documents
from tests.helpers.made_readings import DISCOUNT, ENV

SEEDS = 6
AGENT = agents.AgentConfig(encoder=encoders.MLPEncoder(widths=(8,)))
INSPECTED = measures.Inspected()


def population(head, width):
    """Agents of random weights: V of an untrained agent is 0 everywhere."""

    def one(key):
        agent = agents.build(AGENT, head, width, ENV, key)
        leaves, tree = jax.tree.flatten(agent)
        keys = jax.random.split(jax.random.fold_in(key, 1), len(leaves))
        drawn = [
            jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)
        ]
        return jax.tree.unflatten(tree, drawn)

    return jax.vmap(one)(jax.random.split(jax.random.key(0), SEEDS))


@pytest.fixture(scope="module")
def condition():
    return battery.build(
        ENV, ENV.params(), battery.EvaluationConfig(levels=12), DISCOUNT
    )


@pytest.fixture(scope="module")
def evidence(condition):
    populations = {
        "mlp": population(value.MLP(), 12),
        "same": population(value.MLP(), 12),
        "oracle_gated": population(value.OracleGated(), 6),
    }
    readings = {
        arm: {"in_distribution": state_readings.read(ENV, each, condition, True)}
        for arm, each in populations.items()
    }
    exact = {"in_distribution": state_readings.exact_reading(condition, 4)}
    acting = exact_policies.acting_rule(
        action_selection.Lookahead(), DISCOUNT, ENV.max_steps
    )
    return measures.Evidence(
        ENV,
        {"in_distribution": condition},
        {**readings, measures.EXACT: exact},
        acting,
        populations=populations,
    )


def subject(evidence, arm="oracle_gated", seed=1):
    name = "in_distribution"
    return subjects.of_reading(
        ENV,
        evidence.conditions[name],
        evidence.populations[arm],
        evidence.readings[arm][name],
        seed,
    )


def test_a_subject_is_one_agent_in_all_reachable_states(evidence, condition):
    one = subject(evidence)
    assert len(one.level) == condition.reachable.sum()
    np.testing.assert_array_equal(one.optimal, condition.optimal[condition.reachable])
    again = jax.vmap(one.head)(jnp.asarray(one.features), jnp.asarray(one.given))
    np.testing.assert_allclose(again.value, one.output.value, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(again.units, one.output.units, rtol=1e-4, atol=1e-4)
    # the agent says the same of the observations, and D with it
    observation, context = battery.observed(ENV, condition.levels)
    row = 5
    at = one.level[row], one.state[row]
    out = one.agent(observation[at], context[at])
    np.testing.assert_allclose(out.features, one.features[row], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        out.policy_logits, one.policy_logits[row], rtol=1e-4, atol=1e-4
    )
    np.testing.assert_array_equal(one.context, one.given.argmax(axis=1))
    # the control: another seed is another agent
    assert (subject(evidence, seed=2).output.value != one.output.value).any()


def test_a_measure_maps_its_tool_over_arms_and_seeds(evidence):
    found = INSPECTED.measure(evidence)
    arms = ("mlp", "same", "oracle_gated", "exact")
    rows = [row for arm in arms for row in (arm, f"{arm}/own", f"{arm}/shuffled")]
    assert list(found.values) == rows
    for arm in arms[:3]:
        for seed in range(SEEDS):
            one = INSPECTED.tool.measure(
                subject(evidence, arm, seed), INSPECTED._key(seed)
            )
            for name, number in one.items():
                row = f"{arm}/{name}" if name else arm
                assert found.values[row][seed] == number
    # arms that say the same have the same numbers: they draw the same
    for row in ("", "/own", "/shuffled"):
        np.testing.assert_array_equal(
            found.values[f"mlp{row}"], found.values[f"same{row}"]
        )
    assert np.isnan(found.values["exact"]).all()


def test_a_cheap_tool_is_judged_over_seeds_and_levels(evidence):
    """Row 0 of the counts is the battery itself: the numbers of `measure`."""
    asked = measures.Inspected(tool=tools.UnitTails(draws=2))
    one = evidence._replace(
        readings={"mlp": evidence.readings["mlp"]}, level_resamples=5
    )
    found = asked.measure(one)
    assert found.num_levels == 12
    assert set(found.by_levels) == set(found.values)
    assert found.by_levels["mlp"].shape == (5, SEEDS)
    assert np.ptp(found.by_levels["mlp"], axis=0).max() > 0
    numbers = asked.tool.measure(subject(evidence, "mlp", 2), asked._key(2))
    for name in ("", "within", "shuffled", "planted", "k_eff"):
        row = f"mlp/{name}" if name else "mlp"
        assert found.values[row][2] == pytest.approx(numbers[name], rel=1e-3, abs=1e-3)


TRUTH = tools.TruthLike(
    counts=(1, 2), pairs=16, restarts=12, steps=20, rounds=1, accuracy=0.9
)


def test_pairs_of_a_truth_like_tool_are_true_of_v_star(evidence, condition):
    """The side whose paying fruit is nearer is worth more, by the exact values."""
    one = subject(evidence)
    label, decided = truth_like._nearer(one)
    other = truth_like._swapped(one)
    swapped, _ = dynamic_values(other.condition.levels)
    gap = one.optimal - swapped[one.level, one.state]
    assert ((gap > 0) == label)[decided].all()
    assert np.abs(gap[~decided]).max() < 1e-6
    assert 0.2 < label[decided].mean() < 0.8
    # states and contexts stay; V reads other features
    np.testing.assert_array_equal(one.state, other.state)
    np.testing.assert_array_equal(one.context, other.context)
    assert (one.features != other.features).any(axis=1).all()
    # swapped twice is the first
    again = truth_like._swapped(other)
    np.testing.assert_array_equal(again.features, one.features)
    del condition


def dynamic_values(levels):
    """V* of levels, from their tables."""
    table = jax.vmap(lambda one: dynamic_programming.tabulate(ENV, one, ENV.params()))(
        levels
    )
    steps = dynamic_programming.horizon(ENV, DISCOUNT)
    value = jax.vmap(
        lambda one: dynamic_programming.optimal_value(one, DISCOUNT, steps)
    )(table)
    return np.asarray(value), table


@pytest.mark.slow
def test_a_truth_like_tool_has_all_its_rows(evidence):
    for seed in range(3):
        found = TRUTH.measure(subject(evidence), jax.random.key(seed))
        assert tuple(found) == ("", *TRUTH.ROWS)
        assert found["planted"] == pytest.approx(1)
        assert found["distractor"] == 0
        assert found["cover"] in (0.0, 1.0)
    # too few contexts, or too few pairs: no number, in any row
    for lacking in ({"counts": (2, 3)}, {"pairs": 500}):
        one = dataclasses.replace(TRUTH, **lacking)
        numbers = one.measure(subject(evidence), jax.random.key(0))
        assert np.isnan(list(numbers.values())).all()
    features = dataclasses.replace(TRUTH, site="features")
    numbers = features.measure(subject(evidence), jax.random.key(0))
    assert np.isfinite(list(numbers.values())).all()


def test_a_tool_that_asks_e_is_no_metric_of_a_zoo():
    with pytest.raises(config.ConfigError, match=r"metrics\.t\.tool: got 'truth_like'"):
        zoo_config(t={"expected": "fails", "tool": {"kind": "truth_like"}})


def zoo_config(**changed):
    data = config_files.read_yaml(documents.ROOT / "experiments/zoo/zoo.yaml")
    return config.build(ZooConfig, data | {"metrics": changed})


def test_what_the_report_prints_is_of_the_tool():
    assert INSPECTED.METRIC == tools.UnitClusters.TITLE
    assert INSPECTED.UNIT == "share of spread"
    assert measures.about(INSPECTED, "mlp/own") == "V"
    assert "`explained` - `null`" in measures.formula(INSPECTED)
    assert "sqrt(mean (V - V*)^2)" in measures.formula(measures.ValueAccuracy())


def test_agents_of_somebody_else_are_refused_in_one_line(evidence):
    with pytest.raises(ValueError, match="inspected: got no network of arm 'mlp'"):
        INSPECTED.measure(evidence._replace(populations={}))
    bare = {
        arm: {n: r._replace(features=None) for n, r in by_condition.items()}
        for arm, by_condition in evidence.readings.items()
    }
    with pytest.raises(ValueError, match="inspected: got a reading without features"):
        INSPECTED.measure(evidence._replace(readings=bare))


PREDICTION = """
question: Do units of V cluster by context?
expected: {shard: They do., network: No., unitary: No.}
measure: {kind: inspected, tool: {kind: unit_clusters, restarts: 2}}
rule:
  contrast: {arm: mlp, baseline: same}
  direction: greater
  margin: 0.1
  positive_control: oracle_gated
  controls:
    - {arm: mlp/shuffled, at_most: 1.0}
    - {arm: exact, at_least: 0.0}
"""


def test_a_rule_of_a_config_judges_a_tool(evidence):
    """Two arms that are the same: no difference. V* has no network: its control fails,
    so that no claim stands."""
    asked = config.build(prediction.Prediction, yaml.safe_load(PREDICTION))
    (result,) = prediction.evaluate({"clusters": asked}, evidence).values()
    assert result.verdict == "no difference"
    assert [each.passed for each in result.controls] == ["passed", "undecided"]
    assert not result.is_valid
    assert result.unit == "share of spread"
    again = config.build(prediction.Prediction, config.to_dict(asked))
    assert again == asked


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("mlp/shuffled", "mlp/random", "got 'mlp/random'; allowed: ARM/own, ARM/shuf"),
        ("restarts: 2", "restarts: 0", "restarts: got 0; allowed: at least 1"),
        ("kind: unit_clusters", "kind: clusters", "got 'clusters'; allowed: "),
    ],
)
def test_faults_name_their_field(old, new, line):
    with pytest.raises(config.ConfigError, match=line):
        config.build(
            prediction.Prediction, yaml.safe_load(PREDICTION.replace(old, new))
        )
