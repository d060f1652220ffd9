"""Run folders and checkpoints: whole or not at all, and back bit for bit."""

import errno
import gc
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from shardsim import checkpoints, runs


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    runs.write_json(path, {"a": 1})

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        runs.write_json(path, {"a": 2})
    with pytest.raises(OSError, match="No space"):
        runs.write_arrays(tmp_path / "x.npz", {"a": np.zeros(3)})
    assert runs.read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["results.json"]  # and no litter


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        runs.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_a_torn_last_line_is_skipped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    runs.append_line(path, {"update": 1})
    with path.open("a") as file:
        file.write('{"update": ')
    assert runs.read_lines(path) == [{"update": 1}]
    assert runs.read_lines(tmp_path / "none") == []


def test_a_torn_array_file_is_named(tmp_path):
    path = tmp_path / "maps.npz"
    runs.write_arrays(path, {"a/b": np.arange(3)})
    np.testing.assert_array_equal(runs.read_arrays(path)["a/b"], [0, 1, 2])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(runs.RunError, match=r"maps\.npz"):
        runs.read_arrays(path)
    with pytest.raises(runs.RunError, match=r"none\.npz"):
        runs.read_arrays(tmp_path / "none.npz")


def test_provenance_can_be_written(tmp_path):
    found = runs.provenance()
    assert found["versions"]["jax"] == jax.__version__
    json.dumps(found)


def carry(scale):
    return {
        "weights": jnp.arange(6.0).reshape(2, 3) * scale,
        "keys": jax.random.split(jax.random.key(3), 2),
        "update": jnp.int32(5),
    }


def test_checkpoints_come_back_bit_for_bit(tmp_path):
    folder = tmp_path / "arm"
    assert checkpoints.latest(folder) is None
    for update in (1, 2, 3):
        checkpoints.save(folder, update, carry(update / 3))
    checkpoints.save(folder, 3, carry(9))  # there already: left as it is
    assert checkpoints.latest(folder) == 3
    back = checkpoints.restore(folder, 3, carry(0))
    want = carry(1.0)
    np.testing.assert_array_equal(back["weights"], want["weights"])
    np.testing.assert_array_equal(
        jax.random.key_data(back["keys"]), jax.random.key_data(want["keys"])
    )
    kept = sorted(int(p.name) for p in folder.iterdir())
    assert kept == [2, 3]


def test_a_foreign_checkpoint_is_refused(tmp_path):
    folder = tmp_path / "arm"
    checkpoints.save(folder, 1, carry(1))
    other = {**carry(0), "weights": jnp.zeros((4, 4))}
    with pytest.raises(runs.RunError, match=r"arm: of another config \(.*weights"):
        checkpoints.restore(folder, 1, other)


# orbax leaves reads behind that nobody waits for when one of them fails
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_torn_checkpoint_is_named(tmp_path):
    folder = tmp_path / "arm"
    checkpoints.save(folder, 1, carry(1))
    for part in folder.glob("1/**/d/*"):
        part.write_bytes(b"")
    with pytest.raises(runs.RunError, match="arm/1: torn"):
        checkpoints.restore(folder, 1, carry(0))
    gc.collect()
