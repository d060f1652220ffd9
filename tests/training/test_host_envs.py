"""Training on the host's worlds: Gymnasium environments under the same update."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from flax import nnx

from shardsim import cli
from shardsim.core.types import Trajectory
from shardsim.evaluation import load
from shardsim.storage import datasets, run_files
from shardsim.training import (
    external_envs,
    host_envs,
    metric_records,
    population,
    schedule,
)

CONFIG = {
    "name": "outside",
    "arms": {"mlp": {"head": {"kind": "mlp"}, "match_params": False}},
    "agent": {"encoder": {"widths": [16]}},
    "train": {
        "num_seeds": 2,
        "num_envs": 4,
        "num_steps": 8,
        "num_snapshots": 1,
        "optimizer": {"learning_rate": 0.01},
        "action_selection": {"kind": "policy_only"},
        "phases": [
            {
                "name": "value",
                "updates": 40,
                "losses": {"value": {"encoder": 1.0, "value": 1.0}},
            }
        ],
    },
}


def trained_weights(run):
    """All arrays of the arm named mlp, [seeds, ...] by name."""
    return run_files.read_arrays(run / "weights" / "mlp.npz")


def written(folder, world, **changes):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes, "env": world}))
    return str(path)


class Chain(gymnasium.Env):
    """The same chain for Gymnasium."""

    def __init__(self):
        self.observation_space = gymnasium.spaces.Box(0, 1, (3,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)

    def _seen(self):
        return np.eye(3, dtype=np.float32)[self.at]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self._seen(), {}

    def step(self, action):
        self.at += int(action)
        return self._seen(), float(self.at == 2), self.at == 2, False, {}


@pytest.fixture(autouse=True, scope="module")
def chain():
    gymnasium.register("Chain-v0", entry_point=Chain, max_episode_steps=50)


def test_the_time_limit_is_known_whatever_module_is_imported_first():
    for id in ("Chain-v0", "json:Chain-v0"):
        assert external_envs.Gymnasium(id=id).max_steps == 50
    assert external_envs.Gymnasium(id="CartPole-v1").max_steps == 500


@pytest.mark.slow
def test_the_host_s_loop_learns_the_value_of_chance(tmp_path, capsys):
    """V of an even policy, gamma 1/2: V1 = 1/2 + V1 / 4, V0 = V1 / 4 + V0 / 4."""
    run = tmp_path / "run"
    path = written(tmp_path, {"kind": "gymnasium", "id": "Chain-v0"})
    flags = ["--train.discount=0.5", "--train.phases.0.updates=150"]
    assert cli.main(["train", path, "--out", str(run), *flags]) == 0
    capsys.readouterr()
    weights = trained_weights(run)
    names = sorted(weights)
    assert any("value" in name for name in names)
    first, last = metric_records.chunks(run)[0], metric_records.chunks(run)[-1]
    assert np.mean(last.terms["value_loss"]) < np.mean(first.terms["value_loss"]) / 2
    # episodes take 4 steps on average
    assert np.mean(last.episodes) == pytest.approx(0.25, abs=0.04)
    value = read_value(run)
    np.testing.assert_allclose(value[:, 1], 2 / 3, atol=0.12)
    np.testing.assert_allclose(value[:, 0], 2 / 9, atol=0.12)


def read_value(run):
    """V of every seed at the places of the chain, from the weights of the run."""
    found = load.load(run)
    config = found.train
    recipe = population.InitConfig(
        found.agent, config.optimizer, found.env, config.num_envs
    )
    (arm,) = found.sized_arms()
    keys = population.seed_keys(config.seed, config.num_seeds)
    hyper = schedule.hyperparameters(config, arm.head)
    carry = population.init(recipe, arm.head, arm.width, (), keys, hyper)
    agents = carry.learners[0].agent
    weights = trained_weights(run)
    state = nnx.to_pure_dict(nnx.state(agents))
    filled = jax.tree_util.tree_map_with_path(
        lambda path, _: jnp.asarray(weights[".".join(str(p.key) for p in path)]), state
    )
    nnx.update(agents, filled)
    places = jnp.eye(3)

    def one(agent):
        over = jax.vmap(
            lambda seen: agent.value(agent.encoder(seen), jnp.ones(1)).value
        )
        return over(places)

    return np.asarray(jax.vmap(one)(agents))


def test_the_same_config_gives_the_same_weights_on_the_host(
    tmp_path, capsys, monkeypatch
):
    path = written(tmp_path, {"kind": "gymnasium", "id": "Chain-v0"})
    closed = []
    monkeypatch.setattr(host_envs.Host, "close", lambda self: closed.append(self))
    for name in ("a", "b"):
        flags = ["--out", str(tmp_path / name), "--train.phases.0.updates=5"]
        assert cli.main(["train", path, *flags]) == 0
    assert len(closed) == 2
    capsys.readouterr()
    one, two = (trained_weights(tmp_path / n) for n in ("a", "b"))
    for name in one:
        np.testing.assert_array_equal(one[name], two[name])


@pytest.mark.slow
def test_a_grid_on_the_host_is_its_points(tmp_path, capsys):
    """Two seeds at two rates: the first point is what it is by itself."""
    path = written(tmp_path, {"kind": "gymnasium", "id": "Chain-v0"})
    grid = "--train.sweep={learning_rate: [0.01, 0.1]}"
    for name, flags in (("a", []), ("b", [grid])):
        flags = [*flags, "--out", str(tmp_path / name), "--train.phases.0.updates=3"]
        assert cli.main(["train", path, *flags]) == 0
    capsys.readouterr()
    one, two = (trained_weights(tmp_path / n) for n in ("a", "b"))
    for name in one:
        assert len(two[name]) == 4
        np.testing.assert_allclose(one[name], two[name][:2], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_minigrid_trains(tmp_path, capsys):
    pytest.importorskip("minigrid")
    id = "minigrid:MiniGrid-Empty-5x5-v0"
    run = tmp_path / "run"
    world = {"kind": "gymnasium", "id": id, "part": "image"}
    flags = ["--train.phases.0.updates=3"]
    path = written(tmp_path, world)
    assert cli.main(["train", path, "--out", str(run), *flags]) == 0
    assert metric_records.chunks(run)[-1].update == 3
    capsys.readouterr()
    path = written(tmp_path, {"kind": "gymnasium", "id": id})
    assert cli.main(["train", path, "--out", str(tmp_path / "other")]) == 2
    assert "one array of a dictionary: part: image" in capsys.readouterr().err


class Numbered(Chain):
    """A chain whose two actions are 3 and 4, seen in numbers of 64 bits."""

    def __init__(self):
        self.observation_space = gymnasium.spaces.Box(0, 1, (3,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(2, start=3)

    def _seen(self):
        return super()._seen().astype(np.float64)

    def step(self, action):
        assert self.action_space.contains(action), action
        return super().step(action - 3)


@pytest.fixture
def numbered():
    gymnasium.register("Numbered-v0", entry_point=Numbered, max_episode_steps=50)
    yield
    gymnasium.registry.pop("Numbered-v0")


def test_actions_are_counted_from_where_the_world_counts_them(
    numbered, tmp_path, capsys
):
    """The same weights as of the chain whose actions are 0 and 1."""
    for name in ("Chain-v0", "Numbered-v0"):
        path = written(tmp_path, {"kind": "gymnasium", "id": name})
        flags = ["--out", str(tmp_path / name), "--train.phases.0.updates=3"]
        assert cli.main(["train", path, *flags]) == 0, capsys.readouterr().err
    weights = [trained_weights(tmp_path / n) for n in ("Chain-v0", "Numbered-v0")]
    for name in weights[0]:
        np.testing.assert_array_equal(weights[0][name], weights[1][name])


def test_stored_data_are_learnt_from_and_not_what_the_host_would_give(tmp_path):
    """Every stored step pays 7; a step of the chain pays 1 at most."""
    shape = (8, 4)
    kept = Trajectory(
        observation=np.zeros((*shape, 3), np.float32),
        context=np.ones((*shape, 1), np.float32),
        action=np.ones(shape, np.int32),
        reward=np.full(shape, 7.0, np.float32),
        terminated=np.ones(shape, bool),
        truncated=np.zeros(shape, bool),
        next_observation=np.zeros((*shape, 3), np.float32),
        next_context=np.ones((*shape, 1), np.float32),
        rewards=np.full((*shape, 1), 7.0, np.float32),
        logits=np.zeros((*shape, 2), np.float32),
    )
    world = external_envs.Gymnasium(id="Chain-v0")
    datasets.save(tmp_path / "kept.npz", kept, world)
    run = tmp_path / "run"
    path = written(tmp_path, {"kind": "gymnasium", "id": "Chain-v0"})
    flags = [
        f"--train.dataset={tmp_path / 'kept.npz'}",
        "--train.phases.0.collect=dataset",
    ]
    flags += ["--train.phases.0.updates=2", "--out", str(run)]
    assert cli.main(["train", path, *flags]) == 0
    assert all(chunk.reward == (7.0, 7.0) for chunk in metric_records.chunks(run))


class Announced(Chain):
    """A chain that shows numbers of some dtype, in a space with given limits."""

    def __init__(self, dtype, low, high, shown, declared=None):
        self.observation_space = gymnasium.spaces.Box(
            low, high, (1,), declared or dtype
        )
        self.action_space = gymnasium.spaces.Discrete(2)
        self.shown = np.array([shown], dtype)

    def _seen(self):
        return self.shown


@pytest.fixture
def announced():
    """Register an environment that shows a number, and return its config."""

    def make(dtype, low, high, shown, declared=None):
        gymnasium.register(
            "Announced-v0",
            entry_point=lambda: Announced(dtype, low, high, shown, declared),
            max_episode_steps=5,
            disable_env_checker=True,
        )
        external_envs._made.cache_clear()
        return external_envs.Gymnasium(id="Announced-v0")

    yield make
    gymnasium.registry.pop("Announced-v0", None)
    external_envs._made.cache_clear()


INT64, UINT64 = np.iinfo(np.int64), np.iinfo(np.uint64)


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.int64, 0, 2**40),
        (np.int64, -(2**31) - 1, 5),
        (np.int64, INT64.min, 2**31),
        (np.uint64, 0, 2**32),
    ],
)
def test_a_range_that_32_bits_do_not_hold_is_refused(announced, dtype, low, high):
    with pytest.raises(
        ValueError, match=r"id: got 'Announced-v0' with observations of"
    ):
        announced(dtype, low, high, 0)


@pytest.mark.parametrize(
    "announcement",
    [
        (np.int64, INT64.min, INT64.max, 2**33 + 5),
        (np.int64, INT64.min, INT64.max, -(2**31) - 1),
        (np.uint64, 0, UINT64.max, 2**32),
        (np.float64, -np.inf, np.inf, 1e39),
        (np.int64, 0, 255, 256, np.uint8),
        (np.int64, 0, 255, -1, np.uint8),
        (np.float64, 0, 9, 1.5, np.int32),
        (np.float64, 0, 9, np.nan, np.int32),
        (object, 0, 9, "x", np.float32),
        ("U1", 0, 9, "x", np.float32),
    ],
)
def test_a_number_that_would_be_another_one_is_refused(announced, announcement):
    env = announced(*announcement)
    with pytest.raises(ValueError, match=r"observation: got .*; allowed: "):
        host_envs.Host(env, 0, 1, 1)


@pytest.mark.parametrize(
    "announcement",
    [
        (np.int64, INT64.min, INT64.max, 2**31 - 1),
        (np.int64, INT64.min, INT64.max, -(2**31)),
        (np.uint64, 0, UINT64.max, 2**32 - 1),
        (np.int16, -5, 5, -5),
        (np.uint8, 0, 255, 255),
        (np.int64, 0, 255, 255, np.uint8),
        (np.float64, -np.inf, np.inf, np.inf),
        (np.float64, -np.inf, np.inf, 2.0**100),
        (np.float64, 0, 9, 5.0, np.int32),
        (np.float16, 0, 9, 0.5),
        (np.bool_, 0, 1, True),
    ],
)
def test_a_number_that_fits_is_seen_as_it_is(announced, announcement):
    env, shown = announced(*announcement), announcement[3]
    host = host_envs.Host(env, 0, 1, 2)
    seen = np.asarray(jax.jit(lambda x: x)(host.observation))
    assert seen.ravel().tolist() == [shown] * 2
    assert seen.dtype == env.reset(jax.random.key(0), ())[0].dtype
    row = host._step(np.zeros((1, 2), np.int32))
    assert row["next_observation"].ravel().tolist() == [shown] * 2
    host.close()


def test_a_number_that_is_too_large_later_is_refused_then(announced):
    env = announced(np.int64, INT64.min, INT64.max, 0)
    host = host_envs.Host(env, 0, 1, 1)
    host.vector_envs[0].envs[0].unwrapped.shown = np.array([2**33 + 5])
    with pytest.raises(ValueError, match="observation: got 8589934597 in int64"):
        host._step(np.zeros((1, 1), np.int32))
    host.close()


class FarActions(Chain):
    """A chain whose actions are counted from a number of more than 32 bits."""

    first = 2**40

    def __init__(self):
        super().__init__()
        self.action_space = gymnasium.spaces.Discrete(2, start=self.first)

    def step(self, action):
        assert self.action_space.contains(action), action
        return super().step(action - self.first)


def test_actions_may_be_counted_from_any_number():
    gymnasium.register("FarActions-v0", entry_point=FarActions)
    host = host_envs.Host(external_envs.Gymnasium(id="FarActions-v0"), 0, 1, 2)
    row = host._step(np.array([[0, 1]], np.int32))
    assert row["next_observation"].argmax(axis=-1).tolist() == [[0, 1]]
    host.close()
    gymnasium.registry.pop("FarActions-v0")


def test_an_unknown_id_is_answered_with_how_to_import_it():
    with pytest.raises(
        ValueError, match="such as shardsim_envs:shardsim/CornerMaze-v0"
    ):
        external_envs.Gymnasium(id="unknown/CornerMaze-v0")
