"""The notebooks of examples/ run from top to bottom, on a small run."""

import re
from pathlib import Path

import matplotlib
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.py"))

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="no examples beside the tests")
matplotlib.use("Agg")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tiny_run, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "quickstart").symlink_to(tiny_run)
    monkeypatch.chdir(tmp_path)
    cells = re.split(r"^# %%.*$", path.read_text(), flags=re.M)
    names: dict = {"__name__": "__main__"}
    for cell in cells:
        exec(compile(cell, str(path), "exec"), names)
    matplotlib.pyplot.close("all")
    assert "is open most" in capsys.readouterr().out
