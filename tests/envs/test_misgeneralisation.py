"""Goals that go together in training and apart when shifted, by hand; the layouts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import shardsim_envs as envs
from shardsim.core import dynamic_programming
from shardsim_envs.gridworld import movers
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


DISH = """
#######
#@d.c.#
#.#.###
#...#.#
###.#.#
#.....#
#######
"""


def test_a_dish_is_a_proxy_and_goes_when_it_is_come_to():
    env = envs.DishMaze(size=7)
    steps = walk(env, DISH, [RIGHT, RIGHT, LEFT, RIGHT, RIGHT])
    assert paid(steps) == [0, 0, 0, 0, 1]
    assert near(steps) == [[1], [0], [0], [0], [0]]
    assert bool(steps[-1].terminated)


@pytest.mark.slow
def test_the_cheese_lies_on_the_dish_in_training_and_elsewhere_when_shifted():
    env = envs.DishMaze(size=7)
    found, _ = many(env)
    np.testing.assert_array_equal(found["dish"], found["cheese"])
    found, _ = many(env.shifted())
    apart = (found["dish"] != found["cheese"]).any(axis=(1, 2))
    assert 0.7 < apart.mean() < 1


KEYS = """
#######
#x@kxk#
#.#.###
#...#.#
###.#.#
#.....#
#######
"""


def test_keys_open_chests_and_no_chest_opens_without():
    env = envs.KeysAndChests(size=7, keys=(1, 2), chests=(1, 2))
    steps = walk(env, KEYS, [LEFT, RIGHT, RIGHT, RIGHT, RIGHT, LEFT, LEFT, LEFT, LEFT])
    assert paid(steps) == [0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert [row[0] for row in near(steps)] == [0, 0, 1, 0, 1, 0, 0, 0, 0]
    held = env.plane_names.index("held")
    bar = [int(np.asarray(s.observation)[0, :, held].sum()) for s in steps]
    assert bar == [0, 0, 1, 0, 1, 1, 1, 1, 0]
    assert [bool(s.terminated) for s in steps] == [False] * 8 + [True]


@pytest.mark.slow
def test_keys_are_scarce_in_training_and_chests_when_shifted():
    env = envs.KeysAndChests()
    for world, low, high in ((env, (2, 4), (3, 6)), (env.shifted(), (4, 2), (6, 3))):
        found, _ = many(world)
        for name, fewest, most in zip(("key", "chest"), low, high, strict=True):
            number = found[name].sum(axis=(1, 2))
            assert (number.min(), number.max()) == (fewest, most)


LAVA = """
#######
#@~c..#
#...#.#
#.#.#.#
#.....#
#.....#
#######
"""


def test_lava_costs_each_step_and_is_worth_walking_round():
    env = envs.LavaLand(size=7)
    assert paid(walk(env, LAVA, [RIGHT, LEFT, RIGHT, RIGHT])) == [-1, 0, -1, 1]
    assert paid(walk(env, LAVA, [DOWN, RIGHT, RIGHT, UP])) == [0, 0, 0, 1]
    solve = jax.jit(
        lambda level: dynamic_programming.tabulate(env, level, env.params())
    )
    table = solve(levels.from_text(env, LAVA))
    value = dynamic_programming.optimal_value(table, 0.9, 100)
    assert float(value[table.start]) == pytest.approx(0.9**3)


@pytest.mark.slow
def test_lava_is_met_only_when_shifted():
    env = envs.LavaLand()
    assert many(env)[0]["lava"].sum() == 0
    assert 0.05 < many(env.shifted())[0]["lava"].mean() < 0.5


FOLLOW = """
#######
#@b...#
#.###.#
#.L...#
#.###.#
#l...b#
#######
"""


@pytest.mark.slow
def test_beacons_light_up_one_after_the_other():
    """The lit one is first, then the others row by row: (1, 2) and (5, 5)."""
    env = envs.FollowMe(size=7, beacons=3)
    text = FOLLOW.replace("l", "A") + "A = beacon + lit\n"
    steps = walk(env, text, [DOWN] * 4 + [UP] * 4 + [RIGHT])
    assert paid(steps) == [0, 0, 0, 1, 0, 0, 0, 0, 1]
    lit = env.plane_names.index("lit")
    shown = [np.argwhere(np.asarray(s.observation)[..., lit]).tolist() for s in steps]
    assert shown[2] == [[5, 1]]
    assert shown[3] == [[1, 2]]
    assert shown[-1] == [[5, 5]]
    assert not bool(steps[-1].terminated)
    rest = walk(env, text, [DOWN] * 4 + [UP] * 4 + [RIGHT] * 4 + [DOWN] * 4)
    assert sum(paid(rest)) == 3
    assert bool(rest[-1].terminated)


def test_a_leader_takes_the_shortest_ways_round_and_round():
    walls = jnp.asarray([[0, 0, 0], [0, 1, 0], [0, 0, 0]]) > 0
    stops = jnp.asarray([[0, 2], [2, 2], [2, 0]], jnp.int32)
    way = movers.tour(walls, stops, jnp.asarray([0, 0], jnp.int32), 10)
    assert way.tolist() == [
        *([0, 0], [0, 1], [0, 2], [1, 2], [2, 2], [2, 1], [2, 0]),
        *([1, 0], [0, 0], [0, 1]),
    ]


@pytest.mark.slow
def test_a_leader_is_true_in_training_and_never_when_shifted():
    env = envs.FollowMe(layout="open")
    for world, same in ((env, 1.0), (env.shifted(), 0.0)):
        _, made = many(world)
        beacons, way = np.asarray(made.memory.beacons), np.asarray(made.memory.way)
        at = (way[:, :, None] == beacons[:, None]).all(axis=-1)  # [L, T, beacons]
        at[:, 0] = False  # to begin on a beacon is no visit
        first = at.any(axis=2).argmax(axis=1)
        goes_first = at[np.arange(COUNT), first, 0]
        # on an open board a beacon seldom lies on the way to another
        assert abs(goes_first.mean() - same) < 0.15


def test_orders_that_do_not_begin_with_the_first_are_all_alike():
    draw = jax.vmap(lambda k: movers.tour_order(k, 3, jnp.float32(0)))
    found = np.asarray(jax.jit(draw)(jax.random.split(jax.random.key(0), 4000)))
    kinds, counts = np.unique(found, axis=0, return_counts=True)
    assert kinds.tolist() == [[1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    assert abs(counts - 1000).max() < 120


MONSTERS = """
#######
#@s..m#
#.....#
#.....#
#.....#
#....a#
#######
"""


def test_a_monster_comes_and_a_shield_kills_it():
    """Without a key it makes its likeliest move: straight at the agent."""
    env = envs.MonsterWorld(size=7, monsters=1, shields=1, apples=1)
    _, state = env.reset_to(levels.from_text(env, MONSTERS), env.params())
    step = jax.jit(lambda s, a: env.step(None, s, a, env.params()))
    steps = []
    for action in [UP, UP, UP, UP]:
        steps.append(step(state, jnp.int32(action)))
        state = steps[-1].state
    cells = [s.state.memory.monsters[0].tolist() for s in steps]
    assert cells == [[1, 4], [1, 3], [1, 2], [1, 1]]
    assert paid(steps) == [0, 0, 0, -1]
    _, state = env.reset_to(levels.from_text(env, MONSTERS), env.params())
    out = step(state, jnp.int32(RIGHT))
    out = step(out.state, jnp.int32(RIGHT))
    assert paid([out]) == [0]
    assert not bool(out.state.memory.alive[0])
    monster = env.plane_names.index("monster")
    assert np.asarray(out.observation)[..., monster].sum() == 0


def test_monsters_choose_by_the_softmax_of_distance():
    cells = jnp.asarray([[3, 3]], jnp.int32)
    walls, prey = jnp.zeros((7, 7), bool), jnp.asarray([3, 6], jnp.int32)
    draw = jax.vmap(
        lambda k: movers.chase(
            k, walls, cells, jnp.asarray([True]), prey, jnp.float32(1)
        )
    )
    found = np.asarray(jax.jit(draw)(jax.random.split(jax.random.key(0), 8000)))[:, 0]
    moves = [(2, 3), (3, 4), (4, 3), (3, 2), (3, 3)]
    weight = np.exp(-np.asarray([4.0, 2.0, 4.0, 4.0, 3.0]))
    share = [(found == move).all(axis=1).mean() for move in moves]
    np.testing.assert_allclose(share, weight / weight.sum(), atol=0.025)


@pytest.mark.slow
def test_trees_grow_by_the_law():
    env = envs.TreeGridworld()
    chance = [
        float(env.growth_probability(jnp.int32(n), env.params())) for n in (0, 1, 10)
    ]
    assert chance == pytest.approx([1e-6, 0.3 * np.log(2) / np.log(11), 0.3])
    _, state = env.reset(jax.random.key(0), env.params())
    step = jax.vmap(lambda k: env.step(k, state, jnp.int32(UP), env.params()))
    out = jax.jit(step)(jax.random.split(jax.random.key(1), 4000))
    grown = np.asarray(out.state.memory.trees) - 10 + np.asarray(out.reward)
    assert grown.mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 4000) + 0.01)
    tree = env.plane("tree")
    counts = np.asarray(out.state.board)[..., tree].sum(axis=(1, 2))
    np.testing.assert_array_equal(counts, out.state.memory.trees)


@pytest.mark.parametrize("layout", ["tree", "blocks", "edges", "open", "noise"])
@pytest.mark.parametrize("size", [5, 9, 13])
@pytest.mark.few(4)
def test_all_free_cells_of_a_layout_hang_together(layout, size, steps):
    env = envs.LavaLand(size=size, layout=layout)
    found, made = many(env)
    for walls, start in zip(found["wall"][:60], np.asarray(made.start), strict=False):
        assert walls[[0, -1]].all()
        assert walls[:, [0, -1]].all()
        reached = steps(walls, tuple(start.tolist())) >= 0
        np.testing.assert_array_equal(reached, ~walls)
        assert (~walls).sum() >= ((size - 1) // 2) ** 2
    if layout != "open" and size == 13:  # hardly ever the way out that is left
        assert (found["wall"].sum(axis=(1, 2)) > 4 * 12).mean() > 0.99
    kinds = {walls.tobytes() for walls in found["wall"]}
    fewest = 2 if size == 5 else COUNT // 30
    assert len(kinds) == 1 if layout == "open" else len(kinds) >= fewest
