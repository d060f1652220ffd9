"""Restarts are counted like species: those seen, and a bound on those that exist."""

import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.truth import ccs, counting


def sample(signs):
    """Directions along sign vectors, equal losses, and independent facts."""
    signs = np.asarray(signs, float)
    return signs, np.zeros(len(signs)), np.eye(signs.shape[1])


def test_chao_by_hand():
    """Results seen 3, 2, 1, 1, 1 times: 5 + 3 * 2 / (2 * 2) = 6.5."""
    a, b, c, d, e = [1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1], [1, 1, 1]
    four = [a, a, a, b, b, c, d]
    result = counting.estimate(*sample(four))
    assert (result.seen, result.num_good) == (4, 7)
    assert result.counts.tolist() == [3, 2, 1, 1]
    assert result.chao1 == 4 + 2 * 1 / (2 * 2)
    assert result.coverage == pytest.approx(1 - 2 / 7)
    assert result.bits == pytest.approx(np.log2(9))
    assert "4 different results of 7 good restarts" in result.summary()
    assert counting.estimate(*sample([a, e])).seen == 1


def test_opposites_are_one_result():
    result = counting.estimate(*sample([[1, -1], [-1, 1], [1, 1]]))
    assert result.seen == 2
    assert result.counts.tolist() == [2, 1]
    assert result.signs[:, 0].all()


def test_a_pair_without_a_difference_separates_nothing():
    directions, losses, facts = sample([[1, 1, -1], [-1, -1, 1], [1, -1, 1]])
    facts[0] = 0
    result = counting.estimate(directions, losses, facts)
    assert result.counts.tolist() == [3]
    assert result.signs.tolist() == [[False, True, False]]


def test_restarts_with_a_high_loss_are_left_out():
    directions, losses, facts = sample([[1, 1], [1, -1], [1, 1]])
    losses[1] = 0.5
    result = counting.estimate(directions, losses, facts)
    assert (result.seen, result.num_good) == (1, 2)
    assert counting.estimate(directions, losses, facts, tolerance=1).seen == 2


def test_the_bound_lies_below_the_truth_on_average():
    """64 results, drawn evenly and unevenly; seen <= Chao <= truth on average."""
    rng = np.random.default_rng(0)
    every = 1 - 2 * ((np.arange(64)[:, None] >> np.arange(7)) & 1)
    every = np.c_[every[:, :6], np.ones(64)]
    for chance in (np.ones(64), np.r_[np.full(8, 10), np.ones(56)]):
        result = [
            counting.estimate(
                *sample(every[rng.choice(64, 60, p=chance / chance.sum())])
            )
            for _ in range(60)
        ]
        num_seen, bound = (
            np.mean([getattr(e, f) for e in result]) for f in ("seen", "chao1")
        )
        assert num_seen < bound < 70
        assert bound > 1.3 * num_seen


@pytest.mark.slow
def test_ccs_on_groups_of_facts_meets_many_and_on_one_concept_only_one(key):
    rng = np.random.default_rng(1)
    groups = np.repeat(np.eye(6), 10, axis=0)
    x, y = (s * groups + 0.05 * rng.normal(size=(60, 6)) for s in (1, -1))
    result = ccs.fit(jnp.asarray(x), jnp.asarray(y), key, restarts=24, steps=100)
    many = counting.estimate(
        np.asarray(result.directions), np.asarray(result.losses), np.eye(6)
    )
    assert many.seen > 6
    assert many.chao1 <= 2**5 + 20
    label = np.where(rng.random(60) < 0.5, 1, -1)[:, None]
    x, y = (
        s * label * np.eye(6)[:1] + 0.05 * rng.normal(size=(60, 6)) for s in (1, -1)
    )
    result = ccs.fit(jnp.asarray(x), jnp.asarray(y), key, restarts=24, steps=100)
    differences = np.asarray(result.sides.differences(jnp.asarray(x), jnp.asarray(y)))
    one = counting.estimate(
        np.asarray(result.directions), np.asarray(result.losses), differences
    )
    assert one.seen == 1
    assert one.chao1 == 1


def test_orthogonal_probes_in_a_row():
    assert counting.orthogonal_count(np.array([0.99, 0.05, 0.95, 0.6, 0.99])) == 3
    assert counting.orthogonal_count(np.array([0.99, 0.95])) == 2
    assert counting.orthogonal_count(np.array([0.5])) == 0
    assert counting.orthogonal_count(np.array([0.5]), threshold=0.5) == 1


def test_bad_input_is_named():
    directions, losses, facts = sample([[1, 1], [1, -1]])
    with pytest.raises(ValueError, match="losses: got shape"):
        counting.estimate(directions, losses[:1], facts)
    with pytest.raises(ValueError, match="differences: got shape"):
        counting.estimate(directions, losses, facts[:, :1])
    with pytest.raises(ValueError, match="losses: got 2 numbers"):
        counting.estimate(directions, losses * np.nan, facts)
    with pytest.raises(ValueError, match="tolerance: got -1"):
        counting.estimate(directions, losses, facts, tolerance=-1)
    with pytest.raises(ValueError, match="accuracies: got shape"):
        counting.orthogonal_count(np.eye(2))
