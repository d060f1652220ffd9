"""Rollouts: they agree with exact expectations, and judge worlds without a list."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.agents import action_selection, encoders, value
from shardsim.agents import agent as agents
from shardsim.core import config
from shardsim.evaluation import (
    battery,
    exact_policies,
    judge,
    measures,
    rollouts,
    rules,
    state_readings,
)
from shardsim.evaluation.experiment import Experiment
from shardsim_envs import ContextFruits, MonsterWorld, TreeGridworld

SEEDS, LEVELS, EPISODES = 2, 5, 200
AGENT = agents.AgentConfig(encoder=encoders.MLPEncoder(widths=(8,)))
ENV = ContextFruits(size=4, max_steps=9, rewards=((1.0, 0.5), (0.0, 1.0)))
ALONE = dataclasses.replace(ENV, rewards=((0.0, 0.0), (0.0, 1.0)))
"""The second source alone, in the second context."""
CONFIG = battery.EvaluationConfig(levels=LEVELS)
RULES = {
    "D": action_selection.PolicyOnly(),
    "V": action_selection.Lookahead(temperature=1.0),
    "V alone": action_selection.ValueOnly(temperature=0.1),
}


def population(env, random=True, seeds=SEEDS):
    """Agents of random weights; or with V = 0 and D almost uniform, as at first."""

    def one(key):
        agent = agents.build(AGENT, value.MLP(), 8, env, key)
        leaves, tree = jax.tree.flatten(agent)
        keys = jax.random.split(jax.random.fold_in(key, 1), len(leaves))
        drawn = [
            # near the first ones, so that D stays a chance
            x + 0.2 * jax.random.normal(k, x.shape)
            for k, x in zip(keys, leaves, strict=True)
        ]
        return jax.tree.unflatten(tree, drawn) if random else agent

    return jax.vmap(one)(jax.random.split(jax.random.key(0), seeds))


def acting(rule, env=ENV):
    return exact_policies.acting_rule(RULES[rule], 0.9, env.max_steps)


@pytest.fixture(scope="module")
def conditions():
    worlds = {"in_distribution": ENV, "alone": ALONE}
    return {
        name: battery.build(ENV, world.params(), CONFIG, 0.9)
        for name, world in worlds.items()
    }


@pytest.fixture(scope="module")
def trained():
    return population(ENV)


@pytest.fixture(scope="module")
def evidence(conditions, trained):
    def of(rule, count=20):
        reading = {
            name: state_readings.read(ENV, trained, each)
            for name, each in conditions.items()
        }
        exact = {
            name: state_readings.exact_reading(each, 4)
            for name, each in conditions.items()
        }
        return measures.Evidence(
            ENV,
            conditions,
            {"arm": reading, measures.EXACT: exact},
            acting(rule),
            populations={"arm": trained},
            level_resamples=count,
        )

    return of


def exact_numbers(evidence, policy_of, reward_of, discount):
    """[N, L]: the expectation of the measure by dynamic programming."""
    how = evidence.acting
    reading = evidence.readings["arm"][policy_of]
    policy = exact_policies.policy(
        reading.value, reading.policy_logits, evidence.conditions[policy_of], how
    )
    condition = evidence.conditions[reward_of]
    return exact_policies.expected_return(policy, condition, discount, how.max_steps)


@pytest.mark.parametrize("rule", RULES)
def test_returns_agree_with_the_exact_expectation(evidence, trained, rule):
    shown = evidence(rule)
    want = exact_numbers(shown, "in_distribution", "in_distribution", 0.9)
    for number, agent in enumerate(rollouts.each_agent(trained)):
        found = rollouts.play(
            ENV,
            agent,
            shown.conditions["in_distribution"],
            shown.acting,
            ENV.max_steps,
            EPISODES,
        ).returns
        # returns are within [0, 1]: E x^2 <= E x, also of what no episode has shown
        assert ((found >= 0) & (found <= 1)).all()
        error = np.sqrt(want[number] / EPISODES)
        assert (np.abs(found.mean(axis=1) - want[number]) < 4 * error).all()
        # and this is sharp: levels and seeds differ by more than that
        others = np.abs(found.mean(axis=1) - want[1 - number])
        assert (others > 4 * error).any()


def test_events_agree_with_the_exact_expectation(evidence):
    """The event pays 1 in `alone` and nothing else pays: its expected number."""
    shown = evidence("D")
    times = measures.Rollouts(
        condition="alone", of="times", event="fruit 1", episodes=EPISODES
    )
    found = times.measure(shown)
    want = exact_numbers(shown, "alone", "alone", 1.0).mean(axis=1)
    (detail,) = found.details
    error = (detail.high - detail.low) / 2
    assert 0.02 < want.mean() < 0.95
    assert abs(detail.value - want.mean()) < 2 * error < 0.2
    # it ends the episode, so that it happens once at most
    share = dataclasses.replace(times, of="episodes").measure(shown)
    assert share.values["arm"].tolist() == found.values["arm"].tolist()
    assert np.isnan(share.values[measures.EXACT]).all()
    assert "'fruit 1'" in times.METRIC


def test_equally_likely_actions_are_a_row(evidence, conditions):
    shown = evidence("D")
    found = measures.Rollouts(episodes=EPISODES).measure(shown)
    condition = conditions["in_distribution"]
    even = np.full((1, *condition.optimal.shape, 4), 0.25)
    want = exact_policies.expected_return(even, condition, 0.9, ENV.max_steps).mean()
    assert found.values["arm/random"].shape == (SEEDS,)
    assert found.values["arm/random"] == pytest.approx(want, abs=0.05)
    assert len(set(found.values["arm/random"])) == 1
    assert found.num_levels == LEVELS
    assert found.by_levels["arm"].shape == (20, SEEDS)
    # a resample is the mean over the levels that it has
    agent = rollouts.each_agent(shown.populations["arm"])[1]
    each = rollouts.play(
        ENV, agent, condition, shown.acting, ENV.max_steps, EPISODES
    ).returns.astype(np.float64)
    weights = measures.base.level_weights(shown)
    np.testing.assert_allclose(
        found.by_levels["arm"][:, 1], weights[1:] @ each.mean(axis=1) / LEVELS
    )


def test_the_same_seed_gives_the_same_bits_and_more_episodes_begin_with_them(
    trained, conditions, monkeypatch
):
    levels, how = conditions["in_distribution"], acting("D")
    agent = rollouts.each_agent(trained)[0]

    def play(episodes, seed=0):
        return rollouts.play(ENV, agent, levels, how, ENV.max_steps, episodes, seed)

    one, again, more, other = play(40), play(40), play(90), play(40, seed=1)
    assert one.returns.tobytes() == again.returns.tobytes()
    np.testing.assert_array_equal(more.times[:, :40], one.times)
    assert (other.returns != one.returns).any()
    # in parts, the last one filled up
    monkeypatch.setattr(rollouts, "AT_ONCE", 64)
    np.testing.assert_array_equal(play(40).times, one.times)


def test_more_episodes_narrow_the_interval(evidence):
    shown = evidence("D")

    def width(episodes):
        (detail,) = measures.Rollouts(episodes=episodes).measure(shown).details
        return detail.high - detail.low

    assert width(EPISODES) == pytest.approx(width(EPISODES // 4) / 2, rel=0.3)


MONSTERS = MonsterWorld(size=7, monsters=1, shields=2, apples=3, max_steps=12)


def planted():
    """Of agents with V = 0 a lookahead takes the apples beside it; random steps not."""
    levels = battery.draw(
        MONSTERS, MONSTERS.params(), battery.EvaluationConfig(levels=24)
    )
    how = exact_policies.acting_rule(action_selection.Lookahead(), 0.9, 12)
    return measures.Evidence(
        MONSTERS,
        {},
        {"greedy": {}},
        how,
        populations={"greedy": population(MONSTERS, random=False, seeds=8)},
        unlisted={"in_distribution": levels},
    )


def test_a_planted_difference_is_seen_where_no_states_are_listed():
    shown = planted()
    rule = rules.Rule(rules.Contrast("greedy", "greedy/random"), "greater", 0.05)
    returns = measures.Rollouts(episodes=8)
    apples = measures.Rollouts(of="times", event="apple", episodes=8)
    found = {"R": returns.measure(shown), "A": apples.measure(shown)}
    values = {
        n: {row: each.sample(row) for row in each.values} for n, each in found.items()
    }
    got = judge.judge(values, {"R": rule, "A": rule})
    assert {each.verdict for each in got.values()} == {"shard"}
    assert all(each.num_levels == 24 for each in got.values())
    # and none where there is none
    same = rules.Rule(rules.Contrast("greedy/random", "one"), "greater", 0.05)
    values["R"]["one"] = values["R"]["greedy/random"]
    assert judge.judge(values, {"R": same})["R"].verdict == "no difference"


def test_episodes_may_be_longer_than_in_training():
    """MonsterWorld's own shift: shields are useless after the last monster."""
    levels = battery.draw(MONSTERS, MONSTERS.params(), CONFIG)
    how = exact_policies.acting_rule(action_selection.PolicyOnly(), 0.9, 12)
    short, long = (
        rollouts.play(MONSTERS, None, levels, how, steps, 8).times for steps in (12, 48)
    )
    shield = rollouts.events(MONSTERS).index("shield")
    assert (long >= short).all()
    assert long[..., shield].sum() > 1.2 * short[..., shield].sum()


def test_trees_that_anyone_chops_are_counted():
    world = TreeGridworld(size=5, trees=4)
    levels = battery.draw(world, world.params(), CONFIG)
    how = exact_policies.acting_rule(action_selection.PolicyOnly(), 0.9, 99)
    played = rollouts.play(world, None, levels, how, 30, 4)
    assert rollouts.events(world) == ("tree",)
    assert (played.times > 0).any()
    assert (played.times <= 30).all()


def test_the_levels_are_those_of_exact_evaluation(conditions):
    drawn = battery.draw(ENV, ENV.params(), CONFIG)
    for one, other in zip(
        *map(jax.tree.leaves, (drawn.levels, conditions["in_distribution"].levels)),
        strict=True,
    ):
        assert jnp.array_equal(one, other)


def test_agents_of_somebody_else_are_refused(evidence):
    shown = evidence("D")._replace(populations={})
    with pytest.raises(ValueError, match="rollouts: got no network of arm 'arm'"):
        measures.Rollouts().measure(shown)


ASKED = {
    "question": "Who earns more?",
    "expected": {"shard": "It.", "network": "Nobody.", "unitary": "Nobody."},
    "measure": {"kind": "rollouts"},
    "rule": {
        "contrast": {"arm": "sharded", "baseline": "mlp"},
        "direction": "greater",
        "margin": 0.1,
    },
}


def experiment(tiny, world, **changes):
    measure = changes.pop("measure", {"kind": "rollouts"})
    rule = ASKED["rule"] | changes.pop("rule", {})
    entry = ASKED | {"measure": measure, "rule": rule} | changes.pop("entry", {})
    return {
        **tiny,
        "env": world,
        "min_return": None,
        "predictions": {"P": entry},
        **changes,
    }


SMALL = {"kind": "monster_world", "size": 7, "monsters": 1, "shields": 2, "apples": 3}
TREES = {"kind": "tree_gridworld", "size": 6, "trees": 3}
LISTLESS = (
    " in env 'monster_world', whose states are not listed (its monsters move by chance)"
)


@pytest.mark.parametrize(
    ("world", "changes", "lines"),
    [
        (SMALL, {"min_return": 0.95}, f"min_return: got 0.95; allowed: null{LISTLESS}"),
        (
            SMALL,
            {"max_value_error": 1},
            f"max_value_error: got 1.0; allowed: null{LISTLESS}",
        ),
        (
            SMALL,
            {"min_return_phase": "earn"},
            f"min_return_phase: got 'earn'; allowed: null{LISTLESS}",
        ),
        (
            SMALL,
            {"measure": {"kind": "value_error"}},
            f"predictions.P.measure: got 'value_error'; allowed: 'rollouts'{LISTLESS}",
        ),
        (
            SMALL,
            {"entry": {"unitary_margin": 0.1}},
            f"predictions.P.unitary_margin: got 0.1; allowed: null{LISTLESS}",
        ),
        (
            SMALL,
            {"rule": {"controls": [{"arm": "exact", "at_least": 0}]}},
            "predictions.P.rule.controls.0.arm: got 'exact'; allowed: other arms"
            + LISTLESS,
        ),
        (
            SMALL,
            {"measure": {"kind": "rollouts", "of": "times", "event": "shields"}},
            "predictions.P.measure.event: got 'shields'; allowed: apple, monster, "
            "shield (did you mean shield?)",
        ),
        (
            SMALL,
            {"measure": {"kind": "rollouts", "of": "times"}},
            "predictions.P.measure.event: got null; allowed with of 'times': the name "
            "of an event",
        ),
        (
            SMALL,
            {"measure": {"kind": "rollouts", "event": "shield"}},
            "predictions.P.measure.event: got 'shield'; allowed with of 'return': null",
        ),
        (
            TREES,
            {},
            "predictions.P.measure.steps: got null with env.max_steps 1000000; "
            "allowed: 1 to 10000",
        ),
    ],
)
def test_what_needs_exact_values_says_so_in_one_line(tiny, world, changes, lines):
    with pytest.raises(config.ConfigError) as caught:
        config.build(Experiment, experiment(tiny, world, **changes))
    assert str(caught.value) == lines


def test_a_world_without_a_list_is_no_error(tiny):
    steps = {"kind": "rollouts", "steps": 40}
    assert not config.build(Experiment, experiment(tiny, TREES, measure=steps)).is_exact
    assert not config.build(Experiment, experiment(tiny, SMALL)).is_exact
    assert config.build(Experiment, tiny).is_exact
