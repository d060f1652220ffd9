"""The host loop: compiled chunks, and between them what only a host can do.

Between two chunks metrics go to disk, the progress bar moves, snapshots and
checkpoints are made and a signal is heeded. Symbols: N seeds.
"""

import contextlib
import dataclasses
import functools
import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from shardsim.agents import agent as agents
from shardsim.algorithms import metrics, update_step
from shardsim.core import config as configs
from shardsim.core import interrupts
from shardsim.core.types import Trainable, Trajectory
from shardsim.storage import checkpoints, records, run_folder, snapshots, weights
from shardsim.training import (
    arms,
    divergence,
    external_envs,
    host_envs,
    metric_records,
    phases,
    population,
    schedule,
    sweep,
)
from shardsim.training.config import TrainConfig

CHECKPOINT_SECONDS = 60.0
"""At most this much work, and a chunk, is lost by a power cut; none by a signal."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: all that was learnt is on disk."""


Chunks = Callable[..., tuple[update_step.TrainState, Any]]
"""(setting, carry, source, updates) -> the carry after a chunk, and its metrics."""
SnapshotHook = Callable[[str, int, agents.Agent], metric_records.SnapshotMetrics]
"""(arm, update, population) -> the line of metrics of a snapshot."""
Progress = Callable[[metric_records.ChunkMetrics, float], None]
"""(metrics of the chunk, environment steps per second): moves the progress bar."""


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """What the loop needs to know, and whom it tells."""

    env: Trainable
    agent: agents.AgentConfig
    train: TrainConfig
    arms: tuple[arms.Arm, ...]
    folder: Path
    report: SnapshotHook
    progress: Progress
    kept: Trajectory | None = None
    """Stored trajectories, for phases that learn from them."""


def run(job: TrainingJob) -> dict[str, agents.Agent]:
    """Train every arm; populations by arm, leaves [N, ...].

    Raises:
      Interrupted, Diverged: with everything until then on disk.
    """
    config = job.train
    trained = tuple(arm for arm in job.arms if arm.trained)
    groups = [trained] if config.data == "tandem" else [(arm,) for arm in trained]
    if config.data == "tandem" and config.behaviour_arm is not None:
        groups = [tuple(sorted(trained, key=lambda a: a.name != config.behaviour_arm))]
    recipe = schedule.recipe(config, job.agent, job.env)
    keys = _keys(config)

    def fresh(group: tuple[arms.Arm, ...]) -> update_step.TrainState:
        kinds = tuple(arm.head for arm in group)
        widths = tuple(arm.width for arm in group)
        made = population.heads(recipe, kinds, widths, keys)
        hypers = tuple(_spread(config, schedule.hyper(config, kind)) for kind in kinds)
        return population.with_fresh_heads(stem, made, hypers)

    result = {}
    with interrupts.defer_signals() as stopped:
        stem = _shared_prefix(job, recipe, keys, trained[0], stopped)
        for arm in job.arms:
            if not arm.trained:
                result[arm.name] = fresh((arm,)).learners[0].agent
                _rewind(job.folder, (arm.name,), -1)
                _snapshot(job, arm, int(stem.update[0]), result[arm.name])
        for group in groups:
            carry = _advance(job, group, fresh(group), stopped)
            for arm, learner in zip(group, carry.learners, strict=True):
                result[arm.name] = learner.agent
        if stopped:
            raise Interrupted(f"stopped by signal {stopped[0]} after the last update")
    for name, agent in result.items():
        run_folder.write_arrays(
            job.folder / "weights" / f"{name}.npz", weights.flatten_params(agent)
        )
    return {arm.name: result[arm.name] for arm in job.arms}


def _rewind(folder: Path, arms: tuple[str, ...], reached: int) -> None:
    """Drop the metrics of some arms that are newer than an update: they come again.

    Of arms that begin anew, at -1, snapshots go too: they may be of another config.
    """

    def stays(row: dict[str, Any]) -> bool:
        when = row.get("update")
        if "arm" not in row or not isinstance(when, int):  # bits flipped
            return False
        return row["arm"] not in arms or when <= reached

    run_folder.keep_lines(folder / metric_records.FILE, stays)
    for arm in arms if reached < 0 else ():
        shutil.rmtree(folder / "snapshots" / arm, ignore_errors=True)


def _keys(config: TrainConfig) -> jax.Array:
    """The keys of the seeds, spread over the devices; all else follows them."""
    points = sweep.size(config.sweep)
    return _spread(config, population.seed_keys(config.seed, config.num_seeds, points))


def _spread(config: TrainConfig, tree: Any) -> Any:
    """Leaves [N, ...] spread over the devices."""
    if config.devices == 1:
        return tree
    spread = NamedSharding(population.mesh(config.devices), PartitionSpec("seed"))
    return jax.device_put(tree, spread)


def _shared_prefix(
    job: TrainingJob,
    recipe: population.InitConfig,
    keys: jax.Array,
    arm: arms.Arm,
    stopped: list[int],
) -> update_step.TrainState:
    """The phases in which no head takes part, run once for all arms."""
    params = phases.params_of(job.env, job.train.phases[0])
    hyper = _spread(job.train, schedule.hyper(job.train, arm.head))
    carry = population.init(recipe, arm.head, arm.width, params, keys, hyper)
    shared = schedule.shared_phases(job.train)
    end = sum(phase.updates for phase in job.train.phases[:shared])
    stem = dataclasses.replace(arm, name=arms.SHARED_PHASES)
    return _advance(job, (stem,), carry, stopped, end) if end else carry


def _advance(
    job: TrainingJob,
    group: tuple[arms.Arm, ...],
    carry: update_step.TrainState,
    stopped: list[int],
    end: int | None = None,
) -> update_step.TrainState:
    """Run a group of arms up to an update, from a checkpoint if there is one."""
    config = job.train
    names = tuple(arm.name for arm in group)
    name = "+".join(names)
    go_on = functools.partial(
        divergence.raise_if_fatal, config.sweep, config.num_seeds, names
    )
    folder = job.folder / "checkpoints" / name
    owner = _owner(config, job, group)
    found = checkpoints.newest(folder, carry, owner)
    if found is not None:
        carry = found.carry
        for text in found.refused:
            print(f"shardsim: {text}; refused", file=sys.stderr)
        go_on(np.asarray(carry.failed))
    _rewind(job.folder, names, -1 if found is None else found.update)
    shared = sum(p.updates for p in config.phases[: schedule.shared_phases(config)])
    stops, kept = schedule.boundaries(config, shared)
    last = config.total_updates if end is None else end
    done = int(np.asarray(carry.update)[0])
    if done in kept and end is None and found is None:
        for arm, learner in zip(group, carry.learners, strict=True):
            _snapshot(job, arm, done, learner.agent)
    carry = _spread(config, carry)
    saved = time.monotonic()
    with _chunks(job) as chunk:
        for stop in (s for s in stops if done < s <= last):
            carry = _chunk(job, chunk, group, carry, stop - done, done)
            done = stop
            failed = np.asarray(carry.failed)
            broken = divergence.is_fatal(config.sweep, failed)
            # what is noted before the checkpoint is made again if the checkpoint is not
            # reached; the other way round it would be missed
            if end is None and done in kept and not broken:
                for arm, learner in zip(group, carry.learners, strict=True):
                    _snapshot(job, arm, done, learner.agent)
            overdue = time.monotonic() - saved > CHECKPOINT_SECONDS
            if done == last or stopped or overdue or broken:
                checkpoints.save(folder, done, carry, owner)
                saved = time.monotonic()
            go_on(failed)
            if stopped:
                raise Interrupted(
                    f"stopped by signal {stopped[0]} after update {done} of {name}"
                )
    return carry


def _owner(config: TrainConfig, job: TrainingJob, group: tuple[arms.Arm, ...]) -> str:
    """Digest of what a carry depends on: not of how it is come by."""
    same = dataclasses.replace(config, devices=1, updates_per_call=1, num_snapshots=1)
    parts = {"env": job.env, "agent": job.agent, "train": same, "arms": list(group)}
    if job.kept is not None:
        leaves = (np.ascontiguousarray(leaf) for leaf in job.kept)  # read, not copied
        parts["kept"] = [hashlib.sha256(leaf.data).hexdigest() for leaf in leaves]
    return configs.digest(parts)


@contextlib.contextmanager
def _chunks(job: TrainingJob) -> Iterator[Chunks]:
    """How a chunk is run: in one program, or with worlds that lie on the host."""
    if not isinstance(job.env, external_envs.Gymnasium):
        yield population.chunk
        return
    config = job.train
    points = sweep.size(config.sweep)
    many = host_envs.Host(
        job.env, config.seed, config.num_seeds, config.num_envs, points
    )
    with contextlib.closing(many):
        yield many.chunk


def _chunk(
    job: TrainingJob,
    chunk: Chunks,
    group: tuple[arms.Arm, ...],
    carry: update_step.TrainState,
    updates: int,
    done: int,
) -> update_step.TrainState:
    config = job.train
    phase, since = schedule.phase_at(config, done)
    heads = tuple(arm.head for arm in group)
    static = schedule.setting(config, job.env, heads, phase)
    source = update_step.PhaseInputs(phases.params_of(job.env, phase), job.kept)
    began = time.perf_counter()
    if phase.reset_envs and since == 0:
        where = (job.env, config.num_envs, config.devices, source.params)
        states = population.restart(*where, carry.key, carry.update)
        carry = carry._replace(states=states)
    carry, noted = chunk(static, carry, source, jnp.int32(updates))
    summed = jax.device_get(noted)
    seconds = time.perf_counter() - began
    steps = updates * config.num_envs * config.num_steps
    failed = np.asarray(carry.failed)
    for index, (arm, totals) in enumerate(zip(group, summed, strict=True)):
        line = metric_records.chunk(
            arm.name,
            phase.name,
            done + updates,
            metrics.rates(totals, updates, steps),
            divergence.as_metrics(failed[:, index]),
        )
        records.append(job.folder / metric_records.FILE, line)
        job.progress(line, steps * config.population / seconds)
    return carry


def _snapshot(
    job: TrainingJob, arm: arms.Arm, update: int, agent: agents.Agent
) -> None:
    """Write E, D and V, and what the report measures of them."""
    snapshots.write(job.folder, arm.name, update, agent)
    line = job.report(arm.name, update, agent)
    records.append(job.folder / metric_records.FILE, line)
