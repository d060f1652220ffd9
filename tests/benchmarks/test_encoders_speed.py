"""The table of encoders is measured and printed."""

import importlib
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "encoders_speed.py"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="no benchmark beside tests")


@pytest.fixture
def speed(monkeypatch):
    monkeypatch.syspath_prepend(str(FILE.parent))
    module = importlib.import_module("encoders_speed")
    for name, small in {"BOARD": (3, 3, 1), "STEPS": 2, "ROUNDS": 1}.items():
        monkeypatch.setattr(module, name, small)
    return module


@pytest.mark.slow
def test_a_row_of_each_choice_and_place(speed, capsys, monkeypatch):
    few = [row for row in speed.choices() if row[0] in ("mlp", "conv plain")]
    monkeypatch.setattr(speed, "choices", lambda: iter(few))
    assert speed.main(["--batch", "4", "--seeds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "jax " in lines[0]
    assert len(lines) == 1 + 2 * 2
    assert "conv plain" in lines[3]
    assert "2 seeds" in lines[3]
