"""`shardsim collect`: write a dataset of trajectories to train on.

A random walker acts, or the agents of a run. Symbols: N seeds, T steps, B environments.
"""

import argparse
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from shardsim.algorithms import update_step
from shardsim.core import config as configs
from shardsim.core import field_errors, files, memory
from shardsim.evaluation import load
from shardsim.storage import datasets, run_files, weights
from shardsim.training import (
    external_envs,
    phases,
    population,
    schedule,
    sweep,
)


def main(options: argparse.Namespace, flags: Sequence[str]) -> int:
    """Write the dataset and print its size."""
    shape = collect(
        options.source,
        list(flags),
        options.out,
        options.arm,
        options.updates,
        options.overwrite,
    )
    print(f"{options.out}: {shape[0]} steps of {shape[1]} environments")
    return 0


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
      source: a config or a run folder. The first phase of a config says who acts: the
        random walker, or an arm as it is initialised. From a run folder the trained
        agents act in the environment of the last phase, whatever data that phase
        trained on; after a sweep, the agents of all its points.
      flags: changes to a config; a run takes none.
      out: the file, ends in .npz.
      arm: the arm that acts; None is the first trained one.
      updates: rollouts of each seed, at least 1.
      overwrite: replace an existing file.

    Returns:
      (T, M): steps and environments of the file, M = updates * N * num_envs.

    Raises:
      ConfigError, RunError: a field or a folder from which nothing can be collected.
    """
    if updates < 1:
        raise configs.ConfigError(f"updates: got {updates}; allowed: at least 1")
    if out.suffix != ".npz":
        raise configs.ConfigError(f"out: got {out}; allowed: a name that ends in .npz")
    files.check_new(out, overwrite)
    is_run = source.is_dir()
    config = _load_run(source, flags) if is_run else _read_config(source, flags)
    trained = {a.name: a for a in config.sized_arms() if a.trained}
    name = next(iter(trained)) if arm is None else arm
    if name not in trained:
        allowed = field_errors.one_of(trained, name)
        raise configs.ConfigError(f"arm: got {name!r}; allowed: {allowed}")
    phase = config.train.phases[-1 if is_run else 0]
    if is_run:
        phase = dataclasses.replace(phase, collect="agent")
    if phase.collect == "dataset":
        raise configs.ConfigError(
            "train.phases.0.collect: got 'dataset'; allowed: 'random_walker' or 'agent'"
        )
    observation = math.prod(config.env.observation_shape)
    steps = updates * config.train.num_steps * config.train.num_envs
    memory.check({"updates": steps * config.train.population * observation})
    update_config = schedule.update_config(
        config.train, config.env, (trained[name].head,), phase
    )
    inputs = update_step.PhaseInputs(phases.params_of(config.env, phase))
    points = sweep.size(config.train.sweep) if is_run else 1
    state = _initial_state(config, trained[name], inputs, points)
    if is_run:
        state = _with_weights(state, source / "weights" / f"{name}.npz")
    rollouts = []
    for _ in range(updates):
        state, trajectory = population.collect(update_config, state, inputs)
        state = state._replace(update=state.update + 1)
        rollouts.append(jax.tree.map(_merge_seeds, trajectory))
    dataset = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *rollouts)
    datasets.save(out, dataset, config.env, overwrite)
    return dataset.reward.shape


def _load_run(folder: Path, flags: list[str]) -> Any:
    """The experiment or training of a run folder, on one device."""
    if flags:
        raise configs.ConfigError(
            f"{flags[0]}: got a flag with a run folder; allowed: none, a run keeps the "
            "config that trained it"
        )
    return _on_one_device(load.load(folder))


def _read_config(path: Path, flags: list[str]) -> Any:
    """The experiment or training of a config changed by flags, on one device."""
    return _on_one_device(load.read(load.read_file(path, flags)))


def _on_one_device(config: Any) -> Any:
    """The config with `train.devices` 1; the data do not depend on it."""
    if isinstance(config.env, external_envs.Gymnasium):
        raise configs.ConfigError(
            "env.kind: got 'gymnasium'; allowed: an environment in JAX, not on the host"
        )
    train = dataclasses.replace(config.train, devices=1)
    return dataclasses.replace(config, train=train)


def _initial_state(
    config: Any, arm: Any, inputs: update_step.PhaseInputs, points: int
) -> update_step.TrainState:
    """Fresh agents and environments of all seeds at the first points of a sweep."""
    train = config.train
    init_config = schedule.init_config(train, config.agent, config.env)
    # nothing is trained here, and weights of a run have no auxiliary decoders
    init_config = init_config._replace(objectives=())
    keys = population.seed_keys(train.seed, train.num_seeds, points)
    hyper = jax.tree.map(
        lambda leaf: leaf[: len(keys)], schedule.hyperparameters(train, arm.head)
    )
    return population.init(init_config, arm.head, arm.width, inputs.params, keys, hyper)


def _with_weights(state: update_step.TrainState, path: Path) -> update_step.TrainState:
    """The state with the weights of a file in its first arm."""
    learner = state.learners[0]
    agent = weights.restore_params(learner.agent, run_files.read_arrays(path))
    return state._replace(learners=(learner._replace(agent=agent),))


def _merge_seeds(leaf: Array) -> Array:
    """[N, T, B, ...] to [T, N * B, ...]."""
    by_time = jnp.moveaxis(leaf, 0, 1)
    return by_time.reshape(by_time.shape[0], -1, *by_time.shape[3:])
