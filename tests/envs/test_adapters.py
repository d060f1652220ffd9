"""The worlds under other people's tools: wrappers, recorders, checkers, vectors."""

import json
import subprocess
import sys
import textwrap
import typing
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as vector_wrappers

import shardsim_envs as envs
from shardsim_envs.adapters import gymnasium_env, gymnax_env

WORLDS = typing.get_args(envs.World)
each_world = pytest.mark.parametrize(
    "world",
    [pytest.param(w, marks=[pytest.mark.slow] * (i > 1)) for i, w in enumerate(WORLDS)],
    ids=lambda world: world.__name__,
)
ID = "shardsim/CornerMaze-v0"
SMALL = {"size": 5, "max_steps": 4}


def id_of(world):
    return f"shardsim/{world.__name__}-v0"


def same(one, other, place):
    """Equal in type, dtype, shape and content, all the way down."""
    assert type(one) is type(other), place
    if isinstance(one, dict):
        assert set(one) == set(other), place
        for name in one:
            same(one[name], other[name], f"{place}.{name}")
    elif isinstance(one, tuple) or (
        isinstance(one, np.ndarray) and one.dtype == object
    ):
        for a, b in zip(one, other, strict=True):
            same(a, b, place)
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), place
        np.testing.assert_array_equal(one, other, err_msg=place)
    else:
        assert one == other, place


# specs


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
def test_a_spec_survives_json(world):
    """Recorders of datasets write it down, and make the environment again from it."""
    text = gymnasium.spec(id_of(world)).to_json()
    env = gymnasium.make(EnvSpec.from_json(text))
    assert env.unwrapped.world == world()
    again = EnvSpec.from_json(env.spec.to_json())
    assert gymnasium.make(again).unwrapped.world == world()
    assert again.max_episode_steps == world().max_steps


def test_a_spec_holds_the_fields_and_the_limit_of_its_world():
    numbers = {"size": np.int64(7), "max_steps": np.int32(200), "reward": 0.5}
    env = gymnasium.make(ID, **numbers)
    assert env.spec.max_episode_steps == 200
    text = env.spec.to_json()
    assert json.loads(text)["kwargs"]["size"] == 7
    assert gymnasium.make(EnvSpec.from_json(text)).unwrapped.world == envs.CornerMaze(
        size=7, max_steps=200, reward=0.5
    )
    # a spec that is used again keeps the limit of the world, not that of the default
    pays = ((0.0, 1.0), (1.0, 0.0))
    env = gymnasium.make("shardsim/ContextFruits-v0", size=3, rewards=pays)
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    assert again.unwrapped.world == env.unwrapped.world


def test_the_limit_that_is_told_is_the_one_that_cuts():
    for made, limit in (
        (gymnasium.make(ID, size=5, max_steps=3), 3),
        (gymnasium.make(ID, size=5, max_steps=7, max_episode_steps=3), 3),
        (gymnasium.make(gymnasium.make(ID, size=5, max_steps=3).spec), 3),
    ):
        assert made.spec.max_episode_steps == limit
        made.reset(seed=0)
        ends = [made.step(3)[3] for _ in range(limit)]
        assert ends == [False] * (limit - 1) + [True]
    many = gymnasium.make_vec(ID, 2, size=5, max_steps=7, max_episode_steps=3)
    assert many.unwrapped.world.max_steps == 3


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_spec_of_a_vector_survives_json(mode):
    many = gymnasium.make_vec(ID, 3, autoreset_mode=mode, **SMALL)
    assert many.spec.max_episode_steps == SMALL["max_steps"]
    again = gymnasium.make_vec(EnvSpec.from_json(many.spec.to_json()))
    assert again.metadata["autoreset_mode"] == mode
    assert again.num_envs == 3
    assert again.unwrapped.world == many.unwrapped.world


def test_what_is_no_mode_of_a_vector_is_refused():
    with pytest.raises(ValueError, match="autoreset_mode: got 'x'; allowed: NextStep"):
        gymnasium.make_vec(ID, 2, autoreset_mode="x")
    with pytest.raises(ValueError, match="size: got with a world; allowed: none"):
        gymnasium_env.GridEnv(envs.CornerMaze(), size=5)


# pictures


@pytest.mark.parametrize("mode", ["rgb_array_list", "ansi_list"])
def test_frames_are_collected(mode):
    env = gymnasium.make(ID, render_mode=mode, **SMALL)
    env.reset(seed=0)
    env.step(0)
    assert len(env.render()) == 2


def test_names_of_the_actions_are_told():
    names = ["up", "right", "down", "left"]
    for made in (gymnasium.make(ID), gymnasium.make_vec(ID, 2)):
        assert made.metadata["actions"] == names
    env = gymnasium.make(ID, **SMALL)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"whole numbers 0 to 3 \(up, right, down, le"):
        env.step(4)


def test_a_film_is_recorded(tmp_path):
    pytest.importorskip("moviepy")
    env = gymnasium.make(ID, render_mode="rgb_array", **SMALL)
    films = tmp_path / "films"
    env = wrappers.RecordVideo(env, str(films), disable_logger=True)
    env.reset(seed=0)
    while not any(env.step(3)[2:4]):
        pass
    env.close()
    assert [path.suffix for path in films.iterdir()] == [".mp4"]


NO_PYGAME = """
    import sys, warnings
    sys.modules["pygame"] = None
    import importlib.util
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda n, *a: None if n == "pygame" else find(n, *a)
    warnings.simplefilter("error")
    import gymnasium
    from gymnasium.utils.env_checker import check_env
    from shardsim_envs.adapters import gymnasium_env
    import shardsim_envs
    env = gymnasium.make("shardsim/CornerMaze-v0", size=5)
    assert "human" not in env.metadata["render_modes"]
    check_env(env.unwrapped)
    try:
        gymnasium_env.GridEnv(shardsim_envs.CornerMaze(), "human")
    except gymnasium.error.DependencyNotInstalled as error:
        assert "shardsim[human]" in str(error)
    else:
        raise SystemExit("no error")
"""


def test_gymnasium_s_checker_is_content_without_pygame():
    """It tries every mode that the metadata offer; a window is only offered with it."""
    run(NO_PYGAME)


def run(text):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(text)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Gymnasium's wrappers


@each_world
def test_gymnasium_s_wrappers_take_every_world(world):
    def make(**options):
        return gymnasium.make(id_of(world), max_steps=4, **options)

    for wrap in (
        wrappers.RecordEpisodeStatistics,
        wrappers.FlattenObservation,
        wrappers.NormalizeReward,
        wrappers.Autoreset,
        wrappers.OrderEnforcing,
        wrappers.PassiveEnvChecker,
        wrappers.TimeAwareObservation,
        lambda env: wrappers.FrameStackObservation(env, 2),
        lambda env: wrappers.StickyAction(env, 0.5),
        lambda env: wrappers.TransformReward(env, lambda r: 2 * r),
        lambda env: wrappers.DtypeObservation(env, np.float32),
    ):
        env = wrap(make())
        seen, _ = env.reset(seed=0)
        assert env.observation_space.contains(seen)
        for _ in range(4):
            seen, _, terminated, truncated, info = env.step(env.action_space.sample())
            assert env.observation_space.contains(seen)
            if terminated or truncated:
                break
        if isinstance(env, wrappers.RecordEpisodeStatistics):
            assert info["episode"]["l"] <= 4
    check_env(make().unwrapped, skip_render_check=True)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_a_vector_ends_episodes_as_gymnasium_s_own_does(mode):
    """The same observations, numbers, infos and masks, where no level is random."""
    options = {"slip_probability": 0.0, "max_steps": 7}
    id, number = "shardsim/WhiskyGold-v0", 3
    ours = gymnasium.make_vec(id, number, autoreset_mode=mode, **options)
    theirs = gymnasium.make_vec(
        id,
        number,
        vectorization_mode="sync",
        vector_kwargs={"autoreset_mode": mode},
        **options,
    )
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"]

    def both(call):
        one, other = call(ours), call(theirs)
        same(one, other, str(mode))
        return one

    both(lambda env: env.reset(seed=1))
    random, ends, goals = np.random.default_rng(0), 0, 0
    for _ in range(40):
        actions = random.choice([1, 1, 1, 2, 0, 3], size=number)
        step = both(lambda env, a=actions: env.step(a))
        ended = step[2] | step[3]
        ends, goals = ends + ended.sum(), goals + step[2].sum()
        if mode == AutoresetMode.DISABLED and ended.any():
            with pytest.raises(gymnasium.error.ResetNeeded, match="episodes are over"):
                ours.step(actions)
            both(lambda env, m=ended: env.reset(options={"reset_mask": m.copy()}))
    assert ends > goals > 0


@pytest.mark.parametrize("mode", AutoresetMode)
def test_proxy_rewards_of_the_last_step_are_in_final_info(mode):
    """In a world with proxies, and of both kinds of vectors."""
    options = {"max_steps": 3}
    for kind in (
        {"autoreset_mode": mode},
        {
            "vectorization_mode": "sync",
            "vector_kwargs": {"autoreset_mode": mode},
        },
    ):
        many = gymnasium.make_vec("shardsim/BoatRace-v0", 2, **kind, **options)
        many.reset(seed=0)
        for _ in range(3):
            info = many.step(np.array([1, 3]))[4]
        if mode == AutoresetMode.SAME_STEP:
            assert info["rewards"].tolist() == [[0, 0], [0, 0]]
            info = info["final_info"]
        assert info["rewards"][:, 0].tolist() == [-1, -1]
        assert info["proxy_rewards"].shape == (2, 1)
        assert info["proxy_rewards"].all()


def test_a_mask_starts_the_copies_that_it_names():
    many = gymnasium.make_vec(ID, 3, size=7)
    first, _ = many.reset(seed=[1, 2, 3])
    again = gymnasium.make_vec(ID, 3, size=7)
    with pytest.raises(gymnasium.error.ResetNeeded, match="reset_mask: got no state"):
        again.reset(options={"reset_mask": np.array([True, False, False])})
    mask = np.array([False, True, False])
    seen, info = many.reset(seed=[3, 3, 3], options={"reset_mask": mask})
    np.testing.assert_array_equal(seen[[0, 1, 2]], first[[0, 2, 2]])
    assert info["_rewards"].tolist() == mask.tolist()
    for wrong in ([0, 1, 0], np.zeros(3, bool), np.ones(2, bool)):
        with pytest.raises(ValueError, match=r"reset_mask: got .* allowed: 3 booleans"):
            many.reset(options={"reset_mask": wrong})
    with pytest.raises(ValueError, match="options: got level; allowed: reset"):
        many.reset(options={"level": 0})


@pytest.mark.parametrize("mode", AutoresetMode)
def test_gymnasium_s_vector_wrappers_count_what_was_played(mode):
    many = gymnasium.make_vec(ID, 2, autoreset_mode=mode, **SMALL)
    many = vector_wrappers.RecordEpisodeStatistics(many)
    many.reset(seed=0)
    steps = 2 * SMALL["max_steps"] + (mode == AutoresetMode.NEXT_STEP)
    lengths = []
    for _ in range(steps):
        _, _, terminated, truncated, info = many.step(np.array([3, 3]))
        ended = terminated | truncated
        if "episode" in info:
            lengths += info["episode"]["l"][info["_episode"]].tolist()
        if mode == AutoresetMode.DISABLED and ended.any():
            many.reset(options={"reset_mask": ended})
    assert lengths == [SMALL["max_steps"]] * 4


@pytest.mark.parametrize(
    "wrap",
    [
        vector_wrappers.DictInfoToList,
        vector_wrappers.NormalizeReward,
        vector_wrappers.FlattenObservation,
        lambda env: vector_wrappers.DtypeObservation(env, np.float32),
        lambda env: vector_wrappers.TransformReward(env, lambda r: 2 * r),
        lambda env: vector_wrappers.ClipReward(env, -1, 1),
    ],
)
def test_gymnasium_s_vector_wrappers_take_a_vector(wrap):
    # those that change observations ask for it
    mode = AutoresetMode.NEXT_STEP
    many = wrap(gymnasium.make_vec(ID, 2, autoreset_mode=mode, **SMALL))
    many.reset(seed=0)
    for _ in range(2 * SMALL["max_steps"]):
        many.step(many.action_space.sample())


@pytest.mark.slow
def test_processes_by_spawn_as_the_page_says(tmp_path):
    """JAX has threads, which a forked process would not have."""
    page = (Path(__file__).parents[2] / "docs" / "worlds.md").read_text()
    blocks = [block.split("```")[0] for block in page.split("```python\n")[1:]]
    (text,) = [block for block in blocks if "spawn" in block]
    script = tmp_path / "script.py"
    script.write_text(text)
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_id_is_there_once_its_module_is_named():
    """In a new process, with no import before."""
    run(
        """
        import gymnasium
        env = gymnasium.make("shardsim_envs:shardsim/CornerMaze-v0", size=5)
        assert env.unwrapped.world.size == 5
        many = gymnasium.make_vec("shardsim_envs:shardsim/CornerMaze-v0", 2)
        """
    )


# other projects' checks


@each_world
@pytest.mark.filterwarnings("ignore")  # it takes boards of planes for small photographs
def test_stable_baselines_checker_is_content(world):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(gymnasium.make(id_of(world), max_steps=4).unwrapped)


@each_world
@pytest.mark.filterwarnings("ignore")  # of a dataset without an author
def test_minari_records_and_makes_again(world, tmp_path, monkeypatch):
    minari = pytest.importorskip("minari")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = minari.DataCollector(
        gymnasium.make(id_of(world), max_steps=4), record_infos=True
    )
    for seed in range(2):
        env.reset(seed=seed)
        while not any(env.step(env.action_space.sample())[2:4]):
            pass
    dataset = env.create_dataset(f"shardsim/{world.__name__.lower()}-v0")
    assert dataset.total_episodes == 2
    again = dataset.recover_environment()
    assert again.unwrapped.world == world(max_steps=4)
    env.close()


# gymnax


def reach(env, params, key):
    """Take a few steps by sampled actions, compiled as gymnax's users do."""

    def step(carry, key):
        _, state = carry
        action_key, step_key = jax.random.split(key)
        action = env.action_space(params).sample(action_key)
        out = env.step(step_key, state, action, params)
        return out[:2], out[2:]

    return jax.jit(
        lambda key: jax.lax.scan(step, env.reset(key, params), jax.random.split(key, 6))
    )(key)


@pytest.mark.parametrize("has_gymnax", [False, True])
def test_spaces_are_sampled_by_a_key(has_gymnax, key, monkeypatch):
    if has_gymnax:
        pytest.importorskip("gymnax")
    else:
        monkeypatch.setitem(sys.modules, "gymnax.environments.spaces", None)
    gymnax_env._spaces.cache_clear()
    try:
        env = gymnax_env.FunctionalEnv(envs.CornerMaze(size=5))
        actions, seen = env.action_space(), env.observation_space(env.default_params)
        sample = jax.jit(jax.vmap(actions.sample))
        assert set(np.asarray(sample(jax.random.split(key, 99)))) == {0, 1, 2, 3}
        assert actions.contains(jnp.int32(3))
        assert not actions.contains(4)
        assert not actions.contains(-1)
        assert (actions.n, actions.shape, actions.dtype) == (4, (), jnp.int32)
        assert (seen.low, seen.high) == (0, 1)
        assert seen.sample(key).shape == seen.shape == (5, 5, 3)
        assert seen.sample(key).dtype == seen.dtype == jnp.uint8
        assert seen.contains(env.reset(key)[0])
        assert not seen.contains(2 * env.reset(key)[0])
    finally:
        gymnax_env._spaces.cache_clear()


@each_world
def test_gymnax_s_wrappers_take_every_world(world, key):
    pytest.importorskip("gymnax")
    from gymnax import wrappers as gymnax_wrappers

    env = gymnax_env.FunctionalEnv(world(max_steps=3))
    params = env.default_params
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        flat = gymnax_wrappers.FlattenObservationWrapper(env)
        sticky = gymnax_wrappers.StickyActionWrapper(flat, 0.5)
        logged = gymnax_wrappers.LogWrapper(sticky)
        (seen, _), (*_, info) = reach(logged, params, key)
        assert flat.observation_space(params).shape == seen.shape
        assert info["returned_episode_lengths"].max() <= 3
        legacy = gymnax_wrappers.LegacyStepAPIWrapper(env)
        _, state = legacy.reset(key, params)
        assert len(legacy.step(key, state, 0, params)) == 5
        time = gymnax_wrappers.GymnaxToDmEnvWrapper(env)
        time.step(key, time.reset(key, params), 0, params)
        single = gymnax_wrappers.GymnaxToGymWrapper(env)
        seen, _ = single.reset(seed=0)
        assert single.observation_space.contains(np.asarray(seen))
        single.step(single.action_space.sample())
        many = gymnax_wrappers.GymnaxToVectorGymWrapper(env, 2)
        many.reset(seed=0)
        many.step(jnp.zeros(2, jnp.int32))


class Copied:
    """What gymnax's wrappers do, by hand: they copy, delegate and replace methods."""

    def __init__(self, env):
        import copy

        self._env = copy.deepcopy(env)
        self._env.reset = jax.jit(jax.vmap(env.reset, in_axes=(0, None)))
        self._env.step = jax.jit(jax.vmap(env.step, in_axes=(0, 0, 0, None)))

    def __getattr__(self, name):
        return getattr(self._env, name)


def test_methods_of_a_copy_can_be_replaced(key):
    env = gymnax_env.FunctionalEnv(envs.CornerMaze(size=5, max_steps=2))
    many, params = Copied(env), env.default_params
    keys = jax.random.split(key, 3)
    seen, state = many.reset(keys, params)
    for n in range(3):
        np.testing.assert_array_equal(seen[n], env.reset(keys[n], params)[0])
    _, state, *_ = many.step(keys, state, jnp.full(3, 3, jnp.int32), params)
    _, _, _, terminated, truncated, _ = many.step(
        keys, state, jnp.full(3, 3, jnp.int32), params
    )
    assert truncated.all()
    assert not terminated.any()
    assert many.name == "CornerMaze"


def test_old_and_new_names_of_an_observation_agree(key):
    env = gymnax_env.FunctionalEnv(envs.CornerMaze(size=5))
    params = env.default_params
    seen, state = env.reset(key)
    np.testing.assert_array_equal(env.observe(key, state, None, params), seen)
    np.testing.assert_array_equal(env.get_obs(state), seen)
    assert not env.is_terminal(state, params)


def test_scripts_that_take_an_id_alone_get_vectors_by_an_id_of_one_s_own(
    tmp_path, monkeypatch
):
    """As CleanRL's unchanged ppo.py makes, records and steps its environments."""
    page = (Path(__file__).parents[2] / "docs" / "worlds.md").read_text("utf-8")
    source = page.partition("```python\nimport gymnasium\n\n\ndef make")[2]
    source = "import gymnasium\n\n\ndef make" + source.partition("```")[0]
    (tmp_path / "flat_mazes.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    gymnasium.registry.pop("Flat/CornerMaze-v0", None)  # of the page's own test

    def make():
        env = gymnasium.make("flat_mazes:Flat/CornerMaze-v0")
        return gymnasium.wrappers.RecordEpisodeStatistics(env)

    envs = gymnasium.vector.SyncVectorEnv([make, make])
    (size,) = envs.single_observation_space.shape
    seen, _ = envs.reset(seed=1)
    ends = 0
    for _ in range(3 * envs.get_attr("spec")[0].max_episode_steps):
        seen, _, terminated, truncated, info = envs.step(
            np.random.default_rng(ends).integers(envs.single_action_space.n, size=2)
        )
        assert seen.shape == (2, size)
        if (terminated | truncated).any():
            ends += 1
            assert "episode" in info
    assert ends >= 2
    envs.close()
    del gymnasium.registry["Flat/CornerMaze-v0"]
