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


class Ended(NamedTuple):
    """A worker that has ended."""

    part: parts.Part
    code: int
    """Its exit code; a negative one is the signal that killed it."""
    cause: str
    """Why, in one line; empty if all is well."""


@runtime_checkable
class Workers(Protocol):
    """Where parts are trained."""

    slots: int | None
    """Parts at a time; None: any number, which wait for a place by themselves."""

    def start(self, part: parts.Part) -> None:
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
class _Parts:
    """The parts that are not finished, by their state."""

    waiting: list[parts.Part]
    running: list[parts.Part] = dataclasses.field(default_factory=list)
    done: list[parts.Part] = dataclasses.field(default_factory=list)
    failed: dict[parts.Part, str] = dataclasses.field(default_factory=dict)
    tries: dict[parts.Part, int] = dataclasses.field(default_factory=dict)

    def ready(self) -> list[parts.Part]:
        """The parts whose shared phases are over."""
        blocked = {
            part.block
            for part in (*self.waiting, *self.running, *self.failed)
            if part.name == training_arms.SHARED_PHASES
        }
        return [
            part
            for part in self.waiting
            if not (part.needs_shared and part.block in blocked)
        ]


def drive(
    run: Path,
    job: loop.TrainingJob,
    unfinished: Sequence[parts.Part],
    workers: Workers,
    *,
    retries: int,
    show: Show,
) -> None:
    """Train parts on workers until all are finished or have failed.

    Args:
      run: folder of the run.
      job: the training of the whole run.
      unfinished: the parts; those that others need come first.
      retries: how often a part whose worker was lost starts again.
      show: called at every event and every second.

    Raises:
      Failed: some parts failed, when no other is left to train.
      Interrupted: a signal; all workers have saved what they have.
    """
    state, speed = _Parts(list(unfinished)), _Speed(run, job, unfinished)
    with interrupts.defer_signals() as stopped:
        try:
            while (state.waiting or state.running) and not stopped:
                _start(state, workers)
                if not state.running:  # all others need one that failed
                    break
                for ended in workers.ended(POLL_SECONDS):
                    text = _end(state, ended, run, retries)
                    show(speed.status(state), text)
                show(speed.status(state), "")
        finally:
            workers.stop()
        if stopped:
            raise loop.interrupted(run, stopped[0], f"{len(state.done)} parts")
    if state.failed or state.waiting:
        raise Failed(_summary(state, run))


def _start(state: _Parts, workers: Workers) -> None:
    """Start what is ready, as far as there are places."""
    for part in state.ready():
        if workers.slots is not None and len(state.running) >= workers.slots:
            return
        state.waiting.remove(part)
        state.running.append(part)
        state.tries[part] = state.tries.get(part, 0) + 1
        workers.start(part)


def _end(state: _Parts, ended: Ended, run: Path, retries: int) -> str:
    """Note how a part ended; the text says it."""
    part = ended.part
    state.running.remove(part)
    if ended.code == Code.DONE:
        state.done.append(part)
        return f"{part}: done"
    host = training.worker_of(parts.folder_of(run, part)) or "an unknown host"
    cause = f"{part}, on {host}: {ended.cause}"
    would_fail_again = ended.code in (Code.REFUSED, Code.DIVERGED)
    if not would_fail_again and state.tries[part] <= retries:
        state.waiting.insert(0, part)
        return f"{cause}; retry {state.tries[part]} of {retries}"
    state.failed[part] = cause
    return f"{cause}; failed"


def _summary(state: _Parts, run: Path) -> str:
    """A line for each part that failed, and for those that were not started."""
    lines = [state.failed[part] for part in sorted(state.failed, key=_order)]
    lines += [
        f"{part}: not started, it needs a part that failed" for part in state.waiting
    ]
    count, total = len(lines), len(lines) + len(state.done)
    head = f"{count} of {total} parts failed; the others are on disk"
    return "\n".join([head, *lines, f"try them again with: {loop.resume_command(run)}"])


def _order(part: parts.Part) -> tuple[bool, int]:
    """Parts that others need come first."""
    return part.needs_shared, part.block.first


class _Speed:
    """Counts updates by the metrics that the parts write."""

    def __init__(
        self, run: Path, job: loop.TrainingJob, unfinished: Sequence[parts.Part]
    ) -> None:
        self.files = {
            part: _Tail(parts.folder_of(run, part) / metric_records.FILE)
            for part in unfinished
        }
        train = job.train
        self.total = sum(parts.num_updates(part, train) for part in unfinished)
        points = train.population // train.num_seeds
        self.steps = train.num_steps * train.num_envs * points
        self.train = train
        self.history: list[tuple[float, int, int]] = []

    def status(self, state: _Parts) -> Status:
        """The status at this moment."""
        updates = steps = 0
        for part in (*state.done, *state.running):
            done = parts.num_updates(part, self.train)
            if part not in state.done:
                done = min(
                    done, parts.updates_done(part, self.train, self.files[part]())
                )
            updates += done
            steps += done * part.block.num_seeds * self.steps
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
