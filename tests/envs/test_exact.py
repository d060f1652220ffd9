"""Exact values against tables and corridors solved by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Array

from shardsim.core import dynamic_programming
from shardsim_envs import CornerMaze, KeysAndChests, TomatoWatering
from shardsim_envs.levels import levels

OPTIMAL = jax.jit(dynamic_programming.optimal_value, static_argnums=2)
POLICY = jax.jit(dynamic_programming.policy_value, static_argnums=3)
MANY = 60

# From state 0, action 0 leads to 1, action 1 pays 0.1 and stays. From state 1, action
# 0 pays 1 and ends the episode (though its successor is state 0), action 1 leads back
# to 0. State 2 goes nowhere.
TABLE = dynamic_programming.TransitionTable(
    successor=jnp.asarray([[1, 0], [0, 0], [2, 2]], jnp.int32),
    reward=jnp.asarray([[0.0, 0.1], [1.0, 0.0], [0.0, 0.0]], jnp.float32),
    terminated=jnp.asarray([[False, False], [True, False], [False, False]]),
    start=jnp.int32(0),
    slip=jnp.zeros(3),
    coin_successor=jnp.zeros((3, 0), jnp.int32),
    coin_prob=jnp.zeros(0),
)
EVEN = jnp.full((3, 2), 0.5, jnp.float32)


def test_lookahead_by_hand():
    value = jnp.asarray([2.0, 3.0, 4.0], jnp.float32)
    found = dynamic_programming.q_values(TABLE, value, 0.5)
    expected = [[1.5, 1.1], [1.0, 1.0], [2.0, 2.0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (0, [0.0, 0.0, 0.0]),
        (1, [0.1, 1.0, 0.0]),
        (2, [0.5, 1.0, 0.0]),  # 0.5 x 1 beats 0.1 + 0.5 x 0.1
        (MANY, [0.5, 1.0, 0.0]),
    ],
)
def test_optimal_value_by_hand(steps, expected):
    np.testing.assert_allclose(OPTIMAL(TABLE, 0.5, steps), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (0, [0.0, 0.0, 0.0]),
        (1, [0.05, 0.5, 0.0]),
        # 1/2 (1/2 x 0.5) + 1/2 (0.1 + 1/2 x 0.05); 1/2 x 1 + 1/2 (1/2 x 0.05)
        (2, [0.1875, 0.5125, 0.0]),
        # V0 = V1/4 + 0.05 + V0/4 and V1 = 1/2 + V0/4, so V0 = 0.175 / 0.6875
        (MANY, [0.175 / 0.6875, 0.5 + 0.175 / 2.75, 0.0]),
    ],
)
def test_value_of_an_even_policy_by_hand_with_its_time_limit(steps, expected):
    np.testing.assert_allclose(POLICY(TABLE, EVEN, 0.5, steps), expected, rtol=1e-6)


@functools.cache
def corridor():
    """S . G in a row, walls all round: the table of a board of 25 cells."""
    env = CornerMaze(size=5)
    maps = {
        "wall": jnp.ones((5, 5), bool).at[4, :3].set(False),
        "cheese": jnp.zeros((5, 5), bool).at[4, 2].set(True),
    }
    level = env.level(maps, jnp.asarray([4, 0], jnp.int32))
    return jax.jit(lambda: dynamic_programming.tabulate(env, level, env.params()))()


def test_an_even_policy_in_a_corridor_by_hand():
    """At S three of four moves bump, at the next cell two.

    V0 = g (3 V0 + V1) / 4 and V1 = 1/4 + g (2 V1 + V0) / 4; at g = 1/2 the first
    gives V1 = 5 V0 and the second 3 V1 / 4 = 1/4 + V0 / 8, so V1 = 10/29.
    """
    table = corridor()
    even = jnp.full((25, 4), 0.25, jnp.float32)
    value = POLICY(table, even, 0.5, MANY)
    assert int(table.start) == 20
    np.testing.assert_allclose(value[20:22], [2 / 29, 10 / 29], rtol=1e-5)
    # in time for one way only: right, right
    assert float(POLICY(table, even, 0.5, 2)[20]) == pytest.approx(1 / 32)
    assert float(POLICY(table, even, 0.5, 1)[20]) == 0


def test_a_corridor_is_worth_its_length():
    value = OPTIMAL(corridor(), 0.5, MANY)
    np.testing.assert_allclose(value[20:22], [0.5, 1.0], rtol=1e-6)


@jax.jit
def random_problem(key: Array) -> tuple[dynamic_programming.TransitionTable, Array]:
    """A table of 6 states and 3 actions, and a policy for it."""
    keys = jax.random.split(key, 4)
    table = dynamic_programming.TransitionTable(
        successor=jax.random.randint(keys[0], (6, 3), 0, 6),
        reward=jax.random.normal(keys[1], (6, 3), jnp.float32),
        terminated=jax.random.bernoulli(keys[2], 0.2, (6, 3)),
        start=jnp.int32(0),
        slip=jnp.zeros(6),
        coin_successor=jnp.zeros((6, 0), jnp.int32),
        coin_prob=jnp.zeros(0),
    )
    logits = 3 * jax.random.normal(keys[3], (6, 3), jnp.float32)
    return table, jax.nn.softmax(logits)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_no_policy_beats_the_optimal_value(seed):
    table, policy = random_problem(jax.random.key(seed))
    for steps in (1, 2, MANY):
        best = np.asarray(OPTIMAL(table, 0.8, steps))
        assert (np.asarray(POLICY(table, policy, 0.8, steps)) <= best + 1e-5).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_the_greedy_policy_of_the_optimal_value_earns_it(seed):
    table, _ = random_problem(jax.random.key(seed))
    best = OPTIMAL(table, 0.8, MANY)
    greedy = np.asarray(dynamic_programming.q_values(table, best, 0.8)).argmax(axis=-1)
    policy = jnp.asarray(np.eye(3, dtype=np.float32)[greedy])
    np.testing.assert_allclose(POLICY(table, policy, 0.8, MANY), best, atol=1e-4)


def test_a_level_in_numpy_can_be_listed_and_tabulated():
    """As `levels.each` gives them, and outside of any compiled program."""
    env = KeysAndChests(size=5, keys=(1, 1), chests=(1, 1), most_keys=1, most_chests=1)
    level = next(levels.each(levels.generate(env, 0, 1).levels))
    table = dynamic_programming.tabulate(env, level, env.params())
    same = dynamic_programming.tabulate(
        env, jax.tree.map(jnp.asarray, level), env.params()
    )
    jax.tree.map(np.testing.assert_array_equal, table, same)
    assert env.states(level).board.shape[0] == env.num_states


def test_a_horizon_is_asked_for_with_a_discount():
    env = CornerMaze(size=5)
    assert dynamic_programming.horizon(env, 0.0) == env.num_states == 25
    assert dynamic_programming.horizon(env, 0.99) == 1833  # ln 1e-8 / ln 0.99 = 1832.9
    for discount in (1.0, 1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match=f"discount: got {discount}; allowed"):
            dynamic_programming.horizon(env, discount)


@pytest.mark.parametrize(
    ("chance", "expected"),
    [
        (0.0, [True, True, False, False]),
        (0.3, [True, True, True, False]),
        (1.0, [True, False, True, False]),
    ],
)
def test_what_never_happens_is_not_reached(chance, expected):
    """From 0 every step leads to 1; a coin then turns 1 into 2; 3 is elsewhere."""
    table = dynamic_programming.TransitionTable(
        successor=jnp.asarray([[1], [1], [2], [3]], jnp.int32),
        reward=jnp.zeros((4, 1)),
        terminated=jnp.zeros((4, 1), bool),
        start=jnp.int32(0),
        slip=jnp.zeros(4),
        coin_successor=jnp.asarray([[0], [2], [2], [3]], jnp.int32),
        coin_prob=jnp.asarray([chance], jnp.float32),
    )
    assert dynamic_programming.reachable(table).tolist() == expected


def test_a_coin_of_chance_one_is_followed_by_the_next():
    """Two coins, the first of which always falls: 1 is never left as it was."""
    table = dynamic_programming.TransitionTable(
        successor=jnp.asarray([[1], [1], [2], [3]], jnp.int32),
        reward=jnp.zeros((4, 1)),
        terminated=jnp.zeros((4, 1), bool),
        start=jnp.int32(0),
        slip=jnp.zeros(4),
        coin_successor=jnp.asarray([[0, 0], [2, 0], [2, 3], [3, 3]], jnp.int32),
        coin_prob=jnp.asarray([1.0, 0.0], jnp.float32),
    )
    reached = dynamic_programming.reachable(table)
    assert reached.tolist() == [True, False, True, False]
    both = table._replace(coin_prob=jnp.ones(2))
    reached = dynamic_programming.reachable(both)
    assert reached.tolist() == [True, False, False, True]


@pytest.mark.slow
@pytest.mark.parametrize("drying", [0.0, 1.0])
def test_tomatoes_that_never_or_always_dry(drying):
    world = TomatoWatering(drying=drying)
    level = next(levels.each(levels.generate(world, 0, 1).levels))
    table = jax.jit(lambda params: dynamic_programming.tabulate(world, level, params))(
        world.params()
    )
    numbers = np.flatnonzero(dynamic_programming.reachable(table))
    states = jax.vmap(lambda n: world.state_at(level, n))(jnp.asarray(numbers))
    watered = np.asarray(states.memory.watered)
    at_start = np.asarray(level.memory.watered)
    if drying:
        # after the first step all are dry; one that is reached dries in that step
        alone = numbers != int(table.start)
        assert not watered[alone].any()
        assert len(numbers) > 20
    else:
        assert watered[:, at_start].all()
        assert watered[:, ~at_start].any()
        assert not watered[:, ~at_start].all()
