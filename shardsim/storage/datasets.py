"""Trajectories on disk: data to learn from that nobody has to collect again.

An npz file holds the fields of a `Trajectory`, leaves [T, M, ...]: T steps of M
environments; and `world`, the config of the world in which they were made, as JSON. A
file without it is judged by its shapes alone.

Symbols: T steps kept, M environments kept.
"""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from shardsim.core import config as configs
from shardsim.core.types import Trainable, Trajectory
from shardsim.storage import run_folder


def save(path: Path, trajectory: Trajectory, env: Trainable) -> None:
    """Write a file that `load` reads, whole or not at all."""
    arrays = {k: np.asarray(v) for k, v in trajectory._asdict().items()}
    world = np.asarray(json.dumps(configs.to_dict(env)))
    run_folder.write_arrays(path, {**arrays, WORLD: world})


def load(path: Path, env: Trainable, num_steps: int) -> Trajectory:
    """The trajectories of a file.

    Raises:
      RunError: no such file, a torn one, or data of another world or of no world.
    """
    found = run_folder.read_arrays(path)
    _check_world(path, found, env)
    missing = [name for name in Trajectory._fields if name not in found]
    if missing:
        raise run_folder.RunError(
            f"{path}: no trajectories ({', '.join(missing)} missing)"
        )
    leading = found["reward"].shape
    if len(leading) != 2 or 0 in leading:
        raise run_folder.RunError(
            f"{path}: reward is {leading}; allowed: (steps, environments), 1 or more"
        )
    for name, (shape, kinds) in _wanted(env).items():
        got = found[name]
        if got.shape != (*leading, *shape):
            raise run_folder.RunError(
                f"{path}: {name} is {got.shape}; allowed in this world: "
                f"{(*leading, *shape)}"
            )
        if got.dtype.kind not in kinds:
            raise run_folder.RunError(
                f"{path}: {name} holds {got.dtype}; allowed: {KINDS[kinds]}"
            )
        if got.dtype.kind == "f" and not np.isfinite(got).all():
            raise run_folder.RunError(f"{path}: {name} is not finite everywhere")
    action = found["action"]
    if action.min() < 0 or action.max() >= env.num_actions:
        raise run_folder.RunError(
            f"{path}: action is {action.min()} to {action.max()}; allowed in this "
            f"world: 0 to {env.num_actions - 1}"
        )
    if leading[0] < num_steps:
        raise run_folder.RunError(
            f"{path}: holds {leading[0]} steps of each environment; allowed: at least "
            f"train.num_steps, {num_steps}"
        )
    return Trajectory(**{name: jnp.asarray(found[name]) for name in Trajectory._fields})


def _check_world(path: Path, found: dict[str, np.ndarray], env: Trainable) -> None:
    """Refuse data of a world that differs in more than a phase may change."""
    if WORLD not in found:
        return
    try:
        there = json.loads(str(found[WORLD]))
    except ValueError:
        raise run_folder.RunError(
            f"{path}: {WORLD} is no JSON; allowed: a world"
        ) from None
    differ = configs.diff(there, configs.to_dict(env))
    for field, (made_in, here) in differ.items():
        if field.split(".")[0] not in env.SCHEDULED:
            raise run_folder.RunError(
                f"{path}: of another world, env.{field} is {made_in!r}; allowed: "
                f"{here!r}, as in this one"
            )


WORLD = "env"
"""Name of the array that holds the world's config."""
KINDS = {"b": "bool", "iu": "whole numbers", "iuf": "numbers", "biuf": "numbers"}
"""Kinds of number, by numpy's letters, and how they are told."""


def _wanted(env: Trainable) -> dict[str, tuple[tuple[int, ...], str]]:
    """The shape of each field beyond [T, M] in a world, and its kind of number."""
    seen, contexts = env.observation_shape, (env.num_contexts,)
    return {
        "observation": (seen, "biuf"),
        "next_observation": (seen, "biuf"),
        "context": (contexts, "iuf"),
        "next_context": (contexts, "iuf"),
        "logits": ((env.num_actions,), "iuf"),
        "rewards": ((len(env.reward_sources),), "iuf"),
        "reward": ((), "iuf"),
        "action": ((), "iu"),
        "terminated": ((), "b"),
        "truncated": ((), "b"),
    }
