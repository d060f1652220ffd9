"""Run folders and checkpoints: whole or not at all, and back bit for bit."""

import errno
import gc
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from shardsim.core import files
from shardsim.storage import (
    checkpoints,
    json_lines,
    provenance,
    records,
    run_files,
    run_folder,
    run_layout,
    weights,
)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    run_files.write_json(path, {"a": 1})

    def full(number):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        run_files.write_json(path, {"a": 2})
    with pytest.raises(OSError, match="No space"):
        run_files.write_arrays(tmp_path / "x.npz", {"a": np.zeros(3)})
    assert run_files.read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["results.json"]  # and no litter


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        run_files.write_json(tmp_path / "a.json", {"a": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_a_torn_last_line_is_skipped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    run_files.append_line(path, {"update": 1})
    with path.open("a") as file:
        file.write('{"update": ')
    assert json_lines.read(path) == [{"update": 1}]
    assert json_lines.read(tmp_path / "none") == []


def test_a_torn_array_file_is_named(tmp_path):
    path = tmp_path / "maps.npz"
    run_files.write_arrays(path, {"a/b": np.arange(3)})
    np.testing.assert_array_equal(run_files.read_arrays(path)["a/b"], [0, 1, 2])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(run_files.RunError, match=r"maps\.npz"):
        run_files.read_arrays(path)
    with pytest.raises(run_files.RunError, match=r"none\.npz"):
        run_files.read_arrays(tmp_path / "none.npz")


@pytest.mark.parametrize("wreck", ["empty", "method", "encrypted", "one array"])
def test_whatever_tears_an_array_file_it_is_named(tmp_path, wreck):
    """Nothing in it; a flipped bit at two places; an array that is no archive."""
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(3))
    whole = path.read_bytes()
    entry = whole.index(b"PK\x01\x02")  # 8: flags, 10: how it is compressed
    flipped = {"method": (entry + 10, 8 ^ 1), "encrypted": (entry + 8, 1)}
    if wreck == "one array":
        with path.open("wb") as file:
            np.save(file, np.arange(3))
    else:
        at, bit = flipped.get(wreck, (0, 0))
        torn = whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :]
        path.write_bytes(b"" if wreck == "empty" else torn)
    with pytest.raises(run_files.RunError, match=r"a\.npz: damaged"):
        run_files.read_arrays(path)


def test_provenance_can_be_written(tmp_path):
    found = provenance.collect()
    assert found.versions["jax"] == jax.__version__
    records.write(tmp_path / "provenance.json", found)
    assert records.read(tmp_path / "provenance.json", provenance.Provenance) == found


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
        checkpoints.save(folder, update, carry(update / 3), "mine")
    checkpoints.save(folder, 3, carry(9), "mine")  # there already: left as it is
    assert checkpoints.latest(folder) == 3
    back = checkpoints.restore(folder, 3, carry(0), "mine")
    want = carry(1.0)
    np.testing.assert_array_equal(back["weights"], want["weights"])
    np.testing.assert_array_equal(
        jax.random.key_data(back["keys"]), jax.random.key_data(want["keys"])
    )
    kept = sorted(int(p.name) for p in folder.iterdir())
    assert kept == [2, 3]


def test_a_foreign_checkpoint_is_refused(tmp_path):
    folder = tmp_path / "arm"
    checkpoints.save(folder, 1, carry(1), "mine")
    other = {**carry(0), "weights": jnp.zeros((4, 4))}
    with pytest.raises(
        run_files.RunError, match=r"arm/1: of another config \(.*weights"
    ):
        checkpoints.restore(folder, 1, other, "mine")


# orbax leaves reads behind that nobody waits for when one of them fails
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_torn_checkpoint_is_named(tmp_path):
    folder = tmp_path / "arm"
    checkpoints.save(folder, 1, carry(1), "mine")
    for part in folder.glob("1/**/d/*"):
        part.write_bytes(b"")
    with pytest.raises(run_files.RunError, match="arm/1: damaged"):
        checkpoints.restore(folder, 1, carry(0), "mine")
    gc.collect()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_checkpoint_before_a_torn_one_is_used(tmp_path):
    folder = tmp_path / "arm"
    assert checkpoints.newest(folder, carry(0), "mine") is None
    for update in (1, 2):
        checkpoints.save(folder, update, carry(update), "mine")
    for part in folder.glob("2/**/d/*"):
        part.write_bytes(b"")
    found = checkpoints.newest(folder, carry(0), "mine")
    assert found.update == 1
    np.testing.assert_array_equal(found.state["weights"], carry(1)["weights"])
    (text,) = found.refused
    assert "arm/2: damaged" in text
    assert (tmp_path / "arm.2.refused").is_dir()  # put aside, not deleted
    # what was refused is not met again, and a newer one can be saved in its place
    assert checkpoints.newest(folder, carry(0), "mine").refused == ()
    checkpoints.save(folder, 2, carry(2), "mine")
    assert checkpoints.newest(folder, carry(0), "mine").update == 2
    for part in folder.glob("2/**/d/*"):  # torn once more: the older wreck makes way
        part.write_bytes(b"")
    assert checkpoints.newest(folder, carry(0), "mine").update == 1
    gc.collect()


def test_where_none_can_be_used_it_is_said(tmp_path):
    folder = tmp_path / "arm"
    checkpoints.save(folder, 1, carry(1), "mine")
    other = {**carry(0), "weights": jnp.zeros((4, 4))}
    with pytest.raises(run_files.RunError, match=r"of another config .* none is left"):
        checkpoints.newest(folder, other, "mine")


def test_bits_that_flipped_are_found(tmp_path):
    """In the arrays themselves, where nothing else would notice."""
    folder = tmp_path / "arm"
    for update in (1, 2):
        checkpoints.save(folder, update, big(update), "mine")
    part = max(folder.glob("2/**/d/*"), key=lambda path: path.stat().st_size)
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(bytes(data))
    found = checkpoints.newest(folder, big(0), "mine")
    assert found.update == 1
    assert "arm/2: damaged" in found.refused[0]


def big(scale):
    noise = np.random.default_rng(0).normal(size=(200, 200))
    return {"weights": jnp.asarray(noise * scale, jnp.float32)}


def test_a_checkpoint_knows_its_run_and_its_update(tmp_path):
    """Shapes may agree by chance, and folders can be renamed."""
    folder = tmp_path / "arm"
    checkpoints.save(folder, 1, carry(1), "mine")
    checkpoints.save(folder, 2, carry(2), "another's")
    assert checkpoints.restore(folder, 2, carry(0), "another's") is not None
    found = checkpoints.newest(folder, carry(0), "mine")
    assert found.update == 1
    assert "arm/2: of another run or another update" in found.refused[0]
    (folder / "1").rename(folder / "3")
    with pytest.raises(
        run_files.RunError, match="arm/3: of another run or another update"
    ):
        checkpoints.restore(folder, 3, carry(0), "mine")


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    folder = tmp_path / "arm"
    checkpoints.save(folder, 1, carry(1), "mine")

    def full(*words, **named):
        raise ValueError("RESOURCE_EXHAUSTED:\n no space")

    monkeypatch.setattr(checkpoints.ocp.CheckpointManager, "save", full)
    with pytest.raises(OSError, match=r"arm/2: could not be written \(RESOURCE_.* no"):
        checkpoints.save(folder, 2, carry(2), "mine")
    assert checkpoints.newest(folder, carry(0), "mine").update == 1


def test_a_torn_line_takes_no_other_with_it(tmp_path):
    path = tmp_path / "a.jsonl"
    run_files.append_line(path, {"n": 1})
    path.write_text(path.read_text() + '{"n": 2, "tor')
    run_files.append_line(path, {"n": 3})
    run_files.append_line(path, {"n": 4})
    assert [row["n"] for row in json_lines.read(path)] == [1, 3, 4]
    json_lines.keep_if(path, lambda row: row["n"] != 3)
    assert path.read_text() == '{"n": 1}\n{"n": 4}\n'
    json_lines.keep_if(tmp_path / "none.jsonl", lambda row: True)
    assert not (tmp_path / "none.jsonl").exists()


def test_one_process_works_in_a_folder_and_sweeps_it(tmp_path):
    folder = run_folder.create(tmp_path / "run", "a: 1", overwrite=False)
    left = folder / "weights" / f"{files.PARTIAL_PREFIX}x"
    left.parent.mkdir()
    left.write_text("half")
    with run_folder.lock(folder):
        assert not left.exists()
        with (
            pytest.raises(run_files.RunError, match="another process is at work here"),
            run_folder.lock(folder),
        ):
            raise AssertionError
    with run_folder.lock(folder):
        pass


def test_a_run_that_is_at_work_is_not_overwritten(tmp_path):
    folder = run_folder.create(tmp_path / "run", "name: a\n", overwrite=False)
    with (
        run_folder.lock(folder),
        pytest.raises(run_files.RunError, match="another process"),
    ):
        run_folder.create(folder, "name: b\n", overwrite=True)
    assert (folder / run_layout.CONFIG_FILE).read_text() == "name: a\n"


def test_a_link_and_where_we_are_can_be_overwritten(tmp_path, monkeypatch):
    folder = run_folder.create(tmp_path / "run", "name: a\n", overwrite=False)
    (folder / "weights").mkdir()
    (tmp_path / "link").symlink_to(folder)
    run_folder.create(tmp_path / "link", "name: b\n", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (folder / run_layout.CONFIG_FILE).read_text() == "name: b\n"
    assert not (folder / "weights").exists()
    monkeypatch.chdir(folder)
    run_folder.create(Path(), "name: c\n", overwrite=True)
    assert (folder / run_layout.CONFIG_FILE).read_text() == "name: c\n"


def test_a_path_that_is_too_long_is_one_line(tmp_path):
    with pytest.raises(run_files.RunError, match="File name too long"):
        run_folder.create(tmp_path / ("n" * 300), "", overwrite=False)


def test_what_was_left_half_written_is_no_run_to_protect(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / f"{files.PARTIAL_PREFIX}x").write_text("half")
    assert run_folder.create(folder, "a: 1", overwrite=False) == folder
    assert (folder / run_layout.CONFIG_FILE).read_text() == "a: 1"


def test_all_files_can_be_read_by_others_and_a_full_disk_names_the_file(
    tmp_path, monkeypatch
):
    path = tmp_path / "a.npz"
    run_files.write_arrays(path, {"x": np.zeros(2)})
    assert path.stat().st_mode & 0o777 == 0o644

    def full(*words, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_files.np, "savez", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.npz'"):
        run_files.write_arrays(path, {"x": np.ones(2)})
    assert run_files.read_arrays(path)["x"].tolist() == [0, 0]
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_weights_of_a_file_become_a_module_again():
    made = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    other = nnx.Linear(2, 3, rngs=nnx.Rngs(1))
    arrays = weights.flatten_params(made)
    back = weights.restore_params(other, arrays)
    np.testing.assert_array_equal(back.kernel[...], made.kernel[...])
    named = {f"encoder.{name}": leaf for name, leaf in arrays.items()}
    np.testing.assert_array_equal(
        weights.restore_params(other, named, "encoder").bias[...], made.bias[...]
    )
    del arrays["kernel"]
    with pytest.raises(run_files.RunError, match="weights: kernel is missing"):
        weights.restore_params(other, arrays)
