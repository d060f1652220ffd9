"""Distances and plans against boards worked out by hand and value iteration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.contest import planning
from shardsim.contest.evidence import Situations
from tests.contest import synthetic


def corridor():
    """start 0 - 1 - 2 (fruit 0), and 3 (fruit 1) beyond 0: cells 3 0 1 2 in a row.

    Actions: 0 left, 1 right, 2 wait. A bite ends the episode.
    """
    left, right = {3: 3, 0: 3, 1: 0, 2: 1}, {3: 0, 0: 1, 1: 2, 2: 2}
    successor = np.array([[[left[s], right[s], s] for s in range(4)]], np.int32)
    fruit = {2: 0, 3: 1}
    taken = np.zeros((1, 4, 3, 2), np.float32)
    for s in range(4):
        for a in range(3):
            if successor[0, s, a] in fruit:
                taken[0, s, a, fruit[int(successor[0, s, a])]] = 1
    return Situations(
        np.zeros((1, 4, 1, 1, 1), np.uint8),
        np.ones((1, 1), np.float32),
        successor,
        taken,
        taken.any(axis=-1),
        np.array([[True, True, False, False]]),
        np.zeros(1, np.int32),
        np.zeros(1, np.int32),
    )


@pytest.fixture(scope="module")
def board():
    given = {"all": corridor()}
    layout = planning.layout_of(given)
    one = jax.tree.map(lambda leaf: leaf[0], planning.boards_of(given, layout.states))
    return layout, one


def test_layout_by_hand(board):
    layout, _ = board
    assert layout.states.tolist() == [0, 1]
    assert layout.one_take
    # from cell 1, left of it twice: fruit 1 after 3 steps by waiting or going right
    assert layout.sweeps == 3


def test_goal_values_by_hand(board):
    """Fruit 0 is two steps to the right of cell 0, fruit 1 one step to the left."""
    _, one = board
    q = np.asarray(planning.goal_values(one, 0.5))
    np.testing.assert_allclose(q[0, :, 0], [0.0, 0.5, 0.25])
    np.testing.assert_allclose(q[0, :, 1], [1.0, 0.25, 0.5])
    np.testing.assert_allclose(q[1, :, 0], [0.25, 1.0, 0.5])


@pytest.mark.parametrize("weights", [(1.0, 0.2), (0.3, 1.0), (-1.0, 0.5), (-1.0, -2.0)])
def test_closed_form_is_value_iteration(weights):
    given = {"all": synthetic.situations(6, ((1, 0),))}
    layout = planning.layout_of(given)
    boards = planning.boards_of(given, layout.states)
    reachable = np.asarray(given["all"].reachable)[:, layout.states]
    assert layout.one_take
    weights = jnp.asarray(weights, jnp.float32)

    def q(one_take):
        return jax.vmap(
            lambda b: planning.utility_values(b, weights, 0.9, one_take, layout.sweeps)
        )(boards)

    np.testing.assert_allclose(
        np.asarray(q(True))[reachable], np.asarray(q(False))[reachable], atol=1e-6
    )


def test_unit_utility_is_its_goal():
    given = {"all": synthetic.situations(6, ((1, 0),))}
    layout = planning.layout_of(given)
    boards = planning.boards_of(given, layout.states)
    reachable = np.asarray(given["all"].reachable)[:, layout.states]
    only = jnp.asarray([1.0, 0.0])
    q = jax.vmap(lambda b: planning.utility_values(b, only, 0.9, True, 1))(boards)
    goal = jax.vmap(lambda b: planning.goal_values(b, 0.9))(boards)[..., 0]
    np.testing.assert_allclose(np.asarray(q)[reachable], np.asarray(goal)[reachable])


def test_occupancy_by_hand():
    """From cell 0 right with probability 1/2, else wait; two steps at most.

    First decision in 0 for sure, the second in 0 or 1 with 1/2 each.
    """
    given = corridor()
    policy = np.zeros((1, 4, 3))
    policy[:, :, 1:] = 0.5
    w = planning.occupancy(given.successor, given.terminated, given.start, policy, 2)
    np.testing.assert_allclose(w, [[0.75, 0.25, 0.0, 0.0]])


def test_conditions_of_other_sizes_are_refused():
    given = {
        "a": synthetic.situations(2, ((1, 0),)),
        "b": synthetic.situations(3, ((1, 0),)),
    }
    with pytest.raises(ValueError, match=r"conditions: got shapes"):
        planning.layout_of(given)
