"""CornerMaze: cheese where it belongs, its worth, and decisions by hand."""

import dataclasses
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from shardsim.core import dynamic_programming
from shardsim_envs import CornerMaze
from shardsim_envs.gridworld.records import Level

WORLD = CornerMaze(size=9, region=2)
DISCOUNT = 0.9
UP, RIGHT, DOWN, LEFT = range(4)


COUNT = 4000


@functools.cache
def generating(env: CornerMaze):
    return jax.jit(jax.vmap(env.generate, in_axes=(0, None)))


@functools.cache
def levels(env: CornerMaze, region: int) -> Level:
    """Levels in numpy, leaves [COUNT, ...], with the region of the params."""
    params = dataclasses.replace(env, region=region).params()
    keys = jax.random.split(jax.random.key(0), COUNT)
    return jax.tree.map(np.asarray, generating(env)(keys, params))


def walls(level: Level) -> np.ndarray:
    return np.asarray(level.board)[..., WORLD.plane("wall")] > 0


def cheese(level: Level) -> np.ndarray:
    """[..., 2]: the one cell at which there is cheese."""
    shown = np.asarray(level.board)[..., WORLD.plane("cheese")]
    assert (shown.sum(axis=(-2, -1)) == 1).all()
    *batch, _, width = shown.shape
    number = shown.reshape(*batch, -1).argmax(axis=-1)
    return np.stack([number // width, number % width], axis=-1)


def one(many: Level, number: int) -> Level:
    return jax.tree.map(lambda leaf: leaf[number], many)


def in_block(size: int, side: int) -> np.ndarray:
    block = np.zeros((size, size), bool)
    block[1 : 1 + side, size - 1 - side : size - 1] = True
    return block


@pytest.mark.parametrize("region", [1, 2, 4, 7])
def test_cheese_is_uniform_over_the_free_cells_of_the_region(region):
    """Its rank among a level's cells is uniform, pooled over levels by their number."""
    many = levels(WORLD, region)
    assert (many.start == [7, 1]).all()
    allowed = ~walls(many) & in_block(9, region)
    allowed[:, 7, 1] = False  # the start
    at = (np.arange(COUNT), *cheese(many).T)
    assert allowed[at].all()
    rank = np.cumsum(allowed.reshape(COUNT, -1), axis=1).reshape(allowed.shape)[at] - 1
    number = allowed.sum(axis=(1, 2))
    statistic, freedom = 0.0, 0
    for n in np.unique(number):
        counts = np.bincount(rank[number == n], minlength=n)
        if counts.sum() >= 10 * n:
            statistic += scipy.stats.chisquare(counts).statistic
            freedom += n - 1
    assert freedom > 0 or region == 1
    assert scipy.stats.chi2.sf(statistic, max(freedom, 1)) > 0.001


def test_the_region_of_the_params_counts_and_the_context_keeps_its_own():
    found = cheese(levels(WORLD, 7))
    assert not in_block(9, 2)[found[:, 0], found[:, 1]].all()
    assert np.ptp(found[:, 0]) == np.ptp(found[:, 1]) == 6
    contexts = jax.jit(lambda level: jax.vmap(WORLD.context)(WORLD.states(level)))
    context = np.asarray(contexts(one(levels(WORLD, 7), 0))).reshape(9, 9, 2)
    np.testing.assert_array_equal(context[..., 1], in_block(9, 2))
    np.testing.assert_array_equal(context[..., 0], ~in_block(9, 2))


@jax.jit
def solve(level, params):
    """The optimal value of every cell."""
    table = dynamic_programming.tabulate(WORLD, level, params)
    return dynamic_programming.optimal_value(table, DISCOUNT, WORLD.max_steps)


def test_the_cheese_is_worth_its_distance(steps):
    for number in range(10):
        level = one(levels(WORLD, 7), number)
        distance = steps(walls(level), tuple(cheese(level))).reshape(-1)
        value = np.asarray(solve(level, WORLD.params()))
        on_the_way = distance > 0
        expected = DISCOUNT ** (distance[on_the_way] - 1)
        np.testing.assert_allclose(value[on_the_way], expected, rtol=1e-5)


def test_pay_is_that_of_the_params():
    params, level = WORLD.params(), one(levels(WORLD, 2), 0)
    full, half, none = (
        float(solve(level, params._replace(reward=jnp.float32(pay)))[64])
        for pay in (1, 0.5, 0)
    )
    assert full > 0
    assert half == pytest.approx(full / 2)
    assert none == 0


OPEN_END = """
    . . . . .
    # # . # #
    . . . . .
    . # # # #
    . . . . .
"""
THROUGH_CORNER = """
    . . . . .
    # # . # .
    . . . # .
    . # # # #
    . . . . .
"""


def drawn(picture: str, at: tuple[int, int]) -> Level:
    """A picture of what lies within the wall; cells are counted from there."""
    rows = [line.split() for line in picture.split("\n") if line.strip()]
    wall = np.pad([[mark == "#" for mark in row] for row in rows], 1, "constant")
    wall[[0, -1]] = wall[:, [0, -1]] = True
    shown = jnp.zeros((7, 7), bool).at[at[0] + 1, at[1] + 1].set(True)
    maps = {"wall": jnp.asarray(wall), "cheese": shown}
    return SMALL.level(maps, jnp.asarray([5, 1], jnp.int32))


SMALL = CornerMaze(size=7)
DECIDE = jax.jit(SMALL.decision)


@pytest.mark.parametrize(
    ("cheese", "expected"),
    [
        # the way to the corner: up to (2, 0), right to (2, 2), up to (0, 2), right
        ((2, 4), ((2, 2), RIGHT, UP, 2, 4, 2.0, 2.0)),
        ((0, 0), ((0, 2), LEFT, RIGHT, 2, 2, 4.0, 2.0)),
        ((4, 2), ((4, 0), RIGHT, UP, 2, 8, math.sqrt(20), 2.0)),  # at the start
        ((2, 3), ((2, 2), RIGHT, UP, 1, 4, math.sqrt(5), 1.0)),
    ],
)
def test_decision_by_hand(cheese, expected):
    decision = DECIDE(drawn(OPEN_END, cheese))
    assert bool(decision.exists)
    cell, *numbers = expected
    assert tuple((decision.cell - 1).tolist()) == cell
    found = [float(number) for number in decision[2:]]
    assert found == pytest.approx(numbers)


@pytest.mark.parametrize(
    ("picture", "cheese", "cell"),
    [
        (OPEN_END, (2, 1), (2, 1)),  # on the way to the corner
        (OPEN_END, (0, 4), (0, 4)),  # in the corner
        (THROUGH_CORNER, (2, 4), (0, 4)),  # beyond the corner
    ],
)
def test_nothing_to_decide_where_one_way_holds_the_other(picture, cheese, cell):
    level = drawn(picture, cheese)
    decision = DECIDE(level)
    assert not bool(decision.exists)
    assert tuple((decision.cell - 1).tolist()) == cell
    assert int(DECIDE(level).to_cheese) == int(DECIDE(level).to_corner) == 0


def way(found: np.ndarray, end: tuple[int, int]) -> list[tuple[int, int]]:
    """The cells from distance 0 to `end`, walked back down the distances."""
    cells = [end]
    while found[cells[-1]] > 0:
        row, column = cells[-1]
        near = [
            (row - 1, column),
            (row, column + 1),
            (row + 1, column),
            (row, column - 1),
        ]
        here = found[cells[-1]]
        cells.append(
            next(
                c
                for c in near
                if min(c) >= 0 and max(c) < len(found) and found[c] == here - 1
            )
        )
    return cells[::-1]


def test_decisions_agree_with_the_two_ways(steps):
    many = jax.tree.map(lambda leaf: leaf[:200], levels(WORLD, 7))
    decisions = jax.tree.map(np.asarray, jax.jit(jax.vmap(WORLD.decision))(many))
    assert 0.3 < decisions.exists.mean() < 0.95
    moves = {(-1, 0): UP, (0, 1): RIGHT, (1, 0): DOWN, (0, -1): LEFT}
    for number in range(200):
        level, found = one(many, number), one(decisions, number)
        distance = steps(walls(level), tuple(level.start))
        ways = [way(distance, end) for end in (tuple(cheese(level)), WORLD.corner)]
        pairs = zip(*ways, strict=False)
        shared = [a for a, b in itertools.takewhile(lambda p: p[0] == p[1], pairs)]
        assert tuple(found.cell) == shared[-1]
        left = [len(w) - len(shared) for w in ways]
        assert [found.steps_to_cheese, found.steps_to_corner] == left
        assert found.exists == (min(left) > 0)
        if found.exists:
            nexts = [np.subtract(w[len(shared)], shared[-1]) for w in ways]
            actions = [moves[tuple(n.tolist())] for n in nexts]
            assert [found.to_cheese, found.to_corner] == actions


def test_the_window_tells_the_floor_from_what_lies_outside():
    env = dataclasses.replace(SMALL, view="agent")
    seen, _ = env.reset_to(drawn(OPEN_END, (2, 4)), env.params())
    wall, shown, floor = np.moveaxis(np.asarray(seen), -1, 0)
    # the agent stands at (5, 1), in the middle of a window of 13 x 13
    board = walls(drawn(OPEN_END, (2, 4)))
    np.testing.assert_array_equal(wall[1:8, 5:12], board)
    np.testing.assert_array_equal(floor[1:8, 5:12], ~board)
    assert wall.sum() == board.sum()
    assert floor.sum() == (~board).sum()
    assert np.argwhere(shown).tolist() == [[4, 10]]


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("size", 3),
        ("size", 6),
        ("size", 27),
        ("region", 0),
        ("region", 12),
        ("max_steps", 0),
        ("view", "map"),
        ("layout", "spiral"),
    ],
)
def test_a_field_that_cannot_be_played_is_refused(field, bad):
    with pytest.raises(ValueError, match=f"^{field}: got .*{bad}.*; allowed: "):
        CornerMaze(**{field: bad})
