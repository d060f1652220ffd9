"""ContextFruits against numbers worked out by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from shardsim.core import dynamic_programming
from shardsim_envs import ContextFruits
from shardsim_envs.gridworld.records import Level

WORLD = ContextFruits(size=5, view="board")
BOTH_PAY = ((1.0, 1.0), (1.0, 1.0))
DISCOUNT = 0.9
UP, RIGHT, DOWN, LEFT = range(4)
# S . C 0 .     the start, the cue and the two fruits; fruit 0 is 3 steps off, fruit 1
# . . . . .     is 4 steps off and 7 from fruit 0
# . . . . .
# . . . . .
# 1 . . . .
FRUITS = ((0, 3), (4, 0))
CUE = (0, 2)


def level(*contexts: int, fruits=FRUITS, cue: bool = True) -> Level:
    shape = WORLD.shape
    maps = {f"fruit {f}": at(shape, cell) for f, cell in enumerate(fruits)}
    maps |= {f"floor {c}": jnp.full(shape, c in contexts) for c in range(2)}
    maps["cue"] = at(shape, CUE) & cue
    return WORLD.level(maps, jnp.asarray([0, 0], jnp.int32))


def at(shape, cell):
    """A map that shows one cell."""
    return jnp.zeros(shape, bool).at[cell].set(True)


@functools.cache
def program(env: ContextFruits):
    """The table and the optimal value of every state of a level."""

    def solve(level, params):
        table = dynamic_programming.tabulate(env, level, params)
        return table, dynamic_programming.optimal_value(table, DISCOUNT, env.max_steps)

    return jax.jit(solve)


@functools.cache
def beginning(env: ContextFruits):
    return jax.jit(env.reset_to)


@functools.cache
def stepping(env: ContextFruits):
    return jax.jit(lambda s, a, params: env.step(jax.random.key(0), s, a, params))


def value_at_start(env, params, level) -> float:
    table, value = program(env)(level, params)
    return float(value[table.start])


def walk(env, params, level, actions):
    """What each step gives, the episode not being reset at its end."""
    _, state = beginning(env)(level, params)
    steps = []
    for action in actions:
        steps.append(stepping(env)(state, jnp.int32(action), params))
        state = steps[-1].state
    return steps


def shown(step, plane: str) -> np.ndarray:
    return np.asarray(step.observation[..., WORLD.plane_names.index(plane)])


@pytest.mark.parametrize(("context", "distance"), [(0, 3), (1, 4)])
def test_the_right_fruit_is_worth_its_distance(context, distance):
    value = value_at_start(WORLD, WORLD.params(), level(context))
    assert value == pytest.approx(DISCOUNT ** (distance - 1))


def test_the_wrong_fruit_ends_the_episode_and_pays_nothing():
    steps = walk(WORLD, WORLD.params(), level(0), [DOWN] * 4)
    assert [float(s.reward) for s in steps] == [0, 0, 0, 0]
    assert [bool(s.terminated) for s in steps] == [False, False, False, True]
    assert not any(s.truncated for s in steps)
    # in the other context the same way pays
    assert float(walk(WORLD, WORLD.params(), level(1), [DOWN] * 4)[-1].reward) == 1


def test_the_wrong_fruit_is_walked_round():
    # fruit 1 stands between the start and fruit 0: 1 step and 2 steps off
    between = level(0, fruits=((0, 2), (0, 1)))
    value = value_at_start(WORLD, WORLD.params(), between)
    assert value == pytest.approx(DISCOUNT**3)  # down, right, right, up


def test_conflict_shows_both_contexts_and_pays_either_fruit():
    params, both = WORLD.params(), level(0, 1)
    seen, state = beginning(WORLD)(both, params)
    floors = np.asarray(seen)[..., WORLD.plane_names.index("floor 0") :][..., :2]
    assert (floors == 1).all()
    assert WORLD.context(state).tolist() == [1, 1]
    for way, fruit in (([RIGHT] * 3, 0), ([DOWN] * 4, 1)):
        last = walk(WORLD, params, both, way)[-1]
        assert last.info["rewards"].tolist() == [float(f == fruit) for f in (0, 1)]
        assert bool(last.terminated)
    assert value_at_start(WORLD, params, both) == pytest.approx(DISCOUNT**2)


def test_conflict_pays_the_largest_of_the_contexts_that_are_shown():
    env = dataclasses.replace(WORLD, rewards=((0.25, 0.0), (0.5, 1.0)))
    pays = [
        float(walk(WORLD, env.params(), level(*c), [RIGHT] * 3)[-1].reward)
        for c in ((0,), (1,), (0, 1))
    ]
    assert pays == [0.25, 0.5, 0.5]


def test_extinction_pays_nothing_and_renewal_pays_as_before():
    acquisition = dataclasses.replace(WORLD, contexts_shown=((0,),)).params()
    extinct = dataclasses.replace(WORLD, rewards=((0.0, 0.0),) * 2).params()
    renewal = dataclasses.replace(WORLD, contexts_shown=((0,),)).params()
    values = [
        value_at_start(WORLD, phase, level(0))
        for phase in (acquisition, extinct, renewal)
    ]
    assert values == pytest.approx([DISCOUNT**2, 0, DISCOUNT**2])
    assert bool(walk(WORLD, extinct, level(0), [RIGHT] * 3)[-1].terminated)


def test_the_cue_pays_nothing_and_stays():
    params = dataclasses.replace(WORLD, rewards=BOTH_PAY).params()
    steps = walk(WORLD, params, level(0), [RIGHT, RIGHT, DOWN])
    assert [float(s.reward) for s in steps] == [0, 0, 0]
    assert not any(s.terminated for s in steps)
    assert all(np.argwhere(shown(s, "cue")).tolist() == [[0, 2]] for s in steps)
    absent = walk(WORLD, params, level(0, cue=False), [DOWN])[0]
    assert shown(absent, "cue").sum() == 0


@pytest.mark.slow
def test_two_bites_are_worth_both_fruits():
    env = dataclasses.replace(WORLD, bites=2, rewards=((1.0, 0.5), (1.0, 0.5)))
    near = level(0, fruits=((0, 2), (0, 4)))  # 2 steps to fruit 0, 2 more to fruit 1
    assert env.num_states == 25 * 3  # none, fruit 0 or fruit 1 eaten
    expected = DISCOUNT + 0.5 * DISCOUNT**3
    assert value_at_start(env, env.params(), near) == pytest.approx(expected)
    steps = walk(env, env.params(), near, [RIGHT, RIGHT, UP, RIGHT, RIGHT])
    # the bump into the edge of the board bites nothing: the fruit is gone
    assert [float(s.reward) for s in steps] == [0, 1, 0, 0, 0.5]
    assert [bool(s.terminated) for s in steps] == [False] * 4 + [True]
    assert [int(shown(s, "fruit 0").sum()) for s in steps] == [1, 0, 0, 0, 0]
    assert [int(env.index(near, s.state)) // 25 for s in steps[:-1]] == [0, 1, 1, 1]


def test_the_window_shows_the_board_round_the_agent():
    env = dataclasses.replace(WORLD, view="agent")
    _, state = beginning(env)(level(0), env.params())
    away = state._replace(position=jnp.asarray([4, 4], jnp.int32))
    seen = np.asarray(jax.jit(env.observe)(away))
    assert seen.shape == env.observation_shape == (9, 9, 5)
    fruit, cue, floor = (
        env.plane_names.index(n) for n in ("fruit 0", "cue", "floor 0")
    )
    # the agent stands at (4, 4), in the middle of the window, so they coincide
    assert np.argwhere(seen[..., fruit]).tolist() == [[0, 3]]
    assert np.argwhere(seen[..., cue]).tolist() == [[0, 2]]
    assert seen[..., floor].sum() == 25


COUNT = 3000
GENERATE = jax.jit(jax.vmap(WORLD.generate, in_axes=(0, None)))


@functools.cache
def levels(**phase):
    """Levels in numpy, leaves [COUNT, ...], of WORLD with another phase's params."""
    params = dataclasses.replace(WORLD, **phase).params()
    keys = jax.random.split(jax.random.key(1), COUNT)
    return jax.tree.map(np.asarray, GENERATE(keys, params))


@pytest.mark.slow
def test_levels_show_the_sets_that_the_schedule_names():
    board = levels(contexts_shown=((0,), (0, 1))).board
    floor = board[..., WORLD.plane("floor 0") :][..., :2]
    assert (floor == floor[:, :1, :1]).all()
    floor = floor[:, 0, 0]
    assert floor[:, 0].all()
    assert scipy.stats.binomtest(int(floor[:, 1].sum()), COUNT).pvalue > 0.001


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_the_cue_is_as_frequent_as_asked(chance):
    count = int(levels(cue_probability=chance).board[..., WORLD.plane("cue")].sum())
    if chance in (0, 1):
        assert count == COUNT * chance
    else:
        assert scipy.stats.binomtest(count, COUNT, chance).pvalue > 0.001


def test_nothing_lies_on_anything_and_everything_lies_anywhere():
    board = levels(cue_probability=1.0).board.reshape(COUNT, 25, -1)
    things = [WORLD.plane(n) for n in ("fruit 0", "fruit 1", "cue", "agent")]
    assert (board[..., things].sum(axis=1) == 1).all()
    flat = board[..., things].argmax(axis=1)
    assert all(len(set(row)) == 4 for row in flat.tolist())
    for thing in flat.T:
        counts = np.bincount(thing, minlength=WORLD.size**2)
        assert scipy.stats.chisquare(counts).pvalue > 0.001


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("contexts", 0),
        ("contexts", 9),
        ("fruits", 0),
        ("fruits", 7),
        ("size", 1),
        ("rewards", ((1.0, 0.0),)),
        ("rewards", ((1.0,), (0.0,))),
        ("contexts_shown", ()),
        ("contexts_shown", ((),)),
        ("contexts_shown", ((2,),)),
        ("cue_probability", 1.5),
        ("bites", 0),
        ("bites", 3),
        ("max_steps", 0),
        ("hunger", (0.5,)),
        ("hunger", (0.5, 2.0)),
    ],
)
def test_a_field_that_cannot_be_played_is_refused(field, bad):
    with pytest.raises(ValueError, match=rf"^{field}(\.\d)?: got .*; allowed: "):
        ContextFruits(**{field: bad})


def test_a_board_too_small_for_its_things_is_refused():
    # 3 fruits, the cue and the start need 5 cells
    with pytest.raises(ValueError, match=r"^size: got 2; allowed: .* 5 different"):
        ContextFruits(size=2, fruits=3, rewards=((1.0, 0.0, 0.0),) * 2)
