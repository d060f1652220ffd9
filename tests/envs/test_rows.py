"""Observations as row numbers: the same boards, exactly, and the same first layer."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import shardsim_envs as envs
from shardsim.agents import encoders
from shardsim.core import sparse

PAY = tuple((1.0, 0.0, 0.5, -1.0) for _ in range(8))
WORLDS = [
    envs.ContextFruits(),
    envs.ContextFruits(view="board", hunger=(0.5, 0.5), bites=2),
    envs.ContextFruits(
        contexts=8,
        fruits=4,
        rewards=PAY,
        contexts_shown=((0,), (7,), (3, 5)),
        bites=2,
    ),
    envs.DrugThenStudy(),
    envs.DrugThenStudy(view="board", size=5),
    envs.RewardButton(),
    envs.RewardButton(view="board"),
]


@functools.cache
def played(env):
    """Observations [n, I] and row numbers [n, rows] of random episodes."""

    @jax.jit
    @jax.vmap
    def episode(key):
        params = env.params()
        observation, state = env.reset(key, params)

        def step(state, key):
            action = jax.random.randint(key, (), 0, env.num_actions)
            out = env.step(key, state, action, params)
            return out.state, (out.observation, env.rows(out.state))

        keys = jax.random.split(key, env.max_steps + 3)
        _, steps = jax.lax.scan(step, state, keys)
        first = (observation, env.rows(state))
        return jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, steps)

    boards, rows = episode(jax.random.split(jax.random.key(0), 32))
    return (
        np.asarray(boards).reshape(-1, env.patterns.num_inputs),
        np.asarray(rows).reshape(-1, env.patterns.num_rows),
    )


def table(patterns):
    """Patterns of cells and of rectangles; the last of each is nothing."""
    size = patterns.num_inputs
    nothing = np.zeros((1, size), np.uint8)
    areas = []
    for top in range(patterns.places[0]):
        for left in range(patterns.places[1]):
            for plane in patterns.area_planes:
                board = np.zeros(patterns.shape, np.uint8)
                rows, columns = patterns.area
                board[top : top + rows, left : left + columns, plane] = 1
                areas.append(board.reshape(-1))
    cells = np.concatenate([np.eye(size, dtype=np.uint8), nothing])
    return cells, np.concatenate([np.reshape(areas, (-1, size)), nothing])


@pytest.mark.parametrize("env", WORLDS, ids=lambda env: f"{env.kind} {env.view}")
def test_the_patterns_of_the_rows_add_up_to_the_board(env):
    boards, rows = played(env)
    cells, areas = table(env.patterns)
    assert len(boards) > 300
    single, uniform = np.split(rows, [env.patterns.num_cells], axis=1)
    np.testing.assert_array_equal(cells[single].sum(1) + areas[uniform].sum(1), boards)


def test_every_world_without_walls_and_of_few_things_has_patterns(worlds):
    found = {world.kind for world in worlds if world.patterns is not None}
    assert found == {"context_fruits", "drug_then_study", "reward_button"}
    assert {env.kind for env in WORLDS} == found


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("env", WORLDS[:3], ids=lambda env: f"{env.kind} {env.view}")
def test_an_mlp_on_rows_is_the_mlp_on_boards(env, dtype):
    """Features and gradients of the weights, to rounding."""
    boards, rows = (jnp.asarray(x[:200]) for x in played(env))
    config = encoders.MLPEncoder(widths=(24, 8), activation="tanh")
    mlp = config.build(env.observation_shape, nnx.Rngs(0))
    mlp = jax.tree.map(lambda x: x.astype(dtype), mlp)
    target = jax.random.normal(jax.random.key(1), (len(boards), 8))

    def dense(mlp):
        return jax.vmap(mlp)(boards.reshape(-1, *env.observation_shape))

    def on_rows(mlp):
        return jax.vmap(mlp.on_rows(env.patterns))(rows)

    rounding = 1e-5 if dtype == "float32" else 3e-2
    np.testing.assert_allclose(on_rows(mlp), dense(mlp), atol=rounding)
    one, other = (
        jax.grad(lambda m, f=f: jnp.mean((f(m) - target) ** 2))(mlp)
        for f in (on_rows, dense)
    )
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(
            a.astype(jnp.float32), b.astype(jnp.float32), atol=rounding
        )


def test_a_row_view_changes_observations_and_nothing_else():
    env = envs.ContextFruits(size=3)
    view = sparse.row_view(env)
    assert hash(view) == hash(sparse.row_view(env))
    assert view == sparse.row_view(env)
    assert view.observation_shape == (env.patterns.num_rows,)
    assert (view.num_actions, view.max_steps) == (env.num_actions, env.max_steps)
    params, key = env.params(), jax.random.key(3)
    observation, state = view.reset(key, params)
    _, same = env.reset(key, params)
    jax.tree.map(np.testing.assert_array_equal, state, same)
    np.testing.assert_array_equal(observation, env.rows(state))
    out, dense = view.step(key, state, 1, params), env.step(key, state, 1, params)
    np.testing.assert_array_equal(out.observation, env.rows(dense.state))
    rest = out._replace(observation=0), dense._replace(observation=0)
    jax.tree.map(np.testing.assert_array_equal, *rest)


def test_an_environment_of_many_patterns_stays_as_it_is():
    maze = envs.CornerMaze(size=7)
    assert maze.patterns is None
    assert sparse.row_view(maze) is maze
    assert sparse.patterns_of(maze) is None
    assert sparse.patterns_of(envs.ContextFruits()) is None
