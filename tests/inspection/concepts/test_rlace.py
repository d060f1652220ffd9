"""RLACE: the projection against scipy, and the known optimum at rank 1."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from shardsim.inspection.concepts import concept, rlace

N, D = 400, 6
KEYS = jax.random.split(jax.random.key(0), 3)


def made(condition=1.0, gap=1.0, classes=2, seed=0):
    """Features of scale 1 to 1/sqrt(condition), and class means `gap` apart."""
    rng = np.random.default_rng(seed)
    z = rng.integers(0, classes, N)
    turn, _ = np.linalg.qr(rng.normal(size=(D, D)))
    x = (rng.normal(size=(N, D)) * np.geomspace(1, condition**-0.5, D)) @ turn.T
    return (x + gap * rng.normal(size=(classes, D))[z]).astype(np.float32), z


def difference(x, z):
    way = x[z == 1].mean(0) - x[z == 0].mean(0)
    return way / np.linalg.norm(way)


def test_fantope_by_hand():
    # eigenvalues 3, 1.2, 0.4 less t = 0.8, clipped to [0, 1]: 1, 0.4, 0, sum 1.4;
    # for sum 1: t = 2 would give 1, 0, 0, as would any t in [1.2, 2]
    matrix = jnp.diag(jnp.array([1.2, 3.0, 0.4]))
    result, values = rlace.project(matrix, 1)
    np.testing.assert_allclose(result, np.diag([0.0, 1.0, 0.0]), atol=1e-6)
    np.testing.assert_allclose(jnp.sort(values), [0.0, 0.0, 1.0], atol=1e-6)
    # sum 2: 1 + (1.2 - t) + (0.4 - t) = 2 at t = 0.3
    result, _ = rlace.project(matrix, 2)
    np.testing.assert_allclose(result, np.diag([0.9, 1.0, 0.1]), atol=1e-6)
    # equal eigenvalues share k evenly
    result, _ = rlace.project(jnp.eye(3), 2)
    np.testing.assert_allclose(result, 2 / 3 * np.eye(3), atol=1e-6)


@pytest.mark.parametrize("k", [0, 1, 3, 6])
def test_fantope_is_the_nearest_point(k):
    rng = np.random.default_rng(k)
    matrix = rng.normal(size=(D, D))
    matrix = matrix + matrix.T
    values = np.linalg.eigvalsh(matrix)

    def excess(t):
        return np.clip(values - t, 0, 1).sum() - k

    t = scipy.optimize.brentq(excess, values[0] - 1.1, values[-1] + 0.1)
    with jax.enable_x64(True):
        result, eigen = rlace.project(jnp.asarray(matrix), k)
        np.testing.assert_allclose(eigen, np.clip(values - t, 0, 1), atol=1e-9)
        assert jnp.trace(result) == pytest.approx(k, abs=1e-9)
        again, _ = rlace.project(result, k)
        np.testing.assert_allclose(again, result, atol=1e-9)
        # no other point of the set is closer
        for _ in range(5):
            turn, _ = np.linalg.qr(rng.normal(size=(D, k)) if k else np.eye(D)[:, :1])
            other = turn @ turn.T if k else np.zeros((D, D))
            inner = np.sum((matrix - result) * (other - result))
            assert inner < 1e-9


@pytest.mark.parametrize("condition", [1.0, 1e4, 1e8])
@pytest.mark.parametrize("gap", [0.1, 1.0])
@pytest.mark.slow
def test_one_direction_is_the_mean_difference_from_every_start(condition, gap):
    x, z = made(condition, gap)
    result = rlace.fit_many(x, z, KEYS)
    cosines = np.abs(np.asarray(result.basis)[:, 0] @ difference(x, z))
    assert cosines.min() > 0.99
    np.testing.assert_allclose(result.cosine, cosines, atol=1e-4)
    # guarded: no probe beats the class shares, but one did before erasing
    assert (result.ceiling - result.loss).max() < 1e-3
    assert (result.loss - result.initial_loss).min() > 0
    assert result.unique.all()


@pytest.mark.slow
def test_the_cosine_shows_a_run_that_did_not_converge():
    # ill-conditioned data, little decay and few steps: seeds disagree,
    # and the cosine shows it
    x, z = made(1e4, 0.1)
    with pytest.warns(UserWarning, match="RLACE: not converged in 3 of 3 fits"):
        result = rlace.fit_many(x, z, KEYS, max_steps=40, decay=(1e-3, 1e-3))
    assert not result.converged.any()
    assert result.cosine.min() < 0.95
    bases = np.asarray(result.basis)[:, 0]
    assert np.abs(bases @ bases.T).min() < 0.95
    # and its loss does not exceed that of the mean difference
    way = jnp.asarray(difference(x, z))[None]
    columns = concept.one_hot(z, jnp.float32)
    best = rlace._probe_without(jnp.asarray(x), columns, way).loss
    assert (result.loss <= best + 1e-5).all()


@pytest.mark.slow
def test_no_direction_of_many_leaves_a_higher_loss():
    x, z = made(10.0)
    result = rlace.fit_many(x, z, KEYS)
    rng = np.random.default_rng(0)
    ways = rng.normal(size=(100, 1, D)).astype(np.float32)
    ways /= np.linalg.norm(ways, axis=2, keepdims=True)
    columns = concept.one_hot(z, jnp.float32)
    loss = jax.jit(
        lambda many: jax.lax.map(
            lambda way: rlace._probe_without(jnp.asarray(x), columns, way).loss, many
        )
    )
    assert result.loss.min() > loss(ways).max()


@pytest.mark.slow
def test_three_classes_need_two_directions():
    x, z = made(classes=3)
    two = rlace.fit(x, z, KEYS[0], k=2)
    assert two.ceiling - two.loss < 1e-3
    assert two.cosine > 0.99
    assert two.unique
    np.testing.assert_allclose(two.basis @ two.basis.T, np.eye(2), atol=1e-5)
    one = rlace.fit(x, z, KEYS[0], k=1)
    # one direction cannot guard, and lies almost in the span of the class means
    assert one.ceiling - one.loss > 0.01
    assert one.cosine > 0.9
    assert one.unique


@pytest.mark.slow
def test_more_directions_than_needed_are_not_unique():
    x, z = made()
    result = rlace.fit_many(x, z, KEYS[:2], k=3)
    assert not result.unique.any()
    assert (result.ceiling - result.loss).max() < 1e-3
    assert result.cosine.min() > 0.99
    first, second = np.asarray(result.basis)
    assert np.sum((first @ second.T) ** 2) / 3 < 0.95
    one = jax.tree.map(lambda part: part[0], result)
    assert "some are arbitrary" in one.summary()


@pytest.mark.slow
def test_copies_and_few_samples_do_no_harm():
    x, z = made()
    more = np.column_stack([x, x[:, :2], np.ones(N, np.float32)])
    result = rlace.fit(more, z, KEYS[0])
    assert result.cosine > 0.99
    assert result.ceiling - result.loss < 1e-3
    rng = np.random.default_rng(0)
    few = rlace.fit(
        rng.normal(size=(12, 20)).astype(np.float32), np.arange(12) % 2, KEYS[0]
    )
    assert few.initial_loss < 0.05  # separable
    assert few.cosine > 0.99
    assert "RLACE: loss" in few.summary()


def test_one_class_under_jit_has_loss_zero():
    x = jnp.asarray(made()[0])
    columns = jnp.tile(jnp.array([[1.0, 0.0]]), (N, 1))
    result = jax.jit(lambda c: rlace.fit(x, c, KEYS[0]))(columns)
    assert result.loss == pytest.approx(0.0, abs=1e-4)
    assert result.ceiling == 0.0
    assert np.isnan(result.cosine)
    np.testing.assert_allclose(jnp.linalg.norm(result.basis), 1.0, atol=1e-5)


@pytest.mark.slow
def test_double_precision():
    x, z = made(1e4)
    with jax.enable_x64(True):
        result = rlace.fit(x.astype(np.float64), z, jax.random.key(0))
        assert result.basis.dtype == np.float64
        assert 1 - result.cosine < 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros(3)}, r"x: got shape \(3,\)"),
        ({"x": np.full((3, 2), np.nan)}, "x: got 6 numbers"),
        ({"z": np.zeros(4, int)}, r"z: got shape \(4,\)"),
        ({"z": np.zeros(3, int)}, "z: got 1 class; allowed: at least 2"),
        ({"k": 0}, "k: got 0; allowed: at least 1"),
        ({"k": 3}, "k: got 3; allowed: at most 2"),
        ({"steps": 1}, "steps: got 1; allowed: at least 2"),
        ({"decay": (0.0, 1.0)}, r"decay: got \(0.0, 1.0\); allowed: two numbers above"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {"x": np.zeros((3, 2)), "z": np.array([0, 1, 0])} | change
    x, z = given.pop("x"), given.pop("z")
    with pytest.raises(ValueError, match=message):
        rlace.fit(x, z, KEYS[0], **given)
    with pytest.raises(ValueError, match=message):
        rlace.fit_many(x, z, KEYS, **given)


def test_bad_input_of_the_projection_is_named():
    with pytest.raises(ValueError, match=r"matrix: got shape \(2, 3\)"):
        rlace.project(jnp.zeros((2, 3)), 1)
    with pytest.raises(ValueError, match="k: got 3; allowed: at most 2"):
        rlace.project(jnp.zeros((2, 2)), 3)


def test_a_search_that_is_cut_short_says_so():
    """One direction of three classes: no ceiling shows that two steps are too few."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 3, 90)
    x = rng.normal(size=(90, 4)).astype(np.float32) + 2 * np.eye(4, dtype=np.float32)[z]
    key = jax.random.key(0)
    with pytest.warns(UserWarning, match="RLACE: not converged; allow more max_steps"):
        short = rlace.fit(x, z, key, steps=2, max_steps=2)
    assert not short.converged
    assert "NOT CONVERGED after 2 steps" in short.summary()
    full = rlace.fit(x, z, key, steps=2)
    assert full.converged
    assert full.steps > 2
    assert full.loss >= short.loss
    with pytest.raises(ValueError, match="max_steps: got 3; allowed: at least 4"):
        rlace.fit(x, z, key, steps=4, max_steps=3)
