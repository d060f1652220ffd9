"""Returns: hand-worked numbers, reductions, and an independent loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardsim.core import returns

lambda_returns = jax.jit(returns.lambda_returns)


def by_hand(r, v, terminated, truncated, discount, lambda_):
    """The recursion in plain Python, backwards, in double precision."""
    out = np.zeros(len(r))
    following = v[-1]
    for t in reversed(range(len(r))):
        if terminated[t]:
            out[t] = r[t]
        else:
            weight = 0.0 if truncated[t] else lambda_
            beyond = (1 - weight) * v[t] + weight * following
            out[t] = r[t] + discount * beyond
        following = out[t]
    return out


def test_three_steps_worked_by_hand():
    # G_2 = 1; G_1 = .5 (.5 * 4 + .5 * 1) = 1.25; G_0 = .5 (.5 * 2 + .5 * 1.25) = .8125
    actual = lambda_returns(
        jnp.array([0.0, 0.0, 1.0]),
        jnp.array([2.0, 4.0, 8.0]),
        jnp.array([False, False, True]),
        jnp.zeros(3, bool),
        0.5,
        0.5,
    )
    np.testing.assert_allclose(actual, [0.8125, 1.25, 1.0])


def test_a_time_limit_bootstraps_and_an_end_does_not():
    r, v, no = jnp.array([1.0]), jnp.array([10.0]), jnp.array([False])
    yes = jnp.array([True])
    assert lambda_returns(r, v, yes, no, 0.9, 0.9)[0] == 1.0
    np.testing.assert_allclose(lambda_returns(r, v, no, yes, 0.9, 0.9)[0], 10.0)


def test_nothing_of_the_next_episode_passes_a_time_limit():
    # a reward of 100 in the next episode must not reach the step before the limit
    arguments = (jnp.array([2.0, 3.0]), jnp.zeros(2, bool), jnp.array([True, False]))
    small = lambda_returns(jnp.array([0.0, 0.0]), *arguments, 0.9, 1.0)
    large = lambda_returns(jnp.array([0.0, 100.0]), *arguments, 0.9, 1.0)
    assert small[0] == large[0]


def test_lambda_zero_is_one_step():
    r, v = jnp.array([1.0, 2.0]), jnp.array([3.0, 5.0])
    no = jnp.zeros(2, bool)
    np.testing.assert_allclose(lambda_returns(r, v, no, no, 0.5, 0.0), [2.5, 4.5])


def test_lambda_one_is_the_discounted_return():
    r = jnp.array([1.0, 2.0, 4.0])
    ends = jnp.array([False, False, True])
    actual = lambda_returns(r, jnp.full(3, 7.0), ends, jnp.zeros(3, bool), 0.5, 1.0)
    # 1 + 2 / 2 + 4 / 4
    np.testing.assert_allclose(actual[0], 3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.99), st.floats(0, 1))
def test_equals_a_plain_loop(seed, discount, lambda_):
    rng = np.random.default_rng(seed)
    r, v = rng.normal(size=(2, 9)).astype(np.float32)
    kind = rng.integers(0, 4, 9)
    actual = lambda_returns(
        jnp.asarray(r),
        jnp.asarray(v),
        jnp.asarray(kind == 1),
        jnp.asarray(kind == 2),
        discount,
        lambda_,
    )
    expected = by_hand(r, v, kind == 1, kind == 2, discount, lambda_)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_a_perfect_value_is_a_fixed_point():
    # V = gamma^(steps left) on a corridor: every lambda returns V itself
    discount, steps = 0.9, 6
    left = np.arange(steps, 0, -1)
    value = jnp.asarray(discount ** (left - 1.0), jnp.float32)
    r = jnp.zeros(steps).at[-1].set(1.0)
    ends = jnp.zeros(steps, bool).at[-1].set(True)
    after = jnp.concatenate([value[1:], jnp.zeros(1)])
    for lambda_ in (0.0, 0.5, 1.0):
        actual = lambda_returns(
            r, after, ends, jnp.zeros(steps, bool), discount, lambda_
        )
        np.testing.assert_allclose(actual, value, rtol=1e-5)


@pytest.mark.parametrize("wrong", [0.0, 0.3])
def test_a_wrong_value_is_a_fixed_point_only_if_lambda_is_one(wrong):
    r, ends = jnp.array([0.0, 1.0]), jnp.array([False, True])
    arguments = (jnp.full(2, wrong), ends, jnp.zeros(2, bool), 0.9)
    assert lambda_returns(r, *arguments, 0.5)[0] != pytest.approx(0.9)
    assert lambda_returns(r, *arguments, 1.0)[0] == pytest.approx(0.9)


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray], ids=["numpy", "jax"])
def test_one_step_by_hand(array):
    # 1 + .5 * 4 = 3; the second step ends the episode: only its reward counts
    reward, terminated = array([1.0, 2.0]), array([False, True])
    actual = returns.one_step_return(reward, terminated, array([4.0, np.nan]), 0.5)
    assert type(actual) is type(reward)
    np.testing.assert_array_equal(actual, [3.0, 2.0])
    # negative control: where the episode continues, the next value counts
    on = returns.one_step_return(reward, ~terminated, array([4.0, 8.0]), 0.5)
    np.testing.assert_array_equal(on, [1.0, 6.0])


def test_lambda_zero_is_the_one_step_return():
    drawn = np.random.default_rng(0)
    r, v = (jnp.asarray(drawn.normal(size=6), jnp.float32) for _ in range(2))
    ended = jnp.asarray(drawn.uniform(size=6) < 0.5)
    actual = lambda_returns(r, v, ended, jnp.zeros(6, bool), 0.9, 0.0)
    expected = returns.one_step_return(r, ended, v, 0.9)
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
