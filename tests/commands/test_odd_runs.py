"""Report, page and compare of runs that are odd: each writes a page or says why not."""

import json
import shutil

import pytest

from shardsim import cli

FINAL = ("results.json", "report.html", "maps.npz", "maps.json", "metrics.npz")
"""What a run that was stopped has not got."""


def copied(tiny_run, tmp_path, name="run"):
    folder = tmp_path / name
    shutil.copytree(tiny_run, folder)
    return folder


def refused(capsys, *words):
    assert cli.main([str(word) for word in words]) == 2
    out, error = capsys.readouterr()
    (line,) = error.splitlines()
    assert out == ""
    return line


def test_a_run_that_is_not_finished_says_how_to_go_on(tiny_run, tmp_path, capsys):
    """It said "results.json: No such file or directory"."""
    stopped = copied(tiny_run, tmp_path)
    for name in FINAL:
        (stopped / name).unlink()
    line = (
        f"shardsim: {stopped}: got a run without results.json, which is not finished; "
        "allowed: a finished one (shardsim resume goes on with it)"
    )
    assert refused(capsys, "report", stopped, "--overwrite") == line
    assert refused(capsys, "compare", tiny_run, stopped) == line
    page = tmp_path / "page.html"
    assert refused(capsys, "compare", tiny_run, stopped, "--out", page) == line
    assert not page.exists()
    assert cli.main(["list", str(stopped)]) == 0


def test_a_page_of_damaged_results_is_refused_before_it_is_computed(
    tiny_run, tmp_path, capsys, monkeypatch
):
    """It was computed for half a minute first."""
    folder = copied(tiny_run, tmp_path)
    data = json.loads((folder / "results.json").read_text())
    data["predictions"]["VE"]["effect"]["estimate"] = "large"
    (folder / "results.json").write_text(json.dumps(data))

    def compute(*arguments):
        raise AssertionError

    monkeypatch.setattr("shardsim.reports.explorer.forward.levels_of", compute)
    line = refused(capsys, "inspect", folder, "--out", tmp_path / "page.html")
    assert "results.json: predictions.VE.effect.estimate: got 'large'" in line


@pytest.mark.parametrize("form", [1, 99, "2", None])
def test_another_format_is_one_line_for_every_page(tiny_run, tmp_path, capsys, form):
    folder = copied(tiny_run, tmp_path)
    record = {"format": form, "version": "0.1"}
    (folder / "shardsim_run.json").write_text(json.dumps(record))
    for words in (
        ["report", folder],
        ["inspect", folder],
        ["compare", tiny_run, folder],
        ["compare", tiny_run, folder, "--out", tmp_path / "page.html"],
    ):
        line = refused(capsys, *words)
        assert str(folder) in line
        assert "allowed: format" in line
    assert not (tmp_path / "page.html").exists()


def test_odd_texts_and_missing_numbers_are_shown_as_they_are(
    tiny_run, tmp_path, capsys
):
    """Names that end elements, are templates, of other scripts, long; no number."""
    folder = copied(tiny_run, tmp_path, "run <i>%s {{x}} 漢")
    odd = "</script><b>\"'&amp; {{ x }} ${y} %s ü 漢字 \u202e" + "long " * 200
    path = folder / "results.json"
    data = json.loads(path.read_text())
    data["predictions"]["VE"]["question"] = odd
    data["predictions"]["VE"]["effect"]["low"] = None
    data["predictions"]["VE"]["effect"]["high"] = None
    path.write_text(json.dumps(data))
    page = tmp_path / "compared.html"
    words = ["compare", str(tiny_run), str(folder), "--out", str(page)]
    assert cli.main(words) == 0
    assert cli.main(["report", str(folder), "--overwrite"]) == 0
    for text in (page.read_text("utf-8"), (folder / "report.html").read_text("utf-8")):
        assert "</script><b>" not in text
        assert "<i>%s" not in text
    capsys.readouterr()
