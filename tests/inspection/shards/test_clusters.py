"""Clusters of units: planted groups are found, and dead units do not count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.shards import clusters


def planted(n=300, noise=0.1):
    """9 units that follow 3 signals, by 0 1 2 0 1 2 ..., a dead one and a bias."""
    drawn = np.random.default_rng(0)
    signals = drawn.normal(size=(n, 3))
    scale = drawn.uniform(0.1, 20, 9)
    units = (signals[:, np.arange(9) % 3] + noise * drawn.normal(size=(n, 9))) * scale
    return np.concatenate([units, np.zeros((n, 1)), np.full((n, 1), 1.7)], axis=1)


@pytest.mark.slow
def test_two_and_one_by_hand():
    x = jnp.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [-1.0, -2.0, 1.0]])
    result = clusters.fit(x, 2, jax.random.key(0))
    assert result.unit_cluster.tolist() == [0, 0, 1]
    assert result.sizes.tolist() == [2, 1]
    np.testing.assert_allclose(result.explained, 1, atol=1e-5)
    assert result.converged
    assert result.summary().startswith(
        "3 active units in 2 clusters of 2, 1; 100.0% of their spread lies between them"
    )


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.slow
def test_planted_groups_are_found_whatever_their_scale(x64):
    with jax.enable_x64(x64):
        x = jnp.asarray(planted(), jnp.float64 if x64 else jnp.float32)
        result = clusters.fit(x, 3, jax.random.key(0))
    owners = np.asarray(result.unit_cluster)[:9].reshape(3, 3)
    assert (owners == owners[:1]).all()
    assert len(set(owners[0])) == 3
    assert result.sizes.tolist() == [3, 3, 3]
    assert float(result.explained) > 0.98


@pytest.mark.slow
def test_noise_has_no_groups():
    x = np.random.default_rng(1).normal(size=(300, 60))
    result = clusters.fit(jnp.asarray(x, jnp.float32), 3, jax.random.key(0))
    assert result.explained < 0.15
    # no more than shuffled units, unlike planted groups
    assert result.explained < result.null + 0.02
    planted_null = clusters.fit(
        jnp.asarray(planted(), jnp.float32), 3, jax.random.key(0)
    ).null
    assert planted_null < 0.6
    none = clusters.fit(jnp.asarray(x, jnp.float32), 3, jax.random.key(0), shuffles=0)
    assert jnp.isnan(none.null)
    assert result.sizes.sum() == 60
    assert (np.diff(result.sizes) <= 0).all()


@pytest.mark.slow
def test_it_depends_on_the_key_alone():
    x = jnp.asarray(planted(noise=3.0), jnp.float32)
    one, two = (clusters.fit(x, 4, jax.random.key(3)) for _ in range(2))
    np.testing.assert_array_equal(one.unit_cluster, two.unit_cluster)


@pytest.mark.slow
def test_edges():
    x = jnp.asarray(planted(noise=0.0), jnp.float32)
    more = clusters.fit(x, 5, jax.random.key(0))
    # extra clusters stay empty or hold units that differ by rounding
    assert more.sizes.sum() == 9
    assert float(more.explained) > 0.9999
    dead = clusters.fit(jnp.ones((4, 3)), 2, jax.random.key(0))
    assert dead.sizes.tolist() == [0, 0]
    assert jnp.isnan(dead.explained)
    one = clusters.fit(x, 1, jax.random.key(0))
    assert one.unit_cluster.tolist() == [0] * 11
    np.testing.assert_allclose(one.explained, 0, atol=1e-5)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda x, k: clusters.fit(x[0], 1, k), r"contributions: got shape"),
        (lambda x, k: clusters.fit(x * jnp.nan, 1, k), "contributions: got 6"),
        (lambda x, k: clusters.fit(x[:1], 1, k), "samples: got 1"),
        (
            lambda x, k: clusters.fit(x, 4, k),
            "clusters: got 4; allowed: 1 to 3",
        ),
        (lambda x, k: clusters.fit(x, 0, k), "clusters: got 0"),
        (lambda x, k: clusters.fit(x, 1, k, restarts=0), "restarts: got 0"),
    ],
)
def test_bad_input_is_named(act, message, key):
    with pytest.raises(ValueError, match=message):
        act(jnp.ones((2, 3)), key)
