"""Heavy tails pooled and normal within contexts mean a gate; other causes differ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from shardsim.inspection.tails import readings, shapes, summary

# mostly compile time
pytestmark = pytest.mark.slow

N, PARTS = 1200, 4
CONTEXT = np.arange(N) % 3
SCALE = np.array([0.2, 1.0, 3.0])[CONTEXT][:, None]


def run(contributions, context=CONTEXT, cluster=None):
    return summary.fit(
        jnp.asarray(contributions, jnp.float32),
        context,
        jax.random.key(0),
        cluster=cluster,
        resamples=60,
        draws=39,
    )


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_many_small_independent_heuristics(rng):
    result = run(rng.normal(size=(N, PARTS)))
    assert result.reading() == readings.MANY_SMALL
    assert not np.asarray(result.heavy).any()
    assert float(result.shape_interval[0, 0]) < 2 < float(result.shape_interval[0, 1])
    likelihood = np.asarray(result.total.log_likelihood)
    assert likelihood[0, 0] > likelihood[0, 1] + 0.01
    assert float(result.vuong.z[0, 0]) > 2
    assert float(result.goodness.p[0, 0]) > 0.02
    assert float(result.goodness.p[0, 1]) < 0.05
    assert result.parts.shape.shape == (PARTS, 4)
    assert result.summary().startswith(readings.MANY_SMALL + "; shape")


def test_a_gated_normal_is_heavy_pooled_and_normal_within(rng):
    """The key test: exponential tails do not refute small heuristics."""
    result = run(SCALE * rng.normal(size=(N, PARTS)))
    assert result.reading() == readings.GATED
    assert float(result.within.p) < 0.05
    likelihood = np.asarray(result.total.log_likelihood)
    assert likelihood[0, 1] > likelihood[0, 0] + 0.05
    assert (likelihood[1:, 0] > likelihood[1:, 1]).all()
    assert float(result.vuong.z[0, 0]) < -2 < 2 < float(result.vuong.z[1:, 0].min()) + 2
    assert float(result.total.shape[0]) < 1.2
    assert float(result.total.k_eff[0]) < 2
    straight = np.asarray(result.total.straightness)
    assert straight[0, 0] > straight[0, 1]
    ratio = np.asarray(result.dependence.variance_ratio)
    np.testing.assert_allclose(ratio, 1, atol=0.25)


def test_closed_gates_are_a_point_mass(rng):
    owner = np.arange(PARTS) % 3
    open_ = owner[None] == CONTEXT[:, None]
    result = run(np.where(open_, SCALE * rng.normal(size=(N, PARTS)), 0.0))
    zeros = np.asarray(result.parts.zeros)
    np.testing.assert_allclose(zeros[:, 0], 2 / 3, atol=1e-6)
    np.testing.assert_array_equal(zeros[:, 1:], owner[:, None] != np.arange(3)[None])
    assert float(result.parts.n[0, 0]) == N / 3
    # without zeros each part is normal, also pooled: it is active in one context only
    np.testing.assert_allclose(result.parts.shape[:, 0], 2, atol=0.8)
    assert np.isnan(np.asarray(result.parts.shape[0, 2]))
    assert result.reading() == readings.GATED


def test_few_big_features_are_heavy_within_too(rng):
    laplace = np.c_[rng.laplace(size=N), 0.01 * rng.normal(size=(N, PARTS - 1))]
    result = run(laplace)
    assert result.reading() == readings.HEAVY_WITHIN
    assert float(result.total.shape[0]) == pytest.approx(1, abs=0.2)
    low, high = np.asarray(result.k_eff_interval[0])
    assert low < 1.2
    assert low < high < 4


def test_k_laplace_terms_are_counted(rng):
    """Excess kurtosis of a sum of K is 3 / K, and the shape goes from 1 towards 2."""
    result = []
    for terms in (1, 3, 8):
        drawn = rng.laplace(size=(40_000, terms)).sum(axis=1)
        x, ones = jnp.asarray(drawn, jnp.float32), jnp.ones(40_000)
        k_eff = shapes.effective_terms(shapes.excess(x, ones))
        assert float(k_eff) == pytest.approx(terms, rel=0.35)
        result.append(float(shapes.shape(x, jnp.zeros(()), ones)))
    np.testing.assert_allclose(result, [1.0, 1.45, 1.75], atol=0.12)


def test_correlated_contributions_are_flagged(rng):
    result = run(rng.normal(size=(N, PARTS)) + rng.normal(size=(N, 1)))
    assert result.reading() == readings.CORRELATED + readings.NORMAL
    against = rng.normal(size=(N, PARTS))
    against[:, 1::2] = -0.9 * against[:, ::2]
    assert run(against).reading() == readings.CORRELATED + readings.NORMAL


def test_a_constant_has_no_reading():
    result = run(np.ones((N, PARTS)))
    assert result.reading() == readings.CONSTANT
    assert np.isnan(np.asarray(result.total.shape)).all()
    assert np.isnan(np.asarray(result.total.k_eff)).all()
    np.testing.assert_array_equal(result.vuong.p, 1)


def test_states_of_one_maze_widen_the_interval(rng):
    maze = np.arange(N) // 24
    mean, size = rng.normal(size=(N // 24, 1)), rng.laplace(size=(N // 24, 1))
    x = (mean + size * rng.normal(size=(N // 24, 24))).reshape(N, 1)
    weights, key = jnp.ones((1, N)), jax.random.key(0)
    total = jnp.asarray(x[:, 0], jnp.float32)
    alone = shapes.intervals(total, weights, jnp.arange(N), N, key, resamples=60)
    by_maze = shapes.intervals(
        total, weights, jnp.asarray(maze), N // 24, key, resamples=60
    )
    assert float(jnp.ptp(by_maze[0])) > 1.1 * float(jnp.ptp(alone[0]))
    fold = summary._folds(CONTEXT, maze, N // 24)
    assert all(len(set(fold[maze == m])) == 1 for m in range(N // 24))


def test_excess_terms_and_lines_by_hand(rng):
    x = jnp.asarray([-1.0, 1.0, -1.0, 1.0])
    assert float(shapes.excess(x, jnp.ones(4))) == pytest.approx(-2)
    np.testing.assert_array_equal(
        shapes.effective_terms(jnp.asarray([3.0, 0.3, 0.0, -1.0])),
        jnp.asarray([1.0, 3 / jnp.float32(0.3), jnp.inf, jnp.inf]),
    )
    drawn = rng.laplace(size=4000)
    result = shapes.excess(jnp.asarray(drawn, jnp.float32), jnp.ones(4000))
    assert float(result) == pytest.approx(scipy.stats.kurtosis(drawn), rel=1e-3)
    for sample, best in ((drawn, 0), (rng.normal(size=4000), 1)):
        line = shapes.straightness(jnp.asarray(sample, jnp.float32), jnp.ones(4000))
        assert int(line.argmax()) == best
        assert float(line.max()) > 0.97
    assert np.isnan(shapes.straightness(jnp.ones(10), jnp.ones(10))).all()


def test_one_context_has_no_reading(rng):
    result = run(rng.normal(size=(N, PARTS)), np.zeros(N, int))
    assert result.reading() == readings.ONE_CONTEXT


def test_a_context_of_one_cluster_has_no_reading(rng):
    """Its interval is undefined: it is neither heavy nor normal."""
    cluster = np.where(CONTEXT == 2, N, np.arange(N))
    result = run(rng.normal(size=(N, PARTS)), cluster=cluster)
    assert np.isnan(result.shape_interval[3]).all()
    assert result.reading() == readings.ONE_CLUSTER


@pytest.mark.few(1, rest="long")
@pytest.mark.parametrize("contexts", [2, 4, 8])
def test_contexts_that_mean_nothing_are_no_gate(contexts):
    """Laplace contributions, contexts in random order."""
    rng = np.random.default_rng(0)
    draw = rng.laplace(size=(1000, 4))
    result = run(draw, rng.permutation(np.arange(1000) % contexts))
    assert result.reading() not in (readings.GATED, readings.MANY_SMALL)


def test_bad_input_is_named(key):
    c = jnp.ones((6, 2))
    with pytest.raises(ValueError, match="contributions: got shape"):
        summary.fit(c[0], np.arange(2), key)
    with pytest.raises(ValueError, match="contributions: got 12 numbers"):
        summary.fit(c * jnp.nan, np.arange(6), key)
    with pytest.raises(ValueError, match="context: got shape"):
        summary.fit(c, np.arange(5), key)
    with pytest.raises(ValueError, match="context: got float64; allowed: integers"):
        summary.fit(c, np.ones(6), key)
    with pytest.raises(ValueError, match="cluster: got 1 different labels"):
        summary.fit(c, np.arange(6), key, cluster=np.zeros(6, int))
    with pytest.raises(ValueError, match="resamples: got 3"):
        summary.fit(c, np.arange(6), key, resamples=3)
    with pytest.raises(ValueError, match="cluster: got traced labels"):
        jax.jit(lambda g: summary.fit(c, np.arange(6), key, cluster=g))(jnp.arange(6))
