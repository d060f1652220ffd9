"""Open to Gymnasium and to gymnax: the letter of their interfaces."""

import os
import typing

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import shardsim_envs as envs
from shardsim_envs.adapters import gymnax_env
from shardsim_envs.levels import levels

WORLDS = typing.get_args(envs.World)
SMALL = {"max_steps": 5}


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
@pytest.mark.slow
def test_gymnasium_s_own_checker_is_content(world):
    pytest.importorskip("pygame")
    env = gymnasium.make(f"shardsim/{world.__name__}-v0", render_mode="rgb_array")
    check_env(env.unwrapped)
    assert env.unwrapped.world == world()
    env.close()


def test_an_id_may_name_its_module_and_parameters():
    env = gymnasium.make("shardsim_envs:shardsim/CornerMaze-v0", size=7, region=2)
    assert env.unwrapped.world == envs.CornerMaze(size=7, region=2)
    with pytest.raises(ValueError, match="size: got 8; allowed: odd, 5 to 25"):
        gymnasium.make("shardsim/CornerMaze-v0", size=8)


def test_one_environment_does_what_the_world_does():
    env = gymnasium.make("shardsim/WhiskyGold-v0", max_steps=7, render_mode="ansi")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(0)
    seen, _ = env.reset(seed=0)
    assert seen.tolist() == env.reset(seed=0)[0].tolist()
    assert "#.@W..G#" in env.render()
    seen, reward, terminated, truncated, info = env.step(1)
    assert (reward, terminated, truncated) == (4.0, False, False)
    assert info["rewards"].tolist() == [-1, 5, 0]
    for _ in range(6):
        seen, _, terminated, truncated, _ = env.step(3)
    assert truncated != terminated


def test_a_level_of_one_s_own_can_be_played():
    env = gymnasium.make("shardsim/CornerMaze-v0", size=5)
    text = "#####\n#@c.#\n#.###\n#...#\n#####\n"
    level = levels.from_text(envs.CornerMaze(size=5), text)
    env.reset(seed=0, options={"level": level})
    _, reward, terminated, _, info = env.step(1)
    assert (reward, terminated) == (1.0, True)
    assert info["proxy_rewards"].tolist() == [0]
    with pytest.raises(ValueError, match="options: got walls; allowed: level"):
        env.reset(options={"walls": 1})


def test_a_window_is_drawn():
    pytest.importorskip("pygame")
    env = gymnasium.make("shardsim/FruitMini-v0", render_mode="human")
    env.reset(seed=0)
    env.step(0)
    assert env.render() is None
    env.close()
    with pytest.raises(ValueError, match="render_mode: got 'x'; allowed: rgb_array"):
        envs.gymnasium_vector.gymnasium_env.GridEnv(envs.FruitMini(), "x")


@pytest.mark.slow
def test_a_vector_resets_in_the_same_step():
    many = gymnasium.make_vec("shardsim/DishMaze-v0", 8, size=5, max_steps=4)
    assert many.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    seen, _ = many.reset(seed=0)
    assert seen.shape == (8, 5, 5, 4)
    world, ends = many.unwrapped.world, 0
    agent = world.plane_names.index("agent")
    for t in range(40):
        before = seen
        actions = np.random.default_rng(t).integers(4, size=8)
        seen, reward, terminated, truncated, info = many.step(actions)
        ended = terminated | truncated
        np.testing.assert_array_equal(reward > 0, terminated)
        assert (seen[..., agent].sum(axis=(1, 2)) == 1).all()
        if ended.any():
            np.testing.assert_array_equal(info["_final_obs"], ended)
            for n in range(8):
                last = info["final_obs"][n]
                if not ended[n]:
                    assert last is None
                    continue
                ends += 1
                # the last sight of the old level has its walls, the new one its own
                np.testing.assert_array_equal(last[..., 0], before[n][..., 0])
        else:
            assert "final_obs" not in info
    assert ends >= 8 * 40 // 5


@pytest.mark.slow
def test_a_vector_s_seeds_say_which_levels():
    many = gymnasium.make_vec("shardsim/CornerMaze-v0", 3, size=9)
    a, b = many.reset(seed=5)[0], many.reset(seed=5)[0]
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(many.reset(seed=6)[0], a)
    c = many.reset(seed=[7, 7, 8])[0]
    np.testing.assert_array_equal(c[0], c[1])
    assert not np.array_equal(c[0], c[2])
    with pytest.raises(ValueError, match="seed: got 2 seeds; allowed: one for each"):
        many.reset(seed=[1, 2])


@pytest.mark.slow
def test_a_vector_outlives_its_pool_and_draws_its_frames():
    many = gymnasium.make_vec("shardsim/RewardButton-v0", 300, size=4, max_steps=1)
    first, _ = many.reset(seed=0)
    seen = [first] + [many.step(np.zeros(300, int))[0] for _ in range(6)]
    boards = {board.tobytes() for batch in seen for board in batch}
    assert len(boards) > 800  # of one pool there would be fewer
    two = gymnasium.make_vec(
        "shardsim/RewardButton-v0", 2, size=4, render_mode="rgb_array"
    )
    two.reset(seed=0)
    assert [frame.shape for frame in two.render()] == [(96, 96, 3)] * 2


@pytest.mark.slow
def test_a_random_episode_of_a_vector_is_that_of_a_single_one():
    """The same level and the same actions give the same rewards."""
    many = gymnasium.make_vec("shardsim/LavaLand-v0", 4, size=7, lava=0.0)
    seen, _ = many.reset(seed=3)
    world = many.unwrapped.world
    one = gymnasium.make("shardsim/LavaLand-v0", size=7, lava=0.0)
    states = many.unwrapped._states
    boards = [
        jax.tree.map(lambda leaf, n=n: np.asarray(leaf)[n], states) for n in range(4)
    ]
    actions = np.random.default_rng(0).integers(4, size=(20, 4))
    got = [many.step(a) for a in actions]
    for n, state in enumerate(boards):
        level = levels.Level(state.board, state.position, state.memory)
        again, _ = one.reset(seed=0, options={"level": level})
        np.testing.assert_array_equal(again, seen[n])
        for t, action in enumerate(actions[:, n]):
            _, reward, terminated, *_ = one.step(action)
            assert reward == got[t][1][n]
            if terminated:
                break
    assert world.kind == "lava_land"


@pytest.mark.slow
def test_one_program_for_a_world_and_a_batch_shape():
    world = envs.FruitMini(max_steps=11)
    programs = envs.gymnasium_vector._compiled(world, AutoresetMode.SAME_STEP)
    for _ in range(2):
        many = envs.gymnasium_vector.GridVectorEnv(world, 5)
        many.reset(seed=0)
        for _ in range(15):
            many.step(np.zeros(5, int))
    assert programs.step._cache_size() == programs.reset._cache_size() == 1
    envs.gymnasium_vector.GridVectorEnv(world, 6).reset(seed=0)
    assert programs.reset._cache_size() == 2


def test_memory_of_a_batch_grows_linearly():
    world = envs.CornerMaze(size=9)
    _, state = jax.eval_shape(world.reset, jax.random.key(0), world.params())
    one = sum(
        np.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)
    )
    step = jax.jit(jax.vmap(lambda s, a: world.step(None, s, a, world.params()).state))
    sizes = {}
    for batch in (64, 256, 1024):
        states = jax.tree.map(
            lambda leaf, b=batch: jax.ShapeDtypeStruct((b, *leaf.shape), leaf.dtype),
            state,
        )
        action = jax.ShapeDtypeStruct((batch,), jnp.int32)
        memory = step.lower(states, action).compile().memory_analysis()
        assert memory.argument_size_in_bytes <= batch * (one + 4) + 256
        sizes[batch] = memory.temp_size_in_bytes + memory.output_size_in_bytes
    assert sizes[1024] <= 4.2 * sizes[256] <= 4.2 * 4.2 * sizes[64]


@pytest.mark.slow
def test_the_functional_interface_is_that_of_gymnax():
    env = gymnax_env.FunctionalEnv(envs.DishMaze(size=5, max_steps=3))
    assert env.name == "DishMaze"
    assert env.num_actions == 4
    assert env.action_space().n == 4
    params = env.default_params

    def play(key):
        _, state = env.reset(key, params)

        def step(state, key):
            action = jax.random.randint(key, (), 0, env.num_actions)
            seen, state, reward, terminated, truncated, info = env.step(
                key, state, action, params
            )
            return state, (seen, reward, terminated, truncated, info, state.time)

        return jax.lax.scan(step, state, jax.random.split(key, 12))[1]

    keys = jax.random.split(jax.random.key(0), 16)
    seen, _, terminated, truncated, info, time = jax.jit(jax.vmap(play))(keys)
    ended = np.asarray(terminated | truncated)
    assert ended.any()
    assert not ended.all()
    np.testing.assert_array_equal(np.asarray(time) == 0, ended)
    last = np.asarray(info["final_observation"])
    changed = (last != np.asarray(seen)).any(axis=(2, 3, 4))
    assert not changed[~ended].any()
    assert changed[ended].any()
    assert env.observation_space().contains(np.asarray(seen)[0, 0])


@pytest.mark.slow
def test_steps_without_a_reset_leave_the_limit_to_the_caller():
    env = gymnax_env.FunctionalEnv(envs.FruitMini(max_steps=1))
    params = env.default_params
    _, state = env.reset_env(jax.random.key(0), params)
    assert not bool(env.is_truncated(state, params))
    _, state, _, terminated, _ = env.step_env(
        jax.random.key(0), state, jnp.int32(0), params
    )
    assert bool(env.is_truncated(state, params)) != bool(terminated)
    assert float(env.discount(state, params)) == 1 - bool(terminated)


@pytest.mark.parametrize("number", [0, 6])
def test_what_was_seen_stays_and_may_be_written_to(number):
    """No array that was given away changes with a later step."""
    id, small = "shardsim/CornerMaze-v0", {"size": 7, "max_steps": 9}
    if number:
        env = gymnasium.make_vec(id, number, **small)
    else:
        env = gymnasium.make(id, **small)
    seen, _ = env.reset(seed=0)
    kept = [(seen, seen.copy())]
    random = np.random.default_rng(0)
    for _ in range(30):
        action = random.integers(4, size=number or None)
        seen, reward, terminated, truncated, info = env.step(action)
        kept.append((seen, seen.copy()))
        kept.append((info["rewards"], info["rewards"].copy()))
        if number:
            kept.append((reward, reward.copy()))
        elif terminated or truncated:
            env.reset()
    for one, copy in kept:
        np.testing.assert_array_equal(one, copy)
        assert one.flags.writeable
