"""Where a verdict comes from: the command that makes it again, and the minutes."""

import json
import shlex
from pathlib import Path
from typing import Any

from shardsim.contest import config as contests
from shardsim.core import config as configs
from shardsim.core import config_files
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import records, run_layout
from shardsim.training.results import Timing

TIMING = "timing.json"
MOST_FLAGS = 8
"""Flags of a command; a config that differs more is named itself."""
CONFIGS = {"run": Experiment, "contest": contests.Contest}
"""What the config of a folder describes; one of a study has all its files in it."""


def minutes(folder: Path) -> float | None:
    """Wall time of the last process of a run; None if it is not recorded."""
    if not (folder / TIMING).is_file():
        return None
    timing = records.read(folder / TIMING, Timing)
    return (timing.training_seconds + (timing.evaluation_seconds or 0.0)) / 60


def config_files_by_name(folder: Path) -> dict[str, Path]:
    """Config files by the name that stands in them."""
    paths = {}
    for path in sorted(folder.rglob("*.yaml")):
        data = config_files.read_yaml(path)
        if isinstance(data, dict) and isinstance(data.get("name"), str):
            paths[data["name"]] = path
    return paths


def command(folder: Path, kind: str, known: dict[str, Path]) -> str:
    """The command that makes the folder again.

    It names the file with the same name if few fields differ from it, and else the
    resolved config of the run.
    """
    own_path = folder / run_layout.CONFIG_FILE
    own = config_files.read_yaml(own_path)
    path, cls = known.get(str(own.get("name"))), CONFIGS.get(kind)
    flags = None if path is None or cls is None else _flags(cls, own, path)
    if flags is None:
        return f"shardsim {kind} {shlex.quote(str(own_path))}"
    return " ".join((f"shardsim {kind} {shlex.quote(str(path))}", *flags))


def _flags(cls: Any, own: dict[str, Any], path: Path) -> list[str] | None:
    """The flags that make one config of a file; None if there are none, or many."""
    try:
        data = config_files.read_yaml(path)
        mine, shipped = configs.build(cls, own), configs.build(cls, data)
        without_effect = getattr(cls, "WITHOUT_EFFECT", ())
        flags = [
            f"--{field}={json.dumps(value)}"
            for field, (value, _) in configs.diff(mine, shipped).items()
            if field.partition(".")[0] not in without_effect
        ]
        again = configs.build(cls, config_files.override(data, flags, cls))
    except configs.ConfigError:  # of another version, or no such config
        return None
    left = {field.partition(".")[0] for field in configs.diff(mine, again)}
    if len(flags) > MOST_FLAGS or not left <= {*without_effect}:
        return None
    return [shlex.quote(flag) for flag in flags]
