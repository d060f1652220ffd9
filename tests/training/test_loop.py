"""The host loop: a signal loses nothing, devices agree."""

import copy
import os
import shutil
import signal

import numpy as np
import pytest
import yaml

from shardsim import cli
from shardsim.commands import run
from shardsim.core import config, config_files
from shardsim.evaluation import experiment, results
from shardsim.storage import checkpoints, run_files, run_folder
from shardsim.training import loop, metric_records
from tests.helpers import run_folders

SAME = ("results.json", "weights/mlp.npz", "weights/sharded.npz")


def started(tiny_yaml, folder, flags=()):
    data = config_files.override(config_files.read_yaml(tiny_yaml), flags)
    found = config.build(experiment.Experiment, data)
    run_folder.create(folder, config_files.to_yaml(found), overwrite=False)
    return found


def lines(folder):
    return sorted((folder / "metrics.jsonl").read_text().splitlines())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_a_stopped_run_ends_with_the_same_bits(
    tiny_yaml, tiny_run, tmp_path, capsys, number
):
    folder = tmp_path / "run"
    found = started(tiny_yaml, folder)

    def signalled(chunk, steps_per_second):
        if (chunk.arm, chunk.update) == ("sharded", 10):
            os.kill(os.getpid(), number)

    with pytest.raises(loop.Interrupted, match="after update 10 of sharded"):
        run.run(found, folder, signalled)
    assert checkpoints.latest(folder / "checkpoints" / "sharded") == 10
    assert not (folder / "results.json").exists()
    assert signal.getsignal(number) != signalled
    assert cli.main(["resume", str(folder)]) == 0
    for name in SAME:
        assert (folder / name).read_bytes() == (tiny_run / name).read_bytes(), name
    # the untrained arm is read again at the start: only the order of lines differs
    assert lines(folder) == lines(tiny_run)


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(
    tiny_run, tiny_unfinished, tmp_path, capsys
):
    """Metrics that are newer than the checkpoint are made again, not doubled."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_unfinished, folder)
    shutil.rmtree(folder / "checkpoints" / "sharded")
    assert cli.main(["resume", str(folder)]) == 0
    for name in ("results.json", "weights/sharded.npz"):
        assert (folder / name).read_bytes() == (tiny_run / name).read_bytes(), name
    both = [*metric_records.chunks(folder), *metric_records.snapshots(folder)]
    marks = [(line.kind, line.arm, line.update) for line in both]
    assert len(marks) == len(set(marks))


def test_a_run_stopped_while_it_is_judged_says_so(
    tiny_run, tmp_path, capsys, monkeypatch
):
    """Even by SIGTERM, which Python lets kill without a word."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    (folder / "results.json").unlink()

    def signalled(*told):
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(run, "judge_arms", signalled)
        assert cli.main(["resume", str(folder)]) == 130
    assert "resume goes on from the last checkpoint" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before
    assert cli.main(["resume", str(folder)]) == 0
    saved = (tiny_run / "results.json").read_bytes()
    assert (folder / "results.json").read_bytes() == saved


@pytest.mark.slow
def test_a_power_cut_at_a_checkpoint_loses_no_snapshot(
    tiny_yaml, tiny_run, tmp_path, capsys, monkeypatch
):
    folder = tmp_path / "run"
    found = started(tiny_yaml, folder)
    save = checkpoints.save

    def cut(where, *rest):
        save(where, *rest)
        if where.name == "mlp":
            raise SystemExit  # the machine is gone as soon as the file is there

    monkeypatch.setattr(checkpoints, "save", cut)
    with pytest.raises(SystemExit):
        run.run(found, folder, lambda *told: None)
    monkeypatch.undo()
    assert cli.main(["resume", str(folder)]) == 0
    for name in SAME:
        assert (folder / name).read_bytes() == (tiny_run / name).read_bytes(), name


@pytest.mark.slow
def test_a_finished_run_is_left_as_it_is(tiny_run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    assert cli.main(["resume", str(folder)]) == 0
    assert (folder / "results.json").read_bytes() == (
        tiny_run / "results.json"
    ).read_bytes()


def noted(folder, name):
    """What the chunks of each arm noted under a name."""
    chunks = metric_records.chunks(folder)
    numbers = [(c.arm, {"reward": c.reward, **c.terms}.get(name)) for c in chunks]
    arms = ("mlp", "sharded")
    return {arm: [x for of, x in numbers if of == arm] for arm in arms}


@pytest.mark.slow
def test_paired_arms_see_the_data_of_the_arm_that_acts(
    tiny_yaml, tiny_run, tmp_path, capsys
):
    out = tmp_path / "run"
    flags = ["--train.data", "tandem", "--train.behaviour_arm", "sharded"]
    assert cli.main(["run", str(tiny_yaml), "--out", str(out), *flags]) == 0
    own, paired = noted(tiny_run, "reward"), noted(out, "reward")
    assert own["mlp"] != own["sharded"]
    assert paired["mlp"] == paired["sharded"]
    np.testing.assert_allclose(paired["sharded"], own["sharded"])
    losses = noted(out, "value_loss")
    assert losses["mlp"] != losses["sharded"]
    assert results.read_run(out).data == "tandem"


@pytest.mark.long
def test_seeds_do_not_depend_on_their_number(tiny_yaml, command_run, tmp_path):
    """Seed 0 and 1 of three are seed 0 and 1 of two, bit for bit."""
    out = tmp_path / "run"
    run_folders.shardsim("run", tiny_yaml, "--out", out, "--train.num-seeds", 3)
    two = run_files.read_arrays(command_run / "weights" / "mlp.npz")
    three = run_files.read_arrays(out / "weights" / "mlp.npz")
    for name, leaf in two.items():
        np.testing.assert_array_equal(three[name][:2], leaf)


@pytest.mark.long
def test_two_devices_agree_with_one(tiny_yaml, tmp_path):
    """Bit for bit."""
    flags = run_folders.ENVIRONMENT["XLA_FLAGS"]
    forced = f"{flags} --xla_force_host_platform_device_count=2"
    found = []
    for devices in (1, 2):
        out = tmp_path / str(devices)
        words = ["run", tiny_yaml, "--out", out, "--train.devices", devices]
        run_folders.shardsim(*words, XLA_FLAGS=forced)
        found.append(run_files.read_arrays(out / "weights" / "mlp.npz"))
    one, two = found
    for name, leaf in one.items():
        np.testing.assert_array_equal(two[name], leaf)


def test_the_tiny_config_is_a_config_like_any(tiny_yaml):
    data = yaml.safe_load(tiny_yaml.read_text())
    wrong = copy.deepcopy(data)
    wrong["arms"] = {"untrained": data["arms"]["untrained"]}
    with pytest.raises(config.ConfigError, match="arms: got none that is trained"):
        config.build(experiment.Experiment, wrong)
