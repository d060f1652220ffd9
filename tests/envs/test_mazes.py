"""Mazes against a second way to the lightest tree, and counts of what is free."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from shardsim_envs.gridworld import mazes

KEY = jax.random.key(7)


@functools.cache
def generated(size: int, count: int) -> np.ndarray:
    """Walls of `count` mazes, [count, size, size]."""
    many = jax.jit(jax.vmap(lambda k: mazes.generate(k, size)))
    return np.asarray(many(jax.random.split(KEY, count)))


@pytest.mark.parametrize("size", [5, 7, 13, 25])
def test_mazes_are_spanning_trees(size, steps):
    rooms = (size + 1) // 2
    for walls in generated(size, 40):
        free = ~walls
        assert free[::2, ::2].all()
        assert not free[1::2, 1::2].any()
        assert free.sum() == rooms**2 + (rooms**2 - 1)  # rooms and edges
        # connected, and one link fewer than cells: so there is no cycle
        assert (steps(walls, (0, 0)) >= 0).sum() == free.sum()
        links = (free[1:] & free[:-1]).sum() + (free[:, 1:] & free[:, :-1]).sum()
        assert links == free.sum() - 1


def test_mazes_differ():
    walls = generated(13, 40)
    assert len({maze.tobytes() for maze in walls}) == 40


def lightest_tree(right: np.ndarray, down: np.ndarray, rooms: int) -> np.ndarray:
    """Walls by taking edges from the lightest one, unless they close a cycle."""
    walls = np.ones((2 * rooms - 1,) * 2, bool)
    walls[::2, ::2] = False
    group = list(range(rooms**2))
    edges = [
        (int(weights[room]), room, room + ahead, step)
        for weights, ahead, step in ((right, 1, (0, 1)), (down, rooms, (1, 0)))
        for room in range(rooms**2)
        if weights[room] != mazes.NONE
    ]
    for _, near, far, step in sorted(edges):
        if group[near] != group[far]:
            old = group[far]
            group = [group[near] if label == old else label for label in group]
            row, column = divmod(near, rooms)
            walls[2 * row + step[0], 2 * column + step[1]] = False
    return walls


@pytest.mark.parametrize("size", [5, 13])
def test_the_maze_is_the_lightest_tree(size):
    rooms = (size + 1) // 2
    weigh = jax.jit(jax.vmap(lambda k: mazes._weights(k, rooms)))
    right, down = jax.tree.map(np.asarray, weigh(jax.random.split(KEY, 20)))
    for number, walls in enumerate(generated(size, 20)):
        expected = lightest_tree(right[number], down[number], rooms)
        np.testing.assert_array_equal(walls, expected)


@pytest.mark.parametrize("bits", [0, mazes.NONE])
def test_weights_differ_even_where_all_random_bits_are_equal(bits, monkeypatch):
    def equal(key, shape, dtype):
        return jnp.full(shape, bits, dtype)

    monkeypatch.setattr(jax.random, "bits", equal)
    right, down = mazes._weights(KEY, 13)
    right, down = np.asarray(right).reshape(13, 13), np.asarray(down).reshape(13, 13)
    edges = np.concatenate([right[:, :-1].ravel(), down[:-1].ravel()])
    assert len(set(edges.tolist())) == 2 * 12 * 13
    assert not np.isin(edges, [0, mazes.NONE]).any()
    # there is no edge off the board
    assert (right[:, -1] == mazes.NONE).all()
    assert (down[-1] == mazes.NONE).all()


def test_every_tree_of_four_rooms_has_the_same_chance():
    walls = generated(3, 4000)
    # the wall that stands is the heaviest of the four edges
    counts = [walls[:, r, c].sum() for r, c in ((0, 1), (1, 0), (1, 2), (2, 1))]
    assert sum(counts) == 4000
    assert scipy.stats.chisquare(counts).pvalue > 0.001
