"""Patches: numbers by hand, laws, and refused input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection import arrays
from shardsim.inspection.interventions import patches

H = jnp.array([3.0, 4.0])
E0 = jnp.array([1.0, 0.0])


def test_patches_by_hand():
    assert patches.replace(E0)(H).tolist() == [1, 0]
    assert patches.fill(None, 2.0)(H).tolist() == [2, 2]
    assert patches.fill(jnp.array([True, False]), 2.0)(H).tolist() == [2, 4]
    assert patches.fill(jnp.array([False, True]), -H)(H).tolist() == [3, -4]
    assert patches.add(E0, scale=-2.0)(H).tolist() == [1, 4]
    assert patches.project_out(2 * E0, 0)(H).tolist() == [0, 4]
    assert patches.project_out(2 * E0, jnp.array([5.0, 7.0]))(H).tolist() == [5, 4]
    assert patches.swap(jnp.array([7.0, 8.0]), E0)(H).tolist() == [7, 4]


def test_directions_are_over_the_flattened_site():
    h = jnp.arange(6.0).reshape(2, 3)
    d = jnp.zeros(6).at[4].set(1.0)
    np.testing.assert_allclose(patches.project_out(d, 0.0)(h), h.at[1, 1].set(0.0))
    np.testing.assert_allclose(patches.swap(-h, d)(h), h.at[1, 1].set(-4.0))


@pytest.mark.parametrize("x64", [False, True])
def test_laws_of_a_span(x64):
    with jax.enable_x64(x64):
        dtype = jnp.float64 if x64 else jnp.float32
        drawn = np.random.default_rng(0)
        d, h, source = (
            jnp.asarray(drawn.normal(size=s), dtype) for s in ((3, 8), 8, 8)
        )
        tol = 1e-12 if x64 else 1e-5
        basis = patches.orthonormal(d)
        np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=tol)
        erase = patches.project_out(d, source)
        out = erase(h)
        assert out.dtype == dtype
        np.testing.assert_allclose(erase(out), out, atol=tol)
        np.testing.assert_allclose(basis @ out, basis @ source, atol=tol)
        # another basis of the same span erases the same component
        np.testing.assert_allclose(
            patches.project_out(jnp.flip(d, 0) * 3, source)(h), out, atol=10 * tol
        )
        # the swapped component and the rest add up to the base again
        mixed = patches.swap(source, d)(h)
        np.testing.assert_allclose(patches.swap(h, d)(mixed), h, atol=tol)
        np.testing.assert_allclose(mixed, out, atol=tol)
        # over all directions everything is swapped
        whole = patches.swap(source, jnp.asarray(drawn.normal(size=(8, 8)), dtype))
        np.testing.assert_allclose(whole(h), source, atol=100 * tol)


def test_nearly_parallel_directions_stay_orthonormal():
    d = jnp.array([[1.0, 0.0, 0.0], [1.0, 1e-3, 0.0], [1.0, 1e-3, 2e-3]])
    basis = patches.orthonormal(d)
    np.testing.assert_allclose(basis @ basis.T, np.eye(3), atol=1e-4)


def test_a_dependent_direction_changes_nothing_under_jit():
    d = jnp.stack([E0, 2 * E0, 0 * E0])
    actual = jax.jit(lambda d, h: patches.project_out(d, 0.0)(h))(d, H)
    assert actual.tolist() == [0, 4]


def test_short_and_nearly_parallel_directions_still_span_exactly():
    """Rows that differ by 5e-4 lose four digits in one pass; length plays no role."""
    rows = np.eye(4)[[0, 0, 1]] + 5e-4 * np.eye(4)[[1, 2, 3]]
    rows = np.concatenate([rows[:1], rows])
    rows[0] = [1, 1, 1, 1]
    for scale in (1.0, 1e-6):
        actual = np.asarray(patches.orthonormal(jnp.asarray(scale * rows, jnp.float32)))
        np.testing.assert_allclose(actual @ actual.T, np.eye(4), atol=1e-6)


def test_random_control_has_the_length_and_no_direction(key):
    v = jnp.full((40, 25), 0.3)
    controls = jax.vmap(lambda k: patches.random_like(v, k))(jax.random.split(key, 50))
    controls, v = np.asarray(controls), np.asarray(v)
    lengths = np.sqrt((controls**2).sum(axis=(1, 2)))
    np.testing.assert_allclose(lengths, np.linalg.norm(v), rtol=1e-5)
    cosines = (controls * v).sum(axis=(1, 2)) / np.linalg.norm(v) ** 2
    # 1 / sqrt(1000) = .032
    assert 0.015 < np.abs(cosines).mean() < 0.045


@pytest.mark.parametrize("n", [2, 3, 10])
def test_a_derangement_has_no_fixed_point(n, key):
    draws = jax.vmap(lambda k: arrays.derangement(n, k))(jax.random.split(key, 200))
    draws = np.asarray(draws)
    assert (draws != np.arange(n)).all()
    assert (np.sort(draws, axis=1) == np.arange(n)).all()
    # every other sample is equally likely
    share = np.stack([(draws == i).mean(axis=0) for i in range(n)])
    np.testing.assert_allclose(
        share[~np.eye(n, dtype=bool)], 1 / (n - 1), atol=0 if n == 2 else 0.12
    )


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: patches.replace(E0)(H[:1]), r"activation: got shape \(2,\)"),
        (lambda: patches.fill(jnp.array([True]), 0.0)(H), r"mask: got shape \(1,\)"),
        (lambda: patches.fill(E0, 0.0)(H), "mask: got float32; allowed: booleans"),
        (lambda: patches.fill(None, H[:1])(H), r"value: got shape \(1,\)"),
        (lambda: patches.add(H[:1])(H), r"vector: got shape \(1,\)"),
        (
            lambda: patches.project_out(jnp.ones(3), 0)(H),
            r"directions: got shape \(1, 3",
        ),
        (lambda: patches.project_out(E0, H[:1])(H), r"center: got shape \(1,\)"),
        (
            lambda: patches.project_out(0 * E0, 0)(H),
            "directions: got row 0 of length 0",
        ),
        (
            lambda: patches.orthonormal(jnp.stack([E0, -E0])),
            "directions: got row 1 of length 1, 0 or in the span",
        ),
        (
            lambda: patches.orthonormal(E0 * jnp.nan),
            "directions: got 2 numbers that are not finite",
        ),
        (
            lambda: patches.orthonormal(jnp.stack([E0, E0 + jnp.array([0.0, 5e-5])])),
            "directions: got row 1 of length 1, 0 or in the span",
        ),
        (lambda: patches.add(H * jnp.nan)(H), "vector: got 2 numbers that are not f"),
        (lambda: patches.replace(H / 0)(H), "activation: got 2 numbers that are not"),
        (lambda: patches.fill(None, jnp.nan)(H), "value: got 1 numbers that are not"),
        (lambda: patches.swap(H * jnp.nan, E0)(H), "source: got 2 numbers that are n"),
        (
            lambda: patches.project_out(E0, H * jnp.nan)(H),
            "center: got 2 numbers that are not finite",
        ),
        (lambda: patches.add(H, scale=jnp.nan)(H), "scale: got 1 numbers that are not"),
        (lambda: arrays.derangement(1, jax.random.key(0)), "n: got 1; allowed: at"),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises(ValueError, match=message):
        act()
