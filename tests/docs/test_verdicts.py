"""The picture of several runs: a panel a run, told by what is unusual about its arm."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from shardsim.agents import value
from shardsim.storage import records, run_folder
from tests.helpers.made_results import arm, prediction, run

SCRIPT = Path(__file__).parents[2] / "docs" / "figures" / "verdicts.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="no script beside them")


def run_of(folder, **head):
    entry = prediction(is_valid=False)
    result = run(
        predictions={"P1": entry, "P2": entry},
        arms={"sharded": arm(value.Sharded(**head))},
    )
    run_folder.create(folder, "name: made\n", overwrite=False)
    records.write(folder / "results.json", result)
    return str(folder)


def test_each_run_has_its_panel(tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "verdicts.svg"
    plain, made = run_of(tmp_path / "a"), run_of(tmp_path / "b", td_error="per_shard")
    monkeypatch.setattr(sys, "argv", ["verdicts.py", plain, made, "--out", str(out)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert capsys.readouterr().out.strip() == str(out)
    told = re.findall(r"<text[^>]*>([^<]*)</text>", out.read_text())
    titles = [words for words in told if "seeds" in words]
    assert titles == ["a, 3 seeds", "b, 3 seeds (td_error)"]
    assert told.count("P1") == told.count("P2") == 2


@pytest.mark.parametrize(
    ("results", "told"),
    [
        (None, "not finished"),
        ("{}", "kind: got None"),
        ("{", "no JSON"),
        ("nothing", "nothing was asked"),
    ],
)
def test_what_has_no_verdicts_is_named(tmp_path, monkeypatch, capsys, results, told):
    folder = run_folder.create(tmp_path / "run", "name: made\n", overwrite=False)
    if results is not None:
        (folder / "results.json").write_text(results)
    if results == "nothing":
        records.write(folder / "results.json", run(predictions={}))
    monkeypatch.setattr(sys, "argv", ["verdicts.py", str(folder)])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert re.search(rf"{re.escape(str(folder))}.*{told}", capsys.readouterr().err)
