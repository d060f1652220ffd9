"""The table of encoders is measured and printed."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "experiments" / "encoders_speed.py"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="no benchmark beside tests")


@pytest.fixture
def speed(monkeypatch):
    spec = importlib.util.spec_from_file_location("encoders_speed", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "encoders_speed", module)
    spec.loader.exec_module(module)
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
