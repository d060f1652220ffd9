"""The notebooks of examples/ run from top to bottom, on a small run."""

import re
from pathlib import Path

import matplotlib
import matplotlib.pyplot
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SAYS = {
    "first_look": "is open most",
    "other_agent": "error of V: 0.0000 standard deviations",
    "own_head": "the head keeps all laws",
    "which_shard": "needs shard",
}
"""What each notebook prints, among other things."""

pytestmark = pytest.mark.skipif(
    not EXAMPLES.is_dir(), reason="no examples beside the tests"
)
matplotlib.use("Agg")


LONG = ("first_look", "which_shard")
"""Notebooks that take most of a minute."""


def test_every_notebook_is_run():
    assert sorted(SAYS) == sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.mark.slow
@pytest.mark.usefixtures("no_extensions")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] * (name in LONG))
        for name in sorted(SAYS)
    ],
)
def test_a_notebook_runs(name, tiny_run, tmp_path, monkeypatch, capsys):
    path = EXAMPLES / f"{name}.py"
    (tmp_path / "runs").mkdir()
    for run in ("quickstart", "maze"):
        (tmp_path / "runs" / run).symlink_to(tiny_run)
    monkeypatch.chdir(tmp_path)
    cells = re.split(r"^# %%.*$", path.read_text(), flags=re.M)
    names: dict = {"__name__": "__main__"}
    for cell in cells:
        exec(compile(cell, str(path), "exec"), names)
    matplotlib.pyplot.close("all")
    assert SAYS[name] in capsys.readouterr().out
