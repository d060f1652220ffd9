"""Renewal and the order of events on agents that were made to show them, or not."""

import numpy as np
import pytest

from shardsim.contest import questions, scores
from shardsim.contest.evidence import AgentEvidence, Evidence, History
from tests.contest import synthetic

CONDITIONS = {"only A": ((1, 0),), "only B": ((0, 1),)}


@pytest.fixture(scope="module")
def situations():
    return {name: synthetic.situations(3, shown) for name, shown in CONDITIONS.items()}


def eager(given, source, share):
    """Goes to a source with some probability, else waits."""
    policy = np.zeros((*given.successor.shape[:2], 5))
    policy[..., 4] = 1 - share
    reach = given.taken[..., source] > 0
    steps = synthetic.planning._steps(given.successor, given.taken, given.terminated)[
        ..., source
    ]
    best = np.where(steps > 0, steps, np.inf).argmin(axis=-1)
    for level, state in np.ndindex(best.shape):
        policy[level, state, best[level, state]] += share
    assert reach.any()
    return synthetic.acting(given, policy)


def everything(situations, histories, behaviour_of, seeds=4):
    """behaviour_of(history, condition, seed) -> share of steps towards source 0."""
    agents = [
        AgentEvidence(
            "mlp",
            history,
            seed,
            {
                name: eager(given, 0, behaviour_of(history.name, name, seed))
                for name, given in situations.items()
            },
        )
        for history in histories
        for seed in range(seeds)
    ]
    return Evidence(situations, tuple(agents))


def test_extinctions_by_hand():
    names = [("A", "extinct B"), ("A", "extinct A"), ("B", "extinct B"), ("A", "B")]
    histories = [synthetic.history(*word) for word in names]
    (found,) = questions.extinctions(histories)
    assert found.elsewhere == "A-extinct B"
    assert found.same_place == "A-extinct A"
    assert (found.context, found.other, found.source) == (0, 1, 0)


def test_renewal_is_what_aba_takes_more(situations):
    """ABA agents go to the source in the old context; AAB agents nowhere."""
    words = [synthetic.history("A", "extinct B"), synthetic.history("A", "extinct A")]

    def behaviour(history, condition, seed):
        renews = history == "A-extinct B" and condition == "only A"
        return 0.9 if renews else 0.1

    found = questions.renewal(everything(situations, words, behaviour))
    assert found.pairs == (("A-extinct B", "A-extinct A"),)
    assert (found.first > found.second + 0.05).all()

    def everywhere(history, condition, seed):
        return 0.9 if condition == "only A" else 0.1

    # AAB agents would take it in the old context too, but are asked in the other one
    found = questions.renewal(everything(situations, words, everywhere))
    assert (found.first > found.second + 0.05).all()
    same = questions.renewal(everything(situations, words, lambda *_: 0.5))
    means = [same.first.mean(), same.second.mean()]
    np.testing.assert_allclose(means[0], means[1])


def test_takes_per_decision_by_hand(situations):
    """A take ends the episode: one take in as many decisions as the path has steps."""
    given = situations["only A"]
    takes = questions.takes_per_decision(given, eager(given, 0, 1.0), 0)
    steps = synthetic.planning._steps(given.successor, given.taken, given.terminated)
    level = np.arange(3)
    first = steps[level, given.start, :, 0]
    shortest = np.where(first > 0, first, np.inf).min(axis=-1)
    np.testing.assert_allclose(takes, 1 / shortest)


def test_no_renewal_without_histories_for_it(situations):
    words = [synthetic.history("A", "B"), synthetic.history("B", "A")]
    assert questions.renewal(everything(situations, words, lambda *_: 0.5)) is None


def test_order_matters_where_the_last_event_decides(situations):
    words = [synthetic.history("A", "B"), synthetic.history("B", "A")]

    def last(history, condition, seed):
        return (0.8 if history.endswith("A") else 0.2) + 0.02 * seed

    found = questions.order(everything(situations, words, last))
    effect = scores.of_levels(found.contrast.first).minus(
        scores.of_levels(found.contrast.second)
    )
    assert effect.values.mean() > 0.3
    assert found.test.p < 0.2  # the least of four seeds is 1/8

    def spread(history, condition, seed):
        return 0.5 + (0.1 * seed if history.endswith("A") else 0.0)

    # the seeds of one order alone differ: the other one counts half of what is within
    uneven = questions.order(everything(situations, words, spread))
    first = everything(situations, words[1:], spread).agents
    own = [
        questions._distances(
            *2 * [np.stack([a.behaviour[name].policy for a in first])],
            np.mean(
                [
                    a.behaviour[name].occupancy
                    for a in everything(situations, words, spread).agents
                ],
                axis=0,
            ),
        )
        for name in situations
    ]
    pairs = ~np.eye(4, dtype=bool)
    within = np.mean([each[pairs].mean() for each in own]) / 2
    np.testing.assert_allclose(uneven.contrast.second.mean(), within)
    none = questions.order(
        everything(situations, words, lambda h, c, seed: 0.4 + 0.02 * seed)
    )
    both = (none.contrast.first.mean(), none.contrast.second.mean())
    np.testing.assert_allclose(both[0], both[1])


def test_pairs_of_seeds_have_their_mean_and_their_spread():
    """Pseudovalues have the mean over pairs, and four times the variance of means.

    Distances d_ij = x_i + x_j are linear, so pseudovalues are 2 x_i up to the rest of
    a finite sample.
    """
    x = np.array([0.1, 0.4, 0.2, 0.9, 0.5])
    distances = (x[:, None] + x[None])[:, :, None]
    own = questions._of_seeds(distances)[:, 0]
    pairs = distances[..., 0][~np.eye(5, dtype=bool)]
    np.testing.assert_allclose(own.mean(), pairs.mean())
    np.testing.assert_allclose(own - own.mean(), 2 * (x - x.mean()))


def test_histories_alike_but_longer_are_no_reverse():
    longer = History("long", (synthetic.EVENTS["A"],) * 3)
    agents = {h.name: [h] for h in (longer, synthetic.history("A"))}
    fake = {name: [AgentEvidence("mlp", own[0], 0, {})] for name, own in agents.items()}
    assert list(questions._reversed(fake)) == []
