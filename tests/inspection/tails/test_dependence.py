"""Var(sum) / sum Var, correlations and effective numbers, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.tails import dependence


@pytest.mark.slow
def test_by_hand():
    """Two equal parts: Var(sum) = 4 Var, sum Var = 2 Var. Two that cancel: 0."""
    x = jnp.asarray([1.0, -1.0, 2.0, -2.0])
    alike = dependence.measure(jnp.stack([x, x], axis=1))
    assert float(alike.variance_ratio) == pytest.approx(2)
    assert float(alike.correlation) == pytest.approx(1)
    assert float(alike.total_correlation) == np.inf
    assert float(alike.breadth) == pytest.approx(2)
    assert float(alike.active) == pytest.approx(2)
    against = dependence.measure(jnp.stack([x, -x], axis=1))
    assert float(against.variance_ratio) == pytest.approx(0)
    lone = dependence.measure(jnp.stack([3 * x, 0 * x], axis=1))
    assert float(lone.breadth) == pytest.approx(1)
    assert float(lone.active) == pytest.approx(1)
    assert float(lone.variance_ratio) == pytest.approx(1)
    assert float(lone.total_correlation) == 0


@pytest.mark.slow
def test_it_is_numpy_s():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 5))
    result = dependence.measure(jnp.asarray(x, jnp.float32))
    corr = np.corrcoef(x.T)
    expected = -np.linalg.slogdet(corr)[1] / 2
    assert float(result.total_correlation) == pytest.approx(expected, rel=1e-3)
    off = np.abs(corr[~np.eye(5, dtype=bool)]).mean()
    assert float(result.correlation) == pytest.approx(off, rel=1e-4)
    ratio = x.sum(axis=1).var() / x.var(axis=0).sum()
    assert float(result.variance_ratio) == pytest.approx(ratio, rel=1e-4)
    half = jnp.asarray(np.arange(300) < 150, jnp.float32)
    masked = dependence.measure(jnp.asarray(x, jnp.float32), half)
    alone = dependence.measure(jnp.asarray(x[:150], jnp.float32))
    np.testing.assert_allclose(masked, alone, rtol=1e-3)
    with jax.enable_x64(True):
        double = dependence.measure(jnp.asarray(x))
        assert float(double.total_correlation) == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_independent_parts_are_at_chance():
    x = np.random.default_rng(1).normal(size=(2000, 8))
    result = dependence.measure(jnp.asarray(x, jnp.float32))
    assert float(result.variance_ratio) == pytest.approx(1, abs=0.1)
    assert float(result.correlation) == pytest.approx(
        float(result.chance_correlation), rel=0.3
    )
    assert float(result.total_correlation) == pytest.approx(
        float(result.chance_total), rel=0.5
    )
    assert float(result.breadth) == pytest.approx(8, abs=0.1)
    assert "Var(sum) / sum Var = " in result.summary()
    shared = dependence.measure(jnp.asarray(x + 2 * x[:, :1], jnp.float32))
    assert float(shared.variance_ratio) > 3
    assert float(shared.total_correlation) > 20 * float(shared.chance_total)


@pytest.mark.slow
def test_constants_and_few_samples():
    same = dependence.measure(jnp.ones((10, 3)))
    assert np.isnan(same.variance_ratio)
    assert np.isnan(same.breadth)
    assert float(same.correlation) == float(same.total_correlation) == 0
    one = dependence.measure(jnp.arange(5.0)[:, None])
    assert float(one.variance_ratio) == pytest.approx(1)
    assert float(one.correlation) == 0
    few = np.random.default_rng(2).normal(size=(4, 9))
    assert float(dependence.measure(jnp.asarray(few)).total_correlation) == np.inf


def test_excluded_samples_do_not_set_the_scale():
    """A part that is 1e9 times as large in excluded samples still varies."""
    x = np.random.default_rng(3).normal(size=(40, 2))
    outlying = np.concatenate([x, 1e9 * x])
    weights = jnp.asarray(np.arange(80) < 40, jnp.float32)
    result = dependence.measure(jnp.asarray(outlying, jnp.float32), weights)
    expected = dependence.measure(jnp.asarray(x, jnp.float32))
    assert float(result.variance_ratio) == pytest.approx(float(expected.variance_ratio))
    assert float(result.breadth) == pytest.approx(float(expected.breadth))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="contributions: got shape"):
        dependence.measure(jnp.ones(3))
    with pytest.raises(ValueError, match="contributions: got 6 numbers"):
        dependence.measure(jnp.full((3, 2), jnp.nan))
    with pytest.raises(ValueError, match="weights: got shape"):
        dependence.measure(jnp.ones((3, 2)), jnp.ones(2))
