"""Removal of one context by linear edits: planted units, capacities, controls."""

import jax
import numpy as np
import pytest

from shardsim.inspection.shards import removal

CONTEXT = np.tile(np.arange(4), 50)
TEST = np.arange(200) % 8 >= 4
KEY = jax.random.key(0)


def one_unit_each(rng):
    """Contributions of four units, each open in its own context alone."""
    return rng.uniform(1, 2, (200, 4)) * np.eye(4)[CONTEXT]


def found(units, features, **settings):
    return removal.fit(units, features, CONTEXT, TEST, KEY, **settings)


def test_a_unit_of_a_context_is_removed_by_one_direction():
    """y = u_c, so that U'y is a multiple of the unit vector c: rank 1 is exact."""
    rng = np.random.default_rng(0)
    units = one_unit_each(rng)
    result = found(units, rng.normal(size=(200, 3)), ranks=(1, 2))
    np.testing.assert_allclose(result.score, 1.0, atol=1e-9)
    assert (result.random < 0.9).all()
    assert result.area == pytest.approx(1 - result.random.mean())


def test_two_units_of_different_size_need_two_directions():
    """V of context 0 is a + 3 b: one direction leaves a part of it, two leave none."""
    rng = np.random.default_rng(1)
    own = np.eye(4)[CONTEXT]
    a, b = rng.normal(size=(2, 200))
    units = np.column_stack([a * own[:, 0], 3 * b * own[:, 0], own[:, 1:]])
    result = found(units, rng.normal(size=(200, 3)), ranks=(1, 2))
    assert 0.5 < result.score[0, 0] < 0.999
    assert result.score[0, 1] == pytest.approx(1.0)


def test_units_that_serve_all_contexts_alike_cannot_be_edited():
    """One unit, the same in all contexts: b u has to be u in 1 of 4 and 0 in 3.

    The best b is 1 / 4, and 1 - (1 * (3/4)^2 + 3 * (1/4)^2) = 1 / 4.
    """
    rng = np.random.default_rng(2)
    result = found(np.ones((200, 1)), rng.normal(size=(200, 3)), ranks=(1,))
    np.testing.assert_allclose(result.score, 0.25)


def test_at_full_rank_it_is_least_squares():
    rng = np.random.default_rng(3)
    units = rng.normal(size=(200, 5))
    result = found(units, rng.normal(size=(200, 3)), ranks=(5,))
    for c in range(4):
        y = units.sum(axis=1) * (c == CONTEXT)
        b = np.linalg.lstsq(units[~TEST], y[~TEST], rcond=None)[0]
        error = np.square(y[TEST] - units[TEST] @ b).sum()
        score = 1 - error / np.square(y[TEST]).sum()
        assert result.score[c, 0] == pytest.approx(score, abs=1e-6)


def test_shuffled_contexts_are_not_removed():
    """The negative control: the labels are held out with their levels."""
    rng = np.random.default_rng(4)
    units = one_unit_each(rng)
    shuffled = rng.permutation(CONTEXT)
    result = removal.fit(
        units, rng.normal(size=(200, 3)), shuffled, TEST, KEY, ranks=(1, 4)
    )
    assert result.score.mean() < 0.35


def test_a_rotation_of_the_units_changes_nothing():
    rng = np.random.default_rng(5)
    units, features = rng.normal(size=(200, 6)), rng.normal(size=(200, 3))
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    # V is the sum of the units: the turned ones are given so that the sum stays
    first = found(units, features, ranks=(1, 2, 4))
    again = removal._scores(
        units @ turn, units.sum(axis=1)[:, None] * np.eye(4)[CONTEXT], TEST, (1, 2, 4)
    )
    np.testing.assert_allclose(first.score, again, atol=1e-8)


def test_refusals():
    units, features = np.ones((200, 2)), np.ones((200, 2))
    with pytest.raises(ValueError, match="ranks: got 3"):
        found(units, features, ranks=(3,))
    with pytest.raises(ValueError, match=r"ranks: got \(2, 1\); allowed: ascending"):
        found(units, features, ranks=(2, 1))
    with pytest.raises(ValueError, match="held_out: got a context without samples"):
        removal.fit(units, features, CONTEXT, CONTEXT == 0, KEY, ranks=(1,))
    with pytest.raises(ValueError, match="contexts: got 1"):
        removal.fit(units, features, np.zeros(200, int), TEST, KEY, ranks=(1,))


def test_the_summary_names_both_curves():
    rng = np.random.default_rng(6)
    result = found(one_unit_each(rng), rng.normal(size=(200, 3)), ranks=(1,))
    assert "1 directions remove 1.000 of one context alone" in result.summary()
