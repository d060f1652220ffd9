"""A run that is extended is, bit for bit, one that had all its seeds from the start."""

import copy
import datetime
import shutil

import pytest
import yaml

from shardsim import cli
from shardsim.commands import extend
from shardsim.core import files
from shardsim.evaluation import load, preregistration
from shardsim.execution import extension
from shardsim.storage import provenance, records, run_files, run_folder, run_layout
from tests.helpers import run_folders


@pytest.fixture
def run(tiny_run, tmp_path):
    """A finished run of two seeds."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    return folder


def refused(capsys, *words, code=2):
    assert cli.main(list(map(str, words))) == code
    return capsys.readouterr().err.strip().removeprefix("shardsim: ")


@pytest.mark.parametrize("number", [1, 2])
def test_no_more_seeds_than_there_are_is_refused(run, capsys, number):
    before = run_folders.files(run)
    line = refused(capsys, "extend", run, "--num-seeds", number)
    assert line == (f"num_seeds: got {number}; allowed: more than 2, which the run has")
    assert run_folders.files(run) == before


def test_a_config_that_was_changed_is_refused(run, capsys):
    path = run / "config.yaml"
    path.write_text(path.read_text().replace("discount: 0.95", "discount: 0.9"))
    before = run_folders.files(run)
    line = refused(capsys, "extend", run, "--num-seeds", 4)
    assert line.endswith(
        "config.yaml: got another config than that of results.json; allowed: the "
        "config of the results"
    )
    assert run_folders.files(run) == before


def test_a_run_that_is_not_finished_is_refused(run, capsys):
    (run / "results.json").unlink()
    line = refused(capsys, "extend", run, "--num-seeds", 4)
    assert "allowed: a finished run (`shardsim resume` finishes it)" in line


def test_seeds_of_another_version_or_device_are_refused(run, capsys):
    path = run / "provenance.json"
    data = run_files.read_json(path)
    for field, value, got in (
        ("versions", {**data["versions"], "jax": "0.9.1"}, "jax: got "),
        ("devices", ["cuda:0"], "devices: got TFRT_CPU; allowed: cuda"),
    ):
        run_files.write_json(path, {**data, field: value})
        line = refused(capsys, "extend", run, "--num-seeds", 4)
        assert f"provenance.json: {got}" in line
        assert line.endswith("as for the seeds that the run has")
    recorded = records.read(path, provenance.Provenance)
    assert "devices" in provenance.differences(recorded)[0]


def test_a_report_with_remarks_is_not_replaced(run, capsys):
    with (run / "report.html").open("a", encoding="utf-8") as file:
        file.write("mine")
    line = refused(capsys, "extend", run, "--num-seeds", 4)
    assert "report.html: was changed since the run wrote it" in line


def test_looks_are_kept_in_order(run, tmp_path):
    first = preregistration.read(run)
    longer = tmp_path / "longer"
    preregistration.extend(run, longer, 8)
    preregistration.extend(longer, longer, 20)
    registered = preregistration.read(longer)
    assert [look.num_seeds for look in registered.looks] == [8, 20]
    assert registered.questions == first.questions
    assert registered.digest == first.digest
    assert (registered.time, first.looks) == (first.time, ())
    for look in registered.looks:
        assert datetime.datetime.fromisoformat(look.time).tzinfo is not None
    (run / preregistration.FILE).unlink()
    preregistration.extend(run, tmp_path / "other", 8)
    assert not (tmp_path / "other").exists()


def test_an_old_run_stays_until_the_longer_one_is_whole(run, capsys, monkeypatch):
    before = run_folders.files(run)
    words = ["extend", str(run), "--num-seeds", "3"]
    with monkeypatch.context() as patch:
        patch.setattr(extend.executors, "trainer", lambda *_: (lambda *_: 1 / 0, 1))
        with pytest.raises(ZeroDivisionError):
            cli.main(words)
    left = run_folders.files(run)
    assert {name: left[name] for name in before} == before
    assert {name.partition("/")[0] for name in left.keys() - before.keys()} == {"parts"}
    line = refused(capsys, "extend", run, "--num-seeds", 5)
    assert line == "num_seeds: got 5; allowed: 3, to which the run is being extended"
    assert extension.num_seeds_begun(run) == 3


def test_files_are_put_in_place_after_any_stop(run, tmp_path, capsys, monkeypatch):
    """Stopped before each move, and read only after the last one."""
    whole = extension.whole_folder(run)
    shutil.copytree(run, tmp_path / "copy")
    shutil.copytree(tmp_path / "copy", whole)
    for name in ("report.html", "weights/mlp.npz", "results.json"):
        (whole / name).write_bytes(b"new")
    (run / "notes.md").write_text("mine")
    names = run_folders.files(whole).keys()
    replaced, moves = files.os.replace, []

    class Killed(BaseException):
        pass

    def killed(source, target):
        if "parts/whole" in str(source) and source not in moves:
            moves.append(source)
            raise Killed
        return replaced(source, target)

    monkeypatch.setattr(run_folder.os, "replace", killed)
    with pytest.raises(Killed):
        extension.commit(run)
    for _ in range(len(names) + 1):
        line = refused(capsys, "report", run)
        assert line.endswith(f"allowed: after shardsim resume {run}")
        try:
            extend.finish_commit(run)
        except Killed:
            continue
        break
    assert len(moves) >= len(names)
    assert (run / "report.html").read_bytes() == b"new"
    assert (run / "notes.md").read_text() == "mine"
    assert not (run / run_layout.PARTS).exists()
    assert not (run / "checkpoints").exists()
    assert run_folders.files(run).keys() == {*names, "notes.md"}


@pytest.fixture(scope="module")
def experiment_file(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("extend") / "tiny.yaml"
    data = copy.deepcopy(tiny)
    data["train"]["num_seeds"] = 2
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_an_extended_run_is_a_longer_one(experiment_file, tmp_path):
    """Twice: from 2 seeds to 5, and by one to 6."""
    folder = tmp_path / "run"
    run_folders.shardsim("run", experiment_file, "--out", folder)
    old = {path: path.read_bytes() for path in folder.glob("weights/*")}
    for number in (5, 6):
        run_folders.shardsim("extend", folder, "--num-seeds", number)
        fresh = tmp_path / str(number)
        words = ["--train.num-seeds", number, "--out", fresh]
        run_folders.shardsim("run", experiment_file, *words)
        run_folders.assert_same(folder, fresh, but=["report.html"])
    assert all(path.read_bytes() != text for path, text in old.items())
    assert load.load(folder).train.num_seeds == 6
    looks = preregistration.read(folder).looks
    assert [look.num_seeds for look in looks] == [2, 5]
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "Seeds were added when verdicts on 2 seeds (" in text
    assert "then on 5 seeds (" in text
    assert "Seeds were added" not in (fresh / "report.html").read_text(encoding="utf-8")


@pytest.mark.long
def test_a_training_is_extended_too(training_yaml, tmp_path):
    folder, fresh, path = tmp_path / "run", tmp_path / "fresh", training_yaml()
    run_folders.shardsim("train", path, "--out", folder)
    run_folders.shardsim("extend", folder, "--num-seeds", 3)
    run_folders.shardsim("train", path, "--train.num-seeds", 3, "--out", fresh)
    run_folders.assert_same(folder, fresh)
