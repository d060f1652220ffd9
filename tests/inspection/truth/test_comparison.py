"""All methods on the same pairs; a salient random bit fools those without labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from shardsim.inspection.truth import comparison

FAST = {"restarts": 3, "steps": 100}


def draw(seed, strength=1.0, shared=False):
    """200 pairs in 6 dimensions, the concept along e0, the side along e1."""
    rng = np.random.default_rng(seed)
    label = rng.random(200) < 0.5
    noise = 0.3 * rng.normal(size=(2, 200, 6))
    if shared:
        noise[:] = noise[0]
    x, y = noise
    x[:, 0] += np.where(label, strength, -strength)
    y[:, 0] -= np.where(label, strength, -strength)
    x[:, 1] += 2
    return (
        jnp.asarray(x, jnp.float32),
        jnp.asarray(y, jnp.float32),
        jnp.asarray(label),
    )


@pytest.fixture(scope="module")
def compared():
    return comparison.compare(draw(0), draw(1), jax.random.key(0), **FAST)


def test_mean_difference_by_hand():
    x = jnp.asarray([[2.0, 1.0], [-4.0, 1.0]])
    result = comparison.mean_difference(x, jnp.asarray([True, False]))
    np.testing.assert_allclose(result, [1, 0])


@pytest.mark.slow
def test_every_method_finds_a_planted_concept(compared):
    assert compared.directions.shape == (len(comparison.METHODS), 6)
    assert (np.asarray(compared.either_sign) > 0.97).all()
    assert (np.abs(np.asarray(compared.directions)[:, 0]) > 0.9).all()
    assert (np.asarray(compared.accuracy)[comparison.UNSUPERVISED :] > 0.97).all()
    np.testing.assert_allclose(jnp.diagonal(compared.cosines), 1, atol=1e-5)
    assert float(compared.cosines.min()) > 0.85
    low, high = np.asarray(compared.random_band)
    assert 0.5 < (low + high) / 2 < 0.9
    assert 0.3 < float(compared.positive_share) < 0.7
    assert compared.summary().startswith("accuracy, better sign: CCS ")


def test_no_method_finds_an_absent_concept():
    none = comparison.compare(draw(0, 0.0), draw(1, 0.0), jax.random.key(0), **FAST)
    assert (np.asarray(none.either_sign) < 0.62).all()


def test_shared_noise_makes_random_probes_perfect():
    """The reason for the band: the differences then contain only the concept."""
    same = comparison.compare(
        draw(0, shared=True), draw(1, shared=True), jax.random.key(0), **FAST
    )
    assert float(same.random_accuracy.mean()) > 0.97


@pytest.mark.slow
def test_a_salient_random_bit_is_followed():
    result = comparison.distract(
        *draw(2), jnp.asarray([0.0, 4.0]), jax.random.key(1), **FAST
    )
    fooled = np.asarray(result.fooled)
    assert not fooled[0].any()
    assert fooled[1, : comparison.UNSUPERVISED].all()
    assert not fooled[1, comparison.UNSUPERVISED :].any()
    assert (np.asarray(result.distractor)[1, : comparison.UNSUPERVISED] > 0.95).all()
    summary = result.summary()
    assert "CCS from 4" in summary
    assert "not shown for logistic, mean difference" in summary


def test_the_sign_test_is_scipy_s():
    for count, n in ((8, 8), (7, 10), (5, 10), (0, 4), (60, 70)):
        of_scipy = scipy.stats.binomtest(count, n, alternative="greater").pvalue
        (p,) = comparison._sign_test(jnp.asarray([count]), jnp.asarray([n]))
        assert float(p) == pytest.approx(min(2 * of_scipy, 1), rel=1e-4)


def test_few_pairs_show_nothing(key):
    result = comparison.distract(
        *(part[:8] for part in draw(2)), jnp.asarray([4.0]), key, **FAST
    )
    assert result.num_pairs == 4
    assert not result.fooled.any()
    assert result.summary().startswith("4 held-out pairs are too few to show")


@pytest.mark.slow
def test_where_nothing_is_there_no_method_is_said_to_follow_a_bit():
    """A bit of strength 0 was "followed from 0" in nine of ten draws: by chance it is
    predicted better than labels that mean nothing."""
    n, strengths = 40, jnp.asarray([0.0, 0.1])

    def one(key):
        first, second, third, last = jax.random.split(key, 4)
        x, y = (jax.random.normal(k, (n, 4)) for k in (first, second))
        label = jax.random.bernoulli(third, 0.5, (n,))
        result = comparison.distract(x, y, label, strengths, last, restarts=2, steps=30)
        return result.fooled.any(), (result.distractor > result.concept).any()

    claims, higher = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(5), 200))
    assert np.mean(higher) > 0.8
    assert np.mean(claims) <= 0.05


def test_bad_input_is_named(key):
    x, y, label = draw(0)
    with pytest.raises(ValueError, match="label of train: got shape"):
        comparison.compare((x, y, label[:3]), (x, y, label), key)
    with pytest.raises(ValueError, match=r"test: got shape \(200, 5\)"):
        comparison.compare((x, y, label), (x[:, :5], y[:, :5], label), key)
    with pytest.raises(ValueError, match="negative: got 1 numbers"):
        comparison.compare((x, y, label), (x, y.at[0, 0].set(jnp.nan), label), key)
    with pytest.raises(ValueError, match="strengths: got -1"):
        comparison.distract(x, y, label, jnp.asarray([-1.0]), key)
    with pytest.raises(ValueError, match=r"positive.shape\[0\]: got 3"):
        comparison.distract(x[:3], y[:3], label[:3], jnp.ones(1), key)
