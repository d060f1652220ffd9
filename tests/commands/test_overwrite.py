"""Every command that writes refuses what is there, unless it is told to replace it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shardsim import cli
from shardsim.core import files
from shardsim.reports.charts import render, verdicts
from shardsim_envs import ContextFruits
from shardsim_envs.levels import levels
from shardsim_envs.rendering import drawing

ROOT = Path(__file__).parents[2]


def refused(capsys, *words):
    assert cli.main(list(map(str, words))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["run", "CONFIG"], "run"),
        (["train", "TRAINING"], "run"),
        (["inspect", "RUN", "--quick"], "page.html"),
        (["collect", "CONFIG"], "data.npz"),
        (["show", "corner_maze"], "levels.png"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_what_is_there_is_kept(
    tiny_yaml, training_yaml, tiny_run, tmp_path, capsys, words, name, kind
):
    places = {"CONFIG": tiny_yaml, "TRAINING": training_yaml(), "RUN": tiny_run}
    out = tmp_path / "out" / name
    out.parent.mkdir()
    if kind == "file":
        out.write_text("mine")
    elif kind == "folder":
        out.mkdir()
        (out / "notes").write_text("mine")
    else:
        out.symlink_to(tmp_path / "nowhere")
    line = refused(capsys, *(places.get(w, w) for w in words), "--out", out)
    if kind == "folder" and name != "run":
        assert line == f"shardsim: out: got {out}, a folder; allowed: a file"
    else:
        what = "folder" if name == "run" else "file"
        told = f"which exists; allowed: a new {what}, or --overwrite"
        assert line == f"shardsim: out: got {out}, {told}"
    left = sorted(path.name for path in out.parent.rglob("*"))
    assert left == sorted([name, *(["notes"] if kind == "folder" else [])])
    assert kind == "link" or "mine" in (
        out.read_text() if kind == "file" else (out / "notes").read_text()
    )


def test_the_numbers_of_a_page_are_kept_too(tiny_run, tmp_path, capsys):
    (tmp_path / "page.results.json").write_text("mine")
    out = tmp_path / "page.html"
    line = refused(capsys, "inspect", tiny_run, "--out", out, "--quick")
    assert line.startswith("shardsim: results: got ")
    assert (tmp_path / "page.results.json").read_text() == "mine"
    assert not out.exists()


def test_a_report_with_remarks_is_kept(tiny_run, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    assert cli.main(["report", str(folder)]) == 0  # as the run wrote it
    capsys.readouterr()
    page = folder / "report.html"
    page.write_text(page.read_text(encoding="utf-8") + "mine", encoding="utf-8")
    for command in ("report", "resume"):
        line = refused(capsys, command, folder)
        assert line.startswith(f"shardsim: {page}: was changed since the run wrote it")
    assert page.read_text(encoding="utf-8").endswith("mine")
    assert cli.main(["report", str(folder), "--overwrite"]) == 0
    assert page.read_bytes() == (tiny_run / "report.html").read_bytes()


def test_a_run_is_replaced_when_told_and_what_is_beside_it_stays(
    tiny_run, training_yaml, tmp_path, capsys
):
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    (folder / "notes.md").write_text("mine")
    words = ["train", str(training_yaml()), "--out", str(folder), "--overwrite"]
    assert cli.main(words) == 0
    assert (folder / "notes.md").read_text() == "mine"
    assert not (folder / "report.html").exists()
    assert not (folder / "figures").exists()


@pytest.mark.parametrize("name", ["film.gif", "film.webp", "board.png"])
def test_pictures_and_levels_are_kept(tmp_path, name):
    world = ContextFruits(size=3)
    batch = levels.generate(world, 0, 2)
    frames = [drawing.frame(world, level) for level in levels.each(batch.levels)]
    frames = frames[:1] if name.endswith("png") else frames
    path, data = tmp_path / name, tmp_path / "levels.npz"
    drawing.save(frames, path)
    levels.save(data, batch)
    before = path.read_bytes(), data.read_bytes()
    with pytest.raises(ValueError, match="which exists"):
        drawing.save(frames, path)
    with pytest.raises(ValueError, match="which exists"):
        levels.save(data, batch)
    assert before == (path.read_bytes(), data.read_bytes())
    drawing.save(frames, path, overwrite=True)
    levels.save(data, batch, overwrite=True)
    assert before == (path.read_bytes(), data.read_bytes())


def test_charts_are_kept(tmp_path):
    path = tmp_path / "chart.json"
    chart = verdicts.effects({})
    render.save(chart, path)
    with pytest.raises(files.PathError, match=r"path: got .* which exists"):
        render.save(chart, path)
    render.save(chart, path, overwrite=True)


@pytest.mark.parametrize(
    ("script", "name"),
    [
        (["benchmarks/speed.py", "worlds"], "speed.png"),
        (["docs/figures/verdicts.py", "nothing"], "verdicts.svg"),
        (["docs/figures/concepts.py"], "agent-dark.svg"),
        (["docs/figures/screenshots.py", "nothing"], "quickstart.png"),
    ],
)
@pytest.mark.slow
def test_scripts_keep_what_is_there(tmp_path, script, name):
    (tmp_path / name).write_text("mine")
    is_set = "concepts" in script[0] or "screenshots" in script[0]
    out = tmp_path if is_set else tmp_path / name
    words = [sys.executable, *script, "--out", str(out)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True)
    assert done.returncode == 2
    assert b"which exists; allowed: a new file, or --overwrite" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
