"""Closed forms and clusters recover a planted direction, and zeros without one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from shardsim.inspection import arrays
from shardsim.inspection.truth import baselines


@pytest.fixture(scope="module")
def planted():
    """Differences = +- 2 concept + noise, and their labels."""
    rng = np.random.default_rng(0)
    label = rng.random(300) < 0.5
    concept = np.array([0.6, 0.8, 0, 0, 0])
    x = np.where(label, 2, -2)[:, None] * concept + rng.normal(size=(300, 5))
    return jnp.asarray(x, jnp.float32), jnp.asarray(label), concept


def cosine(found, concept):
    return abs(float(np.asarray(found) @ concept))


def test_sign_accuracy_by_hand():
    score = jnp.asarray([1.0, -1.0, 2.0, 0.0])
    label = jnp.asarray([True, False, False, True])
    assert float(baselines.sign_accuracy(score, label)) == 2.5 / 4
    assert float(baselines.sign_accuracy(-score, label)) == 1.5 / 4


@pytest.mark.parametrize("seed", range(4))
def test_top_direction_is_numpy_s(seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(5, 5))
    for matrix, known in ((a + a.T, False), (a @ a.T, True), (-a @ a.T, False)):
        expected = np.linalg.eigh(matrix)[1][:, -1]
        result = baselines.top_direction(
            jnp.asarray(matrix, jnp.float32), semidefinite=known
        )
        assert cosine(result, expected) > 1 - 1e-5
        assert float(jnp.max(jnp.abs(result))) == float(jnp.max(result))


@pytest.mark.slow
def test_top_direction_of_ties_and_of_nothing():
    tied = baselines.top_direction(jnp.diag(jnp.asarray([2.0, 2.0, 1.0])))
    assert float(tied @ jnp.diag(jnp.asarray([2.0, 2.0, 1.0])) @ tied) == 2
    np.testing.assert_array_equal(baselines.top_direction(jnp.zeros((3, 3))), 0)
    close = jnp.diag(jnp.asarray([1.0, 1.0001]))
    np.testing.assert_allclose(baselines.top_direction(close), [0, 1], atol=1e-6)


def test_principal_is_the_top_singular_direction(planted):
    x, _, concept = planted
    expected = np.linalg.svd(np.asarray(x))[2][0]
    assert cosine(baselines.principal(x), expected) > 1 - 1e-5
    assert cosine(baselines.principal(x), concept) > 0.97
    # n < d
    assert cosine(baselines.principal(x[:1]), np.asarray(arrays.unit(x[0]))) > 1 - 1e-5
    np.testing.assert_array_equal(baselines.principal(0 * x), 0)


def test_kmeans_by_hand_and_planted(planted, key):
    two = jnp.asarray([[5.0, 0], [5, 1], [-5, 0], [-5, 1]])
    assert cosine(baselines.kmeans(two, key).direction, [1, 0]) == pytest.approx(1)
    x, _, concept = planted
    assert cosine(baselines.kmeans(x, key).direction, concept) > 0.95
    np.testing.assert_array_equal(baselines.kmeans(0 * x, key).direction, 0)


def test_logistic_agrees_with_scipy(planted):
    x, label, _ = planted
    turned = np.where(label, 1, -1)[:, None] * np.asarray(x, np.float64)
    turned /= np.sqrt(np.mean(turned**2))

    def cost(w):
        return np.logaddexp(0, -turned @ w).mean() + 1e-3 * w @ w / 2

    expected = scipy.optimize.minimize(cost, np.zeros(5)).x
    result = baselines.logistic(x, label).direction
    assert float(result @ (expected / np.linalg.norm(expected))) > 1 - 1e-4


def test_logistic_of_separable_and_of_one_class(planted):
    x, _, concept = planted
    label = x @ jnp.asarray(concept, jnp.float32) > 0
    result = baselines.logistic(x, label).direction
    assert float(baselines.sign_accuracy(x @ result, label)) > 0.98
    centred = x - x.mean(axis=0)[None]
    one_class = baselines.logistic(centred, jnp.ones(300, bool)).direction
    assert float(jnp.linalg.norm(one_class)) in (0.0, pytest.approx(1))
    even = jnp.concatenate([centred, -centred])
    nothing = baselines.logistic(even, jnp.ones(600, bool))
    np.testing.assert_array_equal(nothing.direction, 0)
    assert nothing.converged
    with pytest.warns(UserWarning, match="logistic: not converged"):
        assert not baselines.logistic(x, label, max_steps=1).converged


def test_random_directions_are_at_chance(planted, key):
    x, label, _ = planted
    probes = baselines.random_directions(200, 5, key)
    np.testing.assert_allclose(jnp.linalg.norm(probes, axis=1), 1, rtol=1e-5)
    right = jax.vmap(lambda d: baselines.sign_accuracy(x @ d, label))(probes)
    assert abs(float(right.mean()) - 0.5) < 0.1


def test_seeds_side_by_side(planted):
    x, label, _ = planted
    many = jnp.stack([x, -x, 2 * x])
    result = jax.jit(jax.vmap(baselines.principal))(many)
    np.testing.assert_allclose(result[0], result[2], atol=1e-5)
    np.testing.assert_allclose(result[0], result[1], atol=1e-5)
    both = jax.vmap(baselines.logistic, in_axes=(0, None))(many, label).direction
    np.testing.assert_allclose(both[0], -both[1], atol=1e-4)
    np.testing.assert_allclose(both[0], both[2], atol=1e-4)


def test_double():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(30, 3)))
        expected = np.linalg.svd(np.asarray(x))[2][0]
        assert cosine(baselines.principal(x), expected) > 1 - 1e-12
        assert baselines.logistic(x, x[:, 0] > 0).direction.dtype == jnp.float64


def test_bad_input_is_named(key):
    x = jnp.ones((4, 2))
    with pytest.raises(ValueError, match="differences: got shape"):
        baselines.principal(x[0])
    with pytest.raises(ValueError, match="differences: got 8 numbers"):
        baselines.kmeans(x * jnp.nan, key)
    with pytest.raises(ValueError, match=r"differences.shape\[0\]: got 1"):
        baselines.kmeans(x[:1], key)
    with pytest.raises(ValueError, match="label: got shape"):
        baselines.logistic(x, jnp.ones(3, bool))
    with pytest.raises(ValueError, match="label: got float32; allowed: booleans"):
        baselines.logistic(x, jnp.ones(4))
    with pytest.raises(ValueError, match="count: got 0"):
        baselines.random_directions(0, 2, key)
