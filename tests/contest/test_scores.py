"""Losses worked out by hand, the laws of ORACLE, and what resampling is of."""

import jax
import numpy as np
import pytest

from shardsim.contest import evidence as evidences
from shardsim.contest import fitting, forecasters, scores
from shardsim.contest.evidence import AgentEvidence, Behaviour, Evidence
from tests.contest import synthetic


@pytest.fixture(scope="module")
def world():
    return synthetic.world(levels=4, histories=synthetic.words(("A", "B"), 1, 2))


@pytest.fixture(scope="module")
def everything(world):
    """Agents of three seeds that differ."""
    found = []
    for seed in range(3):
        drawn = synthetic.drawn(forecasters.Shards(), world.frame, seed)
        found += [agent._replace(seed=seed) for agent in synthetic.agents(drawn, world)]
    return Evidence(world.situations, tuple(found))


@pytest.fixture(scope="module")
def scored(world, everything):
    guesses = {
        "shards": synthetic.drawn(forecasters.Shards(), world.frame, 7),
        "network": synthetic.drawn(forecasters.Network(), world.frame, 7),
        "uniform": synthetic.drawn(forecasters.Constant(), world.frame, 0)._replace(
            parameters=np.zeros((1, 5), np.float32)
        ),
    }
    references = {"oracle": forecasters.Oracle(), "others": forecasters.Others()}
    return scores.score({**guesses, **references}, everything)


def test_loss_by_hand():
    """Two states, of which the first is met in 3 of 4 decisions.

    -(3/4) (1/2 log 1/4 + 1/2 log 3/4) - (1/4) log 1/2; the action that is never taken
    in the second state costs nothing, though it was ruled out.
    """
    policy = np.array([[[0.5, 0.5], [1.0, 0.0]]])
    occupancy = np.array([[0.75, 0.25]])
    forecast = np.array([[[0.25, 0.75], [0.5, 0.5]]])
    by_hand = -0.375 * (np.log(0.25) + np.log(0.75)) - 0.25 * np.log(0.5)
    np.testing.assert_allclose(scores.losses(policy, occupancy, forecast), [by_hand])
    ruled_out = forecast.copy()
    ruled_out[0, 1] = (1.0, 0.0)
    by_hand += 0.25 * np.log(0.5)
    np.testing.assert_allclose(scores.losses(policy, occupancy, ruled_out), [by_hand])


def test_oracle_pays_the_entropy_and_nobody_less(everything, scored):
    for row, agent in enumerate(everything.agents):
        for column, condition in enumerate(everything.situations):
            pi = agent.behaviour[condition].policy
            w = agent.behaviour[condition].occupancy
            entropy = -(w * (pi * np.log(pi)).sum(axis=-1)).sum(axis=-1)
            np.testing.assert_allclose(
                scored.loss["oracle"][row, column], entropy, atol=1e-6
            )
    for name, loss in scored.loss.items():
        assert (loss >= scored.loss["oracle"] - 1e-6).all(), name
    assert (scored.loss["others"] > scored.loss["oracle"] + 1e-4).any()


def test_a_uniform_forecast_pays_log_of_the_actions(scored):
    np.testing.assert_allclose(scored.loss["uniform"], np.log(5), rtol=1e-6)


def test_others_leave_the_agent_out():
    """Three seeds: the mean of the other two, by hand."""
    policy = np.array([[[[1.0, 0.0]]], [[[0.5, 0.5]]], [[[0.0, 1.0]]]])
    mixed = forecasters.Others().forecast(policy)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], [0.25, 0.5, 0.75])
    alone = forecasters.Others().forecast(policy[:1])
    np.testing.assert_allclose(alone, 0.5)


def test_no_agent_costs_more_than_the_uniform_share_allows(world):
    """An agent that does what was ruled out."""
    sure = synthetic.drawn(forecasters.Constant(), world.frame, 0)._replace(
        parameters=np.array([[1e3, 0, 0, 0, 0]], np.float32)
    )
    given = world.situations["both"]
    policy = np.zeros((*given.successor.shape[:2], 5))
    policy[..., 1] = 1.0
    behaviour = {"both": synthetic.acting(given, policy)}
    agent = AgentEvidence("mlp", world.histories[0], 0, behaviour)
    loss = scores.score({"sure": sure}, Evidence({"both": given}, (agent,))).loss
    np.testing.assert_allclose(
        loss["sure"], np.log(5 / fitting.UNIFORM_SHARE), rtol=1e-6
    )


def test_calibration_by_hand():
    """Half of the decisions: forecast .95, taken always. The others: .15, and half."""
    policy, occupancy = np.zeros((1, 16, 5)), np.zeros((1, 16))
    occupancy[0, :2] = 0.5
    policy[..., 0] = 1.0
    policy[0, 1] = (0.5, 0.5, 0, 0, 0)
    forecast = np.zeros((1, 16, 5))
    forecast[0, 0] = (0.95, 0.05, 0, 0, 0)
    forecast[0, 1] = (0.15, 0.85, 0, 0, 0)
    weight, said, taken = scores._calibration(
        policy[None], occupancy[None], forecast[None]
    )
    np.testing.assert_allclose(weight[[9, 1, 8]], 0.5)
    np.testing.assert_allclose(said[[9, 1, 8]], [0.475, 0.075, 0.425])
    np.testing.assert_allclose(taken[[9, 1, 8]], [0.5, 0.25, 0.25])
    np.testing.assert_allclose(weight.sum(), 5.0)


def test_calibration_of_oracle_is_the_diagonal(scored):
    own = scored.calibration["oracle"]
    np.testing.assert_allclose(own.forecast, own.taken)
    off = scored.calibration["shards"]
    assert np.abs(off.forecast - off.taken).max() > 0.1


def test_samples_are_means_over_what_each_seed_was_asked():
    """Two seeds, two histories, one of them asked in the second condition alone."""
    values = np.full((4, 2, 2), np.nan)
    values[0] = [[1.0, 3.0], [5.0, 7.0]]
    values[1, 1] = [9.0, 11.0]
    values[2] = 2.0
    values[3, 1] = 5.0
    sample = scores.sample(values, np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(sample.values, [6.0, 3.0])
    assert sample.num_levels == 2
    # a resample of one level twice has that level's mean
    np.testing.assert_allclose(np.unique(sample.by_levels[:, 0]), [5.0, 6.0, 7.0])
    second = scores.sample(values, np.array([0, 0, 1, 1]), [1])
    np.testing.assert_allclose(second.values, [8.0, 3.5])


def test_fits_do_not_know_what_is_asked(world, everything):
    """Other answers, the same evidence: the same fit, to the bit."""
    held_out = [world.histories[-1].name]
    parts = evidences.split(everything, held_out, ["conflict"])

    def changed(agent):
        if agent.history.name not in held_out:
            return agent._replace(
                behaviour={**agent.behaviour, "conflict": agent.behaviour["both"]}
            )
        swapped = {
            name: Behaviour(each.policy[:, :, ::-1], each.occupancy)
            for name, each in agent.behaviour.items()
        }
        return agent._replace(behaviour=swapped)

    other = everything._replace(agents=tuple(map(changed, everything.agents)))
    again = evidences.split(other, held_out, ["conflict"])
    budget = fitting.Budget(steps=10, restarts=2)
    fits = [
        fitting.fit(forecasters.Shards(), part.evidence, world.frame, budget)
        for part in (parts, again)
    ]
    pairs = zip(*(jax.tree.leaves(fit.parameters) for fit in fits), strict=True)
    assert all(np.array_equal(one, two) for one, two in pairs)


def test_a_fit_on_fewer_levels_reads_those_alone(world, everything):
    """The rest of the room for levels holds nothing that counts."""
    budget = fitting.Budget(steps=10, restarts=2)
    few = evidences.of_levels(everything, 0, 2)
    alone = world.frame._replace(levels=2)
    one, two = (
        fitting.fit(forecasters.Shards(), few, frame, budget)
        for frame in (world.frame, alone)
    )
    pairs = zip(
        jax.tree.leaves(one.parameters), jax.tree.leaves(two.parameters), strict=True
    )
    # the same boards in other order, so sums round differently
    assert all(np.allclose(a, b, atol=0.02) for a, b in pairs)
