"""Only files that a run wrote are ever replaced or removed."""

import errno
import json
import os
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from shardsim.core import files
from shardsim.storage import checkpoints, run_files, run_folder, run_layout, snapshots
from tests.core.test_files import NAMES


def made(path):
    """A run with a file of each kind."""
    folder = run_folder.create(path, "name: a\n", overwrite=False)
    run_files.append_line(folder / "metrics.jsonl", {"update": 1})
    run_files.write_arrays(folder / "weights" / "mlp.npz", {"a": np.zeros(1)})
    run_files.write_arrays(
        snapshots.place(folder, "mlp", 3),
        {"a": np.zeros(1)},
    )
    run_files.write_json(folder / "results.json", {"a": 1})
    run_files.write_text(folder / "report.html", "<p>")
    run_files.write_text(folder / "figures" / "curves.svg", "<svg>")
    checkpoints.save(folder / "checkpoints" / "mlp", 3, {"a": jnp.zeros(1)}, "mine")
    return folder


def all_files(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() or path.is_symlink()
    }


OWN = {"config.yaml", "provenance.json", "run_files.jsonl", "shardsim_run.json"}
MINE = (
    *("notes.md", ".git/HEAD", "data/measured.csv", "weights/mine.npz", "page.html"),
    *("figures/mine.svg", "snapshots/mlp/notes.txt", "snapshots/mlp/0000009.npz"),
    *("checkpoints/notes.txt", "checkpoints/mlp/notes.txt", "report (copy).html"),
    *(".half-mine", "data/.shardsim-unfinished-1", "nested/config.yaml"),
)
"""Files of the user, some of which have names like those of a run."""


def with_mine(folder):
    for name in MINE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
    return folder


def test_only_files_of_the_run_are_removed(tmp_path):
    folder = with_mine(made(tmp_path / "run"))
    run_folder.create(folder, "name: b\n", overwrite=True)
    assert all_files(folder) == OWN | set(MINE)
    assert all((folder / name).read_text() == "mine" for name in MINE)
    assert files.read_text(folder / "config.yaml") == "name: b\n"


IN_CHECKPOINTS = (
    *("notes.txt", "default/notes.txt", "default/d/notes", "default/d/0123abcd"),
    *("mine/manifest.ocdbt", "default/ocdbt.process_0/d/best.npz", "_mine"),
)
"""Files of the user in the folder of a checkpoint."""


@pytest.mark.few(2)
@pytest.mark.parametrize("name", IN_CHECKPOINTS)
def test_a_file_in_a_checkpoint_is_in_the_way(tmp_path, name):
    """It was lost with the checkpoint, by --overwrite."""
    folder = made(tmp_path / "run")
    mine = folder / "checkpoints" / "mlp" / "3" / name
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    before = all_files(folder)
    with pytest.raises(run_files.RunError, match=rf"whose .*mlp/3/{name} no run wrote"):
        run_folder.create(folder, "name: b\n", overwrite=True)
    assert all_files(folder) == before


def test_a_checkpoint_of_another_run_is_in_the_way(tmp_path):
    """It has a checkpoint's files; the list of the run says that it is not its own."""
    folder, other = made(tmp_path / "run"), made(tmp_path / "other")
    theirs = folder / "checkpoints" / "mlp" / "7"
    shutil.copytree(other / "checkpoints" / "mlp" / "3", theirs)
    before = all_files(folder)
    with pytest.raises(run_files.RunError, match=r"whose checkpoints/mlp/7 no run"):
        run_folder.create(folder, "name: b\n", overwrite=True)
    assert all_files(folder) == before


def test_old_checkpoints_go_and_files_in_them_stay(tmp_path):
    """A training keeps two checkpoints, and lost what the user kept in older ones."""
    folder = made(tmp_path / "run") / "checkpoints" / "mlp"
    (folder / "3" / "default" / "notes.txt").write_text("mine")
    (folder / "link").symlink_to(folder / "3")
    for update in (4, 5, 6):
        checkpoints.save(folder, update, {"a": jnp.full(1, float(update))}, "mine")
    names = {path.name for path in folder.iterdir()}
    assert names == {"3", "5", "6", "link"}
    assert all_files(folder / "3") == {"default/notes.txt"}
    assert checkpoints.latest(folder) == 6
    back = checkpoints.newest(folder, {"a": jnp.zeros(1)}, "mine")
    assert float(back.state["a"][0]) == 6.0


def test_what_was_refused_before_stays_when_another_is(tmp_path):
    folder = made(tmp_path / "run") / "checkpoints" / "mlp"
    like = {"a": jnp.zeros(1)}
    for _ in range(2):
        checkpoints.save(folder, 4, {"a": jnp.ones(1)}, "another's")
        (folder / "4" / "notes.txt").write_text("mine")
        assert checkpoints.newest(folder, like, "mine").update == 3
    aside = ["mlp.4.refused", "mlp.4.refused.2"]
    assert all((folder.parent / name / "notes.txt").exists() for name in aside)
    run_folder.create(tmp_path / "run", "name: b\n", overwrite=True)
    left = {name for name in all_files(tmp_path / "run") if "checkpoints" in name}
    assert left == {f"checkpoints/{name}/notes.txt" for name in aside}


def test_half_a_checkpoint_goes_and_a_file_in_it_stays(tmp_path, monkeypatch):
    folder = made(tmp_path / "run") / "checkpoints" / "mlp"
    torn = folder / "4.orbax-checkpoint-tmp"

    def full(*arguments, **named):
        (torn / "default" / "d").mkdir(parents=True)
        (torn / "default" / "d" / ("0" * 32)).write_text("half")
        (torn / "notes.txt").write_text("mine")
        raise ValueError("no space")

    monkeypatch.setattr(checkpoints.ocp.CheckpointManager, "save", full)
    with pytest.raises(OSError, match="could not be written"):
        checkpoints.save(folder, 4, {"a": jnp.zeros(1)}, "mine")
    assert all_files(torn) == {"notes.txt"}


def test_without_files_of_the_user_nothing_is_left(tmp_path):
    folder = made(tmp_path / "run")
    run_folder.create(folder, "name: b\n", overwrite=True)
    assert {path.name for path in folder.iterdir()} == OWN


def test_a_run_whose_list_is_gone_is_not_replaced(tmp_path):
    """Nothing says any more which files are the run's."""
    folder = made(tmp_path / "run")
    (folder / "run_files.jsonl").unlink()
    before = all_files(folder)
    with pytest.raises(run_files.RunError, match=r"whose config\.yaml no run wrote"):
        run_folder.create(folder, "name: b\n", overwrite=True)
    assert all_files(folder) == before


def test_a_project_with_a_config_is_no_run(tmp_path):
    project = tmp_path / "project"
    with_mine(project)
    (project / "config.yaml").write_text("name: a\n")
    with pytest.raises(run_files.RunError, match="which exists; allowed: a new"):
        run_folder.create(project, "name: b\n", overwrite=False)
    with pytest.raises(run_files.RunError, match="which holds no run"):
        run_folder.create(project, "name: b\n", overwrite=True)
    assert all_files(project) == {*MINE, "config.yaml"}


def test_a_file_that_the_run_did_not_write_is_in_the_way(tmp_path):
    folder = run_folder.create(tmp_path / "run", "name: a\n", overwrite=False)
    (folder / "report.html").write_text("mine")
    with pytest.raises(run_files.RunError, match=r"whose report\.html no run wrote"):
        run_folder.create(folder, "name: b\n", overwrite=True)
    assert (folder / "report.html").read_text() == "mine"
    assert files.read_text(folder / "config.yaml") == "name: a\n"


def test_a_link_to_elsewhere_is_not_followed(tmp_path):
    folder = made(tmp_path / "run")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "notes").write_text("mine")
    (folder / "link").symlink_to(elsewhere, target_is_directory=True)
    run_folder.create(folder, "name: b\n", overwrite=True)
    assert (folder / "link" / "notes").read_text() == "mine"


def test_a_list_that_was_tampered_with_reaches_nothing_else(tmp_path):
    folder = made(tmp_path / "run")
    (tmp_path / "mine").write_text("mine")
    with (folder / "run_files.jsonl").open("a", encoding="utf-8") as file:
        for name in ("../mine", str(tmp_path / "mine"), 3, None, ["a"]):
            file.write(json.dumps({"file": name}) + "\n")
        file.write('{"torn')
    run_folder.create(folder, "name: b\n", overwrite=True)
    assert (tmp_path / "mine").read_text() == "mine"


def test_what_was_changed_is_written_again_only_if_told(tmp_path):
    folder = made(tmp_path / "run")
    run_files.check_own(folder, False, *run_layout.REWRITTEN)
    run_files.write_text(folder / "report.html", "<p>two")  # both texts are its own
    run_files.check_own(folder, False, *run_layout.REWRITTEN)
    (folder / "report.html").write_text("<p>")
    run_files.check_own(folder, False, *run_layout.REWRITTEN)
    (folder / "report.html").write_text("<p>with my remarks")
    with pytest.raises(run_files.RunError, match=r"report\.html: was changed since"):
        run_files.check_own(folder, False, *run_layout.REWRITTEN)
    run_files.check_own(folder, True, *run_layout.REWRITTEN)
    (folder / "report.html").unlink()
    run_files.check_own(folder, False, *run_layout.REWRITTEN)
    (folder / "figures" / "mine.svg").write_text("mine")
    with pytest.raises(run_files.RunError, match=r"mine\.svg: exists, and the run di"):
        run_files.check_own(folder, False, *run_layout.REWRITTEN)


def test_snapshots_are_deleted_and_nothing_beside_them(tmp_path):
    folder = with_mine(made(tmp_path / "run"))
    (folder / "snapshots" / "mlp" / "best.npz").write_text("mine")
    snapshots.delete(folder, "mlp")
    left = {path.name for path in (folder / "snapshots" / "mlp").iterdir()}
    assert left == {"notes.txt", "best.npz"}


def test_what_a_killed_process_left_is_swept_only_where_a_run_writes(tmp_path):
    folder = with_mine(made(tmp_path / "run"))
    left = [
        folder / name / f"{files.PARTIAL_PREFIX}0"
        for name in (".", "weights", "figures", "snapshots/mlp")
    ]
    for path in left:
        path.write_text("half")
    with run_folder.lock(folder):
        assert not any(path.exists() for path in left)
    assert all((folder / name).exists() for name in MINE)


@pytest.mark.parametrize(
    "number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO]
)
def test_without_locks_work_goes_on_and_says_so(tmp_path, monkeypatch, capsys, number):
    def unable(*arguments):
        raise OSError(number, os.strerror(number))

    folder = made(tmp_path / "run")
    monkeypatch.setattr(run_folder.fcntl, "flock", unable)
    with run_folder.lock(folder):
        pass
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"shardsim: {folder}: there are no locks here; a second process in the folder "
        "would go unnoticed"
    )


def test_a_lock_of_another_is_still_an_error(tmp_path, monkeypatch):
    def held(*arguments):
        raise BlockingIOError(errno.EAGAIN, "held")

    folder = made(tmp_path / "run")
    monkeypatch.setattr(run_folder.fcntl, "flock", held)
    with (
        pytest.raises(run_files.RunError, match="another process is at work"),
        run_folder.lock(folder),
    ):
        raise AssertionError


@pytest.mark.few(3)
@pytest.mark.parametrize("name", NAMES)
def test_a_run_has_any_name(tmp_path, name):
    folder = made(tmp_path / name / "run")
    checkpoint = folder / "checkpoints" / "mlp"
    state = {"a": jnp.zeros(1)}
    for update in (4, 5):
        checkpoints.save(checkpoint, update, {"a": jnp.full(1, float(update))}, "mine")
    assert checkpoints.latest(checkpoint) == 5
    back = checkpoints.newest(checkpoint, state, "mine")
    assert (back.update, float(back.state["a"][0])) == (5, 5.0)
    assert sorted(path.name for path in checkpoint.iterdir()) == ["4", "5"]
    other = made(tmp_path / "other")
    with (folder / "report.html").open("a", encoding="utf-8") as file:
        file.write("mine")
    with pytest.raises(run_files.RunError, match="was changed"):
        run_files.check_own(folder, False, "*.html")
    run_folder.create(folder, "name: b\n", overwrite=True)
    assert all_files(folder) == OWN
    assert all_files(other) > OWN


def test_a_run_below_a_link_and_by_a_relative_path(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "[link]").symlink_to(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    folder = made(run_folder.Path("[link]") / "run")
    run_folder.create(folder, "name: b\n", overwrite=True)
    assert all_files(tmp_path / "there" / "run") == OWN
    shutil.rmtree(folder)


def test_a_run_follows_the_umask(tmp_path):
    before = os.umask(0o007)
    try:
        folder = made(tmp_path / "run")
    finally:
        os.umask(before)
    for name in all_files(folder):
        assert (folder / name).stat().st_mode & 0o007 == 0, name
        if not name.startswith("checkpoints"):
            assert (folder / name).stat().st_mode & 0o777 == 0o660, name
