"""Every command and every snippet of the pages in docs runs, on a small run."""

import dataclasses
import re
import shlex
import typing
from pathlib import Path

import pytest

from shardsim import cli
from shardsim.evaluation import measures, rules
from shardsim_envs import World

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WALKS = [page for page in PAGES if "```" in page.read_text()]
"""Pages to be followed from top to bottom."""
LEFT = {
    "questions": ("runs/kept/report.html",),
    "inspection": ("page.html", "page.results.json", "small.html", "two.html"),
    "training": ("walks.npz", "runs/frozen/results.json", "runs/read/results.json"),
}
"""Files that are there when all commands of a page have run."""
SAID = {
    "questions": ("competing/apart", "where_parted"),
    "inspection": ("wants the cheese most", "add up to V"),
    "training": ("per episode in the last chunk", "the other fruit pays ["),
}

pytestmark = pytest.mark.skipif(not PAGES, reason="no docs beside the tests")


def blocks(page):
    return re.findall(r"```(\w+)\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("page", WALKS, ids=lambda page: page.stem)
def test_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch, capsys, small):
    (tmp_path / "experiments").symlink_to(DOCS.parent / "experiments")
    monkeypatch.chdir(tmp_path)
    fewer = {
        "run": small,
        "train": [
            *(flag for flag in small if "battery" not in flag),
            "--train.phases.2.updates=2",
        ],
    }
    names = {}
    for kind, text in blocks(page):
        if kind == "python":
            exec(compile(text, str(page), "exec"), names)
        elif kind == "yaml":  # its first line is its name
            Path(text.partition("\n")[0].removeprefix("# ")).write_text(text)
        else:
            assert kind == "sh"
            for line in text.strip().splitlines():
                program, *words = shlex.split(line)
                assert program == "shardsim"
                assert cli.main([*words, *fewer.get(words[0], [])]) == 0, line
    said = capsys.readouterr().out
    for words in SAID[page.stem]:
        assert words in said
    for name in LEFT[page.stem]:
        assert (tmp_path / name).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_a_page_links_to_is_there(page):
    for name in re.findall(r"\]\(([\w./-]+)\)", page.read_text()):
        assert (DOCS / name).is_file()


def test_the_page_of_training_tells_what_a_phase_may_change():
    text = (DOCS / "training.md").read_text()
    told = {
        world: set(re.findall(r"`(\w+)`", fields))
        for worlds, fields in re.findall(r"^\| (`[^|]*) \| (`[^|]*) \|$", text, re.M)
        for world in re.findall(r"`(\w+)`", worlds)
    }
    for world in typing.get_args(World):
        assert told[world().kind] == set(world.SCHEDULED)


def test_the_page_of_questions_tells_what_may_be_asked():
    text = (DOCS / "questions.md").read_text()
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.M)
    told = set(re.findall(r"`(\w+)`", " ".join(rows)))
    kinds = {measure().kind for measure in typing.get_args(measures.Measure)}
    fields = {field.name for field in dataclasses.fields(rules.Rule)}
    assert kinds | fields == told - {"rule"}
