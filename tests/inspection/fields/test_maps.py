"""Maps of V and the policy on boards worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.fields import maps

UP, RIGHT, DOWN, LEFT = range(4)
MOVES = np.asarray([[-1, 0], [0, 1], [1, 0], [0, -1]], np.float32)
SIDE = 3


def board(dtype=np.float32):
    """An empty 3 x 3 board with a goal in the middle that ends the episode.

    Returns successor, reward, terminated, moves [S, A, 2] and positions [S, 2].
    """
    position = np.stack(np.divmod(np.arange(SIDE * SIDE), SIDE), axis=-1)
    there = np.clip(position[:, None] + MOVES.astype(int), 0, SIDE - 1)
    successor = there[..., 0] * SIDE + there[..., 1]
    terminated = (successor == 4) & (np.arange(9)[:, None] != 4)
    moves = (there - position[:, None]).astype(dtype)
    return successor, terminated.astype(dtype), terminated, moves, position


def exact(discount, dtype=np.float32):
    successor, reward, terminated, _, _ = board(dtype)
    value = np.zeros(9, dtype)
    for _ in range(20):
        q = reward + discount * np.where(terminated, 0, value[successor])
        value = q.max(axis=-1).astype(dtype)
    return value, q


def softmax(x):
    weights = np.exp(x - x.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def test_a_map_averages_the_states_on_each_cell():
    position = jnp.asarray([[0, 0], [0, 0], [1, 1], [0, 1]])
    numbers = jnp.asarray([1.0, 3.0, 5.0, 7.0])
    mask = jnp.asarray([True, True, True, False])
    result = maps.board_map(numbers, position, mask, (2, 2))
    np.testing.assert_array_equal(result.mean, [[2.0, np.nan], [np.nan, 5.0]])
    np.testing.assert_array_equal(result.states, [[2, 0], [0, 1]])
    alone = maps.board_map(numbers, position, mask.at[1].set(False), (2, 2))
    assert alone.mean[0, 0] == 1.0
    assert "2 cells" in result.summary()


def test_policy_field_separates_three_causes_of_a_zero_arrow():
    moves = np.broadcast_to(MOVES, (4, 4, 2)).copy()
    moves[2, :] = 0  # walled in: nothing moves
    policy = jnp.asarray(
        [
            [0.25, 0.25, 0.25, 0.25],
            [0.5, 0.0, 0.5, 0.0],
            [1.0, 0.0, 0.0, 0.0],
            [0.7, 0.2, 0.1, 0.0],
        ]
    )
    result = maps.policy_field(policy, jnp.asarray(moves))
    np.testing.assert_allclose(result.net[:3], 0, atol=1e-7)
    np.testing.assert_allclose(result.opposed[:3], [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(result.stay, [0, 0, 1, 0], atol=1e-7)
    # p_down - p_up = -.6 rows, p_right - p_left = .2 columns
    np.testing.assert_allclose(result.net[3], [-0.6, 0.2], atol=1e-6)
    np.testing.assert_allclose(result.components[1], [0.5, 0, 0.5, 0], atol=1e-7)
    assert float(jnp.abs(result.components[2]).max()) == 0
    assert "stay 0.25" in result.summary()


def test_net_opposed_and_stay_sum_to_one(key):
    *_, moves, _ = board()
    policy = jax.nn.softmax(jax.random.normal(key, (9, 4)) * 2)
    result = maps.policy_field(policy, jnp.asarray(moves))
    length = jnp.linalg.norm(result.net, axis=-1)
    np.testing.assert_allclose(length + result.opposed + result.stay, 1, atol=1e-6)
    np.testing.assert_allclose(
        result.components.sum(axis=-1) + result.stay, 1, atol=1e-6
    )


def test_a_difference_counts_only_common_states():
    a = jnp.asarray([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    b = jnp.asarray([[1.0, 0.0], [0.75, 0.25], [0.0, 1.0]])
    value = jnp.zeros(3)
    common = jnp.asarray([True, True, False])
    result = maps.difference(a, b, value, value + 1, common)
    np.testing.assert_allclose(result.total_variation, [0, 0.25, np.nan])
    assert float(result.mean_variation) == pytest.approx(0.125)
    np.testing.assert_allclose(result.value, [1, 1, np.nan])
    np.testing.assert_allclose(result.policy[1], [0.25, -0.25])
    # control: equal fields have no difference, whatever is outside of the mask
    same = maps.difference(a, a, value, value, common)
    assert float(same.mean_variation) == 0
    nothing = maps.difference(a, b, value, value, jnp.zeros(3, bool))
    assert np.isnan(nothing.mean_variation)
    assert "over 2 common" in result.summary()


@pytest.mark.parametrize("discount", [0.0, 0.5, 0.95])
def test_exact_value_and_its_greedy_policy_agree_everywhere(discount):
    successor, reward, terminated, _, _ = board()
    value, q = exact(discount)
    policy = (q >= q.max(axis=-1, keepdims=True) - 1e-6).astype(np.float32)
    policy = policy / policy.sum(axis=-1, keepdims=True)
    mask = jnp.arange(9) != 4
    result = maps.agreement(
        *map(jnp.asarray, (value, policy, successor, reward, terminated)),
        mask,
        discount,
    )
    assert float(result.fraction) == 1.0
    np.testing.assert_allclose(result.q, q, atol=1e-6)


def test_a_uniform_policy_and_a_contrary_one_get_no_credit():
    successor, reward, terminated, _, _ = board()
    value, q = exact(0.9)
    best = q >= q.max(axis=-1, keepdims=True) - 1e-6
    mask = jnp.arange(9) != 4
    rest = [jnp.asarray(x) for x in (successor, reward, terminated)]
    uniform = jnp.full((9, 4), 0.25)
    result = maps.agreement(jnp.asarray(value), uniform, *rest, mask, 0.9)
    np.testing.assert_allclose(result.agrees, best.mean(axis=-1), atol=1e-6)
    contrary = jnp.asarray(np.where(best, 0.0, 1.0).astype(np.float32))
    contrary = contrary / jnp.maximum(contrary.sum(axis=-1, keepdims=True), 1)
    result = maps.agreement(jnp.asarray(value), contrary, *rest, mask, 0.9)
    assert float(result.fraction) == 0.0


def test_value_after_an_end_is_ignored_and_ties_count():
    # action 0 ends with reward .3, and V is 9 in its next state. Action 1 leads
    # to a state with V = .6: .5 x .6 = .3 as well
    value = jnp.asarray([0.0, 9.0, 0.6])
    successor = jnp.asarray([[1, 2], [1, 1], [2, 2]])
    reward = jnp.asarray([[0.3, 0.0], [0.0, 0.0], [0.0, 0.0]])
    terminated = jnp.asarray([[True, False], [True, True], [True, True]])
    mask = jnp.asarray([True, False, False])
    for first in ([0.9, 0.1], [0.1, 0.9]):
        policy = jnp.asarray([first, [0.5, 0.5], [0.5, 0.5]])
        result = maps.agreement(value, policy, successor, reward, terminated, mask, 0.5)
        np.testing.assert_allclose(result.q[0], [0.3, 0.3], atol=1e-7)
        assert float(result.fraction) == 1.0
    lower = reward.at[0, 0].set(0.2)
    result = maps.agreement(value, policy, successor, lower, terminated, mask, 0.5)
    assert float(result.fraction) == 1.0
    higher = reward.at[0, 0].set(0.4)
    result = maps.agreement(value, policy, successor, higher, terminated, mask, 0.5)
    assert float(result.fraction) == 0.0
    wide = maps.agreement(
        value, policy, successor, higher, terminated, mask, 0.5, tie=0.2
    )
    assert float(wide.fraction) == 1.0
    assert "100.0%" in wide.summary()
    empty = maps.agreement(
        value, policy, successor, reward, terminated, jnp.zeros(3, bool), 0.5
    )
    assert np.isnan(empty.fraction)


@pytest.mark.slow
def test_a_value_of_half_the_scale_has_slope_two(key):
    truth = jax.random.uniform(key, (200,))
    mask = jnp.ones(200, bool)
    half = maps.calibration(truth / 2 + 1, truth, mask)
    assert float(half.slope) == pytest.approx(2, abs=1e-3)
    assert float(half.intercept) == pytest.approx(-2, abs=2e-3)
    assert float(half.correlation) == pytest.approx(1, abs=1e-4)
    assert float(half.bias) == pytest.approx(1 - float(truth.mean()) / 2, abs=1e-5)
    right = maps.calibration(truth, truth, mask)
    assert float(right.rmse) == 0
    assert float(right.slope) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(right.bin_value, right.bin_exact, atol=1e-6)
    assert "slope 2" in half.summary()


def test_calibration_by_hand_and_against_numpy():
    value = jnp.asarray([0.0, 1.0, 2.0, 50.0])
    truth = jnp.asarray([1.0, 1.0, 4.0, 0.0])
    mask = jnp.asarray([True, True, True, False])
    result = maps.calibration(value, truth, mask, bins=2)
    np.testing.assert_allclose(result.error, [-1, 0, -2, np.nan])
    assert float(result.bias) == pytest.approx(-1)
    assert float(result.rmse) == pytest.approx(np.sqrt(5 / 3))
    assert float(result.relative) == pytest.approx(np.sqrt(5 / 3) / np.sqrt(2))
    slope, intercept = np.polyfit(np.asarray(value)[:3], np.asarray(truth)[:3], 1)
    assert float(result.slope) == pytest.approx(slope, abs=1e-5)
    assert float(result.intercept) == pytest.approx(intercept, abs=1e-5)
    expected = np.corrcoef(np.asarray(value)[:3], np.asarray(truth)[:3])[0, 1]
    assert float(result.correlation) == pytest.approx(expected, abs=1e-5)
    np.testing.assert_array_equal(result.bin_count, [1, 2])
    np.testing.assert_allclose(result.bin_value, [0, 1.5])
    np.testing.assert_allclose(result.bin_exact, [1, 2.5])


def test_a_constant_has_no_slope():
    flat = jnp.full(5, 0.1)
    truth = jnp.arange(5.0)
    mask = jnp.ones(5, bool)
    result = maps.calibration(flat, truth, mask)
    assert np.isnan(result.slope)
    assert np.isnan(result.correlation)
    assert int(result.bin_count[0]) == 5
    other = maps.calibration(truth, flat, mask)
    assert np.isnan(other.relative)
    assert float(other.slope) == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_all_runs_compiled_over_seeds_in_both_precisions(key):
    successor, reward, terminated, moves, position = board()
    policies = jax.nn.softmax(jax.random.normal(key, (3, 9, 4)))
    mask = jnp.arange(9) != 4

    @jax.jit
    @jax.vmap
    def every(value, policy):
        like = value.dtype
        q = maps.agreement(
            value,
            policy,
            jnp.asarray(successor),
            jnp.asarray(reward, like),
            jnp.asarray(terminated),
            mask,
            0.9,
        )
        return (
            maps.board_map(value, jnp.asarray(position), mask, (3, 3)).mean,
            maps.policy_field(policy, jnp.asarray(moves)).net,
            q.fraction,
            maps.calibration(value, value * 2, mask).slope,
        )

    values = jax.random.normal(key, (3, 9))
    single = every(values, policies)
    with jax.enable_x64(True):
        double = every(
            jnp.asarray(values, jnp.float64), jnp.asarray(policies, jnp.float64)
        )
        for a, b in zip(single, double, strict=True):
            assert a.dtype == jnp.float32
            assert b.dtype == jnp.float64
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_bad_input_is_named():
    bad = jnp.asarray([1.0, jnp.nan])
    fine = jnp.zeros(2)
    mask = jnp.ones(2, bool)
    policy = jnp.full((2, 2), 0.5)
    place = jnp.zeros((2, 2), int)
    with pytest.raises(ValueError, match="numbers: got 1 numbers"):
        maps.board_map(bad, place, mask, (1, 1))
    with pytest.raises(ValueError, match="position: got shape"):
        maps.board_map(fine, place[:1], mask, (1, 1))
    with pytest.raises(ValueError, match="moves: got shape"):
        maps.policy_field(policy, jnp.zeros((2, 3, 2)))
    with pytest.raises(ValueError, match="policy: got 1 numbers"):
        maps.policy_field(policy.at[0, 0].set(jnp.nan), jnp.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="policy_b: got shape"):
        maps.difference(policy, policy[:1], fine, fine, mask)
    with pytest.raises(ValueError, match="policy_a: got 1 numbers"):
        maps.difference(policy.at[0, 0].set(jnp.inf), policy, fine, fine, mask)
    with pytest.raises(ValueError, match="reward: got shape"):
        maps.agreement(fine, policy, place, fine, mask, mask, 0.9)
    with pytest.raises(ValueError, match="value: got 1 numbers"):
        maps.agreement(bad, policy, place, policy, place > 0, mask, 0.9)
    with pytest.raises(ValueError, match="tie: got -1"):
        maps.agreement(fine, policy, place, policy, place > 0, mask, 0.9, tie=-1)
    with pytest.raises(ValueError, match="exact: got 1 numbers"):
        maps.calibration(fine, bad, mask)
    with pytest.raises(ValueError, match="bins: got 0"):
        maps.calibration(fine, fine, mask, bins=0)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_masks_of_numbers_are_refused(dtype):
    number = np.asarray([1.0, 2.0, 3.0])
    policy, successor = np.full((3, 2), 0.5), np.zeros((3, 2), int)
    mask, never = np.asarray([1, 0, 1], dtype), np.zeros((3, 2), bool)
    position = np.asarray([[0, 0], [0, 1], [0, 2]])
    for tool in (
        lambda: maps.board_map(number, position, mask, (1, 3)),
        lambda: maps.calibration(number, number, mask),
        lambda: maps.agreement(number, policy, successor, policy, never, mask, 0.9),
        lambda: maps.difference(policy, policy, number, number, mask),
    ):
        with pytest.raises(
            ValueError, match=rf"(mask|common): got {dtype}; allowed: b"
        ):
            tool()
    ends = never.astype(dtype)
    with pytest.raises(ValueError, match=f"terminated: got {dtype}; allowed: boolean"):
        maps.agreement(number, policy, successor, policy, ends, mask == 1, 0.9)


def test_python_numbers_and_large_integers():
    number, mask = [1, 2, 3], [True, False, True]
    position = [[0, 0], [2**40, 0], [0, 1]]
    result = maps.board_map(number, position, mask, (1, 2))
    np.testing.assert_array_equal(result.mean, [[1, 3]])
    with pytest.raises(
        ValueError, match="position: got 1099511627776; allowed: 0 to 0"
    ):
        maps.board_map(number, position, [True] * 3, (1, 2))
    assert (
        float(maps.calibration([2**33, 2**34], [2**33, 2**34], [True] * 2).slope) == 1
    )
    policy = [[0.5, 0.5]] * 3
    same = maps.difference(policy, policy, number, number, mask)
    assert (float(same.mean_variation), int(same.common)) == (0, 2)
