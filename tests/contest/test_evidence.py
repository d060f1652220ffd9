"""Evidence holds nothing that is asked about."""

import numpy as np
import pytest

from shardsim.contest import evidence

LEVELS, STATES, ACTIONS = 4, 3, 2


def _event(name: str, paying: float) -> evidence.Event:
    return evidence.Event(name, ((paying, 0.0),), ((0,),), 5)


def _everything() -> evidence.Evidence:
    situations = evidence.Situations(
        np.zeros((LEVELS, STATES, 2, 2, 1), np.uint8),
        np.ones((LEVELS, 1), np.float32),
        np.zeros((LEVELS, STATES, ACTIONS), np.int32),
        np.zeros((LEVELS, STATES, ACTIONS, 2), np.float32),
        np.zeros((LEVELS, STATES, ACTIONS), bool),
        np.ones((LEVELS, STATES), bool),
        np.zeros(LEVELS, np.int32),
        np.arange(LEVELS),
    )
    behaviour = evidence.Behaviour(
        np.full((LEVELS, STATES, ACTIONS), 0.5, np.float32),
        np.full((LEVELS, STATES), 1 / STATES, np.float32),
    )
    histories = (
        evidence.History("A", (_event("A", 1.0),)),
        evidence.History("AB", (_event("A", 1.0), _event("B", 2.0))),
    )
    agents = tuple(
        evidence.AgentEvidence(
            "mlp", history, seed, {"plain": behaviour, "conflict": behaviour}
        )
        for history in histories
        for seed in range(2)
    )
    conflict = situations._replace(rewards=((3.0, 0.0),))
    return evidence.Evidence({"plain": situations, "conflict": conflict}, agents)


def test_a_split_asks_about_what_the_evidence_does_not_hold():
    everything = _everything()
    fitted, asked = evidence.split(everything, ["AB"], ["conflict"])
    assert list(fitted.situations) == ["plain"]
    assert [(a.history.name, a.seed, list(a.behaviour)) for a in fitted.agents] == [
        ("A", 0, ["plain"]),
        ("A", 1, ["plain"]),
    ]
    assert [(a.history.name, list(a.behaviour)) for a in asked.agents] == [
        ("A", ["conflict"]),
        ("A", ["conflict"]),
        ("AB", ["plain", "conflict"]),
        ("AB", ["plain", "conflict"]),
    ]
    evidence.refuse_leak(fitted, asked)


@pytest.mark.parametrize("asked_history", [0, 1])
def test_a_planted_leak_is_refused(asked_history: int):
    everything = _everything()
    fitted, asked = evidence.split(everything, ["AB"], ["conflict"])
    # an agent of another seed tells as much about the history
    answer = asked.agents[2 * asked_history]._replace(arm="other", seed=7)
    leaking = evidence.Evidence(everything.situations, (*fitted.agents, answer))
    with pytest.raises(ValueError, match=r"evidence: got history '(A|AB)' in"):
        evidence.refuse_leak(leaking, asked)


def test_levels_of_the_same_agents_are_no_leak_until_they_meet():
    everything = _everything()
    seen = evidence.of_levels(everything, 0, 2)
    evidence.refuse_leak(seen, evidence.of_levels(everything, 2, 4))
    assert seen.situations["plain"].observation.shape[0] == 2
    assert seen.situations["conflict"].rewards == ((3.0, 0.0),)
    assert seen.agents[0].behaviour["plain"].policy.shape[0] == 2
    with pytest.raises(ValueError, match="history 'A' in condition 'plain', level 1"):
        evidence.refuse_leak(seen, evidence.of_levels(everything, 1, 3))


def test_a_split_leaves_something_to_fit_on():
    with pytest.raises(
        ValueError, match=r"histories: got .*allowed: some, but not all"
    ):
        evidence.split(_everything(), ["A", "AB"], [])
    with pytest.raises(ValueError, match=r"conditions: got .*'nowhere'"):
        evidence.split(_everything(), [], ["nowhere"])


def test_rewards_are_those_of_the_condition_or_of_the_last_event():
    everything = _everything()
    history = everything.agents[-1].history
    plain, conflict = everything.situations.values()
    assert evidence.rewards_of(plain, history) == ((2.0, 0.0),)
    assert evidence.rewards_of(conflict, history) == ((3.0, 0.0),)
    assert evidence.of_arm(everything, "film").agents == ()


def test_what_a_level_pays_is_decided_by_its_contexts_not_by_what_it_shows():
    """Two contexts, of which both, the second and none decide; no floor is shown."""
    given = (
        _everything()
        .situations["plain"]
        ._replace(
            shown=np.zeros((3, 2), np.float32),
            context=np.array([[1, 1], [0, 1], [0, 0]], np.float32),
        )
    )
    rewards = ((1.0, -2.0), (0.5, 3.0))
    history = evidence.History("C", (evidence.Event("C", rewards, ((0,),), 5),))
    paid = evidence.pays(given, history)
    np.testing.assert_array_equal(paid, [[1.0, 3.0], [0.5, 3.0], [0.0, 0.0]])
    visible = given._replace(shown=given.context, context=None)
    np.testing.assert_array_equal(evidence.pays(visible, history), paid)
