"""A run folder carries the number of its format; another format is refused."""

import json
import shutil

import pytest

from shardsim import cli
from shardsim.storage import provenance, run_files, run_folder, run_layout

VERSION = provenance.version("shardsim")
ALLOWED = f"allowed: format {run_layout.FORMAT}, which shardsim {VERSION} writes"


def marked(folder, text):
    """A run folder with another mark, or without one."""
    run_folder.create(folder, "name: a\n", overwrite=False)
    (folder / run_layout.FORMAT_FILE).unlink()
    if text is not None:
        (folder / run_layout.FORMAT_FILE).write_text(text)
    return folder


def refusal(folder):
    with pytest.raises(run_files.RunError) as error:
        run_folder.open_run(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_new_folder_says_its_format_and_who_wrote_it(tmp_path):
    folder = run_folder.create(tmp_path / "run", "name: a\n", overwrite=False)
    mark = run_files.read_json(folder / run_layout.FORMAT_FILE)
    assert mark == {"format": run_layout.FORMAT, "version": VERSION}
    assert run_folder.open_run(folder) == folder


def test_an_older_folder_is_refused_with_the_version_of_its_provenance(tmp_path):
    folder = marked(tmp_path / "run", None)
    run_files.write_json(
        folder / "provenance.json", {"versions": {"shardsim": "0.0.7"}}
    )
    assert refusal(folder) == (
        f"{folder}: got a run without a format number, written by shardsim 0.0.7; "
        f"{ALLOWED}"
    )
    for damaged in ("{", "[]", "{}", '{"versions": 3}'):
        (folder / "provenance.json").write_text(damaged)
        assert "written by shardsim of an unknown version; allowed" in refusal(folder)
    (folder / "provenance.json").unlink()
    assert "of an unknown version" in refusal(folder)


def test_a_newer_folder_is_refused_with_the_version_of_its_mark(tmp_path):
    folder = marked(tmp_path / "run", '{"format": 99, "version": "9.1.0", "more": 1}')
    assert refusal(folder) == (
        f"{folder}: got a run of format 99, written by shardsim 9.1.0; {ALLOWED}"
    )


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[1]",
        '{"format": "1", "version": "0.2.0"}',
        '{"format": true, "version": "0.2.0"}',
        '{"format": 1}',
    ],
)
def test_a_damaged_mark_is_named(tmp_path, text):
    folder = marked(tmp_path / "run", text)
    path = folder / run_layout.FORMAT_FILE
    assert refusal(folder) == f"{path}: damaged, holds no format number; {ALLOWED}"


@pytest.mark.parametrize("text", ["", "{", "\x00\xff"])
def test_a_torn_mark_is_named(tmp_path, text):
    folder = marked(tmp_path / "run", text)
    assert "shardsim_run.json: no JSON" in refusal(folder)


@pytest.mark.parametrize(
    "command",
    [["compare"], ["report"], ["resume"], ["inspect"], ["collect", "--out", "x.npz"]],
    ids=lambda words: words[0],
)
def test_every_command_that_reads_a_run_refuses_it(
    tiny_run, tmp_path, capsys, monkeypatch, command
):
    """In one line, with code 2, and nothing is written."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    mark = json.loads((folder / run_layout.FORMAT_FILE).read_text())
    other = json.dumps({**mark, "format": run_layout.FORMAT + 1})
    (folder / run_layout.FORMAT_FILE).write_text(other)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    name, *words = command
    assert cli.main([name, str(folder), *words]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    number = run_layout.FORMAT + 1
    said = f"shardsim: {folder}: got a run of format {number}, written by"
    assert line.startswith(said)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_list_shows_it_beside_the_others(tmp_path, capsys):
    marked(tmp_path / "old", '{"format": 99, "version": "9.1.0"}')
    marked(tmp_path / "none", None)  # a config alone makes no run
    run_folder.create(tmp_path / "new", "name: a\n", overwrite=False)
    assert cli.main(["list", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.count("of another format") == 1
    assert text.count("unfinished") == 1
    assert "none" not in text


def test_a_run_of_any_format_can_be_overwritten(tmp_path):
    folder = marked(tmp_path / "new", '{"format": 9, "version": "9"}')
    (folder / "weights").mkdir()
    run_folder.create(folder, "name: b\n", overwrite=True)
    assert run_folder.open_run(folder) == folder
    assert not (folder / "weights").exists()


@pytest.mark.parametrize("text", [None, "{}", "[1]", "{", '{"format": "1"}'])
def test_a_folder_without_a_mark_is_never_overwritten(tmp_path, text):
    folder = marked(tmp_path / "old", text)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(run_files.RunError, match="which holds no run; allowed"):
        run_folder.create(folder, "name: b\n", overwrite=True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_run_that_was_killed_between_its_marks_can_be_overwritten(tmp_path):
    folder = run_folder.create(tmp_path / "run", "name: a\n", overwrite=False)
    (folder / run_layout.CONFIG_FILE).unlink()
    assert "no run here" in refusal(folder)
    run_folder.create(folder, "name: b\n", overwrite=True)
    assert run_folder.open_run(folder) == folder


def test_what_a_study_trains_for_its_cells_is_no_run_to_open(tmp_path):
    study = run_folder.create(tmp_path / "study", "experiments: {}\n", False)
    pool = run_folder.create(
        study / run_layout.POOLS / "0a1b", "name: trained\n", False
    )
    with pytest.raises(run_files.RunError, match=f"allowed: the study, {study}"):
        run_folder.open_run(pool)
    # a folder of that name that no study has
    other = run_folder.create(
        tmp_path / run_layout.POOLS / "0a1b", "name: mine\n", False
    )
    assert run_folder.open_run(other) == other
