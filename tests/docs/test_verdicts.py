"""The picture of several runs: a panel a run, told by what is unusual about its arm."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from shardsim.agents import value
from shardsim.core import config

SCRIPT = Path(__file__).parents[2] / "docs" / "figures" / "verdicts.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="no script beside them")


def run_of(folder, **head):
    entry = {
        "rule": {"contrast": {"arm": "sharded"}, "direction": "less", "margin": 0.5},
        "effect": {"estimate": -1.0, "low": -2.0, "high": None},
        "sensitivity": None,
        "stands": False,
    }
    results = {
        "seeds": 3,
        "predictions": {"P1": entry, "P2": entry},
        "arms": {"sharded": {"head": config.to_dict(value.Sharded(**head))}},
    }
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(results))
    return str(folder)


def test_each_run_has_its_panel(tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "verdicts.svg"
    plain, made = run_of(tmp_path / "a"), run_of(tmp_path / "b", td="per_shard")
    monkeypatch.setattr(sys, "argv", ["verdicts.py", plain, made, "--out", str(out)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert capsys.readouterr().out.strip() == str(out)
    told = re.findall(r"<!-- (.*?) -->", out.read_text())
    titles = [words for words in told if "seeds" in words]
    assert titles == ["a, 3 seeds", "b, 3 seeds (td)"]
    assert told.count("P1") == told.count("P2") == 2


@pytest.mark.parametrize(
    ("results", "told"),
    [(None, "No such file"), ("{}", "nothing was asked"), ("{", "no JSON")],
)
def test_what_has_no_verdicts_is_named(tmp_path, monkeypatch, capsys, results, told):
    if results is not None:
        (tmp_path / "results.json").write_text(results)
    monkeypatch.setattr(sys, "argv", ["verdicts.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert re.search(rf"{re.escape(str(tmp_path))}.*{told}", capsys.readouterr().err)
