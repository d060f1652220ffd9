"""Intervals over clusters: a twin, invariances, and measured coverage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from shardsim.inspection.tails import shapes

CLUSTERS, EACH = 20, 10
N = CLUSTERS * EACH
CLUSTER = jnp.arange(N) // EACH
ONES = jnp.ones(N)


@pytest.fixture(scope="module")
def excess():
    return jax.jit(
        lambda x, w, c: shapes.excess_interval(x, w, c, CLUSTERS),
    )


def drawn(seed, *size):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.laplace(size=size or N), jnp.float32)


@pytest.mark.slow
def test_student_is_scipy_s():
    for level in (0.75, 0.975):
        for degrees in (1.0, 3.5, 199.0):
            result = shapes.student_quantile(level, jnp.float32(degrees))
            expected = scipy.stats.t.ppf(level, degrees)
            assert float(result) == pytest.approx(expected, rel=1e-4)


def test_the_ends_of_the_excess_are_the_jackknife_s(excess):
    """The infinitesimal jackknife: half a percent more and less of a cluster."""
    x = np.asarray(drawn(0), np.float64)

    def log_k(weights):
        return np.log(kurtosis(x, np.repeat(weights, EACH)) - 1)

    def kurtosis(x, w):
        centred = x - np.average(x, weights=w)
        return (
            np.average(centred**4, weights=w) / np.average(centred**2, weights=w) ** 2
        )

    pulls = np.array(
        [(log_k(1 + 5e-3 * e) - log_k(1 - 5e-3 * e)) / 1e-2 for e in np.eye(CLUSTERS)]
    )
    error = np.sqrt((pulls**2).sum())
    worth = (pulls**2).sum() ** 2 / (pulls**4).sum() - 1
    k = kurtosis(x, np.ones(N)) - 1
    t = [scipy.stats.t.ppf(0.975, df) for df in (CLUSTERS - 1, max(worth, 1))]
    expected = k * np.exp(-t[0] * error) - 2, k / (1 - t[1] * error) - 2
    result = excess(jnp.asarray(x, jnp.float32), ONES, CLUSTER)
    np.testing.assert_allclose(result, expected, rtol=2e-3, atol=1e-3)


@pytest.mark.slow
def test_copies_are_no_evidence(excess):
    """Ten copies of each of twenty numbers carry the information of the twenty."""
    few = drawn(1, CLUSTERS)
    first = jnp.zeros(N).at[::EACH].set(1)
    copies = jnp.repeat(few, EACH)
    result = excess(copies, ONES, CLUSTER)
    np.testing.assert_allclose(result, excess(copies, first, CLUSTER), rtol=1e-4)
    # as independent samples they would look like much more information
    alone = shapes.excess_interval(copies, ONES, jnp.arange(N), N)
    assert float(jnp.ptp(alone)) < 0.6 * float(jnp.ptp(result))


def test_scale_shift_and_names_change_nothing(excess):
    x = drawn(2)
    plain = excess(x, ONES, CLUSTER)
    np.testing.assert_allclose(excess(7 - 3 * x, ONES, CLUSTER), plain, rtol=1e-3)
    np.testing.assert_allclose(
        excess(x, ONES, CLUSTERS - 1 - CLUSTER), plain, rtol=1e-3
    )
    assert float(plain[0]) < float(shapes.excess(x, ONES)) < float(plain[1])


def percentiles(x):
    """The percentile interval from resampled clusters."""
    powers = np.asarray(x, np.float64).reshape(CLUSTERS, EACH, 1) ** np.arange(5)
    taken = np.random.default_rng(0).multinomial(
        CLUSTERS, np.full(CLUSTERS, 1 / CLUSTERS), 200
    )
    n, s1, s2, s3, s4 = (taken @ powers.sum(axis=1)).T
    m1, m2, m3, m4 = s1 / n, s2 / n, s3 / n, s4 / n
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    return np.quantile(fourth / (m2 - m1**2) ** 2 - 3, [0.025, 0.975])


@pytest.mark.slow
def test_real_coverage(excess):
    """Percentiles of resamples are worse by a tenth."""
    many = jax.jit(jax.vmap(lambda x: excess(x, ONES, CLUSTER)))
    for terms, truth in ((1, 3.0), (4, 0.75)):
        x = drawn(3, 300, N, terms).sum(axis=-1)
        result, other = np.asarray(many(x)), np.array([percentiles(row) for row in x])
        holds, would = (
            ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
            for ends in (result, other)
        )
        assert holds > max(0.8, would + 0.1)
    normal = jnp.asarray(np.random.default_rng(4).normal(size=(300, N)), jnp.float32)
    assert float((many(normal)[:, 0] > 0).mean()) < 0.06


@pytest.mark.slow
def test_shape_by_sums_is_shape_by_search():
    for power in (0.6, 1.0, 3.0):
        x = drawn(5)
        x = jnp.sign(x) * jnp.abs(x) ** (1 / power)
        result = shapes.shape_interval(
            x, jnp.float32(0), ONES, CLUSTER, jnp.ones((20, CLUSTERS)), 0.95
        )
        expected = float(shapes.shape(x, jnp.float32(0), ONES))
        np.testing.assert_allclose(result, expected, rtol=3e-3)
    # every sample is its own cluster, and some are drawn twice
    twice = jnp.ones((20, N)).at[:, :50].set(2)
    result = shapes.shape_interval(x, jnp.float32(0), ONES, jnp.arange(N), twice, 0.95)
    expected = float(shapes.shape(x, jnp.float32(0), twice[0]))
    np.testing.assert_allclose(result, expected, rtol=3e-3)


def test_shapes_at_the_ends_of_the_search_interval():
    even = jnp.where(jnp.arange(N) % 2 == 0, 1.0, -1.0)
    result = shapes.shape_interval(
        even, jnp.float32(0), ONES, CLUSTER, jnp.ones((20, CLUSTERS)), 0.95
    )
    np.testing.assert_allclose(result, 20, rtol=1e-3)


@pytest.mark.slow
def test_groups_side_by_side_and_alone(key):
    x = drawn(6)
    groups = jnp.stack([ONES, (CLUSTER < 8).astype(x.dtype)])
    shape, excess = shapes.intervals(
        x, groups, CLUSTER, CLUSTERS, key, resamples=40, about=jnp.zeros(2)
    )
    assert shape.shape == excess.shape == (2, 2)
    assert (shape[:, 0] < shape[:, 1]).all()
    # fewer clusters carry less information
    assert float(jnp.ptp(shape[1])) > float(jnp.ptp(shape[0]))
    narrow = shapes.intervals(
        x, groups, CLUSTER, CLUSTERS, key, resamples=40, level=0.5, about=jnp.zeros(2)
    )
    for one, other in zip((shape, excess), narrow, strict=True):
        assert (one[:, 0] < other[:, 0]).all()
        assert (one[:, 1] > other[:, 1]).all()


@pytest.mark.slow
def test_one_cluster_and_constants_give_nan(key):
    x = drawn(7)
    groups = jnp.stack([(CLUSTER == 3).astype(x.dtype), 0 * ONES])
    for result in shapes.intervals(
        x, groups, CLUSTER, CLUSTERS, key, resamples=40, about=jnp.zeros(2)
    ):
        assert np.isnan(result).all()
    for result in shapes.intervals(
        0 * x + 5, groups, CLUSTER, CLUSTERS, key, resamples=40, about=jnp.zeros(2)
    ):
        assert np.isnan(result).all()


def test_bad_input_is_named(key):
    x = jnp.ones(4)
    with pytest.raises(ValueError, match="groups: got shape"):
        shapes.intervals(x, x[None, :2], jnp.arange(4), 4, key)
    with pytest.raises(ValueError, match="x: got 4 numbers"):
        shapes.intervals(x * jnp.nan, x[None], jnp.arange(4), 4, key)
    with pytest.raises(ValueError, match="resamples: got 3"):
        shapes.intervals(x, x[None], jnp.arange(4), 4, key, resamples=3)
    with pytest.raises(ValueError, match="level: got 1"):
        shapes.intervals(x, x[None], jnp.arange(4), 4, key, level=1.0)
