"""Whole trainings from config: every regime, grids, stored data, precision, devices."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from shardsim import cli
from shardsim.agents import value
from shardsim.core import config, config_files
from shardsim.storage import run_files
from shardsim.training import metric_records, phases, population, schedule, standalone
from shardsim.training.config import TrainConfig
from tests.helpers import documents
from tests.helpers.whole_trainings import REGIMES, ran, refused

ROOT = Path(__file__).parents[2]
EARN = {"policy": {"encoder": 1, "decoder": 1}, "value": {"encoder": 1, "value": 1}}


@pytest.mark.parametrize("name", REGIMES)
@pytest.mark.slow
@pytest.mark.few(1, rest="long")
def test_every_rule_moves_d_under_every_head(training_yaml, tmp_path, capsys, name):
    plan = [{"name": "earn", "updates": 2, "losses": EARN}]
    path = training_yaml(**REGIMES[name], phases=plan)
    ran(path, tmp_path / "run")
    for arm in ("mlp", "sharded"):
        weights = run_files.read_arrays(tmp_path / "run" / "weights" / f"{arm}.npz")
        assert np.abs(weights["decoder.readout.kernel"]).max() > 0
    chunks = metric_records.chunks(tmp_path / "run")
    assert any("policy_loss" in chunk.terms for chunk in chunks)


@pytest.mark.slow
def test_where_no_episode_ended_there_is_no_reward_per_episode(
    training_yaml, tmp_path, capsys
):
    """One update of four steps, where an episode has a hundred."""
    plan = [{"name": "look", "updates": 1, "losses": {"value": {"value": 1}}}]
    path = training_yaml(phases=plan)
    found = ran(path, tmp_path / "run", "--env={kind: boat_race}")
    chunk = metric_records.chunks(tmp_path / "run")[0]
    assert chunk.episodes == (0.0, 0.0)
    assert chunk.reward_per_episode == (None, None)
    assert found.arms["mlp"].mean_reward_per_episode is None
    assert found.arms["mlp"].point_mean_reward_per_episode == (None,)
    assert "mlp: no episode ended in the last chunk" in capsys.readouterr().out


def test_means_are_of_what_is_there():
    assert standalone.mean_of([1.0, None, 3.0]) == 2.0
    assert standalone.mean_of([None]) is None


@pytest.mark.slow
def test_a_fresh_phase_meets_its_own_levels_alone(training_yaml, tmp_path, capsys):
    """Fruit 0 pays in context 0 alone. Where context 1 follows and episodes go on, the
    levels of context 0 still pay fruit 0; where all begin anew nothing does."""
    plan = [
        {"name": "a", "updates": 1, "env": {"contexts_shown": [[0]]}},
        {"name": "b", "updates": 2, "env": {"contexts_shown": [[1]]}},
    ]
    paid = {}
    for fresh in (False, True):
        plan[1]["reset_envs"] = fresh
        path = training_yaml(phases=plan, num_envs=64, updates_per_call=1)
        before = population.restart.compiled._cache_size()
        ran(path, tmp_path / str(fresh))
        made = population.restart.compiled._cache_size() - before
        assert made == int(fresh), "one program for all arms"
        chunks = metric_records.chunks(tmp_path / str(fresh))
        rewards = [chunk.rewards for chunk in chunks if chunk.phase == "b"]
        assert len(rewards) == 4
        paid[fresh] = np.asarray(rewards)
        # the same levels for every arm, and not those of another seed
        assert rewards[0] == rewards[2]
    assert paid[False][..., 0].sum() > 0
    assert paid[True][..., 0].sum() == 0
    assert paid[True][..., 1].sum() > 0


@pytest.mark.slow
def test_a_grid_is_its_points_in_one_program(training_yaml, tmp_path, capsys):
    """Element g * seeds + s is what seed s gives at point g by itself."""
    grid = {"learning_rate": [1e-3, 1e-2], "temperature": [0.01, 0.5]}
    found = ran(training_yaml(sweep=grid), tmp_path / "grid")
    assert found.sweep[2] == {"learning_rate": 1e-2, "temperature": 0.01}
    assert len(found.arms["mlp"].point_mean_reward_per_episode) == 4
    flags = [
        "--train.optimizer.learning-rate",
        "0.01",
        "--train.action_selection.temperature",
    ]
    ran(training_yaml(), tmp_path / "one", *flags, "0.01")
    whole = run_files.read_arrays(tmp_path / "grid" / "weights" / "mlp.npz")
    alone = run_files.read_arrays(tmp_path / "one" / "weights" / "mlp.npz")
    for name, leaf in alone.items():
        np.testing.assert_allclose(whole[name][4:6], leaf, rtol=1e-4, atol=1e-5)
    assert np.abs(whole["value.kernel"][0] - whole["value.kernel"][4]).max() > 1e-4


@pytest.mark.slow
def test_stored_trajectories_teach_without_a_world(training_yaml, tmp_path, capsys):
    path, data = training_yaml(), tmp_path / "data.npz"
    words = ["collect", str(path), "--out", str(data), "--updates", "2"]
    assert cli.main(words) == 0
    assert run_files.read_arrays(data)["reward"].shape == (4, 2 * 2 * 4)
    phase = {"name": "read", "updates": 3, "collect": "dataset"}
    phase["losses"] = {"inverse": {"encoder": 1, "auxiliary": 1}}
    kept = training_yaml(dataset=str(data), phases=[phase])
    ran(kept, tmp_path / "run")
    assert "inverse_loss" in metric_records.chunks(tmp_path / "run")[0].terms
    line = refused(kept, tmp_path, capsys, "--env.size", "5")
    assert (
        "of another environment, env.size is 3; allowed: 5, as in this config" in line
    )
    assert "train.num_steps, 9" in refused(
        kept, tmp_path, capsys, "--train.num-steps", "9"
    )
    # what agents of a run do can be stored as well, whatever they learnt from
    more = tmp_path / "more.npz"
    words = ["collect", str(tmp_path / "run"), "--out", str(more), "--updates", "1"]
    assert cli.main(words) == 0
    assert run_files.read_arrays(more)["reward"].shape == (4, 2 * 4)
    other = str(tmp_path / "other.npz")
    assert cli.main(["collect", str(kept), "--out", other]) == 2
    assert "train.phases.0.collect: got 'dataset'" in capsys.readouterr().err
    line = refused(kept, tmp_path, capsys, "--env.max-steps", "9")
    assert "of another environment, env.max_steps is " in line
    assert "allowed: 9, as in this config" in line


@pytest.mark.slow
def test_bfloat16_learns_much_the_same(training_yaml, tmp_path, capsys):
    losses = {
        "action": {"encoder": 1, "decoder": 1},
        "value": {"encoder": 1, "value": 1},
    }
    plan = [{"name": "earn", "updates": 4, "losses": losses}]
    path = training_yaml(phases=plan)
    for name in ("float32", "bfloat16"):
        ran(path, tmp_path / name, "--train.precision", name)
    one, two = (
        run_files.read_arrays(tmp_path / name / "weights" / "mlp.npz")
        for name in ("float32", "bfloat16")
    )
    first = "encoder.layers.0.kernel"
    assert two[first].dtype == np.float32
    gap = np.abs(one[first] - two[first]).max()
    assert 0 < gap < 0.02


YAMLS = sorted(
    path
    for folder in ("training", "schedules")
    for path in (ROOT / "experiments" / folder).glob("*.yaml")
)
SMALL = {
    "train.num-seeds": 2,
    "train.num-envs": 4,
    "train.num-steps": 4,
    "train.epochs": 1,
    "train.minibatches": 1,
    "train.num_snapshots": 1,
}


COMMANDS = "\n".join(documents.first_commands())
OTHERS = [path for path in YAMLS if f"train {path.relative_to(ROOT)}" not in COMMANDS]
"""Those that the test of the first pages' commands does not train."""


@pytest.mark.slow
@pytest.mark.few(3, rest="long")
@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.stem)
def test_every_config_of_training_runs(path, tmp_path, capsys):
    data = config_files.read_yaml(path)
    if data["env"]["kind"] == "gymnax":
        pytest.importorskip("gymnax")
    flags = [f"--{name}={value}" for name, value in SMALL.items()]
    # as many updates in all of each: then those that are alike share their programs
    count = len(data["train"]["phases"])
    flags += [f"--train.phases.{n}.updates={6 // count}" for n in range(count)]
    found = ran(path, tmp_path / "run", *flags)
    assert found.name == path.stem
    assert set(found.arms) == set(data["arms"])


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_config_of_training_resolves(path, capsys):
    data = config_files.read_yaml(path)
    if data["env"]["kind"] == "gymnax":
        pytest.importorskip("gymnax")
    found = config.build(standalone.Training, data)
    assert found.name == path.stem
    assert all(arm.width >= 1 for arm in found.sized_arms())
    assert cli.main(["config", str(path)]) == 0
    told = config.build(standalone.Training, yaml.safe_load(capsys.readouterr().out))
    assert told == found


def test_the_grid_s_order_is_points_then_seeds():
    plan = TrainConfig(
        phases=(phases.Phase("a", 1),),
        num_seeds=2,
        sweep={"learning_rate": (0.1, 0.2), "td_lambda": (0.5,)},
    )
    found = schedule.hyperparameters(plan, value.Sharded(load_balance=0.3))
    np.testing.assert_allclose(found.learning_rate, [0.1, 0.1, 0.2, 0.2])
    np.testing.assert_allclose(found.load_balance, 0.3)
    assert plan.population == 4
