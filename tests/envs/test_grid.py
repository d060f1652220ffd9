"""The board against hand-drawn cases, a queue, and chi-square tests."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shardsim_envs.gridworld import grid

DISTANCES = jax.jit(grid.distances)
WALK = jax.jit(grid.shortest_path_logits)
BOARDS = hnp.arrays(bool, (5, 7), elements=st.sampled_from([False, False, True]))
CELLS = st.tuples(st.integers(0, 4), st.integers(0, 6))


def cell(row: int, column: int) -> jax.Array:
    return jnp.asarray([row, column], jnp.int32)


@pytest.mark.parametrize(
    ("start", "action", "end"),
    [
        ((1, 1), "up", (0, 1)),
        ((1, 1), "down", (2, 1)),
        ((1, 1), "left", (1, 0)),
        ((1, 1), "right", (1, 1)),  # a wall
        ((0, 0), "up", (0, 0)),  # off the board
        ((0, 0), "left", (0, 0)),
        ((2, 2), "down", (2, 2)),
        ((2, 2), "right", (2, 2)),
    ],
)
def test_move(start, action, end):
    walls = jnp.zeros((3, 3), bool).at[1, 2].set(True)
    number = jnp.int32(grid.ACTIONS.index(action))
    assert tuple(grid.move(walls, cell(*start), number).tolist()) == end


def test_window_is_the_board_around_the_agent():
    board = jnp.arange(1, 7, dtype=jnp.uint8).reshape(2, 3, 1)  # 1 2 3 / 4 5 6
    seen = grid.window(board, cell(0, 2))[..., 0]
    assert seen.tolist() == [
        [0, 0, 0, 0, 0],
        [1, 2, 3, 0, 0],  # the agent's row: it stands on the 3, in the middle
        [4, 5, 6, 0, 0],
    ]


@settings(max_examples=50, deadline=None)
@given(walls=BOARDS, goals=st.lists(CELLS, min_size=1, max_size=3))
def test_distances_agree_with_a_queue(walls, goals, steps):
    goals = [goal for goal in goals if not walls[goal]]
    asked = np.zeros(walls.shape, bool)
    expected = np.full(walls.shape, grid.FAR)
    for goal in goals:
        asked[goal] = True
        found = steps(walls, goal)
        expected = np.where(found >= 0, np.minimum(found, expected), expected)
    field = DISTANCES(jnp.asarray(walls), jnp.asarray(asked))
    np.testing.assert_array_equal(field, expected)


def test_a_goal_in_a_wall_is_no_goal():
    walls = jnp.zeros((2, 2), bool).at[0, 0].set(True)
    assert (DISTANCES(walls, walls) == grid.FAR).all()


def test_boards_side_by_side_do_not_mix(key):
    boards = jax.random.uniform(key, (2, 3, 4, 5, 7))
    walls, goals = np.asarray(boards[0]) < 0.3, np.asarray(boards[1]) < 0.1
    one_by_one = [
        [DISTANCES(walls[i, j], goals[i, j]) for j in range(4)] for i in range(3)
    ]
    nested = jax.jit(jax.vmap(jax.vmap(grid.distances)))(walls, goals)
    np.testing.assert_array_equal(nested, np.asarray(one_by_one))
    # one board for all goals: the board has no axis of its own to put last
    shared = jax.jit(jax.vmap(grid.distances, in_axes=(None, 0)))(walls[0, 0], goals[0])
    alone = [DISTANCES(walls[0, 0], goal) for goal in goals[0]]
    np.testing.assert_array_equal(shared, np.asarray(alone))


def chi_square(counts: np.ndarray) -> float:
    """p of the counts if all are equally likely."""
    return float(scipy.stats.chisquare(counts).pvalue)


def counts_of(cells: jax.Array, shape: tuple[int, int]) -> np.ndarray:
    flat = np.asarray(cells).reshape(-1, 2) @ np.asarray([shape[1], 1])
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)


ALLOWED = np.asarray([[0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 1]], bool)


def test_random_cell_is_uniform_over_the_allowed(key):
    draw = jax.jit(jax.vmap(lambda k: grid.random_cell(k, jnp.asarray(ALLOWED))))
    counts = counts_of(draw(jax.random.split(key, 4000)), ALLOWED.shape)
    assert counts[~ALLOWED].sum() == 0
    assert chi_square(counts[ALLOWED]) > 0.001


def test_random_cell_can_be_the_only_one(key):
    draw = jax.jit(grid.random_cell)
    for row, column in ((0, 0), (2, 3), (1, 2)):
        allowed = np.zeros((3, 4), bool)
        allowed[row, column] = True
        assert draw(key, allowed).tolist() == [row, column]


def test_random_cells_are_uniform_and_distinct(key):
    draw = jax.jit(jax.vmap(lambda k: grid.random_cells(k, jnp.asarray(ALLOWED), 2)))
    cells = draw(jax.random.split(key, 4000))
    assert not (cells[:, 0] == cells[:, 1]).all(axis=-1).any()
    for place in range(2):
        counts = counts_of(cells[:, place], ALLOWED.shape)
        assert counts[~ALLOWED].sum() == 0
        assert chi_square(counts[ALLOWED]) > 0.001


def test_walker_goes_down_and_rests_where_there_is_no_way():
    # the goal is at the top left; the cell at the bottom right is walled in
    walls = jnp.asarray([[0, 0, 0], [0, 1, 1], [0, 1, 0]], bool)
    field = DISTANCES(walls, grid.plane((3, 3), cell(0, 0)))
    logits = {
        start: WALK(field, walls, cell(*start)).tolist()
        for start in ((0, 2), (2, 0), (0, 0), (2, 2))
    }
    never = -1e9
    assert logits[0, 2] == pytest.approx([never, never, never, 0.0])  # left
    assert logits[2, 0] == pytest.approx([0.0, never, never, never])  # up
    assert logits[0, 0] == logits[2, 2] == [0.0] * 4


def test_walker_breaks_ties_evenly():
    walls = jnp.zeros((2, 2), bool)
    field = DISTANCES(walls, grid.plane((2, 2), cell(0, 1)))
    logits = WALK(field, walls, cell(1, 0))
    assert (logits == 0).tolist() == [True, True, False, False]  # up or right


@pytest.mark.parametrize(
    ("before", "after", "column", "shown"),
    [(2, 3, 2, True), (3, 2, 2, False), (2, 2, 2, False), (5, 6, 4, True)],
)
def test_the_end_of_a_bar_by_hand(before, after, column, shown):
    """Of 5 cells: no bar is longer than the board is wide."""
    cell, there = grid.bar_end(jnp.int32(before), jnp.int32(after), 5)
    assert cell.tolist() == [0, column]
    assert bool(there) == shown
