"""E, D and V of all seeds as they stood at an update: files of a run folder.

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
from shardsim.storage import run_folder, weights


def place(folder: Path, arm: str, update: int) -> Path:
    """The file of an arm of a run, by the updates of the run until then."""
    return folder / "snapshots" / arm / f"{update:07d}.npz"


def write(folder: Path, arm: str, update: int, population: agents.Agent) -> None:
    """Keep a population, leaves [N, ...]; the auxiliary decoder is left out."""
    arrays = weights.flatten_params(population)
    kept = {name: leaf for name, leaf in arrays.items() if not name.startswith("aux")}
    run_folder.write_arrays(place(folder, arm, update), kept)


def population(
    config: agents.AgentConfig,
    head: value.Head,
    width: int,
    env: Trainable,
    arrays: Mapping[str, np.ndarray],
) -> agents.Agent:
    """The agents that were kept, leaves as in the file; without auxiliary decoder.

    Raises:
      RunError: a parameter that is not there.
    """
    key = jax.random.key(0)
    agent = nnx.eval_shape(lambda: agents.build(config, head, width, env, key))
    return weights.restore_params(agent, arrays)
