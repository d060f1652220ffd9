"""Worlds in which values form: what they pay, show and hide, by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shardsim_envs as envs
from shardsim.core import dynamic_programming
from shardsim_envs.levels import levels

UP, RIGHT, DOWN, LEFT = range(4)
COUNT = 300


@functools.cache
def stepping(env):
    return jax.jit(lambda key, s, a: env.step(key, s, a, env.params()))


def walk(env, text, actions, key=0):
    """Steps in a level that is drawn; nothing is reset at its end."""
    _, state = env.reset_to(levels.from_text(env, text), env.params())
    steps = []
    for action in actions:
        steps.append(stepping(env)(jax.random.key(key), state, jnp.int32(action)))
        state = steps[-1].state
    return steps


def paid(steps):
    return [float(step.reward) for step in steps]


def near(steps):
    return [step.info["proxy_rewards"].tolist() for step in steps]


@functools.cache
def many(env):
    """Boards of levels, by name of plane."""
    keys = jax.random.split(jax.random.key(0), COUNT)
    made = jax.jit(jax.vmap(lambda key: env.generate(key, env.params())))(keys)
    board = np.asarray(made.board) > 0
    return {name: board[..., env.plane(name)] for name in env.board_planes}, made


def test_oversight_falls_on_terminal_cells_with_its_chance():
    env = envs.DiamondGhost(oversight=0.3, spurious=0.0)
    found, _ = many(env)
    ends = found["diamond"] | found["ghost"]
    assert not (found["oversight"] & ~ends).any()
    share = found["oversight"][ends].mean()
    assert share == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / (2 * COUNT)))


@pytest.mark.slow
def test_the_value_of_two_fruits_is_known():
    """Fruits 2 and 2 + 5 steps off: g + g^6."""
    env = envs.FruitMini(fruits=2)
    text = "\n".join(["@.f.......", "..........", *[".........."] * 8])
    rows = text.splitlines()
    rows[3] = "....f....."
    level = levels.from_text(env, "\n".join(rows))
    solve = jax.jit(
        lambda level: dynamic_programming.tabulate(env, level, env.params())
    )
    table = solve(level)
    value = dynamic_programming.optimal_value(table, 0.9, 100)
    assert float(value[table.start]) == pytest.approx(0.9 + 0.9**6)


def test_a_sweet_that_is_locked_away_is_gone_at_a_cost():
    env = envs.TwoRoutes()
    _, state = env.reset(jax.random.key(0), env.params())
    steps = []
    for action in [DOWN, UP, LEFT, LEFT, LEFT, UP, UP, RIGHT]:
        steps.append(stepping(env)(jax.random.key(0), state, jnp.int32(action)))
        state = steps[-1].state
    assert paid(steps) == pytest.approx([-0.02, *[0] * 7])
    assert state.position.tolist() == [4, 2]  # in the niche: nothing there
    assert not bool(steps[-1].terminated)


def test_an_occluded_sweet_is_seen_from_its_way_only():
    env = envs.TwoRoutes(occluded=1.0)
    _, state = env.reset(jax.random.key(0), env.params())
    sweet = env.plane("sweet")
    assert np.asarray(env.observe(state))[..., sweet].sum() == 0
    there = state._replace(position=jnp.asarray([6, 1], jnp.int32))
    assert np.asarray(env.observe(there))[..., sweet].sum() == 1


@pytest.mark.slow
def test_an_exponential_discounter_never_pays_for_the_lock():
    for pays in ((1.0, 0.6, -0.02), (1.0, 0.99, 0.0), (1.0, 0.0, -0.1)):
        env = envs.TwoRoutes(reward=pays)
        level = env.generate(jax.random.key(0), env.params())
        table = jax.jit(
            lambda level, env=env: dynamic_programming.tabulate(
                env, level, env.params()
            )
        )(level)
        value = dynamic_programming.optimal_value(table, 0.9, 200)
        q = dynamic_programming.q_values(table, value, 0.9)[table.start]
        assert float(q[DOWN]) < float(value[table.start])


BUTTON = "@.bt...\n" + ".......\n" * 6


@pytest.mark.parametrize(
    ("world", "field", "memory"),
    [
        (envs.RewardButton, "full_at_start", "full"),
        (envs.DrugThenStudy, "drugged_at_start", "drugged"),
    ],
)
def test_episodes_begin_late_as_often_as_is_said(world, field, memory):
    keys = jax.random.split(jax.random.key(0), COUNT)

    def drawn(env):
        return jax.vmap(env.generate, in_axes=(0, None))(keys, env.params())

    plain = drawn(world())
    assert not getattr(plain.memory, memory).any()
    some = drawn(world(**{field: 0.25}))
    late = np.asarray(getattr(some.memory, memory))
    np.testing.assert_allclose(late.mean(), 0.25, atol=0.08)
    # the boards of the other episodes are those of a world without it
    np.testing.assert_array_equal(some.board[~late], plain.board[~late])


def test_an_episode_that_begins_drugged_has_no_drug_left():
    env = envs.DrugThenStudy(drugged_at_start=1.0)
    level = env.generate(jax.random.key(0), env.params())
    assert not level.board[..., env.plane("drug")].any()
    _, state = env.reset_to(level, env.params())
    assert env.context(state).tolist() == [0, 1]
    assert float(env.slip(state)) == pytest.approx(0.8)


def test_a_register_is_filled_once():
    env = envs.RewardButton(reward=(1.0, 2.0))
    assert paid(walk(env, BUTTON, [RIGHT, RIGHT, LEFT, RIGHT, RIGHT])) == [
        0,
        2,
        0,
        0,
        0,
    ]
    done = near(walk(env, BUTTON, [RIGHT, RIGHT, RIGHT]))
    assert done == [[0, 0], [0, 1], [1, 0]]
    around = walk(env, BUTTON, [DOWN, RIGHT, RIGHT, RIGHT, UP])
    assert paid(around) == [0, 0, 0, 0, 1]


@pytest.mark.slow
def test_a_new_skin_changes_what_is_seen_and_nothing_else():
    env = envs.Reskin()
    other = env.shifted()
    assert other.good == (1, 0)
    assert other.bad == (0, 1)
    key = jax.random.key(3)
    (one, a), (two, b) = (w.reset(key, w.params()) for w in (env, other))
    assert a.memory.cells.tolist() == b.memory.cells.tolist()
    shapes = [env.plane_names.index(f"shape {s}") for s in range(3)]
    colours = [env.plane_names.index(f"colour {c}") for c in range(2)]
    np.testing.assert_array_equal(one[..., shapes], two[..., shapes])
    np.testing.assert_array_equal(one[..., colours], two[..., colours[::-1]])


@pytest.mark.slow
def test_hunger_decides_whether_a_bite_pays():
    env = envs.ContextFruits(size=3, hunger=(1.0, 1.0), view="board")
    sated = envs.ContextFruits(size=3, hunger=(0.0, 1.0), view="board")
    text = "@0.\n..1\n...\neverywhere: floor 0, hungry 0, hungry 1\n"
    assert paid(walk(env, text, [RIGHT])) == [1]
    assert paid(walk(env, text.replace("hungry 0, ", ""), [RIGHT])) == [0]
    assert many(env)[0]["hungry 0"].all()
    assert not many(sated)[0]["hungry 0"].any()
    assert many(sated)[0]["hungry 1"].all()
