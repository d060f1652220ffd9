"""Files of a zoo. Each is written whole or not at all, so that a zoo can be continued.

zoo.json             the mark of a zoo: number of the format, digest of what was trained
config.yaml          the resolved config
encoder/SEED.npz     E of a seed, by dotted name
members/NAME/SEED.npz   V of a member, and its adapter
scores/NAME/SEED.json   its return, error and scores
scores/agents.NAME/SEED.json   those of an ordinary agent of a run
results.json         what metrics separate
zoo.svg, zoo.md      the figure, and the tables as Markdown
"""

import hashlib
from pathlib import Path
from typing import Any

from flax import nnx

from shardsim.core import config as configs
from shardsim.core import config_files, files
from shardsim.evaluation.zoo.config import ZooConfig
from shardsim.storage import run_files, weights

FORMAT = 1
MARK = "zoo.json"
CONFIG = "config.yaml"
RESULTS = "results.json"
FIGURE = "zoo.svg"
TABLES = "zoo.md"
AGENTS = "agents."
"""Before the name of ordinary agents; no member has a dot in its name."""


def digest(config: ZooConfig) -> str:
    """Digest of what trained members depend on: no metrics, no number of seeds."""
    data = configs.to_dict(config)
    for field in ("metrics", "agents", "num_seeds", "name", "min_return", "max_error"):
        del data[field]
    return configs.digest(data)


def begin(folder: Path, config: ZooConfig, overwrite: bool = False) -> None:
    """Create the folder of a zoo, or continue one of the same members.

    Args:
      overwrite: whether results that were changed may be replaced.

    Raises:
      RunError: something else is there, or a zoo of other members.
      PathError: the folder cannot be written.
    """
    mark = folder / MARK
    if not folder.exists():
        files.check_new(folder, field="out", folder=True)
    elif not mark.is_file():
        if not folder.is_dir() or any(folder.iterdir()):
            raise run_files.RunError(
                f"out: got {folder}, which is no zoo; allowed: a new folder, or the "
                "folder of a zoo to continue"
            )
    else:
        _check_same(folder, config)
        for name in (CONFIG, RESULTS, FIGURE, TABLES):
            _check_own(folder, name, overwrite)
    if not mark.exists():
        run_files.write_json(
            mark, {"format": FORMAT, "digest": digest(config), "written": {}}
        )
    save_text(folder, CONFIG, config_files.to_yaml(config))


def _check_same(folder: Path, config: ZooConfig) -> None:
    found = _mark(folder)
    if found.get("format") != FORMAT:
        raise run_files.RunError(
            f"out: got {folder}, a zoo of format {found.get('format')}; allowed: "
            f"format {FORMAT}, or a new folder"
        )
    if found.get("digest") != digest(config):
        raise run_files.RunError(
            f"out: got {folder}, a zoo of other members; allowed: a new folder, or the "
            "same config with other metrics or more seeds"
        )


def _check_own(folder: Path, name: str, overwrite: bool) -> None:
    """Refuse to replace a file that was changed since the zoo wrote it."""
    path = folder / name
    if overwrite or not path.exists():
        return
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _mark(folder).get("written", {}).get(name):
        raise run_files.RunError(
            f"{path}: was changed since the zoo wrote it; allowed: another name for "
            "it, or --overwrite"
        )


def _mark(folder: Path) -> dict[str, Any]:
    found = run_files.read_json(folder / MARK)
    if not isinstance(found, dict):
        raise run_files.RunError(f"{folder / MARK}: got no fields; allowed: a mark")
    return found


def save_text(folder: Path, name: str, text: str) -> None:
    """Write a text of the zoo as a whole, and keep its digest in the mark."""
    found = _mark(folder)
    written = hashlib.sha256(text.encode()).hexdigest()
    found["written"] = {**found.get("written", {}), name: written}
    # in this order: a kill between the two leaves a file that is refused, not lost
    files.write_text(folder / name, text)
    run_files.write_json(folder / MARK, found)


def encoder(folder: Path, seed: int) -> Path:
    """The file of E."""
    return folder / "encoder" / f"{seed:03d}.npz"


def member(folder: Path, name: str, seed: int) -> Path:
    """The file of V of a member."""
    return folder / "members" / name / f"{seed:03d}.npz"


def scores(folder: Path, name: str, seed: int) -> Path:
    """The file of what was measured of a member."""
    return folder / "scores" / name / f"{seed:03d}.json"


def write_module(path: Path, module: nnx.Module) -> None:
    """Write the parameters of a module."""
    run_files.write_arrays(path, weights.flatten_params(module))


def read_module(path: Path, module: Any) -> Any:
    """A module with the parameters of a file.

    Raises:
      RunError: the file is damaged, or lacks a parameter.
    """
    return weights.restore_params(module, run_files.read_arrays(path))
