"""Probes against scipy's minimum, closed forms and edge cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from shardsim.inspection.concepts import concept, probes

N, D = 300, 5


def made(seed=0, gap=1.0, share=0.5, condition=1.0):
    rng = np.random.default_rng(seed)
    z = (rng.random(N) < share).astype(int)
    turn, _ = np.linalg.qr(rng.normal(size=(D, D)))
    x = (rng.normal(size=(N, D)) * np.geomspace(1, condition**-0.5, D)) @ turn.T
    return x + gap * np.outer(z, turn[:, -1]) * condition**-0.5, z


def minimum(x, z, decay, keep=None):
    """The same loss, minimised by scipy over one weight vector (two logits)."""
    centred = x - x.mean(0)
    lam = decay * np.trace(np.cov(x.T, bias=True)) / D
    projected = centred if keep is None else centred @ keep
    side = 2 * z - 1

    def loss(w):
        margin = side * (projected @ w[:-1] + w[-1])
        # two columns w/2 and -w/2 have half the squared length of w
        return np.logaddexp(0, -margin).mean() + lam / 4 * w[:-1] @ w[:-1]

    result = scipy.optimize.minimize(loss, np.zeros(D + 1), tol=1e-12)
    return result.x[:-1] if keep is None else keep @ result.x[:-1], result.x[-1]


@pytest.mark.parametrize(("condition", "share"), [(1.0, 0.5), (1e4, 0.5), (1.0, 0.1)])
def test_scipy_finds_the_same_minimum(condition, share):
    x, z = made(condition=condition, share=share)
    with jax.enable_x64(True):
        probe = probes.logistic(x, z, decay=1e-3, steps=100)
        w, b = minimum(x, z, 1e-3)
        result = probe.weights[:, 1] - probe.weights[:, 0]
        np.testing.assert_allclose(result, w, rtol=2e-3, atol=1e-4)
        assert probe.bias[1] - probe.bias[0] == pytest.approx(b, abs=1e-3)
        assert probe.max_gradient < 1e-5


def test_a_removed_direction_is_not_read():
    x, z = made(gap=2.0)
    way = np.eye(D)[0]
    keep = np.eye(D) - np.outer(way, way)
    with jax.enable_x64(True):
        probe = probes.logistic(x, z, decay=1e-3, keep=keep)
        w, _ = minimum(x, z, 1e-3, keep)
        result = probe.weights[:, 1] - probe.weights[:, 0]
        np.testing.assert_allclose(result, w, rtol=1e-3, atol=1e-4)
        assert abs(result[0]) < 1e-12


def test_one_feature_by_hand():
    # x = +-1 predicts the class in 3 of 4 samples: w x = log(3) x / 2 on each side
    x = np.array([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0])[:, None]
    z = np.array([1, 1, 1, 0, 0, 0, 0, 1])
    probe = probes.logistic(x.astype(np.float32), z, decay=0.0)
    np.testing.assert_allclose(probe.weights, [[-np.log(3) / 2, np.log(3) / 2]], 1e-4)
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert probe.loss == pytest.approx(expected, abs=1e-5)
    columns = concept.one_hot(z)
    assert probe.accuracy(jnp.asarray(x, jnp.float32), columns) == 0.75


def test_three_classes_by_hand():
    # one-hot x and classes that agree in 2 of 4: the best prediction is the share
    x = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    z = np.array([0, 0, 1, 2, 1, 1, 0, 2, 2, 2, 0, 1])
    probe = probes.logistic(x, z, decay=0.0, steps=200)
    expected = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]]
    np.testing.assert_allclose(
        jax.nn.softmax(probe(jnp.eye(3)), 1), expected, atol=1e-3
    )


def test_random_labels_have_the_loss_of_the_shares():
    # each x occurs with both labels: nothing to read, and the loss of the shares
    x = np.repeat(made()[0].astype(np.float32), 4, axis=0)
    z = np.tile([0, 0, 0, 1], N)
    probe = probes.logistic(x, z)
    assert np.abs(probe.weights).max() < 1e-5
    assert probe.loss == pytest.approx(
        0.75 * np.log(4 / 3) + 0.25 * np.log(4), abs=1e-5
    )


def test_scale_does_not_matter():
    x, z = made()
    with jax.enable_x64(True):
        one = probes.logistic(x, z, decay=1e-2)
        big = probes.logistic(1e3 * x + 7.0, z, decay=1e-2)
        np.testing.assert_allclose(big.weights * 1e3, one.weights, rtol=1e-6)
        one, big = probes.ridge(x, z, decay=1e-2), probes.ridge(1e3 * x, z, decay=1e-2)
        np.testing.assert_allclose(big.weights * 1e3, one.weights, rtol=1e-6)


def test_ridge_is_least_squares_without_decay():
    rng = np.random.default_rng(0)
    x, _ = made()
    y = x @ rng.normal(size=D) + 0.1 * rng.normal(size=N) + 3.0
    with jax.enable_x64(True):
        probe = probes.ridge(x, y, decay=0.0)
        expected, *_ = np.linalg.lstsq(x - x.mean(0), y - y.mean(), rcond=None)
        np.testing.assert_allclose(probe.weights[:, 0], expected, atol=1e-10)
        error = np.mean((y - np.asarray(probe(jnp.asarray(x)))[:, 0]) ** 2)
        assert probe.loss == pytest.approx(error, rel=1e-6)
        # with decay: the normal equations
        probe = probes.ridge(x, y, decay=0.5)
        centred, lam = x - x.mean(0), 0.5 * np.trace(np.cov(x.T, bias=True)) / D
        left = centred.T @ centred / N + lam * np.eye(D)
        expected = np.linalg.solve(left, centred.T @ (y - y.mean()) / N)
        np.testing.assert_allclose(probe.weights[:, 0], expected, atol=1e-10)


def test_copies_share_a_weight():
    x = np.random.default_rng(0).normal(size=(N, 1)).astype(np.float32)
    probe = probes.ridge(np.repeat(x, 2, axis=1), 2.0 * x[:, 0], decay=0.0)
    np.testing.assert_allclose(probe.weights[:, 0], [1.0, 1.0], atol=1e-4)
    z = (x[:, 0] > 0).astype(int)
    probe = probes.logistic(np.repeat(x, 2, axis=1), z)
    np.testing.assert_allclose(probe.weights[0], probe.weights[1], rtol=1e-4)


def test_one_class_and_constant_features_give_no_weights():
    x = made()[0].astype(np.float32)
    assert np.abs(probes.logistic(x, np.zeros(N, int)).weights).max() == 0
    still = probes.logistic(np.ones((N, D), np.float32), np.arange(N) % 2)
    assert np.abs(still.weights).max() == 0
    assert still.loss == pytest.approx(np.log(2), abs=1e-6)
    assert np.abs(probes.ridge(np.ones((N, D), np.float32), x[:, 0]).weights).max() == 0


def test_fewer_samples_than_features_are_separated():
    rng = np.random.default_rng(0)
    x, z = rng.normal(size=(10, 40)).astype(np.float32), np.arange(10) % 2
    probe = probes.logistic(x, z)
    assert probe.accuracy(jnp.asarray(x), concept.one_hot(z)) == 1.0
    assert np.isfinite(probe.weights).all()
    assert "linear probe: loss" in probe.summary()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros(3)}, r"x: got shape \(3,\)"),
        ({"z": np.zeros(4, int)}, r"z: got shape \(4,\)"),
        ({"z": np.zeros(3)}, "z: got a vector of floats"),
        ({"z": np.full((3, 2), 0.5)}, "z: got rows that are not one-hot"),
        ({"x": np.full((3, 2), np.inf)}, "x: got 6 numbers that are not finite"),
        ({"decay": -1.0}, "decay: got -1.0; allowed: at least 0"),
        ({"steps": 0}, "steps: got 0; allowed: at least 1"),
        ({"keep": np.eye(3)}, r"keep: got shape \(3, 3\); allowed: \(2, 2\)"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"x": np.zeros((3, 2)), "z": np.array([0, 1, 0])} | change
    with pytest.raises(ValueError, match=message):
        probes.logistic(**given)


def test_bad_input_of_ridge_is_named():
    with pytest.raises(ValueError, match="z: got 1 numbers"):
        probes.ridge(np.zeros((3, 2)), np.array([0.0, np.nan, 0.0]))
    with pytest.raises(ValueError, match="decay: got -1"):
        probes.ridge(np.zeros((3, 2)), np.zeros(3), decay=-1)


def test_a_fit_that_is_cut_short_says_so_and_goes_on_by_default():
    """Separable classes with little decay: 5 steps are far from the minimum."""
    rng = np.random.default_rng(0)
    z = np.arange(60) % 2
    x = rng.normal(size=(60, 3)).astype(np.float32) + 5 * z[:, None].astype(np.float32)
    with pytest.warns(UserWarning, match="logistic probe: not converged"):
        short = probes.logistic(x, z, steps=5, max_steps=5)
    assert not short.converged
    assert "NOT CONVERGED" in short.summary()
    full = probes.logistic(x, z, steps=5)
    assert full.converged
    assert full.max_gradient <= probes.TOLERANCE
    assert full.loss < short.loss
