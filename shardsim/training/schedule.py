"""The schedule of training: static configs, phases, and the ends of compiled calls."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from shardsim.agents import encoders, value
from shardsim.agents.agent import AgentConfig
from shardsim.algorithms import update_step
from shardsim.algorithms.hyperparameters import Hyperparameters
from shardsim.core import sparse
from shardsim.core.types import Trainable, Trajectory
from shardsim.storage import datasets, run_files
from shardsim.training import sweep
from shardsim.training.config import TrainConfig
from shardsim.training.phases import Phase
from shardsim.training.population import InitConfig


def hyperparameters(config: TrainConfig, head: value.HeadConfig) -> Hyperparameters:
    """The hyperparameters of the N elements of an arm, leaves [N].

    Element g * num_seeds + s is seed s at point g of the sweep.
    """
    defaults = {
        "learning_rate": config.optimizer.learning_rate,
        "td_lambda": config.td_lambda,
        "temperature": getattr(config.action_selection, "temperature", 1.0),
        "entropy": getattr(config.algorithm, "entropy", 0.0),
        "load_balance": value.load_balance(head),
    }
    rows = [{**defaults, **point} for point in sweep.points(config.sweep)]
    columns = {
        name: np.repeat([row[name] for row in rows], config.num_seeds)
        for name in defaults
    }
    return Hyperparameters(
        **{name: jnp.asarray(x, jnp.float32) for name, x in columns.items()}
    )


def load_dataset(config: TrainConfig, env: Trainable) -> Trajectory | None:
    """Load the dataset file; None if no phase learns from it.

    Raises:
      RunError: the file is missing or damaged, or its trajectories are of another
        environment.
    """
    if all(phase.collect != "dataset" for phase in config.phases):
        return None
    try:
        return datasets.load(Path(config.dataset), env, config.num_steps)
    except run_files.RunError as error:
        raise run_files.RunError(f"train.dataset: {error}") from None


def num_devices(config: TrainConfig) -> int:
    """The number of devices that the seeds are spread over, on this machine."""
    if config.devices != "auto":
        return config.devices
    available = range(1, jax.local_device_count() + 1)
    return max(n for n in available if config.population % n == 0)


def init_config(config: TrainConfig, agent: AgentConfig, env: Trainable) -> InitConfig:
    """The static config of new populations."""
    return InitConfig(
        agent,
        config.optimizer,
        env,
        config.num_envs,
        config.objectives,
        num_devices(config),
    )


def training_view(agent: AgentConfig, env: Trainable, phase: Phase) -> Trainable:
    """The environment as a phase observes it: as row numbers where E can read them.

    A phase needs boards if it predicts observations, hides cells, or learns from a
    dataset.
    """
    losses = phase.losses
    needs_boards = (
        losses.observation.any or losses.masked.any or phase.collect == "dataset"
    )
    if needs_boards or not isinstance(agent.encoder, encoders.MLPEncoder):
        return env
    return sparse.row_view(env)


def update_config(
    config: TrainConfig,
    env: Trainable,
    heads: tuple[value.HeadConfig, ...],
    phase: Phase,
) -> update_step.UpdateConfig:
    """The static config of the updates of a phase.

    Args:
      heads: value head of each arm in the group.
    """
    optimizer, first, total = config.optimizer, 0, config.total_updates
    if phase.schedule is not None:
        optimizer = dataclasses.replace(optimizer, schedule=phase.schedule)
        if phase.schedule.kind != "constant" or phase.schedule.warmup:
            # a constant rate is the same in every phase, and so is its program
            first, total = ends(config)[phase.name] - phase.updates, phase.updates
    return update_step.UpdateConfig(
        env=env,
        heads=heads,
        action_selection=config.action_selection,
        algorithm=config.algorithm,
        random_walker=config.random_walker,
        optimizer=optimizer,
        losses=phase.losses,
        collect=phase.collect,
        num_envs=config.num_envs,
        num_steps=config.num_steps,
        epochs=config.epochs,
        minibatches=config.minibatches,
        num_reset_states=config.num_reset_states,
        discount=config.discount,
        total_updates=total,
        first_update=first,
        mask_fraction=config.mask_fraction,
        precision=config.precision,
        devices=num_devices(config),
        balanced="load_balance" in config.sweep
        or any(value.load_balance(head) > 0 for head in heads),
    )


def phase_at(config: TrainConfig, done: int) -> tuple[Phase, int]:
    """The phase of the next update after `done`, and how many updates it has done.

    Raises:
      ValueError: all phases are done.
    """
    since = done
    for phase in config.phases:
        if since < phase.updates:
            return phase, since
        since -= phase.updates
    raise ValueError(f"update: got {done} beyond the last phase")


def shared_phases(config: TrainConfig) -> int:
    """The number of initial phases that do not involve V, and run once for all arms.

    In these phases neither the data nor any loss depends on V. E, D and the auxiliary
    decoders start equal in every arm, and so they stay equal, bit for bit.
    """
    count = 0
    for phase in config.phases:
        if phase.collect == "agent" or phase.losses.value.any:
            break
        count += 1
    return count


def ends(config: TrainConfig) -> dict[str, int]:
    """The number of updates of the run at the end of each phase, by name."""
    done = np.cumsum([phase.updates for phase in config.phases]).tolist()
    return dict(zip((phase.name for phase in config.phases), done, strict=True))


def boundaries(config: TrainConfig, start: int) -> tuple[list[int], set[int]]:
    """The updates at which compiled calls end, and those with a snapshot.

    Snapshots are log-spaced from `start` on, because V changes fastest early in
    training. Every end of a phase has a snapshot too.

    Args:
      start: number of updates at the end of the shared phases.
    """
    total, phase_ends = config.total_updates, ends(config).values()
    spaced = np.geomspace(1, max(total - start, 1), config.num_snapshots).round()
    snapshots = {start, *(start + int(u) for u in spaced)}
    snapshots |= {end for end in phase_ends if end >= start}
    snapshots = {update for update in snapshots if update <= total}
    calls: list[int] = []
    last = 0
    for stop in sorted(snapshots | set(phase_ends)):
        calls += range(last + config.updates_per_call, stop, config.updates_per_call)
        calls.append(stop)
        last = stop
    return [update for update in calls if update > 0], snapshots
