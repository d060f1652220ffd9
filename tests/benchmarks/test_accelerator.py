"""The benchmark of accelerators runs on a CPU, small, and writes what it measured."""

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.skipif(
    not (FOLDER / "accelerator.py").is_file(), reason="no benchmark beside the tests"
)
FLAGS = (
    *("--train.num-seeds", "2", "--train.num-envs", "4", "--train.num-steps", "4"),
    *("--train.phases.0.updates", "2", "--train.phases.1.updates", "2"),
    *("--train.num-snapshots", "1", "--evaluation.levels", "12"),
)


@pytest.fixture
def accelerator(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("accelerator")
    small = {"SECONDS": 0.01, "SIDE": {"cpu": 64}, "PEAK_SEEDS": 1, "SMALL": FLAGS}
    for name, value in small.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.delenv("PEERS", raising=False)
    monkeypatch.setitem(sys.modules, "jaxgmg", None)
    yield module
    for name in [n for n in sys.modules if n in ("timing", "accelerator")]:
        sys.modules.pop(name)
    for name in [n for n in sys.modules if "speed_" in n]:
        sys.modules.pop(name)


def test_the_table_by_hand(accelerator):
    row = accelerator.Training("PPO", 4096, 2.5e6, 12.34, 1.5e6)
    beside = accelerator.timing.Row("x", "steps/s", [4e6], "peer", [2e6])
    effect = {"estimate": 0.5, "low": None, "high": 0.75}
    judged = {"P6": {"effect": effect, "verdict": "shard"}}
    text = accelerator.tables(
        [row],
        {"bfloat16": (2e12, 5e11)},
        [beside],
        {"CPU": judged, "this device": judged},
        ["search, 4096 seeds"],
    )
    lines = text.splitlines()
    assert "| PPO | 4,096 | 2.5 M | 12.3 | 1.50 |" in lines
    assert "| bfloat16 | 2 | 0.5 | 0.25 |" in lines
    assert "| x: peer | 4 M | 2 M | 2.00 |" in lines
    cell = "+0.500 [-, +0.750] shard"
    assert f"| P6 | {cell} | {cell} |" in lines
    assert lines[-1] == "Left out: search, 4096 seeds."


def test_what_there_is_no_time_for_is_named(accelerator):
    clock = accelerator.Clock(minutes=1)
    assert clock.has(50, "first")
    assert not clock.has(61, "second")
    assert clock.left_out == ["second"]
    assert accelerator.training([8], accelerator.Clock(minutes=0.5)) == []
    assert accelerator.verdicts(clock) == {}


def test_what_does_not_fit_is_named_and_the_others_go_on(accelerator, monkeypatch):
    def too_large(name, task):
        if task.config.num_seeds > 8:
            raise accelerator.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return accelerator.Training(name, task.config.num_seeds, 1.0, 1.0, 1.0)

    monkeypatch.setattr(accelerator, "_trained", too_large)
    clock = accelerator.Clock(minutes=8)
    rows = accelerator.training([8, 16], clock)
    assert [(row.name, row.seeds) for row in rows] == [
        (name, 8) for name in accelerator.tasks()
    ]
    assert clock.left_out[0] == "quickstart, 16 seeds (they do not fit into memory)"


def test_a_file_that_is_there_stays(accelerator, tmp_path, capsys):
    out = tmp_path / "table.md"
    out.write_text("mine")
    assert accelerator.main(["--out", str(out)]) == 2
    assert f"out: got {out}, which exists" in capsys.readouterr().err
    assert out.read_text() == "mine"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_it_runs_on_a_cpu(accelerator, tmp_path, capsys):
    out = tmp_path / "table.md"
    assert accelerator.main(["--out", str(out), "--seeds", "2", "--minutes", "20"]) == 0
    assert "no accelerator is here" in capsys.readouterr().out
    text = out.read_text()
    for name in accelerator.tasks():
        assert f"| {name} | 2 | " in text
    for row in ("| float32 | ", "| bfloat16 | ", "| P6 | ", "| VE | "):
        assert row in text
    assert "Left out" not in text
    assert out.with_suffix(".png").is_file()
