"""Contrast pairs are normalised side by side, and V says which side is true."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection import arrays
from shardsim.inspection.truth import pairs

POSITIVE = jnp.asarray([[1.0, 0.0], [3.0, 4.0]])
NEGATIVE = jnp.asarray([[0.0, 2.0], [0.0, 6.0]])


def test_sides_by_hand():
    sides = pairs.learn_sides(POSITIVE, NEGATIVE)
    first, second = sides.apply(POSITIVE, NEGATIVE)
    np.testing.assert_allclose(first, [[-1, -2], [1, 2]])
    np.testing.assert_allclose(second, [[0, -2], [0, 2]])
    np.testing.assert_allclose(sides.differences(POSITIVE, NEGATIVE), [[-1, 0], [1, 0]])
    # sqrt(mean of 1, 4, 1, 4) and sqrt(mean of 0, 4, 0, 4)
    scaled = pairs.learn_sides(POSITIVE, NEGATIVE, normalise="mean+scale")
    np.testing.assert_allclose(scaled.positive_scale, np.sqrt(2.5))
    np.testing.assert_allclose(scaled.negative_scale, np.sqrt(2.0))
    plain = pairs.learn_sides(POSITIVE, NEGATIVE, normalise="none")
    np.testing.assert_array_equal(plain.apply(POSITIVE, NEGATIVE)[0], POSITIVE)


def test_train_means_are_used_on_other_pairs():
    sides = pairs.learn_sides(POSITIVE, NEGATIVE)
    first, _ = sides.apply(POSITIVE + 10, NEGATIVE)
    np.testing.assert_allclose(first.mean(axis=0), [10, 10])


def test_a_side_without_spread_stays_finite_and_one_pair_is_refused():
    same = jnp.ones((3, 2))
    sides = pairs.learn_sides(same, same, normalise="mean+scale")
    np.testing.assert_array_equal(sides.differences(same, same), np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"positive.shape\[0\]: got 1"):
        pairs.learn_sides(same[:1], same[:1])
    alone = pairs.learn_sides(same[:1], same[:1], normalise="none")
    np.testing.assert_array_equal(alone.positive_mean, [0, 0])


def test_v_labels_paired_states():
    result = pairs.from_values(
        jnp.zeros((4, 2)),
        jnp.ones((4, 2)),
        jnp.asarray([1.0, 0.0, 0.5, 0.52]),
        jnp.asarray([0.0, 1.0, 0.5, 0.5]),
        tie=0.05,
    )
    assert result.label.tolist() == [True, False, False, True]
    assert result.tied.tolist() == [False, False, True, True]
    assert result.decided().label.tolist() == [True, False]
    assert result.decided().positive.shape == (2, 2)
    assert "4 pairs" in result.summary()
    assert "ties 50%" in result.summary()


def test_swapped_sides_keep_their_meaning(key):
    """Cheese always beats no cheese: one class, until the order is random."""
    features = jax.random.normal(key, (200, 3))
    value = jnp.ones(200)
    one_class = pairs.from_values(features, -features, value, 0 * value)
    assert bool(one_class.label.all())
    result = pairs.swap_sides(one_class, key)
    assert 60 < int(result.label.sum()) < 140
    better = jnp.where(result.label[:, None], result.positive, result.negative)
    np.testing.assert_array_equal(better, features)
    np.testing.assert_array_equal(jnp.abs(result.gap), value)
    np.testing.assert_array_equal(result.gap > 0, result.label)
    even = pairs.from_values(features, -features, value, value)
    assert not bool(pairs.swap_sides(even, key).label.any())


def test_units_and_zeros():
    result = arrays.unit(jnp.asarray([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(result, [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="negative: got shape"):
        pairs.learn_sides(POSITIVE, NEGATIVE[:, :1])
    with pytest.raises(ValueError, match="positive: got 1 numbers"):
        pairs.learn_sides(POSITIVE.at[0, 0].set(jnp.nan), NEGATIVE)
    with pytest.raises(ValueError, match="normalise: got 'zip'; allowed: none, mean"):
        pairs.learn_sides(POSITIVE, NEGATIVE, normalise="zip")
    with pytest.raises(ValueError, match="other_value: got shape"):
        pairs.from_values(POSITIVE, NEGATIVE, jnp.ones(2), jnp.ones(3))
    with pytest.raises(ValueError, match="value: got 1 numbers"):
        pairs.from_values(
            POSITIVE, NEGATIVE, jnp.asarray([jnp.inf, 0]), jnp.ones(2), tie=0.1
        )
    with pytest.raises(ValueError, match="tie: got -1"):
        pairs.from_values(POSITIVE, NEGATIVE, jnp.ones(2), jnp.ones(2), tie=-1)
    with pytest.raises(ValueError, match="d: got 0"):
        pairs.independent_facts(0)
