"""Vuong by hand, goodness of fit at its level, held-out likelihood of planted draws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from shardsim.inspection.tails import fitting, model_comparison


@pytest.mark.slow
def test_vuong_by_hand():
    """m = 1, 2, 3: sum 6, centred sum of squares 2, z = 6 / sqrt 2."""
    first, second = jnp.asarray([1.0, 2.0, 3.0]), jnp.zeros(3)
    result = model_comparison.vuong(first, second)
    assert float(result.z) == pytest.approx(6 / np.sqrt(2), rel=1e-5)
    expected = 2 * scipy.stats.t.sf(6 / np.sqrt(2), 2)
    assert float(result.p) == pytest.approx(expected, rel=1e-3)
    assert float(model_comparison.vuong(second, first).z) == pytest.approx(
        -float(result.z)
    )
    fined = model_comparison.vuong(first, second, parameters=(3, 1))
    assert float(fined.z) == pytest.approx((6 - np.log(3)) / np.sqrt(2), rel=1e-5)
    # clusters {1, 2}, {3}: sums -1 and 1
    tied = model_comparison.vuong(
        first, second, cluster=jnp.asarray([0, 0, 1]), clusters=2
    )
    assert float(tied.z) == pytest.approx(6 / np.sqrt(2), rel=1e-5)
    difference = model_comparison.vuong(
        first, second, cluster=jnp.asarray([0, 1, 1]), clusters=2
    )
    assert float(difference.z) == pytest.approx(6 / np.sqrt(2), rel=1e-5)
    twice = model_comparison.vuong(
        jnp.repeat(first, 2), jnp.zeros(6), cluster=jnp.arange(6) // 2, clusters=3
    )
    assert float(twice.z) == pytest.approx(12 / np.sqrt(8), rel=1e-5)
    assert float(twice.p) == pytest.approx(2 * scipy.stats.t.sf(12 / 8**0.5, 2), 1e-3)
    assert result.summary().endswith("neither is shown to be closer")


@pytest.mark.slow
def test_p_of_many_clusters_is_normal_s():
    rows = jnp.asarray(np.random.default_rng(0).normal(0.03, 1, (2, 1002)), jnp.float32)
    for n in (900, 1002):
        result = model_comparison.vuong(rows[0, :n], rows[1, :n])
        expected = 2 * scipy.stats.norm.sf(abs(float(result.z)))
        assert float(result.p) == pytest.approx(expected, rel=0.02)
    # clusters without a weighted sample do not count
    keep = (jnp.arange(20) < 4).astype(jnp.float32)
    result = model_comparison.vuong(rows[0, :20], rows[1, :20], weights=keep)
    expected = 2 * scipy.stats.t.sf(abs(float(result.z)), 3)
    assert float(result.p) == pytest.approx(expected, rel=1e-3)


CLUSTERS = {
    "from 1000": np.arange(1000, 1060),
    "from 1": np.arange(1, 61),
    "negative": np.arange(-60, 0),
    "every other": 2 * np.arange(60),
    "texts": np.asarray([f"maze {i}" for i in range(60)]),
    "64 bits": 2**32 * np.arange(60),
    "unsigned 64 bits": np.uint64(2**63) + np.arange(60, dtype=np.uint64),
    "jax": jnp.arange(7, 67),
    "python": list(range(100, 160)),
    "reversed": np.arange(60)[::-1],
}


@pytest.mark.parametrize("names", CLUSTERS.values(), ids=CLUSTERS)
def test_clusters_may_have_any_labels(names):
    """The variance is that of 60 cluster sums, worked out with NumPy."""
    rng = np.random.default_rng(0)
    member = np.repeat(np.arange(60), 10)
    difference = 0.3 + rng.normal(size=600) + rng.normal(size=60)[member] / 2
    sums = np.zeros(60)
    np.add.at(sums, member, difference - difference.mean())
    z = difference.sum() / np.sqrt(np.square(sums).sum())
    cluster = [names[i] for i in member]
    if not isinstance(names, list):
        cluster = names[member]
    result = model_comparison.vuong(difference, np.zeros(600), cluster=cluster)
    assert float(result.z) == pytest.approx(z, rel=1e-4)
    assert float(result.p) == pytest.approx(2 * scipy.stats.t.sf(z, 59), rel=1e-2)


def test_equal_densities_are_no_evidence():
    x = jnp.asarray([-1.0, -2.0, -3.0])
    result = model_comparison.vuong(x, x)
    assert (float(result.z), float(result.p)) == (0, 1)
    assert result.summary() == "Vuong z = 0.00, p = 1: neither is shown to be closer"


@functools.partial(jax.jit, static_argnums=2)
@functools.partial(jax.vmap, in_axes=(0, None, None))
def normal_against_laplace(x, cluster, clusters):
    log_p = model_comparison.densities(x, model_comparison.fit_families(x, count=2))
    return model_comparison.vuong(*log_p, cluster=cluster, clusters=clusters)


@pytest.mark.parametrize("draws", [200, pytest.param(4000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("n", "clusters"), [(48, 48), (100, 100), (500, 20)])
def test_no_family_is_said_to_be_closer_where_none_is(n, clusters, draws):
    """Shape 1.416 is as far from the normal as from Laplace; half are copies."""
    rng = np.random.default_rng(n)
    x = scipy.stats.gennorm.rvs(
        1.416, size=(draws, clusters, n // clusters), random_state=rng
    )
    size = n // clusters
    x[..., (size + 1) // 2 :] = x[..., :1]
    result = normal_against_laplace(
        jnp.asarray(x.reshape(draws, n), jnp.float32),
        jnp.arange(n) * clusters // n,
        clusters,
    )
    summaries = [
        model_comparison.Vuong(z, p).summary()
        for z, p in zip(np.asarray(result.z), np.asarray(result.p), strict=True)
    ]
    for side in ("first", "second"):
        share = np.mean([f"the {side} is closer" in said for said in summaries])
        assert share <= 0.05 + (draws == 200) * 0.02
    # the legend of the explorer page
    for beyond in (result.z > 2.5, result.z < -2.5):
        assert float(beyond.mean()) <= 0.05 + (draws == 200) * 0.02
    for sign in (1, -1):
        assert (
            model_comparison.Vuong(3.0 * sign, 0.01)
            .summary()
            .endswith(f"the {'first' if sign > 0 else 'second'} is closer")
        )


def test_held_out_likelihood_names_the_family():
    rng = np.random.default_rng(0)
    fold = jnp.arange(1000) % 2
    for drawn, best in ((rng.normal(size=1000), 0), (rng.laplace(size=1000), 1)):
        x = jnp.asarray(drawn, jnp.float32)
        result = model_comparison.held_out(x, fold, count=3)
        assert int(result.held_out.argmax()) == best
        fit = model_comparison.fit_families(x, count=3)
        np.testing.assert_allclose(
            result.densities, model_comparison.densities(x, fit), rtol=1e-3, atol=1e-3
        )
        z = model_comparison.vuong(result.densities[0], result.densities[1]).z
        assert (float(z) > 2) == (best == 0)
        a, b = drawn[::2], drawn[1::2]
        expected = scipy.stats.norm.logpdf(b, a.mean(), a.std()).mean()
        expected = (expected + scipy.stats.norm.logpdf(a, b.mean(), b.std()).mean()) / 2
        assert float(result.held_out[0]) == pytest.approx(expected, abs=1e-3)
    for labels in (fold + 1000, np.where(fold, "test", "train"), [-5, 9] * 500):
        relabelled = model_comparison.held_out(x, labels, count=3)
        np.testing.assert_array_equal(relabelled.held_out, result.held_out)
    empty = model_comparison.held_out(x, 0 * fold, count=3)
    assert np.isnan(empty.held_out).all()


@pytest.mark.parametrize("names", [(0, 1, 2), (7, -2, 2**40), ("a", "b", "c")])
def test_every_fold_is_scored_by_the_fit_to_all_others(names):
    drawn = np.random.default_rng(0).normal(3, 2, 300)
    fold = np.random.default_rng(1).integers(0, 3, 300)
    result = model_comparison.held_out(
        drawn, np.asarray([names[k] for k in fold]), count=1
    )
    total = sum(
        scipy.stats.norm.logpdf(
            drawn[fold == k], drawn[fold != k].mean(), drawn[fold != k].std()
        ).sum()
        for k in range(3)
    )
    assert float(result.held_out[0]) == pytest.approx(total / 300, abs=1e-4)


@pytest.mark.slow
def test_goodness_keeps_its_level_and_has_power():
    rng = np.random.default_rng(1)
    run = jax.jit(
        jax.vmap(lambda x, k: model_comparison.goodness(x, fitting.normal, k, draws=39))
    )
    keys = jax.random.split(jax.random.key(0), 100)
    null = run(jnp.asarray(rng.normal(size=(100, 100)), jnp.float32), keys)
    assert 0.0 < float((null.p <= 0.1).mean()) < 0.2
    other = run(jnp.asarray(rng.laplace(size=(100, 100)), jnp.float32), keys)
    assert float((other.p <= 0.1).mean()) > 0.6


@pytest.mark.slow
def test_the_statistic_is_scipy_s():
    x = np.random.default_rng(2).normal(3, 2, 60)
    result = model_comparison.anderson_darling(
        jnp.asarray(x, jnp.float32), fitting.normal(jnp.asarray(x, jnp.float32)),
        jnp.ones(60),
    )  # fmt: skip
    theirs = scipy.stats.goodness_of_fit(
        scipy.stats.norm, x, statistic="ad", n_mc_samples=19, rng=0
    )
    assert float(result) == pytest.approx(theirs.statistic, abs=0.02)
    padded = jnp.asarray(np.r_[x, 99, -99], jnp.float32)
    keep = jnp.asarray(np.r_[np.ones(60), 0, 0], jnp.float32)
    masked = model_comparison.anderson_darling(
        padded, fitting.normal(padded, keep), keep
    )
    assert float(masked) == pytest.approx(float(result), abs=1e-3)


def test_bad_input_is_named(key):
    x = jnp.ones(4)
    with pytest.raises(ValueError, match="second: got shape"):
        model_comparison.vuong(x, x[:2])
    with pytest.raises(ValueError, match="first: got 4 numbers"):
        model_comparison.vuong(x * jnp.nan, x)
    with pytest.raises(ValueError, match="cluster: got float32; allowed: integers"):
        model_comparison.vuong(x, x, cluster=jnp.zeros(4))
    with pytest.raises(ValueError, match=r"cluster: got shape \(3,\); allowed: \(4\)"):
        model_comparison.vuong(x, x, cluster=["a", "b", "b"])
    with pytest.raises(ValueError, match="cluster: got 1 different labels"):
        model_comparison.vuong(x, x, cluster=[5] * 4)
    alone = model_comparison.vuong(x, 0 * x, weights=[1, 1, 0, 0], cluster=[1, 1, 2, 3])
    assert np.isnan([alone.z, alone.p]).all()
    with pytest.raises(ValueError, match="weights: got -1"):
        model_comparison.vuong(x, x, weights=[1, 1, -1, 1])
    with pytest.raises(ValueError, match="fold: got float64; allowed: integers"):
        model_comparison.held_out(x, np.zeros(4))
    with pytest.raises(ValueError, match="fold: got shape"):
        model_comparison.held_out(x, jnp.zeros(3, int))
    with pytest.raises(ValueError, match="count: got 9"):
        model_comparison.fit_families(x, count=9)
    with pytest.raises(ValueError, match="draws: got 5"):
        model_comparison.goodness(x, fitting.normal, key, draws=5)
