"""What a resume finds: a signal, a wreck, another config; nothing is lost or mixed."""

import copy
import gc
import os
import shutil
import signal

import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from shardsim import cli
from shardsim.evaluation import load
from shardsim.storage import checkpoints, run_files, run_layout
from tests.helpers.tiny_run import run_and_copy

LEARNT = {"value": {"encoder": 1, "value": 1}}


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """A finished training of one arm; tests change copies of it."""
    folder = tmp_path_factory.mktemp("whole")
    data = copy.deepcopy({n: tiny[n] for n in ("name", "env", "agent", "train")})
    data["arms"] = {"mlp": tiny["arms"]["mlp"]}
    data["train"]["phases"] = [{"name": "earn", "updates": 9, "losses": LEARNT}]
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(data))
    run_and_copy(["train", str(path)], folder / "run", folder / "unfinished")
    return folder / "run"


@pytest.fixture
def run(whole, tmp_path):
    """The same, killed before the weights of the end were written."""
    folder = tmp_path / "run"
    shutil.copytree(whole.parent / "unfinished", folder)
    return folder


def ends_alike(run, whole):
    for name in ("results.json", "weights/mlp.npz"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_signal_after_the_last_update_stops(run, whole, capsys, monkeypatch):
    """No chunk is left after which it could be heeded."""
    newest = checkpoints.newest

    def signalled(*told):
        os.kill(os.getpid(), signal.SIGTERM)
        return newest(*told)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "newest", signalled)
        assert cli.main(["resume", str(run)]) == 130
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "stopped by signal 15 after the last update; go on with" in line
    assert cli.main(["resume", str(run)]) == 0
    ends_alike(run, whole)


@pytest.mark.parametrize("wreck", [b"\xff\xfe", b"5\n", b"{}\n", b'{"arm": "mlp"}\n'])
def test_flipped_bits_in_the_metrics_take_no_more_than_their_line(
    run, whole, capsys, wreck
):
    path = run / "metrics.jsonl"
    path.write_bytes(wreck.strip() + b"\n" + path.read_bytes())
    assert cli.main(["resume", str(run)]) == 0
    ends_alike(run, whole)
    assert path.read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_a_run_killed_before_it_said_where_it_comes_from_says_it(run, capsys):
    path = run / "provenance.json"
    path.unlink()
    assert cli.main(["resume", str(run)]) == 0
    assert "versions" in run_files.read_json(path)
    before = path.read_bytes()
    assert cli.main(["resume", str(run)]) == 0
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_run_that_begins_anew_keeps_no_snapshot_of_another_config(run, capsys):
    data = yaml.safe_load((run / run_layout.CONFIG_FILE).read_text())
    data["train"]["phases"][0]["updates"] = 4
    (run / run_layout.CONFIG_FILE).write_text(yaml.safe_dump(data))
    assert cli.main(["resume", str(run)]) == 2
    assert "resuming again starts from update 0" in capsys.readouterr().err
    assert cli.main(["resume", str(run)]) == 0
    kept = {path.name for path in (run / "snapshots" / "mlp").iterdir()}
    assert kept == {f"{update:07d}.npz" for update in (0, 1, 2)}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk that is full")
def test_a_full_disk_names_the_metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"metrics\.jsonl"):
        run_files.append_line(path, {"update": 1})


def test_stored_data_that_changed_are_another_run(run, tmp_path, capsys):
    """A file may be collected anew under its name."""
    data = yaml.safe_load((run / run_layout.CONFIG_FILE).read_text())
    data["train"]["dataset"] = str(tmp_path / "kept.npz")
    data["train"]["phases"][0]["collect"] = "dataset"
    path, out = tmp_path / "stored.yaml", tmp_path / "stored"
    path.write_text(yaml.safe_dump(data))
    world = load.load(run).env
    shape = (4, 2)
    seen = np.zeros((*shape, *world.observation_shape), np.uint8)
    one, no = np.ones((*shape, 2), np.float32), np.zeros(shape, bool)
    kept = {
        **{"observation": seen, "next_observation": seen, "reward": one[..., 0]},
        **{"context": one, "next_context": one, "terminated": no, "truncated": no},
        **{"rewards": one, "action": no.astype(int), "logits": np.zeros((*shape, 4))},
    }
    np.savez(data["train"]["dataset"], **kept)
    assert cli.main(["train", str(path), "--out", str(out)]) == 0
    assert cli.main(["resume", str(out)]) == 0
    np.savez(data["train"]["dataset"], **{**kept, "reward": 2 * one[..., 0]})
    capsys.readouterr()
    assert cli.main(["resume", str(out)]) == 2
    assert "with another config or other data than" in capsys.readouterr().err


# what comes too late for it is not told by the command: tests/shardsim/test_signals.py
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_orbax_leaves_behind_tells_nothing_more(tmp_path, caplog):
    """It logs with a traceback what no task was asked about, whenever it is collected;
    enough arrays, and some task is."""
    carry = {f"{n:02d}": jnp.full((9, 9), n) for n in range(40)}
    for update in (1, 2):
        checkpoints.save(tmp_path / "arm", update, carry, "run")
    (tmp_path / "arm" / "2" / "default" / "manifest.ocdbt").unlink()
    (tmp_path / "arm" / "2" / "_CHECKPOINT_METADATA").write_text("{")
    found = checkpoints.newest(tmp_path / "arm", carry, "run")
    assert found is not None
    assert found.update == 1
    gc.collect()
    assert [record.getMessage() for record in caplog.records] == []
