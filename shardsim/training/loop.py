"""The training loop on the host: it runs compiled chunks of updates.

Between two chunks it writes metrics, snapshots and checkpoints, moves the progress bar
and handles signals. Symbols: N seeds (times the points of a sweep).
"""

import contextlib
import dataclasses
import functools
import hashlib
import logging
import shlex
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
from shardsim.storage import (
    checkpoint_files,
    checkpoints,
    json_lines,
    records,
    run_folder,
    snapshots,
    trained,
)
from shardsim.training import (
    arms,
    compile_ahead,
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

LOG = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
"""Time between checkpoints. A crash loses at most this time and a chunk; a signal loses
nothing."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM stopped the training. The state so far is on disk."""


ChunkFunction = Callable[..., tuple[update_step.TrainState, Any]]
"""(config, state, inputs, updates) -> the state after a chunk, and its metrics."""
SnapshotHook = Callable[[str, int, agents.Agent], metric_records.SnapshotMetrics]
"""(arm, update, population) -> the metrics of a snapshot."""
Progress = Callable[[metric_records.ChunkMetrics, float], None]
"""(metrics of the chunk, environment steps per second): moves the progress bar."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a run: some of its arms, and a block of its seeds."""

    arms: tuple[str, ...]
    """The arms that are trained: untrained ones, or those that learn from the same
    data. `shared` stands for the phases that all arms share."""
    first_seed: int
    """Number of the first seed."""
    run: Path
    """Folder of the whole run, by which it is resumed."""
    shared: Path | None = None
    """Run folder of the part that trains the shared phases; None: this one."""


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """The inputs and the hooks of the training loop."""

    env: Trainable
    agent: agents.AgentConfig
    train: TrainConfig
    arms: tuple[arms.Arm, ...]
    folder: Path
    """The run folder."""
    report: SnapshotHook
    """Called for every snapshot."""
    progress: Progress
    """Called after every chunk."""
    dataset: Trajectory | None = None
    """Trajectories of the dataset file, for phases that learn from it."""
    part: Part | None = None
    """Which part of a run is trained; None: the whole run."""

    @property
    def first_seed(self) -> int:
        """Number of the first of the `train.num_seeds` seeds."""
        return 0 if self.part is None else self.part.first_seed

    def trains(self, *names: str) -> bool:
        """Whether arms, which are trained together, belong to this job."""
        return self.part is None or {*names} <= {*self.part.arms}


def run(job: TrainingJob) -> dict[str, agents.Agent]:
    """Train every arm, from checkpoints in the run folder if there are any.

    Arms that were trained to the end are read from their weights.

    Returns:
      The trained population of each arm, leaves [N, ...]. Those that were read have no
      auxiliary decoders.

    Raises:
      Interrupted: a signal stopped the training; the state so far is on disk.
      Diverged: a loss was not finite; the training before it is on disk.
      RunError: an arm was trained to the end by another config.
    """
    result = _trained_before(job)
    if not is_finished(job):
        result |= _train(job, {arm.name for arm in job.arms} - result.keys())
    return {arm.name: result[arm.name] for arm in job.arms if arm.name in result}


def finish(folder: Path) -> None:
    """Remove what a run needs no more when everything else of it is written.

    The checkpoints go, and the snapshots of the last update, which the weights repeat;
    other snapshots are compressed. It may be called again after it was interrupted.
    """
    for arm, entry in trained.read(folder).items():
        snapshots.finish(folder, arm, entry.update)
    run_folder.remove_checkpoints(folder)


def is_finished(job: TrainingJob) -> bool:
    """Whether the training is over, and was that of this job."""
    recorded = trained.read(job.folder)
    for group in _groups(job):
        digest = _run_digest(job.train, job, group)
        for arm in group:
            if arm.name not in recorded or recorded[arm.name].digest != digest:
                return False
    if job.part is None or arms.SHARED_PHASES not in job.part.arms:
        return True
    return _has_shared_phases(job.train, job.folder)


def _has_shared_phases(config: TrainConfig, folder: Path) -> bool:
    """Whether a run folder has a checkpoint of the end of the shared phases."""
    checkpoint = folder / "checkpoints" / arms.SHARED_PHASES
    end = checkpoint / str(_shared_updates(config))
    return (end / checkpoint_files.COMPLETE).is_file()


def mark_trained(job: TrainingJob) -> None:
    """Write that all arms of a job are trained; their weights have been written."""
    for group in _groups(job):
        is_learner = group[0].trained
        update = job.train.total_updates if is_learner else _shared_updates(job.train)
        digest = _run_digest(job.train, job, group)
        trained.write(job.folder, update, {arm.name: digest for arm in group})


def _shared_updates(config: TrainConfig) -> int:
    """Updates of the phases that all arms share."""
    return sum(p.updates for p in config.phases[: schedule.shared_phases(config)])


def _groups(job: TrainingJob) -> list[tuple[arms.Arm, ...]]:
    """Arms of the job that are trained together; untrained ones alone."""
    untrained = [(arm,) for arm in job.arms if not arm.trained]
    groups = [*untrained, *arms.groups(job.arms, job.train)]
    return [group for group in groups if job.trains(*(arm.name for arm in group))]


def _trained_before(job: TrainingJob) -> dict[str, agents.Agent]:
    """The arms that were trained to the end, by name, from their weights.

    Raises:
      RunError: by another config, or the weights are not those that the run wrote.
    """
    recorded, result = trained.read(job.folder), {}
    for group in _groups(job):
        if not all(arm.name in recorded for arm in group):
            continue
        digest = _run_digest(job.train, job, group)
        for arm in group:
            arrays = trained.weights_of(
                job.folder, arm.name, recorded[arm.name], digest
            )
            result[arm.name] = snapshots.population(
                job.agent, arm.head, arm.width, job.env, arrays
            )
    return result


def _train(job: TrainingJob, missing: set[str]) -> dict[str, agents.Agent]:
    """Train some arms, write their weights, and then that they are trained."""
    config = job.train
    groups = [group for group in _groups(job) if group[0].name in missing]
    first_trained = next(arm for arm in job.arms if arm.trained)
    init_config = schedule.init_config(config, job.agent, job.env)
    keys = _keys(config, job.first_seed)

    def initial_state(group: tuple[arms.Arm, ...]) -> update_step.TrainState:
        heads = tuple(arm.head for arm in group)
        widths = tuple(arm.width for arm in group)
        fresh = population.heads(init_config, heads, widths, keys)
        hypers = tuple(
            _spread(config, schedule.hyperparameters(config, head)) for head in heads
        )
        return population.with_fresh_heads(shared_state, fresh, hypers)

    result, updates = {}, {}
    with interrupts.defer_signals() as stopped, compile_ahead.ahead() as ahead:
        _start_compiling(job, groups, init_config, keys, first_trained, ahead)
        shared_state = _shared_prefix(
            job, init_config, keys, first_trained, stopped, ahead
        )
        for group in groups:
            state = initial_state(group)
            if group[0].trained:
                state = _advance(job, group, state, stopped, ahead)
            else:
                (arm,) = group
                _rewind(job.folder, (arm.name,), -1)
                update = int(shared_state.update[0])
                if arm.readout == "random":
                    state = population.with_random_readout(state, keys)
                _snapshot(job, arm, update, state.learners[0].agent)
            for arm, learner in zip(group, state.learners, strict=True):
                result[arm.name] = learner.agent
                updates[arm.name] = int(state.update[0])
        if stopped:
            raise interrupted(_run(job), stopped[0], "the last update")
    for name, agent in result.items():
        trained.write_weights(job.folder, name, agent)
    for group in groups:
        digest = _run_digest(config, job, group)
        digests = {arm.name: digest for arm in group}
        trained.write(job.folder, updates[group[0].name], digests)
    return result


def _rewind(folder: Path, names: tuple[str, ...], last: int) -> None:
    """Delete the metrics of some arms after update `last`; they will be written again.

    If `last` is -1, the arms start again, and their snapshots are deleted too, because
    they may be of another config.
    """

    def keep(row: dict[str, Any]) -> bool:
        update = row.get("update")
        if "arm" not in row or not isinstance(update, int):  # a damaged line
            return False
        return row["arm"] not in names or update <= last

    json_lines.keep_if(folder / metric_records.FILE, keep)
    for arm in names if last < 0 else ():
        snapshots.delete(folder, arm)


def _keys(config: TrainConfig, first: int) -> jax.Array:
    """The keys of the seeds, spread over the devices; all other arrays follow them."""
    points = sweep.size(config.sweep)
    return _spread(
        config, population.seed_keys(config.seed, config.num_seeds, points, first)
    )


def _spread(config: TrainConfig, tree: Any) -> Any:
    """Leaves [N, ...] spread over the devices."""
    devices = schedule.num_devices(config)
    if devices == 1:
        return tree
    spread = NamedSharding(population.mesh(devices), PartitionSpec("seed"))
    return jax.device_put(tree, spread)


def _init_arguments(
    job: TrainingJob, init_config: population.InitConfig, keys: jax.Array, arm: arms.Arm
) -> tuple[Any, ...]:
    """The arguments of `population.init`, for all seeds of an arm."""
    params = phases.params_of(job.env, job.train.phases[0])
    hyper = _spread(job.train, schedule.hyperparameters(job.train, arm.head))
    return init_config, arm.head, arm.width, params, keys, hyper


def _update_config(
    job: TrainingJob, group: tuple[arms.Arm, ...], phase: phases.Phase
) -> update_step.UpdateConfig:
    """What is fixed during a phase: one compiled program for each."""
    heads = tuple(arm.head for arm in group)
    env = schedule.training_view(job.agent, job.env, phase)
    return schedule.update_config(job.train, env, heads, phase)


def _start_compiling(
    job: TrainingJob,
    groups: list[tuple[arms.Arm, ...]],
    init_config: population.InitConfig,
    keys: jax.Array,
    first_trained: arms.Arm,
    ahead: compile_ahead.Ahead,
) -> None:
    """Start to compile the chunks of all groups, in the order in which they run."""
    if isinstance(job.env, external_envs.Gymnasium):
        return  # its chunks are stepped on the host
    config, num_shared = job.train, schedule.shared_phases(job.train)

    @functools.cache
    def shared_shapes() -> update_step.TrainState:
        return population.init.shapes(
            *_init_arguments(job, init_config, keys, first_trained)
        )

    def arguments(
        group: tuple[arms.Arm, ...], phase: phases.Phase, is_shared: bool
    ) -> tuple[Any, ...]:
        state = shared_shapes()
        if not is_shared:
            heads = tuple(arm.head for arm in group)
            widths = tuple(arm.width for arm in group)
            fresh = population.heads.shapes(init_config, heads, widths, keys)
            hypers = tuple(schedule.hyperparameters(config, head) for head in heads)
            state = jax.eval_shape(population.with_fresh_heads, state, fresh, hypers)
        inputs = update_step.PhaseInputs(phases.params_of(job.env, phase), job.dataset)
        state = compile_ahead.shapes(state, keys)
        return _update_config(job, group, phase), state, inputs, jnp.int32(1)

    programs: list[tuple[tuple[arms.Arm, ...], phases.Phase, bool]] = []
    folder = job.folder
    if job.part is not None and job.part.shared is not None:
        folder = job.part.shared
    if not _has_shared_phases(config, folder):
        shared = config.phases[:num_shared]
        programs += [((first_trained,), phase, True) for phase in shared]
    programs += [
        (group, phase, False)
        for group in groups
        if group[0].trained
        for phase in config.phases[num_shared:]
    ]
    for group, phase, is_shared in programs:
        ahead.start(
            _update_config(job, group, phase),
            population.chunk,
            functools.partial(arguments, group, phase, is_shared),
        )


def _shared_prefix(
    job: TrainingJob,
    init_config: population.InitConfig,
    keys: jax.Array,
    arm: arms.Arm,
    stopped: list[int],
    ahead: compile_ahead.Ahead,
) -> update_step.TrainState:
    """Run the phases that do not involve V, once for all arms.

    A part of a run reads the result of the part that runs them.

    Args:
      arm: any trained arm; its head is not trained here.
      stopped: signals so far; the loop stops after the first.
      ahead: programs that compile already.
    """
    state = population.init(*_init_arguments(job, init_config, keys, arm))
    end = _shared_updates(job.train)
    shared_arm = dataclasses.replace(arm, name=arms.SHARED_PHASES)
    if job.part is not None and job.part.shared is not None:
        job = dataclasses.replace(job, folder=job.part.shared)
    return _advance(job, (shared_arm,), state, stopped, ahead, end) if end else state


def _advance(
    job: TrainingJob,
    group: tuple[arms.Arm, ...],
    state: update_step.TrainState,
    stopped: list[int],
    ahead: compile_ahead.Ahead,
    end: int | None = None,
) -> update_step.TrainState:
    """Train a group of arms up to an update, from a checkpoint if there is one.

    Args:
      group: arms that are trained on the same data; the first one acts.
      state: initial state, if there is no checkpoint.
      stopped: signals so far; the loop stops after the first.
      ahead: programs that compile already.
      end: number of updates to reach in a shared phase, for which no snapshots are
        written; None: all updates of the run.
    """
    config = job.train
    names = tuple(arm.name for arm in group)
    name = "+".join(names)
    raise_if_fatal = functools.partial(
        divergence.raise_if_fatal,
        config.sweep,
        config.num_seeds,
        names,
        first=job.first_seed,
    )
    # with a sweep an arm fails where all its seeds do, and a part has only some
    can_fail = job.part is None or not config.sweep
    folder = job.folder / "checkpoints" / name
    digest = _run_digest(config, job, group)
    checkpoint = checkpoints.newest(folder, state, digest)
    if checkpoint is not None:
        state = checkpoint.state
        for text in checkpoint.refused:
            print(f"shardsim: {text}; refused", file=sys.stderr)
        if can_fail:
            raise_if_fatal(np.asarray(state.failed))
    _rewind(job.folder, names, -1 if checkpoint is None else checkpoint.update)
    shared = _shared_updates(config)
    stops, snapshot_updates = schedule.boundaries(config, shared)
    last = config.total_updates if end is None else end
    done = first = int(np.asarray(state.update)[0])
    if done in snapshot_updates and end is None and checkpoint is None:
        for arm, learner in zip(group, state.learners, strict=True):
            _snapshot(job, arm, done, learner.agent)
    state = _spread(config, state)
    saved = time.monotonic()
    with _chunk_function(job) as chunk:
        for index, stop in enumerate(s for s in stops if first < s <= last):
            is_first = index == 0
            state = _chunk(job, chunk, group, state, stop - done, done, is_first, ahead)
            done = stop
            failed = np.asarray(state.failed)
            is_fatal = can_fail and divergence.is_fatal(config.sweep, failed)
            # snapshots come before the checkpoint: after a crash in between they are
            # written again, whereas in the other order they would be missing
            if end is None and done in snapshot_updates and not is_fatal:
                for arm, learner in zip(group, state.learners, strict=True):
                    _snapshot(job, arm, done, learner.agent)
            overdue = time.monotonic() - saved > CHECKPOINT_SECONDS
            if done == last or stopped or overdue or is_fatal:
                checkpoints.save(folder, done, state, digest)
                saved = time.monotonic()
            if is_fatal:
                raise_if_fatal(failed)
            if stopped:
                raise interrupted(_run(job), stopped[0], f"update {done} of {name}")
    return state


def _run(job: TrainingJob) -> Path:
    """The folder of the whole run, by which it is resumed."""
    return job.folder if job.part is None else job.part.run


def interrupted(run: Path, signal: int, last: str) -> Interrupted:
    """The error of a training that a signal stopped.

    Args:
      run: folder of the whole run.
      last: what was done last.
    """
    return Interrupted(
        f"stopped by signal {signal} after {last}; go on with: {resume_command(run)}"
    )


def resume_command(run: Path) -> str:
    """The command line that goes on with a run."""
    return f"shardsim resume {shlex.quote(str(run))}"


def _run_digest(
    config: TrainConfig, job: TrainingJob, group: tuple[arms.Arm, ...]
) -> str:
    """Digest of everything that the training state depends on.

    Devices, chunks and snapshots are left out, because they do not change the state.
    """
    train = dataclasses.replace(
        config, devices=1, updates_per_call=1, num_snapshots=1, snapshots="values"
    )
    parts: dict[str, Any] = {
        "env": job.env,
        "agent": job.agent,
        "train": train,
        "arms": list(group),
    }
    if job.first_seed:
        parts["first_seed"] = job.first_seed
    if job.dataset is not None:
        leaves = (np.ascontiguousarray(leaf) for leaf in job.dataset)  # not copied
        parts["dataset"] = [hashlib.sha256(leaf.data).hexdigest() for leaf in leaves]
    return configs.digest(parts)


@contextlib.contextmanager
def _chunk_function(job: TrainingJob) -> Iterator[ChunkFunction]:
    """The function that runs a chunk: compiled, or with environments on the host."""
    if not isinstance(job.env, external_envs.Gymnasium):
        yield population.chunk
        return
    config = job.train
    points = sweep.size(config.sweep)
    host = host_envs.Host(
        job.env,
        config.seed,
        config.num_seeds,
        config.num_envs,
        points,
        job.first_seed,
    )
    with contextlib.closing(host):
        yield host.chunk


def _chunk(
    job: TrainingJob,
    chunk: ChunkFunction,
    group: tuple[arms.Arm, ...],
    state: update_step.TrainState,
    updates: int,
    done: int,
    is_first: bool,
    ahead: compile_ahead.Ahead,
) -> update_step.TrainState:
    """Run one chunk after `done` updates, and write its metrics.

    Args:
      is_first: whether the group runs its first chunk in this process.
      ahead: programs that compile already.
    """
    config = job.train
    phase, since = schedule.phase_at(config, done)
    if since == 0 or is_first:
        LOG.info(
            "%s: phase %r, update %d of %d%s",
            "+".join(arm.name for arm in group),
            phase.name,
            done,
            config.total_updates,
            " (compiling)" if is_first else "",
        )
    update_config = _update_config(job, group, phase)
    ahead.wait(update_config)
    inputs = update_step.PhaseInputs(phases.params_of(job.env, phase), job.dataset)
    start = time.perf_counter()
    if phase.reset_envs and since == 0:
        states = population.restart(
            job.env,
            config.num_envs,
            schedule.num_devices(config),
            inputs.params,
            state.key,
            state.update,
        )
        state = state._replace(states=states)
    state, summed = chunk(update_config, state, inputs, jnp.int32(updates))
    summed = jax.device_get(summed)
    seconds = time.perf_counter() - start
    steps = updates * config.num_envs * config.num_steps
    failed = np.asarray(state.failed)
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
    return state


def _snapshot(
    job: TrainingJob, arm: arms.Arm, update: int, agent: agents.Agent
) -> None:
    """Write a snapshot of E, D and V, and its metrics."""
    snapshots.write(job.folder, arm.name, update, agent)
    line = job.report(arm.name, update, agent)
    records.append(job.folder / metric_records.FILE, line)
