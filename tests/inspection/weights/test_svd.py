"""Singular directions: what they write, and near ties as subspaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.weights import svd

ROGER = 0.5 * np.ones((2, 2), np.float32)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def turn(size, seed):
    return np.linalg.qr(random(size, size, seed=seed))[0]


def built(values, seed=0):
    size = len(values)
    return (turn(size, seed) * np.float32(values)) @ turn(size, seed + 1)


def test_the_merging_matrix_keeps_one_direction_and_removes_the_other():
    result = svd.fit(ROGER)
    np.testing.assert_allclose(result.values, [1, 0], atol=1e-6)
    np.testing.assert_allclose(result.reads[0], [0.5**0.5, 0.5**0.5], atol=1e-6)
    np.testing.assert_allclose(
        np.abs(np.asarray(result.reads[1]) @ [1, -1]), 2**0.5, atol=1e-6
    )
    np.testing.assert_allclose(result.gaps, [1, 1], atol=1e-6)
    assert "2 singular directions, 2 of them not tied" in result.summary()
    assert "100%" in result.summary()


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3), (2, 3, 4)])
def test_the_parts_make_the_matrix(shape):
    weight = random(*shape)
    result = svd.fit(weight)
    again = np.einsum(
        "...r,...rm,...rd->...md", result.values, result.writes, result.reads
    )
    np.testing.assert_allclose(again, weight, atol=1e-5)
    np.testing.assert_allclose(
        result.values, np.linalg.svd(weight, compute_uv=False), rtol=1e-4
    )


@pytest.mark.slow
def test_a_stack_is_each_by_itself():
    stack = random(3, 4, 5)
    many = svd.fit(stack)
    for i in range(3):
        one = svd.fit(stack[i])
        for a, b in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(a[i], b, atol=1e-4)


def test_signs_are_fixed_by_the_largest_entry_and_ties_by_the_first():
    rows = jnp.array([[0.2, -0.9], [-0.5, 0.5], [0.5, -0.5000001], [0.0, 0.0]])
    assert svd.signs(rows)[:, 0].tolist() == [-1.0, -1.0, 1.0, 1.0]
    one, other = svd.fit(random(4, 4)), svd.fit(-random(4, 4))
    np.testing.assert_allclose(one.writes, other.writes, atol=1e-4)
    np.testing.assert_allclose(one.reads, -other.reads, atol=1e-4)
    assert (
        np.take_along_axis(
            np.asarray(one.writes), np.abs(one.writes).argmax(1)[:, None], 1
        )
        > 0
    ).all()


def test_gaps_and_blocks_by_hand():
    result = svd.fit(np.diag(np.float32([10, 9.95, 9.9, 5, 0])), tie=0.01)
    np.testing.assert_allclose(result.gaps, [0.005, 0.005, 0.005, 0.49, 0.5], atol=1e-5)
    assert result.blocks.tolist() == [0, 0, 0, 1, 2]
    assert svd.fit(np.diag(np.float32([1, 1])), tie=0).blocks.tolist() == [0, 0]


def test_the_null_space_of_a_wide_matrix_is_a_neighbour():
    wide = np.float32([[4, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(svd.fit(wide).gaps, [0.75, 0.25], atol=1e-6)
    zero = svd.fit(np.zeros((2, 2), np.float32))
    assert np.isfinite(zero.gaps).all()
    assert zero.blocks.tolist() == [0, 0]


def test_logits_by_hand_are_centred_over_actions():
    result = svd.fit(np.diag(np.float32([3, 1])))
    readout = np.float32([[1, 0], [0, 5], [2, 1]])
    np.testing.assert_allclose(
        svd.action_logits(result, readout), [[0, -3, 3], [-2, 3, -1]], atol=1e-5
    )
    shifted = svd.action_logits(result, readout + 7)
    np.testing.assert_allclose(shifted, svd.action_logits(result, readout), atol=1e-4)
    np.testing.assert_allclose(
        svd.value_written(result, np.float32([2, -1])), [6, -1], atol=1e-5
    )


def test_the_states_that_a_direction_reads_most():
    result = svd.fit(np.diag(np.float32([3, 1])))
    states = np.float32([[0, 1], [2, 0], [1, 5], [-9, 0]])
    assert svd.top_states(result, states, 2).tolist() == [[1, 2], [2, 0]]


def test_near_ties_rotate_but_their_subspace_is_stable():
    """The planted case is a tie, its control a gap."""
    tied, separated = built([3, 1, 1, 0.2]), built([3, 1.6, 1, 0.2])
    noise = 0.01 * random(4, 4, seed=9)
    for weight, steady in ((tied, False), (separated, True)):
        first = svd.fit(weight, tie=0.02)
        reads, writes = svd.agreement(first, svd.fit(weight + noise))
        for result in (reads, writes):
            assert (result.blocks > 0.99).all()
            assert (result.alone <= result.blocks + 1e-6).all()
            assert bool((result.alone > 0.99).all()) == steady
    assert "for subspaces of near ties" in reads.summary()


@pytest.mark.slow
def test_an_unrelated_matrix_does_not_agree():
    first, second = svd.fit(random(8, 8)), svd.fit(random(8, 8, seed=1))
    assert svd.agreement(first, second)[0].alone.mean() < 0.4


@pytest.mark.slow
def test_it_compiles_and_keeps_64_bits():
    result = jax.jit(svd.fit)(ROGER)
    np.testing.assert_allclose(result.values, [1, 0], atol=1e-6)
    with jax.enable_x64(True):
        result = svd.fit(random(3, 3).astype(np.float64))
        assert result.reads.dtype == result.gaps.dtype == np.float64


def test_bad_input_is_named():
    good = svd.fit(random(3, 4))
    with pytest.raises(ValueError, match="axes of weight: got 1"):
        svd.fit(np.ones(3))
    with pytest.raises(ValueError, match="size of weight: got 0"):
        svd.fit(np.ones((0, 3)))
    with pytest.raises(ValueError, match="weight: got 1 numbers"):
        svd.fit(np.float32([[1, np.nan]]))
    with pytest.raises(ValueError, match="tie: got -1"):
        svd.fit(ROGER, tie=-1)
    with pytest.raises(ValueError, match=r"readout: got shape \(2, 4\)"):
        svd.action_logits(good, np.ones((2, 4)))
    with pytest.raises(ValueError, match="readout: got 3 numbers"):
        svd.value_written(good, np.full(3, np.inf))
    with pytest.raises(ValueError, match=r"features: got shape \(5, 3\)"):
        svd.top_states(good, np.ones((5, 3)), 1)
    with pytest.raises(ValueError, match="count: got 6"):
        svd.top_states(good, np.ones((5, 4)), 6)
    with pytest.raises(ValueError, match=r"second\.reads: got shape"):
        svd.agreement(good, svd.fit(ROGER))
