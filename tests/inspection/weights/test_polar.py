"""Rotation, stretch and shear are separated."""

import numpy as np
import pytest
import scipy.linalg

from shardsim.inspection.weights import polar


def plane(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def random(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_the_merging_matrix_neither_rotates_nor_shears():
    """The control: a symmetric positive matrix only scales."""
    result = polar.fit(0.5 * np.ones((2, 2)))
    assert result.rotation_share == pytest.approx(0, abs=1e-12)
    assert result.alignment == pytest.approx(1)
    assert result.departure_from_normality == pytest.approx(0, abs=1e-12)
    assert result.commutator == pytest.approx(0, abs=1e-12)
    assert result.complex_pairs == 0
    np.testing.assert_allclose(result.angles, 0, atol=1e-7)
    np.testing.assert_allclose(result.eigenvalues, [1, 0], atol=1e-12)


@pytest.mark.parametrize("angle", [0.3, np.pi / 2, np.pi])
def test_a_rotation_by_hand(angle):
    result = polar.fit(2 * plane(angle))
    assert result.rotation_share == pytest.approx(2 * np.sin(angle / 2))
    assert result.alignment == pytest.approx(np.cos(angle))
    np.testing.assert_allclose(result.rotation, plane(angle), atol=1e-12)
    np.testing.assert_allclose(result.stretch, 2 * np.eye(2), atol=1e-12)
    np.testing.assert_allclose(result.angles, angle, atol=1e-6)
    assert result.complex_pairs == (0 if angle == np.pi else 1)
    assert result.departure_from_normality == pytest.approx(0, abs=1e-12)


def test_a_shear_by_hand():
    """[[0, 1], [0, 0]]: eigenvalues 0, and M M^T - M^T M = diag(1, -1)."""
    result = polar.fit(np.array([[0.0, 1.0], [0.0, 0.0]]))
    assert result.departure_from_normality == pytest.approx(1)
    assert result.commutator == pytest.approx(2**0.5)
    assert result.alignment == 0
    np.testing.assert_allclose(result.rotation, [[0, 1], [0, 0]], atol=1e-12)
    np.testing.assert_allclose(result.angles, [np.pi / 2, 0], atol=1e-12)


def test_the_polar_parts_are_scipy_s_and_make_the_matrix():
    m = random(5, 5)
    result = polar.fit(m)
    turn, stretch = scipy.linalg.polar(m)
    np.testing.assert_allclose(result.rotation, turn, atol=1e-10)
    np.testing.assert_allclose(result.stretch, stretch, atol=1e-10)
    np.testing.assert_allclose(result.rotation @ result.stretch, m, atol=1e-10)
    upper, _ = scipy.linalg.schur(m, output="complex")
    above = np.square(np.abs(np.triu(upper, 1))).sum()
    assert result.departure_from_normality == pytest.approx(above / np.square(m).sum())
    assert (np.diff(np.abs(result.eigenvalues)) <= 1e-9).all()


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
    result = polar.fit(stack)
    assert result.rotation.dtype == result.departure_from_normality.dtype == np.float32
    assert result.eigenvalues.dtype == np.complex64
    one = polar.fit(stack[0])
    np.testing.assert_allclose(result.rotation_share[0], one.rotation_share, rtol=1e-6)
    assert (
        result.rotation_share[1]
        == result.alignment[1]
        == result.departure_from_normality[1]
        == 0
    )
    assert "complex pairs" in result.summary()
    assert polar.fit(np.eye(2, dtype=int)).rotation_share == pytest.approx(0, abs=1e-12)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"matrix: got shape \(2, 3\)"):
        polar.fit(np.ones((2, 3)))
    with pytest.raises(ValueError, match="axes of matrix: got 1"):
        polar.fit(np.ones(3))
    with pytest.raises(ValueError, match="matrix: got 1 numbers"):
        polar.fit(np.array([[np.nan]]))
