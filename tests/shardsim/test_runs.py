"""Run folders and checkpoints: whole or not at all, and back bit for bit."""

import errno
import gc
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

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
    with pytest.raises(runs.RunError, match=r"arm/1: of another config \(.*weights"):
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


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_checkpoint_before_a_torn_one_is_used(tmp_path):
    folder = tmp_path / "arm"
    assert checkpoints.newest(folder, carry(0)) is None
    for update in (1, 2):
        checkpoints.save(folder, update, carry(update))
    for part in folder.glob("2/**/d/*"):
        part.write_bytes(b"")
    found = checkpoints.newest(folder, carry(0))
    assert found.update == 1
    np.testing.assert_array_equal(found.carry["weights"], carry(1)["weights"])
    (text,) = found.refused
    assert "arm/2: torn" in text
    assert (tmp_path / "arm.2.refused").is_dir()  # put aside, not deleted
    # what was refused is not met again, and a newer one can be saved in its place
    assert checkpoints.newest(folder, carry(0)).refused == ()
    checkpoints.save(folder, 2, carry(2))
    assert checkpoints.newest(folder, carry(0)).update == 2
    for part in folder.glob("2/**/d/*"):  # torn once more: the older wreck makes way
        part.write_bytes(b"")
    assert checkpoints.newest(folder, carry(0)).update == 1
    gc.collect()


def test_where_none_can_be_used_it_is_said(tmp_path):
    folder = tmp_path / "arm"
    checkpoints.save(folder, 1, carry(1))
    other = {**carry(0), "weights": jnp.zeros((4, 4))}
    with pytest.raises(runs.RunError, match=r"of another config .* none is left"):
        checkpoints.newest(folder, other)


def test_weights_of_a_file_become_a_module_again():
    made = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    other = nnx.Linear(2, 3, rngs=nnx.Rngs(1))
    arrays = runs.dotted(made)
    back = runs.filled(other, arrays)
    np.testing.assert_array_equal(back.kernel[...], made.kernel[...])
    named = {f"encoder.{name}": leaf for name, leaf in arrays.items()}
    np.testing.assert_array_equal(
        runs.filled(other, named, "encoder").bias[...], made.bias[...]
    )
    del arrays["kernel"]
    with pytest.raises(runs.RunError, match="weights: kernel is missing"):
        runs.filled(other, arrays)
