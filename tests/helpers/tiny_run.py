"""One small run, made once by the command line, that many tests look at."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from shardsim import cli
from shardsim.storage import trained
from tests.helpers import run_folders

PREDICTION = {
    "question": "Is V nearer to the exact value when it is made of shards?",
    "expected": {
        "shard": "Yes.",
        "network": "No <b>&</b> never.",
        "unitary": "No.",
    },
    "measure": {"kind": "value_error"},
    "rule": {
        "contrast": {"arm": "sharded", "baseline": "mlp"},
        "direction": "less",
        "margin": 0.05,
        "controls": [{"arm": "exact", "at_most": 0.001}],
    },
}

TINY = {
    "name": "tiny",
    "question": "Does it <run> & end?",
    "env": {"kind": "context_fruits", "size": 3, "max_steps": 8},
    "agent": {
        "encoder": {"kind": "mlp", "widths": [16]},
        "decoder_hidden": [8],
        "auxiliary_width": 8,
        "value_params": 600,
    },
    "arms": {
        "mlp": {"head": {"kind": "mlp"}},
        "sharded": {"head": {"kind": "sharded", "num_shards": 2}},
        "untrained": {"head": {"kind": "mlp"}, "trained": False},
    },
    "train": {
        "num_seeds": 2,
        "num_envs": 4,
        "num_steps": 4,
        "epochs": 1,
        "num_reset_states": 8,
        "num_snapshots": 3,
        "updates_per_call": 4,
        "phases": [
            {
                "name": "look",
                "collect": "random_walker",
                "updates": 3,
                "losses": {"action": {"encoder": 1, "decoder": 1}},
            },
            {
                "name": "earn",
                "updates": 10,
                "losses": {"value": {"encoder": 1, "value": 1}},
            },
        ],
    },
    # its first two levels show the same context, the third another
    "evaluation": {"levels": 4, "seed": 0},
    "omnibus": {"contrast": {"arm": "sharded", "baseline": "mlp"}},
    "predictions": {"VE": PREDICTION},
}
"""A whole experiment of seconds; tests change copies of it."""


@pytest.fixture(scope="session")
def tiny() -> dict:
    """The experiment as data; not to be changed."""
    return TINY


@pytest.fixture(scope="session")
def tiny_yaml(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY, sort_keys=False))
    return path


def run_and_copy(command: list[str], folder: Path, unfinished: Path) -> None:
    """Run a command, and copy its folder as it is after the last update.

    That is what a kill leaves at this moment: all checkpoints, and no weights.
    """
    write = trained.write_weights

    def copy_first(*args: Any) -> None:
        if not unfinished.exists():
            shutil.copytree(folder, unfinished)
        write(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained, "write_weights", copy_first)
        assert cli.main([*command, "--out", str(folder)]) == 0


@pytest.fixture(scope="session")
def tiny_run(tiny_yaml) -> Path:
    """A finished run folder; tests that change it work on a copy."""
    folder = tiny_yaml.parent / "run"
    unfinished = tiny_yaml.parent / "unfinished"
    run_and_copy(["run", str(tiny_yaml)], folder, unfinished)
    return folder


@pytest.fixture(scope="session")
def command_run(tiny_yaml) -> Path:
    """The run folder of a command, to be compared with those of others to the bit."""
    folder = tiny_yaml.parent / "command"
    run_folders.shardsim("run", tiny_yaml, "--out", folder)
    return folder


@pytest.fixture(scope="session")
def tiny_unfinished(tiny_run) -> Path:
    """The same run, killed after the last update."""
    return tiny_run.parent / "unfinished"


@pytest.fixture(scope="session")
def tiny_page(tmp_path_factory, tiny_run) -> Path:
    """The page of the small run; its numbers lie beside it."""
    out = tmp_path_factory.mktemp("page") / "page.html"
    assert cli.main(["inspect", str(tiny_run), "--out", str(out), "--quick"]) == 0
    return out


@pytest.fixture
def training_yaml(tmp_path):
    """Writes the tiny agents and world as a training: seconds of one phase."""
    shared = {name: TINY[name] for name in ("name", "env", "agent")}
    arms = {name: TINY["arms"][name] for name in ("mlp", "sharded")}
    earn = {"name": "earn", "updates": 4, "losses": {"value": {"value": 1}}}
    sizes = {"num_seeds": 2, "num_envs": 4, "num_steps": 4, "epochs": 1}
    few = {"num_reset_states": 8, "num_snapshots": 2, "phases": [earn]}

    def write(**train):
        path = tmp_path / "tiny.yaml"
        data = {**shared, "arms": arms, "train": {**sizes, **few, **train}}
        path.write_text(yaml.safe_dump(data, sort_keys=False))
        return path

    return write
