"""Every command and every snippet of docs/inspection.md runs, on a small run."""

import re
import shlex
from pathlib import Path

import pytest

from shardsim import cli

DOCS = Path(__file__).parents[1] / "docs" / "inspection.md"

pytestmark = pytest.mark.skipif(not DOCS.is_file(), reason="no docs beside the tests")


def blocks():
    return re.findall(r"```(\w+)\n(.*?)```", DOCS.read_text(), re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_walk_through_runs_from_top_to_bottom(tmp_path, monkeypatch, capsys, small):
    (tmp_path / "experiments").symlink_to(DOCS.parents[1] / "experiments")
    monkeypatch.chdir(tmp_path)
    names = {}
    for kind, text in blocks():
        if kind == "python":
            exec(compile(text, str(DOCS), "exec"), names)
            continue
        assert kind == "sh"
        for line in text.strip().splitlines():
            program, *words = shlex.split(line)
            assert program == "shardsim"
            more = small if words[0] == "run" else []
            assert cli.main([*words, *more]) == 0, line
    said = capsys.readouterr().out
    assert "wants the cheese most" in said
    assert "add up to V" in said
    for name in ("page.html", "page.results.json", "small.html", "two.html"):
        assert (tmp_path / name).is_file()


def test_the_walk_through_has_its_picture():
    for name in re.findall(r"!\[.*?\]\((.*?)\)", DOCS.read_text()):
        assert (DOCS.parent / name).is_file()
