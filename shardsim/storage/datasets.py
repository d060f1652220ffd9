"""Datasets: trajectories in a file, for training without collecting data.

An npz file holds the fields of a `Trajectory`, leaves [T, M, ...], and `env`, the
config of the environment they were collected in, as JSON. If `env` is missing, only the
shapes and types are checked.

Symbols: T steps, M environments of the dataset.
"""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from shardsim.core import config as configs
from shardsim.core import files, json_text
from shardsim.core.types import Trainable, Trajectory
from shardsim.storage import run_files


def save(
    path: Path, trajectory: Trajectory, env: Trainable, overwrite: bool = False
) -> None:
    """Write a dataset file, completely or not at all.

    Args:
      trajectory: leaves [T, M, ...].
      env: config of the environment that the trajectories were collected in.
      overwrite: replace an existing file.

    Raises:
      PathError: the file exists, or cannot be written there.
    """
    files.check_new(path, overwrite)
    arrays = {k: np.asarray(v) for k, v in trajectory._asdict().items()}
    env_config = np.asarray(json_text.dumps(configs.to_dict(env)))
    with files.replacing(path) as file:
        np.savez(file, **{**arrays, ENV: env_config})  # type: ignore[arg-type]


def load(path: Path, env: Trainable, num_steps: int) -> Trajectory:
    """Read and check a dataset file.

    Args:
      env: config of the environment to train in. It may differ from that of the dataset
        only in fields that a phase may change.
      num_steps: the smallest number of steps T that is allowed.

    Returns:
      The trajectories, leaves [T, M, ...].

    Raises:
      RunError: the file is missing or damaged, does not hold trajectories, or holds
        trajectories of another environment.
    """
    arrays = run_files.read_arrays(path)
    _check_env(path, arrays, env)
    missing = [name for name in Trajectory._fields if name not in arrays]
    if missing:
        raise run_files.RunError(
            f"{path}: no trajectories ({', '.join(missing)} missing)"
        )
    leading = arrays["reward"].shape
    if len(leading) != 2 or 0 in leading:
        raise run_files.RunError(
            f"{path}: shape of reward: got {leading}; allowed: (steps, environments), "
            "each at least 1"
        )
    for name, (shape, kinds) in _specification(env).items():
        array = arrays[name]
        if array.shape != (*leading, *shape):
            raise run_files.RunError(
                f"{path}: shape of {name}: got {array.shape}; allowed in this "
                f"environment: {(*leading, *shape)}"
            )
        if array.dtype.kind not in kinds:
            raise run_files.RunError(
                f"{path}: {name} holds {array.dtype}; allowed: {KINDS[kinds]}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise run_files.RunError(f"{path}: {name} is not finite everywhere")
    action = arrays["action"]
    if action.min() < 0 or action.max() >= env.num_actions:
        raise run_files.RunError(
            f"{path}: action: got {action.min()} to {action.max()}; allowed in this "
            f"environment: 0 to {env.num_actions - 1}"
        )
    if leading[0] < num_steps:
        raise run_files.RunError(
            f"{path}: holds {leading[0]} steps of each environment; allowed: at least "
            f"train.num_steps, {num_steps}"
        )
    return Trajectory(
        **{name: jnp.asarray(arrays[name]) for name in Trajectory._fields}
    )


def _check_env(path: Path, arrays: dict[str, np.ndarray], env: Trainable) -> None:
    """Refuse an environment that differs in fields that no phase may change."""
    if ENV not in arrays:
        return
    try:
        recorded = json.loads(str(arrays[ENV]))
    except ValueError:
        raise run_files.RunError(
            f"{path}: {ENV} is no JSON; allowed: the config of an environment"
        ) from None
    differences = configs.diff(recorded, configs.to_dict(env))
    for field, (recorded_value, value) in differences.items():
        if field.split(".")[0] not in env.SCHEDULED:
            raise run_files.RunError(
                f"{path}: of another environment, env.{field} is {recorded_value!r}; "
                f"allowed: {value!r}, as in this config"
            )


ENV = "env"
"""Name of the array that holds the config of the environment."""
KINDS = {"b": "bool", "iu": "whole numbers", "iuf": "numbers", "biuf": "numbers"}
"""NumPy's letters for kinds of numbers, and their names in error texts."""


def _specification(env: Trainable) -> dict[str, tuple[tuple[int, ...], str]]:
    """The shape of each field after [T, M], and the kinds of numbers it may hold."""
    observation, contexts = env.observation_shape, (env.num_contexts,)
    return {
        "observation": (observation, "biuf"),
        "next_observation": (observation, "biuf"),
        "context": (contexts, "iuf"),
        "next_context": (contexts, "iuf"),
        "logits": ((env.num_actions,), "iuf"),
        "rewards": ((len(env.reward_sources),), "iuf"),
        "reward": ((), "iuf"),
        "action": ((), "iu"),
        "terminated": ((), "b"),
        "truncated": ((), "b"),
    }
