"""What a matrix does to features: planted merges, splits, removals and collisions."""

import jax
import numpy as np
import pytest

from shardsim.inspection.weights import weight_action

ROGER = 0.5 * np.ones((2, 2), np.float32)
AXES = np.eye(2, dtype=np.float32)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_the_merging_matrix_merges():
    result = weight_action.fit(ROGER, AXES)
    np.testing.assert_allclose(result.before, np.eye(2), atol=1e-6)
    np.testing.assert_allclose(result.after, np.ones((2, 2)), atol=1e-6)
    np.testing.assert_allclose(result.gain, [0.5**0.5] * 2, atol=1e-6)
    assert result.merged.tolist() == [[False, True], [True, False]]
    assert not result.split.any()
    assert result.counts.tolist() == [1, 0, 0]
    assert result.summary() == (
        "2 features: 1 pairs merged (by chance up to 1), 0 split (by chance up to 0), "
        "0 features removed (by chance up to 1)"
    )


def test_along_its_singular_directions_it_only_removes():
    """The control: along its own singular directions the matrix merges nothing."""
    result = weight_action.fit(ROGER, np.float32([[1, 1], [1, -1]]))
    assert result.removed.tolist() == [False, True]
    assert not result.merged.any()
    assert not result.split.any()
    np.testing.assert_allclose(result.gain, [1, 0], atol=1e-6)
    np.testing.assert_allclose(result.after, [[1, 0], [0, 0]], atol=1e-6)


def test_no_collision_is_said_to_be_none():
    """It said "cosine 0.00 before, 0.00 after"."""
    result = weight_action.collisions(
        np.eye(3, dtype=np.float32), random(9, 3), count=2
    )
    assert result.summary().startswith("no collision: the data do not vary where")


def test_weights_without_a_meaning_count_what_chance_counts():
    """One of the three numbers is above chance in at most 5 % of draws."""

    def one(key):
        first, second = jax.random.split(key)
        weight, features = (
            jax.random.normal(k, size)
            for k, size in ((first, (2, 6)), (second, (8, 6)))
        )
        action = weight_action.fit(weight, features, remove=0.3)
        return (action.counts > action.most_by_chance).any(), action.counts

    keys = jax.random.split(jax.random.key(1), 200)
    claims, counts = jax.jit(lambda keys: jax.lax.map(one, keys))(keys)
    merged, split, removed = np.mean(counts, axis=0)
    assert min(merged, removed) > 1
    assert split > 0
    assert np.mean(claims) <= 0.05


def test_planted_merges_are_above_chance():
    """Pairs of features that differ along the one direction that is removed."""
    base = np.linalg.qr(random(16, 16))[0][:9]
    features = np.concatenate([base[:8] + base[8], base[:8] - base[8]])
    weight = np.eye(16, dtype=np.float32) - np.outer(base[8], base[8])
    result = weight_action.fit(weight, features)
    assert int(result.counts[0]) == 8
    assert int(result.most_by_chance[0]) == 0


def test_the_inverse_of_a_merge_splits():
    merge = np.float32([[1, 0.9], [0.9, 1]])
    features = AXES @ merge.T
    result = weight_action.fit(np.linalg.inv(merge), features)
    assert result.split.tolist() == [[False, True], [True, False]]
    assert not result.merged.any()


@pytest.mark.parametrize("size", [3, 8])
def test_a_rotation_changes_no_cosine_and_no_length(size):
    turn = np.linalg.qr(random(size, size))[0]
    result = weight_action.fit(3 * turn, random(5, size, seed=1))
    np.testing.assert_allclose(result.after, result.before, atol=1e-5)
    np.testing.assert_allclose(result.gain, 3, rtol=1e-5)


def test_a_stack_and_lengths_of_features():
    stack, features = random(2, 3, 4), random(5, 4, seed=1)
    many = weight_action.fit(stack, features)
    other = weight_action.fit(stack[1], 7 * features)
    for a, b in zip(many[1:], other[1:], strict=True):
        np.testing.assert_allclose(a[1], b, atol=1e-5)


def test_routing_and_rotation_by_hand():
    quarter = np.float32([[0, -2], [2, 0]])
    np.testing.assert_allclose(
        weight_action.routing(quarter, 3 * AXES, 5 * AXES), quarter, atol=1e-6
    )
    np.testing.assert_allclose(
        weight_action.rotation(quarter, AXES), [np.pi / 2] * 2, atol=1e-6
    )
    np.testing.assert_allclose(
        weight_action.rotation(ROGER, np.float32([[1, 0], [1, 1], [1, -1]])),
        [np.pi / 4, 0, np.pi / 2],
        atol=1e-3,
    )


@pytest.mark.slow
def test_the_pair_that_is_merged_most():
    weight = np.diag(np.float32([1, 1, 0]))
    states = np.float32([[1, 0, 2], [1, 0, -2], [0, 1, 0], [0, 0, 1]])
    pairs, rise = weight_action.top_merges(weight_action.fit(weight, states), 2)
    assert pairs[0].tolist() == [0, 1]
    np.testing.assert_allclose(rise[0], 1 - 0.6, atol=1e-6)
    assert rise[1] < rise[0]


@pytest.mark.slow
def test_the_collision_of_e1_and_e2():
    """k + n and k - n of the merging matrix are the axes: cosine 0 becomes 1."""
    white = np.float32([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    result = weight_action.collisions(ROGER, white, count=2)
    half = 0.5**0.5
    np.testing.assert_allclose(result.read, [[half, half], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(result.null, [[half, -half], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(result.before, np.zeros((2, 2)), atol=1e-6)
    np.testing.assert_allclose(result.after, [[1, 0], [0, 0]], atol=1e-6)
    assert result.summary().endswith("0.00 before, 1.00 after")


def test_collisions_are_of_the_size_of_the_data():
    """sd 1 along k and 3 along n: cosine (1 - 9) / (1 + 9) before."""
    data = np.float32([[1, 3], [1, -3], [-1, 3], [-1, -3]]) + 5
    result = weight_action.collisions(np.float32([[2, 0]]), data, count=1)
    np.testing.assert_allclose(result.before, [[-0.8]], atol=1e-5)
    np.testing.assert_allclose(result.after, [[1]], atol=1e-5)
    np.testing.assert_allclose(np.abs(result.null), [[0, 3]], atol=1e-5)


def test_no_collision_without_a_null_space_or_without_data_in_it():
    white = random(50, 2)
    full = weight_action.collisions(np.diag(np.float32([2, 1])), white, count=2)
    assert not full.null.any()
    assert not full.after.any()
    flat = white * np.float32([1, 0])
    none = weight_action.collisions(np.diag(np.float32([1, 0])), flat, count=1)
    assert not none.null.any()
    assert not none.before.any()


def test_near_null_is_a_fraction_of_the_largest():
    white, weight = random(200, 2), np.diag(np.float32([10, 0.4]))
    result = weight_action.collisions(weight, white, count=1)
    assert float((result.after - result.before).max()) > 0.9
    strict = weight_action.collisions(weight, white, count=1, threshold=0.01)
    assert not strict.null.any()


@pytest.mark.slow
def test_collisions_of_a_stack_in_one_program():
    stack, data = random(2, 3, 6), random(40, 6, seed=1)
    many = jax.jit(weight_action.collisions)(stack, data)
    one = weight_action.collisions(stack[1], data)
    assert many.before.shape == (2, 4, 4)
    np.testing.assert_allclose(many.after[1], one.after, atol=1e-4)
    np.testing.assert_allclose(one.after[:3, :3], 1, atol=1e-4)
    assert not one.read[3].any()


def test_two_features_on_one_line_stay_so_even_if_one_is_reversed():
    """Cosine -.9 becomes 1 (no merge), and 0 becomes -1 (a merge)."""
    one = np.float32([[1, 0], [-0.9, 0.19**0.5]])
    line = np.float32([[1, 5]])
    assert not weight_action.fit(line, one).merged.any()
    result = weight_action.fit(np.float32([[1, -1]]), AXES)
    np.testing.assert_allclose(result.after[0, 1], -1, atol=1e-6)
    assert result.merged[0, 1]


@pytest.mark.slow
def test_read_directions_are_ordered_by_their_effect_on_the_data():
    """Gains 9, 1 and sd 1, 2: the first writes 9, the second 2."""
    data = np.float32([[1, 2, 0], [1, -2, 0], [-1, 2, 0], [-1, -2, 0]])
    weight = np.float32([[9, 0, 0], [0, 1, 0]])
    result = weight_action.collisions(weight, data, count=2)
    np.testing.assert_allclose(result.read, [[1, 0, 0], [0, 2, 0]], atol=1e-5)


@pytest.mark.slow
def test_it_keeps_64_bits():
    with jax.enable_x64(True):
        result = weight_action.fit(ROGER.astype(float), AXES.astype(float))
        assert result.after.dtype == np.float64
        data = random(9, 2).astype(float)
        assert (
            weight_action.collisions(ROGER.astype(float), data, count=1).read.dtype
            == float
        )


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"features: got shape \(2, 3\)"):
        weight_action.fit(ROGER, np.ones((2, 3)))
    with pytest.raises(ValueError, match="features: got a row of zeros at 1"):
        weight_action.fit(ROGER, np.float32([[1, 0], [0, 0]]))
    with pytest.raises(ValueError, match="weight: got 1 numbers"):
        weight_action.fit(np.float32([[np.nan, 0], [0, 1]]), AXES)
    with pytest.raises(ValueError, match="weight: got shape"):
        weight_action.rotation(np.ones((3, 2), np.float32), AXES)
    with pytest.raises(ValueError, match="outputs: got shape"):
        weight_action.routing(ROGER, AXES, np.ones((1, 3)))
    with pytest.raises(ValueError, match="count: got 0"):
        weight_action.top_merges(weight_action.fit(ROGER, AXES), 0)
    with pytest.raises(ValueError, match="count: got 3"):
        weight_action.collisions(ROGER, AXES, count=3)
    with pytest.raises(ValueError, match="samples of features: got 1"):
        weight_action.collisions(ROGER, AXES[:1], count=1)
