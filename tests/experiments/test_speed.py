"""The benchmark runs, without peers too, and draws what it measured."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "experiments"
pytestmark = pytest.mark.skipif(
    not (FOLDER / "speed.py").is_file(), reason="no benchmark beside the tests"
)


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("speed", FOLDER / "speed.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, small in {"BATCH": 4, "STEPS": 3, "GENERATED": 1, "VECTOR": 2}.items():
        monkeypatch.setattr(module, name, small)
    monkeypatch.setattr(module.measuring, "ROUNDS", 1)
    yield module
    sys.modules.pop("measuring", None)


def test_a_row_tells_the_ratio(speed, capsys):
    row = speed.measuring.Row("x", "steps/s", [4e6, 6e6], "peer", [2e6, 2e6])
    assert row.ratios == [2, 3]
    assert "5 M steps/s   peer" in str(row)
    assert "ratio  2.50  [2.00, 3.00]" in str(row)
    capsys.readouterr()


def test_a_figure_is_drawn_where_there_are_peers(speed, tmp_path, capsys):
    rows = [
        speed.measuring.Row("alone", "steps/s", [1.0]),
        speed.measuring.Row("x", "steps/s", [4e6, 6e6], "peer", [2e6, 2e6]),
    ]
    out = tmp_path / "deep" / "speed.png"
    speed.measuring.draw(rows, out)
    assert out.is_file()
    speed.measuring.draw(rows[:1], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    assert "no peer is installed" in capsys.readouterr().out


@pytest.mark.slow
def test_it_runs_without_peers(speed, tmp_path, capsys, monkeypatch):
    for peer in speed.measuring.PEERS:
        monkeypatch.setitem(sys.modules, peer, None)
    assert speed.main(["worlds", "--out", str(tmp_path / "speed.png")]) == 0
    text = capsys.readouterr().out
    assert "jax " in text
    assert "is skipped" in text
    for row in ("CornerMaze, seen", "MonsterWorld, levels", "Gymnasium, one"):
        assert row in text
