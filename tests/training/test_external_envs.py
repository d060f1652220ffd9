"""Worlds of others in our training: gymnax of both ages, and what is refused."""

import dataclasses
import sys
import types
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import pytest
import yaml

from shardsim import cli
from shardsim.core.types import Trainable
from shardsim.storage import records
from shardsim.training import external_envs, metric_records
from shardsim.training.results import TrainingResult

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


class Params(NamedTuple):
    max_steps_in_episode: int = 6


class Space(NamedTuple):
    n: int = 2
    shape: tuple[int, ...] = (3,)


class Old:
    """A chain under the interface of gymnax before 1.0: `done`, no truncation.

    Right goes on to the end, which pays 1; left goes nowhere.
    """

    default_params = Params()
    seen: ClassVar = jnp.eye(3)

    def action_space(self, params):
        return Space()

    def observation_space(self, params):
        return Space()

    def reset_env(self, key, params):
        return self.seen[0], {"at": jnp.int32(0), "time": jnp.int32(0)}

    def step_env(self, key, state, action, params):
        at = state["at"] + action.astype(jnp.int32)
        time = state["time"] + 1
        done = (at >= 2) | (time >= params.max_steps_in_episode)
        state = {"at": at, "time": time}
        return self.seen[at], state, (at >= 2).astype(jnp.float32), done, {}


class New(Old):
    """The same under 1.0: what ends for good and what is cut are told apart."""

    def step_env(self, key, state, action, params):
        seen, state, reward, _, info = super().step_env(key, state, action, params)
        return seen, state, reward, state["at"] >= 2, info

    def is_truncated(self, state, params):
        return state["time"] >= params.max_steps_in_episode


class Continuous(Old):
    def action_space(self, params):
        return ("box",)


class Structured(Old):
    def observation_space(self, params):
        return {"a": Space()}


@pytest.fixture(autouse=True)
def this_module(monkeypatch):
    """Ids name a module; this one has to be found under a name."""
    module = types.ModuleType("chains")
    for kind in (Old, New, Continuous, Structured):
        setattr(module, kind.__name__, kind)
    monkeypatch.setitem(sys.modules, "chains", module)
    external_envs._gymnax.cache_clear()
    external_envs._made.cache_clear()


@pytest.mark.parametrize("name", ["Old", "New"])
def test_both_ages_end_and_are_cut_alike(name):
    env = external_envs.Gymnax(id=f"chains:{name}")
    assert isinstance(env, Trainable)
    assert env.observation_shape == (3,)
    params = env.params()

    def play(actions):
        _, state = env.reset(jax.random.key(0), params)

        def step(state, action):
            out = env.step(jax.random.key(0), state, action, params)
            return out.state, (out.reward, out.terminated, out.truncated)

        return jax.lax.scan(step, state, actions)[1]

    reward, terminated, truncated = jax.jit(play)(jnp.asarray([0, 1, 1]))
    assert reward.tolist() == [0, 0, 1]
    assert terminated.tolist() == [False, False, True]
    assert not truncated.any()
    _, *ends = jax.jit(play)(jnp.zeros(6, jnp.int32))
    # the old one does not tell the end from the limit
    ended, other = ends if name == "Old" else ends[::-1]
    assert ended.tolist() == [False] * 5 + [True]
    assert not other.any()


@pytest.mark.parametrize(
    ("world", "says"),
    [
        ({"kind": "gymnax", "id": "chains:Continuous"}, "actions of tuple; allowed"),
        ({"kind": "gymnax", "id": "chains:Structured"}, "observations of dict; allo"),
        (
            {"kind": "gymnasium", "id": "Pendulum-v1"},
            "actions Box.*; allowed: disc",
        ),
        ({"kind": "gymnasium", "id": "Nothing-v0"}, "got 'Nothing-v0'; allowed: an id"),
        ({"kind": "gymnasium", "id": ":"}, "got ':'; allowed: an id"),
        ({"kind": "gymnax", "id": "nowhere:Env"}, "ModuleNotFoundError"),
        ({"kind": "gymnax", "id": "chains:Nobody"}, "AttributeError"),
        ({"kind": "gymnax", "id": "os:sep"}, "TypeError"),
        ({"kind": "gymnax", "id": ":x"}, "got ':x'; allowed: module:name"),
        ({"kind": "gymnasium", "id": "CartPole-v1", "part": "x"}, "and part 'x'"),
        ({"kind": "gymnasium", "id": "FrozenLake-v1"}, "observations Discrete"),
    ],
)
def test_what_cannot_work_is_refused_with_what_can(world, says, tmp_path, capsys):
    path = written(tmp_path, world)
    assert cli.main(["train", path, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("shardsim: env.id: got ")
    import re

    assert re.search(says, error)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flag", "says"),
    [
        (
            "--train.action_selection.kind=lookahead",
            "train.action_selection: got 'lookahead'; allowed",
        ),
        (
            "--train.phases.0.collect=random_walker",
            "train.phases.0.collect: got 'random_walker'; allowed",
        ),
        (
            "--train.phases.0.losses.observation.encoder=1.0",
            "train.phases.0.losses.observation: got weights; allowed",
        ),
        (
            "--train.phases.0.env={gravity: 1}",
            "train.phases.0.env.gravity: unknown key; allowed: none in this env",
        ),
        ("--name=a/b", "name: got 'a/b'; allowed"),
    ],
)
def test_settings_that_a_host_s_world_cannot_serve_are_refused(
    flag, says, tmp_path, capsys
):
    path = written(tmp_path, {"kind": "gymnasium", "id": "CartPole-v1"})
    assert cli.main(["train", path, "--out", str(tmp_path / "run"), flag]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def written(folder, world, **changes):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes, "env": world}))
    return str(path)


@pytest.mark.slow
def test_v_learns_a_gymnax_world_and_steers_by_it(tmp_path, capsys):
    """Right pays: who looks ahead by V gets there in two steps, not in six."""
    run = tmp_path / "run"
    path = written(tmp_path, {"kind": "gymnax", "id": "chains:Old"})
    flags = ["--train.action_selection.kind=lookahead", "--train.phases.0.updates=200"]
    assert cli.main(["train", path, "--out", str(run), *flags]) == 0
    assert "reward per episode" in capsys.readouterr().out
    last = metric_records.chunks(run)[-1]
    assert min(last.episodes) > 0.3  # of steps; by chance one in four ends
    result = records.read(run / "results.json", TrainingResult)
    assert result.arms["mlp"].mean_reward_per_episode > 0.95
    assert cli.main(["list", str(tmp_path)]) == 0
    assert "finished" in capsys.readouterr().out
    assert cli.main(["report", str(run)]) == 2
    assert "trained but not judged" in capsys.readouterr().err


def test_a_gymnax_that_cannot_be_imported_says_why(tmp_path, monkeypatch):
    """It may be there, and something that it needs may not."""
    (tmp_path / "gymnax.py").write_text("import nothing_of_that_name")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gymnax", raising=False)
    with pytest.raises(ValueError, match="No module named 'nothing_of_that_name'"):
        external_envs.Gymnax(id="CartPole-v1")


def test_a_gymnax_world_that_cannot_be_made_says_why(tmp_path, monkeypatch, capsys):
    """One of gymnax's own fetches its pictures from the network when it is made."""

    def make(id):
        raise OSError("no network")

    broken = types.ModuleType("gymnax")
    broken.registered_envs, broken.make = ["Broken-v0"], make
    monkeypatch.setitem(sys.modules, "gymnax", broken)
    path = written(tmp_path, {"kind": "gymnax", "id": "Broken-v0"})
    assert cli.main(["train", path, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "env.id: got 'Broken-v0'; allowed: " in error
    assert "(OSError: no network)" in error


def test_gymnax_itself_trains(tmp_path, capsys):
    pytest.importorskip("gymnax")
    run = tmp_path / "run"
    path = written(tmp_path, {"kind": "gymnax", "id": "CartPole-v1"})
    flags = ["--train.phases.0.updates=3"]
    assert cli.main(["train", path, "--out", str(run), *flags]) == 0
    assert metric_records.chunks(run)[-1].update == 3
    capsys.readouterr()
    path = written(tmp_path, {"kind": "gymnax", "id": "Nothing-v0"})
    assert cli.main(["train", path, "--out", str(tmp_path / "other")]) == 2
    assert "got 'Nothing-v0'; allowed: Acrobot-v1, " in capsys.readouterr().err


@pytest.mark.slow
def test_our_own_worlds_train_without_a_verdict(tmp_path, capsys):
    run = tmp_path / "run"
    path = written(tmp_path, {"kind": "monster_world", "size": 5, "monsters": 1})
    flags = ["--train.phases.0.updates=3", "--env.shields=1", "--env.apples=1"]
    assert cli.main(["train", path, "--out", str(run), *flags]) == 0
    assert len(metric_records.chunks(run)[-1].rewards[0]) == 2
    capsys.readouterr()


@pytest.mark.slow
def test_a_stopped_training_is_resumed(tmp_path, capsys):
    run = tmp_path / "run"
    path = written(tmp_path, {"kind": "gymnax", "id": "chains:New"})
    flags = ["--train.phases.0.updates=4"]
    assert cli.main(["train", path, "--out", str(run), *flags]) == 0
    before = (run / "weights" / "mlp.npz").read_bytes()
    assert cli.main(["resume", str(run)]) == 0
    assert (run / "weights" / "mlp.npz").read_bytes() == before
    capsys.readouterr()


def test_worlds_of_others_are_values():
    one = external_envs.Gymnax(id="chains:Old")
    assert one == dataclasses.replace(one)
    assert hash(one) == hash(dataclasses.replace(one))
