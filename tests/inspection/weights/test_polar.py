"""Turning, stretching and shearing are told apart."""

import numpy as np
import pytest
import scipy.linalg

from shardsim.inspection.weights import polar


def plane(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def random(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_the_merging_matrix_neither_turns_nor_shears():
    """The control: symmetric and positive, all it does is scale."""
    got = polar.fit(0.5 * np.ones((2, 2)))
    assert got.rotation_share == pytest.approx(0, abs=1e-12)
    assert got.alignment == pytest.approx(1)
    assert got.departure_from_normality == pytest.approx(0, abs=1e-12)
    assert got.commutator == pytest.approx(0, abs=1e-12)
    assert got.complex_pairs == 0
    np.testing.assert_allclose(got.angles, 0, atol=1e-7)
    np.testing.assert_allclose(got.eigenvalues, [1, 0], atol=1e-12)


@pytest.mark.parametrize("angle", [0.3, np.pi / 2, np.pi])
def test_a_turn_by_hand(angle):
    got = polar.fit(2 * plane(angle))
    assert got.rotation_share == pytest.approx(2 * np.sin(angle / 2))
    assert got.alignment == pytest.approx(np.cos(angle))
    np.testing.assert_allclose(got.rotation, plane(angle), atol=1e-12)
    np.testing.assert_allclose(got.stretch, 2 * np.eye(2), atol=1e-12)
    np.testing.assert_allclose(got.angles, angle, atol=1e-6)
    assert got.complex_pairs == (0 if angle == np.pi else 1)
    assert got.departure_from_normality == pytest.approx(0, abs=1e-12)


def test_a_shear_by_hand():
    """[[0, 1], [0, 0]]: eigenvalues 0, and M M^T - M^T M = diag(1, -1)."""
    got = polar.fit(np.array([[0.0, 1.0], [0.0, 0.0]]))
    assert got.departure_from_normality == pytest.approx(1)
    assert got.commutator == pytest.approx(2**0.5)
    assert got.alignment == 0
    np.testing.assert_allclose(got.rotation, [[0, 1], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(got.angles, [np.pi / 2, 0], atol=1e-12)


def test_the_polar_parts_are_scipy_s_and_make_the_matrix():
    m = random(5, 5)
    got = polar.fit(m)
    turn, stretch = scipy.linalg.polar(m)
    np.testing.assert_allclose(got.rotation, turn, atol=1e-10)
    np.testing.assert_allclose(got.stretch, stretch, atol=1e-10)
    np.testing.assert_allclose(got.rotation @ got.stretch, m, atol=1e-10)
    upper, _ = scipy.linalg.schur(m, output="complex")
    above = np.square(np.abs(np.triu(upper, 1))).sum()
    assert got.departure_from_normality == pytest.approx(above / np.square(m).sum())
    assert (np.diff(np.abs(got.eigenvalues)) <= 1e-9).all()


def test_a_change_of_axes_changes_none_of_the_numbers():
    m, axes = random(6, 6), np.linalg.qr(random(6, 6))[0]
    one, other = polar.fit(m), polar.fit(axes @ m @ axes.T)
    for field in (
        "rotation_share",
        "alignment",
        "departure_from_normality",
        "commutator",
        "complex_pairs",
    ):
        np.testing.assert_allclose(getattr(one, field), getattr(other, field))


def test_a_stack_zeros_and_32_bits():
    stack = np.stack([random(3, 3), np.zeros((3, 3))]).astype(np.float32)
    got = polar.fit(stack)
    assert got.rotation.dtype == got.departure_from_normality.dtype == np.float32
    assert got.eigenvalues.dtype == np.complex64
    one = polar.fit(stack[0])
    np.testing.assert_allclose(got.rotation_share[0], one.rotation_share, rtol=1e-6)
    assert (
        got.rotation_share[1]
        == got.alignment[1]
        == got.departure_from_normality[1]
        == 0
    )
    assert "complex pairs" in got.summary()
    assert polar.fit(np.eye(2, dtype=int)).rotation_share == pytest.approx(0, abs=1e-12)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"matrix: got shape \(2, 3\)"):
        polar.fit(np.ones((2, 3)))
    with pytest.raises(ValueError, match="axes of matrix: got 1"):
        polar.fit(np.ones(3))
    with pytest.raises(ValueError, match="matrix: got 1 numbers"):
        polar.fit(np.array([[np.nan]]))
