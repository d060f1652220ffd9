"""Families of directions where it is known what a layer reads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.weights import bases, families

N, D = 300, 12
KEY = jax.random.key(7)
RNG = np.random.default_rng(0)
X = (RNG.normal(size=(N, D)) * np.geomspace(3, 0.5, D)).astype(np.float32)
NONE = np.zeros((N, 1), np.float32)
OTHERS = {"own": bases.from_directions(np.eye(D, dtype=np.float32)[[4]])}
SETTINGS = {"number": 8, "steps": 200, "batch": 64, "draws": 3}


@pytest.fixture(scope="module")
def planted():
    layer, directions = families.plant(X, KEY, count=3)
    fit = jax.jit(
        lambda key: families.fit(layer, X, NONE, OTHERS, key, ranks=(1, 3), **SETTINGS)
    )
    return layer, directions, fit(KEY)


def test_a_planted_layer_reads_what_it_says(planted):
    layer, directions, _ = planted
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-5)
    values = np.linalg.svd(layer.weights, compute_uv=False)
    np.testing.assert_allclose(values, 1, atol=1e-5)  # all tie
    outputs = np.asarray(jax.vmap(layer.read_out)(jnp.asarray(X), NONE))
    np.testing.assert_allclose((outputs > 0).mean(axis=0), [0.1, 0.25, 0.4], atol=0.01)
    # moving along a direction moves its own unit alone
    slopes = np.asarray(jax.vmap(jax.jacrev(layer.read_out))(jnp.asarray(X), NONE))
    along = np.abs(slopes @ np.asarray(directions).T).max(axis=0)
    assert (np.diag(along) > 0.5).all()
    assert along[~np.eye(3, dtype=bool)].max() < 1e-4


def test_which_families_have_the_planted_directions(planted):
    """Singular values tie, so singular directions are a mixture. Jacobians do not: the
    sum of J'J is diagonal in the planted directions, with different entries."""
    _, directions, found = planted
    cosine = {
        name: float(families.recovered(rows, directions))
        for name, rows in found.rows.items()
    }
    assert cosine["stacked"] > 0.99
    assert cosine["singular"] < 0.95
    assert cosine["components"] > cosine["random"]
    assert cosine["random"] < 0.8
    assert families.recovered(directions, directions) == pytest.approx(1, abs=1e-5)


def test_three_directions_keep_three_units_and_random_ones_do_not(planted):
    _, _, found = planted
    for name in ("singular", "stacked", "data_weighted"):
        assert found.kept[name][1] == pytest.approx(1, abs=1e-3), name
    assert found.kept["random"][1] < 0.9
    # one more family, of a single direction
    assert found.kept["own"][0] == pytest.approx(float(found.kept["own"][1]), abs=1e-6)
    assert found.rows["own"].shape == (3, D)
    assert "stacked" in found.summary()


def test_of_a_linear_layer_none_keeps_more_than_directions_weighted_by_the_data():
    """Eckart and Young. Here what W reads most, the data hardly vary in."""
    w = np.diag(np.geomspace(0.2, 3, D)).astype(np.float32)[:6]
    mean = X.mean(axis=0)
    shares = {
        name: np.asarray(
            families.kept(basis, lambda x, c: w @ x, X, NONE, ranks=(1, 2, 4))
        )
        for name, basis in {
            "weighted": bases.data_weighted(w, X),
            "singular": bases.singular(w),
            "principal": bases.principal(X),
        }.items()
    }
    assert (shares["weighted"] >= shares["singular"] - 1e-5).all()
    assert (shares["weighted"] >= shares["principal"] - 1e-5).all()
    spread = np.square((X - mean) @ w.T).sum(axis=0)
    # by hand: W is diagonal, so its first singular direction is its largest entry
    by_hand = spread[np.argmax(np.diag(w))] / spread.sum()
    assert shares["singular"][0] == pytest.approx(by_hand, abs=1e-4)


def test_inputs_collide_where_the_policy_depends_on_nothing_else():
    basis = bases.from_directions(np.eye(D, dtype=np.float32)[[2, 7, 0]])

    def policy(x, c):
        return jax.nn.softmax(jnp.stack([x[2], x[7], jnp.zeros(())]))

    tv = np.asarray(families.collisions(basis, policy, X, NONE, ranks=(0, 1, 2, 3)))
    assert tv[0] > tv[1] > 0.05
    np.testing.assert_allclose(tv[2:], 0, atol=1e-6)
    # by hand, with no direction: every input collides with its mirror image
    p = np.asarray(jax.vmap(policy, (0, None))(jnp.asarray(X), None))
    q = np.asarray(
        jax.vmap(policy, (0, None))(jnp.asarray(2 * X.mean(axis=0) - X), None)
    )
    assert tv[0] == pytest.approx(np.abs(p - q).sum(axis=1).mean() / 2, abs=1e-6)


def test_nothing_is_kept_of_a_constant_or_by_a_wrong_direction():
    basis = bases.from_directions(np.eye(D, dtype=np.float32)[[1]])
    constant = families.kept(basis, lambda x, c: jnp.ones(1), X, NONE, ranks=(1,))
    assert np.isnan(constant[0])
    wrong = families.kept(basis, lambda x, c: x[5:6], X, NONE, ranks=(1,))
    assert wrong[0] == pytest.approx(0, abs=1e-4)


def test_what_is_refused():
    layer, _ = families.plant(X, KEY)
    with pytest.raises(ValueError, match="number: got 2"):
        families.fit(layer, X, NONE, OTHERS, KEY, ranks=(4,), number=2)
    with pytest.raises(ValueError, match="count: got 99"):
        families.plant(X, KEY, count=99)
