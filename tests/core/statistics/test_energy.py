"""The energy distance satisfies its axioms; its test finds a shift."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardsim.core.statistics import energy


def test_features_that_are_not_finite_give_nan():
    x = np.random.default_rng(9).normal(size=(4, 3))
    broken = x.copy()
    broken[1, 2] = np.nan
    actual = energy.paired_permutation_energy(broken, x)
    assert np.isnan([actual.distance, actual.ratio, actual.p]).all()


def test_energy_distance_by_hand():
    x, y = np.array([[0.0], [0.0]]), np.array([[3.0], [3.0]])
    assert energy.paired_permutation_energy(x, y).distance == pytest.approx(6.0)
    assert energy.paired_permutation_energy(x, x).distance == pytest.approx(0.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_energy_distance_is_positive_and_symmetric(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 5, 3))
    one, two = (
        energy.paired_permutation_energy(*pair).distance for pair in ((x, y), (y, x))
    )
    assert one == pytest.approx(two)
    assert one > -1e-9


def test_the_permutation_test_finds_a_shift_and_keeps_its_level():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(8, 5))
    moved = energy.paired_permutation_energy(x, x + 3)
    assert moved.p == pytest.approx(2 / 256)
    assert moved.ratio > 1.5
    p = []
    for _ in range(200):
        shared = rng.normal(size=(6, 1, 4))
        pair = shared + rng.normal(size=(6, 2, 4))
        p.append(energy.paired_permutation_energy(pair[:, 0], pair[:, 1]).p)
    assert np.mean(np.array(p) <= 0.05) < 0.09


def test_identical_arms_do_not_differ():
    x = np.random.default_rng(7).normal(size=(8, 3))
    same = energy.paired_permutation_energy(x, x)
    assert same.distance == pytest.approx(0, abs=1e-9)
    assert same.p == 1.0
    assert same.ratio == pytest.approx(1.0)


def test_many_seeds_are_sampled_and_the_identity_counts():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(16, 2))
    actual = energy.paired_permutation_energy(x, x + 5, permutations=500)
    assert 1 / 500 <= actual.p < 0.02
