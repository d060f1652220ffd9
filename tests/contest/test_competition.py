"""A contest on synthetic agents, from evidence to the page's records."""

import jax
import numpy as np
import pytest

from shardsim.contest import (
    competition,
    exact,
    fitting,
    forecasters,
    results,
    scores,
    verdicts,
)
from shardsim.contest import evidence as evidences
from shardsim.contest.evidence import Evidence
from shardsim.core import config
from tests.contest import synthetic

HELD_OUT = ("A-B", "B-A")
FEW = {
    "constant": forecasters.Constant(),
    "shards": forecasters.Shards(),
    "others": forecasters.Others(),
}


@pytest.fixture(scope="module")
def world():
    return synthetic.world(levels=4, histories=synthetic.words(("A", "B"), 1, 2))


def noisy(kind, world, arm, seed, seeds):
    """Agents of one kind whose parameters differ a little between seeds."""
    rng = np.random.default_rng(seed)
    drawn = synthetic.drawn(kind, world.frame, seed)

    def moved(leaf):
        return (leaf + 0.1 * rng.standard_normal(leaf.shape)).astype(leaf.dtype)

    return tuple(
        agent._replace(seed=number)
        for number in range(seeds)
        for agent in synthetic.agents(
            drawn._replace(parameters=jax.tree.map(moved, drawn.parameters)),
            world,
            arm=arm,
        )
    )


@pytest.fixture(scope="module")
def known(world):
    agents = noisy(forecasters.Shards(), world, "mlp", 3, seeds=3)
    return competition.Known(
        Evidence(world.situations, agents), HELD_OUT, ("conflict",)
    )


def settings(few=FEW, **changes):
    judging = verdicts.Judging(levels=(2, 9))
    budget = fitting.Budget(steps=40, restarts=2)
    return competition.Settings(few, budget, judging, 0)._replace(**changes)


def opens(agent, condition):
    return f"open {agent.arm} {agent.history.name} {agent.seed} {condition}"


@pytest.fixture(scope="module")
def result(known):
    calls = []
    found = competition.compete("tiny", "Who?", known, settings(), opens, calls.append)
    assert len(calls) == competition.num_fits(["mlp"], 4, settings()) == 4
    assert calls[0] == "mlp: constant on 2 levels"
    return found


def test_results_have_every_forecaster_and_all_that_is_asked(known, result):
    own = result.arms["mlp"]
    assert set(own.forecasters) == {*FEW, "oracle"}
    assert own.forecasters["oracle"].score.excess.estimate == 0
    assert own.forecasters["constant"].parameters == 5
    assert own.forecasters["others"].is_reference
    # held-out histories in four conditions, the other four in the conflict
    assert len(own.cells) == 2 * 4 + 4
    assert all(cell.winner == "shards" for cell in own.cells)
    held_out = {cell.history for cell in own.cells if cell.is_held_out}
    assert held_out == set(HELD_OUT)
    assert result.histories["A-B"]
    assert not result.histories["A"]
    assert result.verdicts["NN - SHARD"].verdict == "not asked"
    assert result.verdicts["P15"].effect is not None
    assert not result.stands, "a contest without controls claims nothing"


def test_a_learning_curve_ends_with_all_levels(result):
    own = result.arms["mlp"].forecasters["shards"]
    assert [point.levels for point in own.learning] == [2, 4]
    assert own.learning[-1].score == own.score


def test_code_length_is_prequential(known, world, result):
    """The first two levels by chance, the other two by the fit on the first two."""
    parts = evidences.split(known.everything, known.histories, known.conditions)
    budget = settings().budget
    first = evidences.of_levels(parts.evidence, 0, 2)
    fitted = fitting.fit(forecasters.Shards(), first, world.frame, budget)
    later = scores.score({"s": fitted}, evidences.of_levels(parts.evidence, 2, 4))
    by_hand = 2 * np.log(5) + 2 * later.loss["s"].mean()
    own = result.arms["mlp"].forecasters["shards"]
    assert own.code_length == pytest.approx(by_hand, rel=1e-5)


def test_surprising_agents_are_the_ones_that_cost_most(known, result):
    listed = result.arms["mlp"].surprising
    assert len(listed) == competition.SURPRISES
    excess = [one.excess for one in listed]
    assert excess == sorted(excess, reverse=True)
    first = listed[0]
    assert first.opens == f"open mlp {first.history} {first.seed} {first.condition}"
    competitors = [first.losses["shards"], first.losses["constant"]]
    assert first.excess == pytest.approx(min(competitors) - first.losses["oracle"])


def test_results_are_read_as_they_were_written(result, tmp_path):
    (tmp_path / results.FILE).write_text(results.text(result))
    assert results.read(tmp_path) == result


def test_the_same_seed_gives_the_same_results(known, result):
    again = competition.compete("tiny", "Who?", known, settings(), opens)
    assert config.to_dict(again) == config.to_dict(result)


@pytest.mark.parametrize("what", ["history", "condition"])
def test_a_planted_leak_is_refused(known, monkeypatch, what):
    """Somebody lets one answer into the evidence of the fits."""

    def leaking(everything, histories, conditions):
        parts = honest(everything, histories, conditions)
        if what == "history":
            given = parts.evidence.situations
            extra = next(a for a in parts.asked.agents if a.history.name == "A-B")
            own = {name: extra.behaviour[name] for name in given}
            agents = (*parts.evidence.agents, extra._replace(behaviour=own))
        else:
            given = everything.situations
            agents = tuple(
                agent
                for agent in everything.agents
                if agent.history.name not in histories
            )
        return parts._replace(evidence=Evidence(given, agents))

    honest = evidences.split
    monkeypatch.setattr(evidences, "split", leaking)
    with pytest.raises(ValueError, match=r"allowed: nothing that is asked about"):
        competition.compete("tiny", "Who?", known, settings(), opens)


def test_exact_agents_act_by_the_rewards_of_the_last_event(world):
    """One step from the fruit that pays, a cold agent takes it and no other."""
    like = Evidence(
        world.situations,
        synthetic.agents(
            synthetic.drawn(forecasters.Constant(), world.frame, 0), world
        ),
    )
    made = exact.agents(like, "exact", 0.01, 0.9, synthetic.LIMIT)
    assert [agent.history for agent in made] == [agent.history for agent in like.agents]
    given = world.situations["only A"]
    policy = made[0].behaviour["only A"].policy
    near = (given.taken[..., 0] > 0) & given.reachable[..., None]
    level, state = np.nonzero(near.any(axis=-1))
    taken = (policy * given.taken[..., 0])[level, state].sum(axis=-1)
    np.testing.assert_allclose(taken, 1.0, atol=1e-3)
    np.testing.assert_allclose(made[0].behaviour["only A"].occupancy.sum(axis=1), 1.0)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_all_gates_pass_on_agents_made_for_them():
    """Shards, one exact utility, and networks with random weights."""
    world = synthetic.world(
        levels=6,
        histories=synthetic.words(("A", "B", "swapped", "extinct A"), 1, 2),
    )
    gated = noisy(forecasters.Shards(), world, "oracle_gated", 4, 6)
    random = noisy(forecasters.Network(), world, "random", 3, 6)
    like = Evidence(world.situations, gated)
    utility = exact.agents(like, "exact", 0.1, 0.9, synthetic.LIMIT)
    everything = Evidence(world.situations, (*gated, *random, *utility))
    held_out = [history.name for history in world.histories][::3]
    few = {
        kind.kind: kind
        for kind in (
            forecasters.Constant(),
            forecasters.Shards(),
            forecasters.Utility(),
            forecasters.Network(),
        )
    }
    found = competition.compete(
        "gates",
        "Who?",
        competition.Known(everything, held_out, ["conflict"]),
        settings(few, budget=fitting.Budget(steps=200, restarts=2)),
        opens,
    )
    passed = {name: gate.passed for name, gate in found.gates.items()}
    assert passed == {"gated": "passed", "exact": "passed", "random": "passed"}
    assert found.stands
