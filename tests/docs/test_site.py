"""The site builds with strict links; what is generated is what the code says."""

import dataclasses
import re
import runpy
import subprocess
import sys

import pytest

from shardsim.evaluation import experiment
from shardsim.training import config, standalone
from tests.helpers import documents

DOCS = documents.DOCS
pytestmark = pytest.mark.skipif(
    not documents.there(DOCS / "build.py"), reason="no docs beside the tests"
)


@pytest.fixture(scope="module")
def reference():
    page = runpy.run_path(str(DOCS / "config_reference.py"))["page"]
    return page({"run": experiment.Experiment, "train": standalone.Training})


def section(reference, title):
    return re.search(rf"^## {title}\b.*?(?=^## |\Z)", reference, re.M | re.S).group()


def cells(text, field):
    (line,) = re.findall(rf"^\| `{field}` \|.*$", text, re.M)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_field_of_training_has_a_row_with_its_default(reference):
    text = section(reference, "TrainConfig")
    for field in dataclasses.fields(config.TrainConfig):
        assert cells(text, field.name)
    meaning, kind, default = cells(text, "num_seeds")[1:4]
    assert "the unit of every statistic" in meaning
    assert (kind, default) == ("integer", "`8`")
    assert cells(text, "phases")[3] == "required"
    assert cells(text, "precision")[2] == "`float32`, `bfloat16`"


def test_every_section_that_a_type_links_to_is_there(reference):
    links = set(re.findall(r"\]\(#([\w-]+)\)", reference))
    titles = re.findall(r"^## (.*)$", reference, re.M)
    anchors = {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}
    assert len(titles) == len(anchors) > 40
    assert links <= anchors


def test_a_field_without_a_meaning_is_not_given_that_of_its_neighbour():
    @dataclasses.dataclass
    class Two:
        one: int
        two: int = 2
        """What two is."""

    names = runpy.run_path(str(DOCS / "config_reference.py"))
    assert names["meanings"](Two) == {"two": "What two is."}


def test_every_command_has_its_section():
    page = runpy.run_path(str(DOCS / "command_reference.py"))["page"]()
    assert {"run", "train", "inspect"} <= set(
        re.findall(r"^## shardsim (\w+)$", page, re.M)
    )
    assert page.count("usage: shardsim") == page.count("## shardsim") + 1


def test_the_pictures_of_the_concepts_are_those_of_their_script(monkeypatch):
    script = DOCS / "figures" / "concepts.py"
    monkeypatch.syspath_prepend(str(script.parent))
    names = runpy.run_path(str(script))
    files = {path.name for path in script.with_suffix("").glob("*.svg")}
    assert files == {f"{n}-{t}.svg" for n in names["FIGURES"] for t in names["THEMES"]}
    for name in names["FIGURES"]:
        for theme in names["THEMES"]:
            drawn = names["draw"](name, theme)
            assert (script.with_suffix("") / f"{name}-{theme}.svg").read_text() == drawn
    page = documents.read(DOCS / "concepts.md")
    assert all(
        f"concepts/{name}-light.svg#only-light" in page for name in names["FIGURES"]
    )


@pytest.mark.slow
def test_the_site_builds_with_strict_links():
    command = [sys.executable, str(DOCS / "build.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout + done.stderr
