"""Files of a zoo. Each is written whole or not at all, so that a zoo can be continued.

shardsim_zoo.json    the mark of a zoo: number of the format, digest of what was trained
written.json         digests of the texts that were written last
config.yaml          the resolved config
encoder/SEED.npz     E of a seed, by dotted name
members/NAME/SEED.npz   V of a member, and its adapter
scores/NAME/SEED.json   its return, error and scores
scores/agents.NAME/SEED.json   those of an ordinary agent of a run
results.json         what metrics separate
zoo.svg, zoo.md      the figure, and the tables as Markdown
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flax import nnx

from shardsim.core import config as configs
from shardsim.core import config_files
from shardsim.evaluation.zoo.config import ZooConfig
from shardsim.storage import marked_folder, run_files, weights

CONFIG = "config.yaml"
RESULTS = "results.json"
FIGURE = "zoo.svg"
TABLES = "zoo.md"
AGENTS = "agents."
"""Before the name of ordinary agents; no member has a dot in its name."""
KIND = marked_folder.Kind(
    noun="zoo",
    mark="shardsim_zoo.json",
    format=2,
    contents="members",
    may_change="other metrics or more seeds",
    texts=(CONFIG, RESULTS, FIGURE, TABLES),
)


def digest(config: ZooConfig) -> str:
    """Digest of what trained members depend on: no metrics, no number of seeds."""
    data = configs.to_dict(config)
    for field in ("metrics", "agents", "num_seeds", "name", "min_return", "max_error"):
        del data[field]
    return configs.digest(data)


@contextlib.contextmanager
def opened(folder: Path, config: ZooConfig, overwrite: bool = False) -> Iterator[None]:
    """Create the folder of a zoo, or continue one of the same members, locked.

    Args:
      overwrite: whether results that were changed may be replaced.

    Raises:
      RunError: something else is there, a zoo of other members, or another process.
      PathError: the folder cannot be written.
    """

    with marked_folder.opened(KIND, folder, digest(config), overwrite):
        save_text(folder, CONFIG, config_files.to_yaml(config))
        yield


def save_text(folder: Path, name: str, text: str) -> None:
    """Write a text of the zoo as a whole, so that a later one may replace it."""
    marked_folder.save_text(folder, name, text)


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
