"""Files of a contest. Each is written whole or not at all, so that it can be continued.

shardsim_contest.json           the mark: number of the format, digest of the training
written.json                    digests of the texts that were written last
config.yaml                     the resolved config
weights/ARM/HISTORY/SEED.npz    E, D and V at the end of a history, by dotted name
states/ARM/WORD/SEED.npz        training states that longer histories go on from; until
                                all agents are trained
contest.json                    every number of the page
contest.md, contest.html        the tables as Markdown, and the page
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from shardsim.contest import config as contests
from shardsim.contest import histories, results
from shardsim.core import config_files
from shardsim.storage import marked_folder, run_files, run_folder

CONFIG = "config.yaml"
TABLES = "contest.md"
PAGE = "contest.html"
START = "_start"
"""Name of the word without events, which no event can have."""
KIND = marked_folder.Kind(
    noun="contest",
    mark="shardsim_contest.json",
    format=1,
    contents="agents",
    may_change="other histories, conditions, forecasters or more seeds",
    texts=(CONFIG, results.FILE, TABLES, PAGE),
)


@contextlib.contextmanager
def opened(
    path: Path, contest: contests.Contest, overwrite: bool = False, shared: bool = False
) -> Iterator[None]:
    """Create the folder of a contest, or continue one of the same agents, locked.

    Args:
      overwrite: whether results that were changed may be replaced.
      shared: whether other processes may train agents there at the same time.

    Raises:
      RunError: something else is there, a contest of other agents, or another process.
      PathError: the folder cannot be written.
    """
    digest = contests.trained_digest(contest)
    with marked_folder.opened(KIND, path, digest, overwrite, shared):
        save_text(path, CONFIG, config_files.to_yaml(contest))
        yield


def save_text(path: Path, name: str, text: str) -> None:
    """Write a text of the contest as a whole, so that a later one may replace it."""
    marked_folder.save_text(path, name, text)


def weights(path: Path, arm: str, word: histories.Word, seed: int) -> Path:
    """The file of E, D and V of an agent."""
    return _place(path / "weights", arm, word, seed)


def state(path: Path, arm: str, word: histories.Word, seed: int) -> Path:
    """The file of a training state."""
    return _place(path / "states", arm, word, seed)


def _place(root: Path, arm: str, word: histories.Word, seed: int) -> Path:
    return root / arm / (histories.name_of(word) or START) / f"{seed:03d}.npz"


def write_leaves(path: Path, leaves: list[np.ndarray]) -> None:
    """Write the leaves of a tree in their order."""
    run_files.write_arrays(path, {f"{n:04d}": leaf for n, leaf in enumerate(leaves)})


def read_leaves(path: Path) -> list[np.ndarray]:
    """Read the leaves of a tree in their order.

    Raises:
      RunError: the file is missing or damaged.
    """
    arrays = run_files.read_arrays(path)
    return [arrays[name] for name in sorted(arrays)]


def remove_states(path: Path) -> None:
    """Delete the training states; what the contest did not write stays."""
    for file in _states(path):
        file.unlink()
    run_folder.remove_empty(
        *(path / "states").glob("*/*"), *(path / "states").glob("*"), path / "states"
    )


def _states(path: Path) -> Iterator[Path]:
    for file in (path / "states").glob("*/*/*.npz"):
        if file.stem.isdigit():
            yield file
