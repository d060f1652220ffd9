"""Stored trajectories: what is collected, what is drawn, and what a file may hold."""

import copy
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from shardsim import cli
from shardsim.algorithms import rollout
from shardsim.core.types import Trajectory
from shardsim.storage import datasets, run_files
from shardsim_envs import ContextFruits

ENV = ContextFruits(size=3, max_steps=8)
STEPS, ENVS = 5, 3
TINY = {
    "name": "tiny",
    "env": {"kind": "context_fruits", "size": 3, "max_steps": 8},
    "agent": {
        "encoder": {"kind": "mlp", "widths": [8]},
        "decoder_hidden": [8],
        "auxiliary_width": 8,
        "value_params": 600,
    },
    "arms": {"mlp": {"head": {"kind": "mlp"}}},
    "train": {
        "num_seeds": 2,
        "num_envs": 3,
        "num_steps": 4,
        "epochs": 1,
        "num_reset_states": 4,
        "num_snapshots": 1,
        "action_selection": {"kind": "policy_only"},
        "sweep": {"learning_rate": [0.001, 0.01]},
        "phases": [
            {
                "name": "look",
                "collect": "random_walker",
                "updates": 1,
                "losses": {"action": {"encoder": 1, "decoder": 1}},
            },
        ],
    },
}


def made():
    """Every number of a trajectory says where it stands: 100 t + m."""
    number = np.arange(STEPS)[:, None] * 100.0 + np.arange(ENVS)[None]
    shape, contexts = ENV.observation_shape, ENV.num_contexts
    seen = np.zeros((STEPS, ENVS, *shape), np.uint8)
    no = np.zeros((STEPS, ENVS), bool)
    return Trajectory(
        observation=seen,
        context=np.ones((STEPS, ENVS, contexts)),
        action=np.zeros((STEPS, ENVS), np.int32),
        reward=number,
        terminated=no,
        truncated=no,
        next_observation=seen,
        next_context=np.ones((STEPS, ENVS, contexts)),
        rewards=np.zeros((STEPS, ENVS, len(ENV.reward_sources))),
        logits=np.zeros((STEPS, ENVS, ENV.num_actions)),
    )


def test_a_file_comes_back_as_it_was(tmp_path):
    datasets.save(tmp_path / "a.npz", made(), ENV)
    back = datasets.load(tmp_path / "a.npz", ENV, STEPS)
    jax.tree.map(np.testing.assert_array_equal, back, made())


WRONG = {
    "shape of action: got (5, 2)": {"action": np.zeros((STEPS, 2), np.int32)},
    "shape of terminated: got (5, 3, 1)": {
        "terminated": np.zeros((STEPS, ENVS, 1), bool)
    },
    "shape of truncated: got (4, 3)": {"truncated": np.zeros((4, ENVS), bool)},
    "shape of next_context: got (5, 3, 9)": {
        "next_context": np.zeros((STEPS, ENVS, 9))
    },
    "shape of next_observation: got (5, 3)": {
        "next_observation": np.zeros((STEPS, ENVS))
    },
    "shape of logits: got (5, 3, 9)": {"logits": np.zeros((STEPS, ENVS, 9))},
    "shape of rewards: got (5, 3, 9)": {"rewards": np.zeros((STEPS, ENVS, 9))},
    "action holds float64; allowed: whole numbers": {"action": np.zeros((STEPS, ENVS))},
    "terminated holds int64; allowed: bool": {
        "terminated": np.zeros((STEPS, ENVS), np.int64)
    },
    "action: got 4 to 4; allowed in this environment: 0 to 3": {
        "action": np.full((STEPS, ENVS), 4)
    },
    "action: got -1 to -1": {"action": np.full((STEPS, ENVS), -1)},
    "reward is not finite": {"reward": np.full((STEPS, ENVS), np.nan)},
    "shape of reward: got (5,); allowed: (steps, environments)": {
        "reward": np.zeros(STEPS)
    },
    "shape of reward: got (5, 0)": {"reward": np.zeros((STEPS, 0))},
    "shape of reward: got ()": {"reward": np.zeros(())},
}


@pytest.mark.parametrize("message", WRONG)
def test_data_of_another_world_are_named_and_refused(tmp_path, message):
    path = tmp_path / "a.npz"
    datasets.save(path, made()._replace(**WRONG[message]), ENV)
    with pytest.raises(run_files.RunError) as caught:
        datasets.load(path, ENV, STEPS)
    assert message in str(caught.value)


def test_a_field_that_is_missing_and_too_few_steps_are_named(tmp_path):
    path = tmp_path / "a.npz"
    fields = made()._asdict()
    del fields["logits"]
    run_files.write_arrays(path, fields)
    with pytest.raises(run_files.RunError, match=r"no trajectories \(logits missing\)"):
        datasets.load(path, ENV, STEPS)
    datasets.save(path, made(), ENV, overwrite=True)
    with pytest.raises(
        run_files.RunError, match=r"holds 5 steps .* train\.num_steps, 6"
    ):
        datasets.load(path, ENV, STEPS + 1)


def test_a_world_that_differs_in_what_no_phase_may_change_is_refused(tmp_path):
    """Shapes may agree by chance. What phases change may differ, and a file that says
    nothing of its world is taken by its shapes."""
    path = tmp_path / "a.npz"
    datasets.save(path, made(), ENV)
    datasets.load(
        path, dataclasses.replace(ENV, rewards=((0.0, 1.0), (1.0, 0.0))), STEPS
    )
    with pytest.raises(run_files.RunError, match=r"env\.max_steps is 8; allowed: 9"):
        datasets.load(path, dataclasses.replace(ENV, max_steps=9), STEPS)
    run_files.write_arrays(path, made()._asdict())
    datasets.load(path, dataclasses.replace(ENV, max_steps=9), STEPS)
    run_files.write_arrays(path, {**made()._asdict(), "env": np.asarray("{")})
    with pytest.raises(run_files.RunError, match="env is no JSON"):
        datasets.load(path, ENV, STEPS)


def test_a_draw_is_a_stretch_of_one_environment():
    """Every start and environment comes up, the last ones too, and none beyond."""
    kept = jax.tree.map(jnp.asarray, made())
    found = rollout.draw(kept, 3, 200, jax.random.key(0)).reward
    assert found.shape == (3, 200)
    np.testing.assert_array_equal(jnp.diff(found, axis=0), 100.0)
    assert sorted(set(np.asarray(found[0]).tolist())) == [
        100.0 * t + m for t in range(STEPS - 2) for m in range(ENVS)
    ]


def written(tmp_path, **train):
    data = copy.deepcopy(TINY)
    data["train"].update(train)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def collected(source, out, *flags):
    assert cli.main(["collect", str(source), "--out", str(out), *flags]) == 0
    return run_files.read_arrays(out)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    run = folder / "run"
    assert cli.main(["train", str(written(folder)), "--out", str(run)]) == 0
    return run


@pytest.mark.long
def test_agents_of_a_run_act_at_every_point_of_its_grid(trained, tmp_path, capsys):
    """M = updates * seeds * points * environments, and none of them is the walker,
    who was there in the last phase: D has learnt a little, so that it is not even."""
    found = collected(trained, tmp_path / "a.npz", "--updates", "2")
    assert found["reward"].shape == (4, 2 * 2 * 2 * 3)
    logits = found["logits"]
    heading = np.exp(logits).max(axis=-1)
    assert ((heading > 0.25 + 1e-6) & (heading < 0.5 - 1e-3)).all()
    # seed 0 at the first point and at the second: other agents
    assert np.abs(logits[0, 0] - logits[0, 6]).max() > 1e-6
    assert np.abs(logits[0, 0] - np.log(0.25)).max() > 1e-6


@pytest.mark.slow
def test_updates_of_a_config_are_drawn_anew_and_lie_side_by_side(tmp_path, capsys):
    """A fresh D is even: what is done is noise, and tells whether keys come again."""
    phases = [{"name": "earn", "updates": 1, "losses": {"value": {"value": 1}}}]
    path = written(tmp_path, phases=phases)
    found = collected(path, tmp_path / "a.npz", "--updates", "2")
    assert found["reward"].shape == (4, 2 * 2 * 3)
    assert (found["action"][:, :6] != found["action"][:, 6:]).any()
    assert (found["action"][:, :3] != found["action"][:, 3:6]).any()
    # what is seen after a step is what is seen before the next one of the episode
    on = ~(found["terminated"] | found["truncated"])[:-1]
    np.testing.assert_array_equal(
        found["next_observation"][:-1][on], found["observation"][1:][on]
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--updates", "0"], "updates: got 0; allowed: at least 1"),
        (["--arm", "none"], "arm: got 'none'; allowed: mlp"),
        (["--train.num-envs", "4"], "--train.num-envs: got a flag with a run folder"),
    ],
)
def test_what_can_t_be_collected_is_refused(trained, tmp_path, capsys, flags, message):
    out = tmp_path / "a.npz"
    assert cli.main(["collect", str(trained), "--out", str(out), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
    assert cli.main(["collect", str(trained), "--out", str(tmp_path / "a.txt")]) == 2
    assert "a name that ends in .npz" in capsys.readouterr().err


def test_a_file_is_not_replaced_unasked(trained, tmp_path, capsys):
    out = tmp_path / "a.npz"
    out.write_text("mine")
    assert cli.main(["collect", str(trained), "--out", str(out)]) == 2
    assert f"out: got {out}, which exists; allowed: a new file, or --overwrite" in (
        capsys.readouterr().err
    )
    assert out.read_text() == "mine"
    assert "reward" in collected(trained, out, "--updates", "1", "--overwrite")
