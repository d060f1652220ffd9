"""Snapshots: E, D and V of all seeds at one update of the training.

Symbols: N seeds.
"""

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from shardsim.agents import agent as agents
from shardsim.agents import value
from shardsim.core.types import Trainable
from shardsim.storage import run_files, weights


def place(folder: Path, arm: str, update: int) -> Path:
    """The snapshot file of an arm after `update` updates of the run."""
    return folder / "snapshots" / arm / f"{update:07d}.npz"


def delete(folder: Path, arm: str) -> None:
    """Delete the snapshots of an arm, and no other file beside them."""
    for path in list((folder / "snapshots" / arm).glob("*.npz")):
        if path.stem.isdigit() and path == place(folder, arm, int(path.stem)):
            path.unlink()


def write(folder: Path, arm: str, update: int, population: agents.Agent) -> None:
    """Write a population, leaves [N, ...], without the auxiliary decoders."""
    arrays = {
        name: leaf
        for name, leaf in weights.flatten_params(population).items()
        if not name.startswith("aux")
    }
    run_files.write_arrays(place(folder, arm, update), arrays)


def population(
    config: agents.AgentConfig,
    head: value.HeadConfig,
    width: int,
    env: Trainable,
    arrays: Mapping[str, np.ndarray],
) -> agents.Agent:
    """Build the agents of a snapshot, without auxiliary decoders.

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
