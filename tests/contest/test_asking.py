"""Situations and exact behaviour, against what can be counted by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.contest import asking
from shardsim.core.dynamic_programming import TransitionTable
from tests.helpers import tiny_contest

CONDITIONS = ("in_distribution", "conflict", "extinction", "moved", "blind")


@pytest.fixture(scope="module")
def conditions():
    return asking.Conditions(tiny_contest.contest())


@pytest.fixture(scope="module")
def situations(conditions):
    return {name: conditions.situations(name) for name in CONDITIONS}


def corridor():
    """States 0, 1, 2 in a row; action 0 stays, 1 goes right, and ends in state 2."""
    return TransitionTable(
        successor=jnp.asarray([[[0, 1], [1, 2], [2, 2]]]),
        reward=jnp.zeros((1, 3, 2)),
        terminated=jnp.asarray([[[False, False], [False, True], [False, True]]]),
        start=jnp.asarray([0]),
        slip=jnp.zeros((1, 3)),
        coin_successor=jnp.zeros((1, 3, 0), jnp.int32),
        coin_prob=jnp.zeros((1, 0)),
    )


def test_occupancy_counts_the_decisions_of_an_episode():
    policy = jnp.asarray([[[0.5, 0.5], [0.25, 0.75], [0.5, 0.5]]])
    count = np.asarray(asking._occupancy(policy, corridor(), 3))[0]
    # in state 0: 1 + 1/2 + 1/4; in state 1: 1/2 after a step, and then 1/4 + 1/8
    assert count.tolist() == [1.75, 0.5 + 0.375, 0.0]
    # an episode that never ends has as many decisions as its time limit
    stays = jnp.asarray([[[1.0, 0.0]] * 3])
    assert np.asarray(asking._occupancy(stays, corridor(), 7))[0].tolist() == [7, 0, 0]


def test_a_level_of_a_condition_differs_in_what_the_condition_changes(situations):
    plain, conflict = situations["in_distribution"], situations["conflict"]
    assert (plain.shown.sum(axis=1) == 1).all()
    assert (conflict.shown == 1).all()
    np.testing.assert_array_equal(plain.successor, conflict.successor)
    np.testing.assert_array_equal(plain.start, conflict.start)
    things = slice(0, 2)
    np.testing.assert_array_equal(
        plain.observation[..., things], conflict.observation[..., things]
    )
    assert plain.rewards is None
    assert situations["extinction"].rewards == ((0, 0), (0, 0))


def test_a_step_takes_the_fruit_on_the_cell_that_it_leads_to(situations, conditions):
    plain = situations["in_distribution"]
    levels = conditions.after("in_distribution", "A").levels
    world = tiny_contest.contest().env
    board = np.asarray(levels.board)[..., :2]
    moves = np.asarray([[-1, 0], [0, 1], [1, 0], [0, -1]])
    for level in range(len(board)):
        first = np.asarray(levels.start[level])
        for action, taken in enumerate(plain.taken[level, plain.start[level]]):
            there = np.clip(first + moves[action], 0, world.size - 1)
            np.testing.assert_array_equal(taken, board[level, there[0], there[1]])
    ends = plain.taken.any(axis=-1)[plain.reachable]
    np.testing.assert_array_equal(ends, plain.terminated[plain.reachable])


def test_moved_objects_lie_elsewhere_on_the_same_floor(situations, conditions):
    plain, moved = situations["in_distribution"], situations["moved"]
    np.testing.assert_array_equal(plain.shown, moved.shown)
    boards = [
        np.asarray(conditions.after(name, "A").levels.board)
        for name in ("in_distribution", "moved")
    ]
    differ = (boards[0][..., :2] != boards[1][..., :2]).any(axis=(1, 2, 3))
    assert differ.mean() > 0.7
    assert (boards[1][..., :2].sum(axis=(1, 2, 3)) == 2).all()


def test_hidden_planes_are_seen_by_nobody(situations):
    plain, blind = situations["in_distribution"], situations["blind"]
    floors = slice(3, 5)
    assert plain.observation[..., floors].any()
    assert not blind.observation[..., floors].any()
    assert not blind.shown.any()
    np.testing.assert_array_equal(
        plain.observation[..., :3], blind.observation[..., :3]
    )
    np.testing.assert_array_equal(plain.taken, blind.taken)


def test_rewards_in_force_are_those_of_the_last_event(conditions):
    """V = 0 and a uniform D: the one-step lookahead follows the rewards alone."""
    contest = conditions.contest
    bites = {}
    for event in ("A", "swapped"):
        condition = conditions.after("in_distribution", event)
        shape = condition.table.successor.shape
        value = np.zeros(shape[:2], np.float32)
        behaviour = asking.act(
            value, np.zeros(shape, np.float32), condition, contest.acting
        )
        np.testing.assert_allclose(behaviour.policy.sum(axis=-1), 1, atol=1e-6)
        np.testing.assert_allclose(behaviour.occupancy.sum(axis=-1), 1, atol=1e-6)
        assert (behaviour.occupancy[~condition.reachable] == 0).all()
        taken = conditions.situations("in_distribution").taken
        joint = behaviour.occupancy[..., None] * behaviour.policy
        bites[event] = np.einsum("lsa,lsaf->lf", joint, taken)
    shown = conditions.situations("in_distribution").shown.argmax(axis=1)
    level = np.arange(len(shown))
    paid = {
        event: own[level, shown] - own[level, 1 - shown] for event, own in bites.items()
    }
    # in the swapped world the other fruit pays
    assert paid["A"].mean() > 0.05
    assert paid["swapped"].mean() < -0.05
