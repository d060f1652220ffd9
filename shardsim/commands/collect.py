"""`shardsim collect`: trajectories of a walker, or of a run's agents, for later use."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from shardsim.algorithms import update_step
from shardsim.core import config as configs
from shardsim.core import config_files
from shardsim.evaluation import load
from shardsim.storage import datasets, run_folder, weights
from shardsim.training import (
    external_envs,
    phases,
    population,
    schedule,
    sweep,
)


def collect(
    source: Path,
    flags: list[str],
    out: Path,
    arm: str | None,
    updates: int,
    overwrite: bool,
) -> tuple[int, int]:
    """Collect `updates` rollouts of every seed and write them into one file.

    Args:
      source: a config, whose first phase says who acts (its arm as it is initialised),
        or the folder of a run, whose agents act in the world of the last phase,
        whatever taught them there; with a grid those of all its points.
      flags: changes to a config; a run takes none.
      arm: the arm of the run that acts; None is the first that is trained.
      overwrite: whether a file that is there already is replaced.

    Returns:
      Steps T, and environments M = updates * seeds * num_envs, of the file.

    Raises:
      ConfigError, RunError: what can't be collected.
    """
    if updates < 1:
        raise configs.ConfigError(f"updates: got {updates}; allowed: at least 1")
    if out.suffix != ".npz":
        raise configs.ConfigError(f"out: got {out}; allowed: a name that ends in .npz")
    if out.exists() and not overwrite:
        raise configs.ConfigError(
            f"out: {out} exists; allowed: a new file, or --overwrite"
        )
    a_run = source.is_dir()
    found = _run(source, flags) if a_run else _config(source, flags)
    trained = {a.name: a for a in found.sized_arms() if a.trained}
    name = next(iter(trained)) if arm is None else arm
    if name not in trained:
        raise configs.ConfigError(f"arm: got {name!r}; allowed: {', '.join(trained)}")
    phase = found.train.phases[-1 if a_run else 0]
    if a_run:
        phase = dataclasses.replace(phase, collect="agent")
    if phase.collect == "dataset":
        raise configs.ConfigError(
            "train.phases.0.collect: got 'dataset'; allowed: 'random_walker' or 'agent'"
        )
    setting = schedule.setting(found.train, found.env, (trained[name].head,), phase)
    world = update_step.PhaseInputs(phases.params_of(found.env, phase))
    points = sweep.size(found.train.sweep) if a_run else 1
    carry = _carry(found, trained[name], world, points)
    if a_run:
        carry = _with_weights(carry, source / "weights" / f"{name}.npz")
    taken = []
    for _ in range(updates):
        carry, trajectory = population.collect(setting, carry, world)
        carry = carry._replace(update=carry.update + 1)
        taken.append(jax.tree.map(_side_by_side, trajectory))
    whole = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *taken)
    datasets.save(out, whole, found.env)
    return whole.reward.shape


def _run(folder: Path, flags: list[str]) -> Any:
    """What a run folder is a run of."""
    if flags:
        raise configs.ConfigError(
            f"{flags[0]}: got a flag with the folder of a run; allowed: none, for its "
            "config is what it was trained by"
        )
    return _in_program(load.load(folder))


def _config(path: Path, flags: list[str]) -> Any:
    """What a config says, changed by flags."""
    data = config_files.override(config_files.read_yaml(path), flags)
    return _in_program(load.read(data))


def _in_program(found: Any) -> Any:
    """The same on one device, where its world can be run by a compiled program."""
    if isinstance(found.env, external_envs.Gymnasium):
        raise configs.ConfigError(
            "env.kind: got 'gymnasium'; allowed: a world that is no host's"
        )
    # the data are the same on any number of devices
    alone = dataclasses.replace(found.train, devices=1)
    return dataclasses.replace(found, train=alone)


def _carry(
    found: Any, arm: Any, world: update_step.PhaseInputs, points: int
) -> update_step.TrainState:
    """Fresh agents and worlds of the seeds at the first points of a grid."""
    config = found.train
    recipe = schedule.recipe(config, found.agent, found.env)
    keys = population.seed_keys(config.seed, config.num_seeds, points)
    hyper = jax.tree.map(
        lambda leaf: leaf[: len(keys)], schedule.hyper(config, arm.head)
    )
    return population.init(recipe, arm.head, arm.width, world.params, keys, hyper)


def _with_weights(carry: update_step.TrainState, path: Path) -> update_step.TrainState:
    """The same carry with the weights of a file in its first arm."""
    learner = carry.learners[0]
    agent = weights.restore_params(learner.agent, run_folder.read_arrays(path))
    return carry._replace(learners=(learner._replace(agent=agent),))


def _side_by_side(leaf: Array) -> Array:
    """[N, T, B, ...] as [T, N * B, ...]."""
    turned = jnp.moveaxis(leaf, 0, 1)
    return turned.reshape(turned.shape[0], -1, *turned.shape[3:])
