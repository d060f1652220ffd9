"""Snapshots: the agents of all seeds at one update of the training.

A run writes E, D and V. When it is finished, it keeps them of the updates that its
predictions read, and of the others the outputs that the page shows (`evaluation.film`).
The last update has no snapshot then: weights/ARM.npz holds the same.

Symbols: N seeds.
"""

import contextlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from shardsim.agents import agent as agents
from shardsim.agents import value
from shardsim.core.types import Trainable
from shardsim.storage import file_list, run_files, weights

KEEPS = "keeps"
"""Name of the array that tells what a snapshot keeps, if it is not E, D and V."""
VALUES = "values"
"""What `KEEPS` says where outputs are kept."""


def place(folder: Path, arm: str, update: int) -> Path:
    """The snapshot file of an arm after `update` updates of the run."""
    return folder / "snapshots" / arm / f"{update:07d}.npz"


def updates(folder: Path, arm: str) -> list[int]:
    """The updates at which an arm has a snapshot, in rising order."""
    stems = (path.stem for path in (folder / "snapshots" / arm).glob("*.npz"))
    numbers = [int(stem) for stem in stems if stem.isdigit()]
    return sorted(n for n in numbers if place(folder, arm, n).is_file())


def delete(folder: Path, arm: str) -> None:
    """Delete the snapshots of an arm, and no other file beside them."""
    for update in updates(folder, arm):
        place(folder, arm, update).unlink()


def write(folder: Path, arm: str, update: int, population: agents.Agent) -> None:
    """Write a population, leaves [N, ...], without the auxiliary decoders."""
    run_files.write_arrays(place(folder, arm, update), weights.of_agent(population))


def finish(folder: Path, arm: str, last: int) -> None:
    """Delete the last snapshot of an arm, and compress the others.

    Args:
      last: update at the weights of the end, which are the same as the last snapshot.

    Raises:
      RunError: a snapshot is damaged.
    """
    for update in updates(folder, arm):
        path = place(folder, arm, update)
        if not file_list.wrote(folder, path):
            continue
        if update == last:
            path.unlink()
        elif not is_final(path):
            arrays = run_files.read_arrays(path)
            run_files.write_arrays(path, arrays, compressed=True)


def is_final(path: Path) -> bool:
    """Whether a snapshot is as a finished run keeps it: it is compressed then."""
    with contextlib.suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return all(entry.compress_type for entry in archive.infolist())
    return False


def write_values(path: Path, outputs: Mapping[str, np.ndarray]) -> None:
    """Write outputs in the place of a snapshot."""
    arrays = {KEEPS: np.asarray(VALUES), **outputs}
    run_files.write_arrays(path, arrays, compressed=True)


def keeps_agents(path: Path) -> bool:
    """Whether a file has E, D and V; it is not read for that."""
    with (
        contextlib.suppress(zipfile.BadZipFile, OSError),
        zipfile.ZipFile(path) as file,
    ):
        return f"{KEEPS}.npy" not in file.namelist()
    return False


def keeps_values(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a snapshot keeps outputs and not E, D and V."""
    return KEEPS in arrays


def population(
    config: agents.AgentConfig,
    head: value.HeadConfig,
    width: int,
    env: Trainable,
    arrays: Mapping[str, np.ndarray],
) -> agents.Agent:
    """Build the agents of a snapshot or of weights, without auxiliary decoders.

    Args:
      head: config of the arm's value head.
      width: hidden units of the head (of each shard).
      env: gives the shapes of observations, actions and contexts.
      arrays: contents of the file; leading axes become those of the agents.

    Raises:
      RunError: a parameter is missing.
    """
    key = jax.random.key(0)
    agent = nnx.eval_shape(lambda: agents.build(config, head, width, env, key))
    return weights.restore_params(agent, arrays)
