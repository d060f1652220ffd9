"""Counts of truth-like features: closed forms, enumeration, an oracle by LP."""

import math
from itertools import product

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from shardsim.inspection.truth import counting, pairs


def by_programming(x):
    """Sign vectors s for which s_i w . x_i >= 1 has a solution, by linear programs."""
    results = set()
    for signs in product([True, False], repeat=len(x)):
        signed = np.where(signs, 1, -1)[:, None] * x
        result = scipy.optimize.linprog(
            np.zeros(x.shape[1]), -signed, -np.ones(len(x)), bounds=(None, None)
        )
        if result.status == 0:
            results.add(signs)
    return results


def test_cover_by_hand():
    assert counting.cover_count(5, 3) == 22
    assert counting.cover_count(6, 3) == 32
    assert counting.cover_count(5, 4) == 30
    assert counting.cover_count(1, 7) == 2
    assert counting.cover_count(7, 1) == 2
    assert counting.cover_count(300, 300) == 2**300


@given(st.integers(1, 40), st.integers(1, 12))
def test_cover_grows_by_its_recursion(n, d):
    """One more pair keeps each feature, and splits those whose plane can contain it."""
    split = counting.cover_count(n, d - 1) if d > 1 else 0
    assert counting.cover_count(n + 1, d) == counting.cover_count(n, d) + split
    assert counting.cover_count(n, d) <= 2**n


@pytest.mark.parametrize("d", range(1, 9))
def test_independent_facts(d):
    positive, negative = (np.asarray(side) for side in pairs.independent_facts(d))
    result = counting.enumerate_features(positive - negative)
    assert result.count() == counting.independent_count(d) == 2**d
    assert result.bits() == d
    np.testing.assert_allclose(result.margins, 2 / np.sqrt(d), rtol=1e-9)
    assert len({tuple(signs) for signs in result.signs}) == 2**d
    if d > 1:
        sides = pairs.learn_sides(*pairs.independent_facts(d))
        centred = np.asarray(sides.differences(*pairs.independent_facts(d)), np.float64)
        result = counting.enumerate_features(centred)
        assert result.count() == counting.independent_count(d, centred=True) == 2**d - 2
        assert not (result.signs.all(axis=1) | (~result.signs).all(axis=1)).any()


@pytest.mark.parametrize(("n", "d"), [(4, 2), (6, 3), (7, 4), (5, 7), (6, 1)])
def test_enumeration_agrees_with_linear_programs_and_cover(n, d):
    x = np.random.default_rng(n * d).normal(size=(n, d))
    result = counting.enumerate_features(x)
    assert {tuple(signs) for signs in result.signs} == by_programming(x)
    assert result.count() == counting.cover_count(n, d)


def test_pairs_on_one_line_have_fewer_features():
    """Not in general position: two pairs on one line share their sign."""
    x = np.array([[1.0, 0], [2, 0], [0, 1]])
    result = counting.enumerate_features(x)
    assert result.count() == len(by_programming(x)) == 4 < counting.cover_count(3, 2)
    assert (result.signs[:, 0] == result.signs[:, 1]).all()
    assert counting.enumerate_features(np.array([[1.0, 0], [-2, 0]])).count() == 2


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_margins_are_reached_and_can_not_be_beaten(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(4, 3))
    width, direction = counting.margin(x)
    tried = rng.normal(size=(200, 3))
    tried /= np.linalg.norm(tried, axis=1, keepdims=True)
    best = (tried @ x.T).min(axis=1).max()
    assert width >= best - 1e-9
    if width > 0:
        assert np.linalg.norm(direction) == pytest.approx(1)
        assert (x @ direction).min() == pytest.approx(width)
        # weak duality: the nearest point of the hull is at the same distance
        assert counting.margin(3 * x)[0] == pytest.approx(3 * width)
    else:
        assert best <= 1e-6


@pytest.mark.parametrize("d", range(2, 9))
def test_margins_of_dependent_pairs(d):
    """Centred facts sum to 0. With k of them positive, p of the weight on those, the
    squared distance is 4 (p^2 / k + (1 - p)^2 / (d - k) - (2 p - 1)^2 / d), least over
    p. SciPy's solver alone ends elsewhere, in which cases depends on the processor.
    """
    centred, order = 2 * (np.eye(d) - 1 / d), np.random.default_rng(d).permutation(d)
    for signs in product([1.0, -1.0], repeat=d):
        width, _ = counting.margin((np.array(signs)[:, None] * centred)[order])
        k = signs.count(1.0)
        if k in (0, d):
            assert width == 0
            continue
        p = (1 / (d - k) - 2 / d) / (1 / k + 1 / (d - k) - 4 / d) if 2 * k != d else 0.5
        p = min(max(p, 0.0), 1.0)
        squared = p**2 / k + (1 - p) ** 2 / (d - k) - (2 * p - 1) ** 2 / d
        assert width == pytest.approx(2 * np.sqrt(squared), rel=1e-6)


def test_margin_by_hand():
    """Rows (1, 0), (0, 1): the diagonal, at a distance of 1 / sqrt 2."""
    width, direction = counting.margin(np.eye(2))
    assert width == pytest.approx(math.sqrt(0.5))
    np.testing.assert_allclose(direction, [math.sqrt(0.5)] * 2)
    assert counting.margin(np.array([[1.0, 0], [-1, 0]]))[0] == 0
    assert counting.margin(np.zeros((2, 3)))[0] == 0


def test_fewer_features_have_a_wide_margin():
    """Pairs (1, 0), (1, .2): apart they differ in .2 only."""
    x = np.array([[1.0, 0.0], [1.0, 0.2]])
    result = counting.enumerate_features(x)
    assert (result.count(), result.count(0.5), result.count(2.0)) == (4, 2, 0)
    # the margin itself still counts
    assert result.count(float(result.margins.max())) == 2
    assert result.bits(2.0) == -math.inf
    thick = counting.enumerate_features(x, least_margin=0.5)
    assert thick.count() == 2
    assert (thick.signs[:, 0] == thick.signs[:, 1]).all()
    margins = result.margins[result.signs[:, 0] != result.signs[:, 1]]
    np.testing.assert_allclose(margins, 0.2 / 2 / np.sqrt(1 + 0.01), rtol=1e-6)


def test_a_pair_without_difference_has_no_feature():
    result = counting.enumerate_features(np.array([[1.0, 0], [0, 0]]))
    assert result.count() == 0
    assert result.summary() == "no truth-like feature on 2 pairs"
    assert "4 truth-like" in counting.enumerate_features(np.eye(2)).summary()


def test_features_come_with_their_opposites_and_directions():
    x = np.random.default_rng(3).normal(size=(6, 3))
    result = counting.enumerate_features(x)
    np.testing.assert_array_equal(result.directions @ x.T > 0, result.signs)
    np.testing.assert_array_equal(result.signs[:16], ~result.signs[16:])


def test_a_few_mistakes_allow_many_more():
    signs = np.array([[True, True, True], [False, False, False]])
    assert counting.approximate(signs, 0) == 2
    assert counting.approximate(signs, 1) == 8
    one = signs[:1]
    assert counting.approximate(one, 1) == 4
    assert counting.approximate(one, 3) == 8


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="differences: got shape"):
        counting.enumerate_features(np.zeros(3))
    with pytest.raises(ValueError, match="differences: got 1 numbers"):
        counting.enumerate_features(np.array([[np.nan, 1.0]]))
    with pytest.raises(ValueError, match=r"differences: got up to \d+ features"):
        counting.enumerate_features(np.ones((60, 20)))
    with pytest.raises(ValueError, match="least_margin: got -1"):
        counting.enumerate_features(np.eye(2), least_margin=-1)
    with pytest.raises(ValueError, match="pairs: got 0"):
        counting.cover_count(0, 2)
    with pytest.raises(ValueError, match="d: got 0"):
        counting.cover_count(2, 0)
    with pytest.raises(ValueError, match="mistakes: got 3"):
        counting.approximate(np.ones((1, 2), bool), 3)
