"""Reachability: numbers by hand, sampled episodes, and endless loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.inspection.fields import reachability


def corridor(n=4):
    """Cells 0 .. n - 1; action 0 goes left, 1 right; the last ends the episode."""
    successor = np.stack([np.arange(n) - 1, np.arange(n) + 1], axis=-1)
    successor = np.clip(successor, 0, n - 1)
    terminated = successor == n - 1
    terminated[-1] = True
    goal = np.arange(n) == n - 1
    return successor, terminated, goal


def test_a_path_by_hand():
    successor, terminated, goal = corridor()
    policy = np.asarray([[0.5, 0.5], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]], np.float32)
    result = reachability.path_probability(
        *map(jnp.asarray, (successor, policy)), terminated, goal
    )
    np.testing.assert_allclose(result.length, [3, 2, 1, 0])
    np.testing.assert_allclose(result.probability, [0.16, 0.32, 0.4, 1], rtol=1e-5)
    roots = [0.16 ** (1 / 3), 0.32**0.5, 0.4, 1]
    np.testing.assert_allclose(result.geometric, roots, rtol=1e-5)
    np.testing.assert_allclose(result.paths, 1, rtol=1e-6)
    assert "4 of 4 states" in result.summary()


def test_several_shortest_paths_add_up():
    # 0 -> 1 or 2 -> 3: a diamond. Action 2 ends the episode elsewhere, in state 4
    successor = np.asarray([[1, 2, 4], [3, 3, 4], [3, 0, 4], [3, 3, 3], [4, 4, 4]])
    terminated = np.zeros((5, 3), bool)
    terminated[:, 2] = True
    goal = np.arange(5) == 3
    policy = np.full((5, 3), 1 / 3, np.float32)
    policy[0] = [0.5, 0.3, 0.2]
    policy[1] = [0.6, 0.1, 0.3]
    policy[2] = [0.9, 0.1, 0.0]
    result = reachability.path_probability(
        jnp.asarray(successor), jnp.asarray(policy), terminated, goal
    )
    # .5 x (.6 + .1) by two actions, and .3 x .9
    assert float(result.probability[0]) == pytest.approx(0.35 + 0.27, rel=1e-5)
    assert float(result.geometric[0]) == pytest.approx(np.sqrt(0.62), rel=1e-5)
    np.testing.assert_allclose(result.paths, [3, 2, 1, 1, 0], atol=1e-5)
    assert np.isinf(result.length[4])
    assert float(result.probability[4]) == 0
    assert float(result.geometric[4]) == 0


@pytest.mark.slow
def test_a_long_path_does_not_underflow_and_a_zero_is_a_zero():
    successor, terminated, goal = corridor(60)
    policy = np.tile(np.asarray([0.9, 0.1], np.float32), (60, 1))
    args = jnp.asarray(successor), jnp.asarray(policy), terminated, goal
    result = reachability.path_probability(*args)
    assert float(result.geometric[0]) == pytest.approx(0.1, rel=1e-4)
    policy[30] = [1, 0]
    result = reachability.path_probability(
        args[0], jnp.asarray(policy), terminated, goal
    )
    np.testing.assert_array_equal(result.probability[:31], 0)
    assert float(result.geometric[31]) > 0


def test_an_end_outside_the_goal_leads_nowhere():
    successor, terminated, _ = corridor()
    goal = np.zeros(4, bool)
    goal[0] = True
    policy = np.full((4, 2), 0.5, np.float32)
    result = reachability.path_probability(
        jnp.asarray(successor), jnp.asarray(policy), terminated, goal
    )
    np.testing.assert_allclose(result.length, [0, 1, 2, np.inf])
    r = reachability.reach_probability(successor, policy, terminated, goal).probability
    # gambler's ruin between 0 and 3
    np.testing.assert_allclose(r, [1, 2 / 3, 1 / 3, 0], rtol=1e-5)


def test_reach_of_a_gambler_with_uneven_odds():
    successor, terminated, goal = corridor(6)
    terminated[1, 0] = True  # ruin at 0
    p, q = 0.6, 0.4
    policy = np.tile(np.asarray([q, p]), (6, 1))
    r = reachability.reach_probability(successor, policy, terminated, goal).probability
    expected = [(1 - (q / p) ** i) / (1 - (q / p) ** 5) for i in range(6)]
    np.testing.assert_allclose(r[1:], expected[1:], rtol=1e-10)
    assert r.dtype == np.float64


def test_reach_against_sampled_episodes():
    rng = np.random.default_rng(0)
    states, actions = 7, 3
    successor = rng.integers(0, states, (states, actions))
    terminated = rng.random((states, actions)) < 0.3
    goal = np.arange(states) == 2
    policy = rng.dirichlet(np.ones(actions), states)
    r = reachability.reach_probability(successor, policy, terminated, goal).probability
    hits, tries = 0, 4000
    for _ in range(tries):
        state = 0
        while not goal[state]:
            action = rng.choice(actions, p=policy[state])
            ended, state = terminated[state, action], successor[state, action]
            if ended:
                break
        hits += goal[state]
    assert r[0] == pytest.approx(hits / tries, abs=0.03)


def test_an_endless_loop_reaches_nothing_and_policies_are_batched():
    # the first policy alternates between 0 and 1 forever
    successor = np.asarray([[1, 2], [0, 2], [2, 2]])
    terminated = np.zeros((3, 2), bool)
    goal = np.asarray([False, False, True])
    loop = np.asarray([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])
    leave = np.asarray([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])
    result = reachability.reach_probability(
        successor, np.stack([loop, leave]), terminated, goal
    )
    np.testing.assert_allclose(result.probability, [[0, 0, 1], [1, 1, 1]])
    assert "0.667" in result.summary()


def test_an_exit_below_the_precision_is_ignored():
    """1 - 1e-30 is 1: the chain would be singular."""
    successor = np.asarray([[0, 1], [1, 1]])
    terminated, goal = np.zeros((2, 2), bool), np.asarray([False, True])
    for dtype, least in ((np.float64, 1e-30), (np.float32, 1e-20)):
        never = np.asarray([[1.0, least], [0.5, 0.5]], dtype)
        result = reachability.reach_probability(successor, never, terminated, goal)
        np.testing.assert_array_equal(result.probability, [0, 1])
    seldom = np.asarray([[1 - 1e-9, 1e-9], [0.5, 0.5]])
    result = reachability.reach_probability(successor, seldom, terminated, goal)
    np.testing.assert_allclose(result.probability, 1, rtol=1e-4)


def test_two_actions_to_one_state_add_up():
    successor, terminated = np.asarray([[1, 1], [1, 1]]), np.zeros((2, 2), bool)
    policy = np.full((2, 2), 0.5)
    result = reachability.reach_probability(
        successor, policy, terminated, np.arange(2) == 1
    )
    np.testing.assert_allclose(result.probability, 1)


def test_reach_is_no_less_than_the_shortest_paths():
    rng = np.random.default_rng(1)
    successor, terminated, goal = corridor(8)
    policy = rng.dirichlet([1, 1], 8)
    path = reachability.path_probability(
        jnp.asarray(successor), jnp.asarray(policy, jnp.float32), terminated, goal
    )
    r = reachability.reach_probability(successor, policy, terminated, goal).probability
    assert (r >= np.asarray(path.probability) - 1e-5).all()


def test_occupancy_by_hand_and_its_sum():
    successor, terminated, _ = corridor(3)
    policy = np.asarray([[0.0, 1.0], [0.5, 0.5], [0.5, 0.5]])
    d = reachability.occupancy(successor, policy, terminated, 0, 0.5)
    # d0 = 1 + .25 d1 and d1 = .5 d0: d0 = 8/7
    np.testing.assert_allclose(d, [8 / 7, 4 / 7, 0], rtol=1e-12)
    endless = reachability.occupancy(
        successor, policy, np.zeros_like(terminated), 0, 0.9
    )
    assert endless.sum() == pytest.approx(10)
    # V of a policy is occupancy times reward
    reward = np.asarray([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    value = d @ (policy * reward).sum(axis=-1)
    assert value == pytest.approx(8 / 7 * 1 + 4 / 7 * 1)


def test_slips_are_mixed_in():
    policy = jnp.asarray([[1.0, 0.0], [1.0, 0.0]])
    result = reachability.slipped(policy, jnp.asarray([0.0, 0.5]))
    np.testing.assert_allclose(result, [[1, 0], [0.75, 0.25]])


def test_compiled_over_seeds_in_both_precisions_and_no_hang_on_nan():
    successor, terminated, goal = corridor()
    run = jax.jit(
        jax.vmap(
            lambda p: reachability.path_probability(
                jnp.asarray(successor), p, jnp.asarray(terminated), jnp.asarray(goal)
            )
        )
    )
    policy = np.full((2, 4, 2), 0.5)
    policy[1, 0] = np.nan
    single = run(jnp.asarray(policy, jnp.float32))
    with jax.enable_x64(True):
        double = run(jnp.asarray(policy, jnp.float64))
        assert double.geometric.dtype == jnp.float64
        assert double.length.dtype == jnp.float64
        np.testing.assert_allclose(single.geometric[0], double.geometric[0], rtol=1e-5)
    assert single.geometric.dtype == jnp.float32


def test_bad_input_is_named():
    successor, terminated, goal = corridor()
    policy = np.full((4, 2), 0.5, np.float32)
    broken = policy.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ValueError, match="policy: got 1 numbers"):
        reachability.path_probability(successor, broken, terminated, goal)
    with pytest.raises(ValueError, match="policy: got 1 numbers"):
        reachability.reach_probability(successor, broken, terminated, goal)
    with pytest.raises(ValueError, match="goal: got shape"):
        reachability.path_probability(successor, policy, terminated, goal[:2])
    with pytest.raises(ValueError, match="successor: got shape"):
        reachability.reach_probability(successor[:2], policy, terminated, goal)
    with pytest.raises(ValueError, match=r"policy: got shape \(2,\)"):
        reachability.reach_probability(successor, policy[0], terminated, goal)
    with pytest.raises(ValueError, match="discount: got 1; allowed"):
        reachability.occupancy(successor, policy, terminated, 0, 1)
    with pytest.raises(ValueError, match="start: got 9; allowed: 0 to 3"):
        reachability.occupancy(successor, policy, terminated, 9, 0.5)
    with pytest.raises(ValueError, match="slip: got shape"):
        reachability.slipped(policy, np.zeros(3))


def three_cells():
    """0 -> 1 -> goal 2 by action 1; action 0 stays; leaving 0 ends the episode."""
    successor = np.asarray([[0, 1], [1, 2], [2, 2]])
    terminated = np.asarray([[False, True], [False, False], [False, False]])
    return successor, terminated, np.asarray([False, False, True])


def test_paths_by_hand_from_lists_and_arrays_of_every_library():
    successor, terminated, goal = three_cells()
    policy = np.full((3, 2), 0.5)
    for array in (lambda x: x, lambda x: x.tolist(), jnp.asarray):
        args = [array(x) for x in (successor, policy, terminated, goal)]
        result = reachability.path_probability(*args)
        np.testing.assert_array_equal(result.length, [np.inf, 1, 0])
        reach = reachability.reach_probability(*args)
        np.testing.assert_allclose(reach.probability, [0, 1, 1], atol=1e-6)
        visits = reachability.occupancy(*args[:3], np.int64(1), 0.5)
        np.testing.assert_allclose(visits, [0, 4 / 3, 2 / 3], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "int8", "float32"])
@pytest.mark.parametrize("name", ["terminated", "goal"])
@pytest.mark.parametrize("tool", ["path_probability", "reach_probability"])
def test_masks_of_numbers_are_refused(tool, name, dtype):
    successor, terminated, goal = three_cells()
    masks = {"terminated": terminated, "goal": goal}
    masks[name] = masks[name].astype(dtype)
    with pytest.raises(ValueError, match=f"{name}: got {dtype}; allowed: booleans"):
        getattr(reachability, tool)(successor, np.full((3, 2), 0.5), **masks)


def test_a_policy_of_whole_numbers_is_a_policy():
    successor, terminated, goal = three_cells()
    policy = np.asarray([[1, 1], [1, 1], [1, 1]])
    reach = reachability.reach_probability(
        np.asarray([[0, 1], [1, 2], [2, 2]]), policy, terminated & False, goal
    )
    np.testing.assert_allclose(reach.probability, 1)
    reach = reachability.reach_probability(
        successor, policy, np.asarray([[False, False], [True, False], [True] * 2]), goal
    )
    np.testing.assert_allclose(reach.probability, [0.5, 0.5, 1])


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"successor": np.full((3, 2), 2**32)}, "successor: got 4294967296; allowed"),
        ({"successor": np.full((3, 2), 1.0)}, "successor: got float64; allowed"),
        ({"successor": np.full((3, 2), "1")}, "successor: got <U1; allowed"),
        ({"policy": np.full((3, 2), "a")}, "policy: got <U1; allowed: real numbers"),
    ],
)
def test_states_and_policies_of_another_kind_are_refused(changed, error):
    successor, terminated, goal = three_cells()
    args = {
        "successor": successor,
        "policy": np.full((3, 2), 0.5),
        "terminated": terminated,
        "goal": goal,
    }
    for tool in (reachability.path_probability, reachability.reach_probability):
        with pytest.raises(ValueError, match=error):
            tool(**{**args, **changed})
