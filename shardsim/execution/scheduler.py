"""Drive the parts of a run on workers: start what is ready, retry what was killed.

A part runs in a worker that may end in any way. One that is killed, or has no memory,
starts again from its last checkpoint, on whatever worker is free. One whose training or
config is at fault would fail again, and is not retried. A part that failed stops only
those that need it.
"""

import dataclasses
import enum
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from shardsim.core import interrupts
from shardsim.execution import training
from shardsim.storage import json_lines
from shardsim.training import arms as training_arms
from shardsim.training import loop, metric_records, parts

POLL_SECONDS = 1.0
"""Time between two looks at the workers."""
RATE_SECONDS = 60.0
"""Time over which steps per second are counted."""


class Code(enum.IntEnum):
    """Exit codes of `shardsim work`."""

    DONE = 0
    FAILED = 1
    """What may not fail on another machine, such as a full disk."""
    REFUSED = 2
    DIVERGED = 3
    STOPPED = 130


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """A part of a run that is to be trained."""

    run: Path
    """Folder of the run."""
    job: loop.TrainingJob
    """The training of the whole run."""
    part: parts.Part
    label: str = ""
    """What the run is, where parts of several are trained."""

    @property
    def folder(self) -> Path:
        """Where the part is trained."""
        return parts.folder_of(self.run, self.part)

    @property
    def num_updates(self) -> int:
        """Updates of the part, of all its arms."""
        return parts.num_updates(self.part, self.job.train)

    def needs(self, other: "Task") -> bool:
        """Whether this part starts where the other one ends."""
        return (
            self.part.needs_shared
            and other.part.name == training_arms.SHARED_PHASES
            and (self.run, self.part.block) == (other.run, other.part.block)
        )

    def __str__(self) -> str:
        return f"{self.part} ({self.label})" if self.label else str(self.part)


class Ended(NamedTuple):
    """A worker that has ended."""

    task: Task
    code: int
    """Its exit code; a negative one is the signal that killed it."""
    cause: str
    """Why, in one line; empty if all is well."""


@runtime_checkable
class Workers(Protocol):
    """Where parts are trained."""

    slots: int | None
    """Parts at a time; None: any number, which wait for a place by themselves."""

    def start(self, task: Task) -> None:
        """Start a worker that trains a part, from its checkpoint if it has one."""

    def ended(self, seconds: float) -> list[Ended]:
        """The workers that ended; waits for the first, at most some seconds."""

    def stop(self) -> None:
        """Let all workers save what they have, and wait until they have ended."""


class Begun(Exception):
    """Parts are there to be trained by others. The text says how."""


class Failed(Exception):
    """Parts failed; the others are on disk. The text has a line for each of them."""


class Status(NamedTuple):
    """How far the parts of a run are."""

    waiting: int
    running: int
    done: int
    failed: int
    retried: int
    updates: int
    """Updates of all parts so far."""
    total: int
    """Updates of all parts."""
    steps_per_second: float
    """Environment steps of all seeds, over the last minute."""
    seconds_left: float | None
    """None: no part has trained yet."""

    def __str__(self) -> str:
        counts = [
            f"{count} {name}"
            for name, count in (
                ("running", self.running),
                ("waiting", self.waiting),
                ("failed", self.failed),
                ("retried", self.retried),
            )
            if count
        ]
        done = f"{self.done} of {self.done + self.waiting + self.running + self.failed}"
        return f"{', '.join([f'{done} parts done', *counts])}  {self._speed}"

    @property
    def _speed(self) -> str:
        rate = f"{self.steps_per_second:,.0f} steps/s"
        if self.seconds_left is None:
            return rate
        minutes, seconds = divmod(int(self.seconds_left), 60)
        return f"{rate}  {minutes}:{seconds:02d} left"


Show = Callable[[Status, str], None]
"""(status, what has just happened or empty): moves the progress display."""


@dataclasses.dataclass
class _Tasks:
    """The parts that are not finished, by their state."""

    waiting: list[Task]
    running: list[Task] = dataclasses.field(default_factory=list)
    done: list[Task] = dataclasses.field(default_factory=list)
    failed: dict[Task, str] = dataclasses.field(default_factory=dict)
    tries: dict[Task, int] = dataclasses.field(default_factory=dict)

    def ready(self) -> list[Task]:
        """The parts whose shared phases are over."""
        others = (*self.waiting, *self.running, *self.failed)
        shared = [t for t in others if t.part.name == training_arms.SHARED_PHASES]
        return [t for t in self.waiting if not any(t.needs(other) for other in shared)]


def drive(
    run: Path,
    tasks: Sequence[Task],
    workers: Workers,
    *,
    retries: int,
    show: Show,
) -> None:
    """Train parts on workers until all are finished or have failed.

    Args:
      run: folder of the run, or of the study, which is resumed after a stop.
      tasks: the parts; those that others need come first.
      retries: how often a part whose worker was lost starts again.
      show: called at every event and every second.

    Raises:
      Failed: some parts failed, when no other is left to train.
      Interrupted: a signal; all workers have saved what they have.
    """
    state, speed = _Tasks(list(tasks)), _Speed(tasks)
    with interrupts.defer_signals() as stopped:
        try:
            while (state.waiting or state.running) and not stopped:
                _start(state, workers)
                if not state.running:  # all others need one that failed
                    break
                for ended in workers.ended(POLL_SECONDS):
                    text = _end(state, ended, retries)
                    show(speed.status(state), text)
                show(speed.status(state), "")
        finally:
            workers.stop()
        if stopped:
            raise loop.interrupted(run, stopped[0], f"{len(state.done)} parts")
    if state.failed or state.waiting:
        raise Failed(_summary(state, run))


def _start(state: _Tasks, workers: Workers) -> None:
    """Start what is ready, as far as there are places."""
    for task in state.ready():
        if workers.slots is not None and len(state.running) >= workers.slots:
            return
        state.waiting.remove(task)
        state.running.append(task)
        state.tries[task] = state.tries.get(task, 0) + 1
        workers.start(task)


def _end(state: _Tasks, ended: Ended, retries: int) -> str:
    """Note how a part ended; the text says it."""
    task = ended.task
    state.running.remove(task)
    if ended.code == Code.DONE:
        state.done.append(task)
        return f"{task}: done"
    host = training.worker_of(task.folder) or "an unknown host"
    cause = f"{task}, on {host}: {ended.cause}"
    would_fail_again = ended.code in (Code.REFUSED, Code.DIVERGED)
    if not would_fail_again and state.tries[task] <= retries:
        state.waiting.insert(0, task)
        return f"{cause}; retry {state.tries[task]} of {retries}"
    state.failed[task] = cause
    return f"{cause}; failed"


def _summary(state: _Tasks, run: Path) -> str:
    """A line for each part that failed, and for those that were not started."""
    lines = [state.failed[task] for task in sorted(state.failed, key=_order)]
    lines += [
        f"{task}: not started, it needs a part that failed" for task in state.waiting
    ]
    count, total = len(lines), len(lines) + len(state.done)
    head = f"{count} of {total} parts failed; the others are on disk"
    return "\n".join([head, *lines, f"try them again with: {loop.resume_command(run)}"])


def _order(task: Task) -> tuple[bool, int]:
    """Parts that others need come first."""
    return task.part.needs_shared, task.part.block.first


class _Speed:
    """Counts updates by the metrics that the parts write."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.files = {task: _Tail(task.folder / metric_records.FILE) for task in tasks}
        self.total = sum(task.num_updates for task in tasks)
        self.history: list[tuple[float, int, int]] = []

    def status(self, state: _Tasks) -> Status:
        """The status at this moment."""
        updates = steps = 0
        for task in (*state.done, *state.running):
            done, train = task.num_updates, task.job.train
            if task not in state.done:
                done = min(
                    done, parts.updates_done(task.part, train, self.files[task]())
                )
            points = train.population // train.num_seeds
            updates += done
            steps += (
                done
                * task.part.block.num_seeds
                * train.num_steps
                * train.num_envs
                * points
            )
        now = time.monotonic()
        self.history.append((now, updates, steps))
        while len(self.history) > 2 and self.history[1][0] < now - RATE_SECONDS:
            del self.history[0]
        began, first, first_steps = self.history[0]
        seconds = max(now - began, 1e-9)
        gained = updates - first
        return Status(
            waiting=len(state.waiting),
            running=len(state.running),
            done=len(state.done),
            failed=len(state.failed),
            retried=sum(tries - 1 for tries in state.tries.values()),
            updates=updates,
            total=self.total,
            steps_per_second=max(steps - first_steps, 0) / seconds,
            seconds_left=seconds / gained * (self.total - updates)
            if gained > 0
            else None,
        )


class _Tail:
    """The newest update of each arm in a metrics.jsonl that somebody writes."""

    def __init__(self, path: Path) -> None:
        self.path, self.offset = path, 0
        self.updates: dict[str, int] = {}

    def __call__(self) -> dict[str, int]:
        try:
            if self.path.stat().st_size < self.offset:  # rewound to a checkpoint
                self.offset = 0
            rows, self.offset = json_lines.read_from(self.path, self.offset)
        except OSError:
            return self.updates
        for row in rows:
            if isinstance(row.get("update"), int):
                self.updates[str(row.get("arm"))] = row["update"]
        return self.updates
