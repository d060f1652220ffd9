"""What a long command is doing: a bar on a terminal, lines anywhere else.

Packages below log what they begin at level INFO, and steps of it at level DEBUG. In a
log file (stderr is no terminal) each beginning is a line, and where none comes for a
minute, a line says how far the work is.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import rich.console
import rich.progress

from shardsim.evaluation.experiment import Experiment
from shardsim.execution import scheduler
from shardsim.training import arms, loop, metric_records, schedule
from shardsim.training.standalone import Training, mean_of

SECONDS = 60.0
"""Time without a line after which one is written."""
NOTEBOOK_SECONDS = 10.0
"""The same in a notebook, where somebody watches."""


class _Lines(logging.Handler):
    """Writes a line for each record, and one a minute where there are none."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.began = time.monotonic()
        self.last = self.began
        self.now, self.detail = "starting", ""
        self.seconds = min(seconds, NOTEBOOK_SECONDS) if is_notebook() else seconds
        self.closed = threading.Event()
        self.clock = threading.Thread(target=self._every_minute, daemon=True)
        self.clock.start()

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.INFO:
            self.detail = f"; {record.getMessage()}"
            return
        self.at(record.getMessage())
        self.write(self.now)

    def at(self, text: str) -> None:
        """Keep how far the work is, for the next line."""
        self.now, self.detail = text, ""

    def write(self, text: str) -> None:
        """A line with the time since the start."""
        self.last = time.monotonic()
        minutes, seconds = divmod(int(self.last - self.began), 60)
        # the end of a connection must not end the training
        with contextlib.suppress(OSError, ValueError):
            print(f"shardsim: {minutes}:{seconds:02d} {text}", file=sys.stderr)
            sys.stderr.flush()

    def close(self) -> None:
        self.closed.set()
        self.clock.join()
        super().close()

    def _every_minute(self) -> None:
        wait = self.seconds
        while not self.closed.wait(wait):
            wait = self.last + self.seconds - time.monotonic()
            if wait <= 0:
                self.write(self.now + self.detail)
                wait = self.seconds


class _Bar(logging.Handler):
    """Shows the last record beside the bar."""

    def __init__(
        self, display: rich.progress.Progress, task: rich.progress.TaskID
    ) -> None:
        super().__init__()
        self.display, self.task = display, task

    def emit(self, record: logging.LogRecord) -> None:
        self.display.update(self.task, note=record.getMessage())


@contextlib.contextmanager
def _heard(handler: logging.Handler) -> Iterator[None]:
    """Give the records of this program to a handler in the block."""
    logger = logging.getLogger("shardsim")
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield
    finally:
        logger.level, logger.propagate = before
        logger.removeHandler(handler)
        handler.close()


def say(text: str) -> None:
    """A line for the user, beside the results on stdout."""
    print(f"shardsim: {text}", file=sys.stderr)


def is_terminal() -> bool:
    """Whether somebody watches stderr, in a terminal that can move its cursor."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def is_notebook() -> bool:
    """Whether this process runs the cells of a notebook."""
    return "ipykernel" in sys.modules


@contextlib.contextmanager
def lines(seconds: float = SECONDS) -> Iterator[None]:
    """In the block, write lines where stderr is no terminal."""
    with contextlib.nullcontext() if is_terminal() else _heard(_Lines(seconds)):
        yield


@contextlib.contextmanager
def training(
    experiment: Experiment | Training,
    seconds: float = SECONDS,
    total: int | None = None,
) -> Iterator[loop.Progress]:
    """Show the progress over the updates of all arms.

    Args:
      seconds: time without a line after which one is written.
      total: updates of all arms and blocks of seeds; None: of all arms, once.

    Yields:
      What the training calls after each chunk of updates.
    """
    train = experiment.train
    shared = schedule.shared_phases(train)
    shared_updates = sum(phase.updates for phase in train.phases[:shared])
    trained = sum(arm.trained for arm in experiment.arms.values())
    if total is None:
        total = shared_updates + trained * (train.total_updates - shared_updates)
    done: dict[str, int] = {}

    def advanced(chunk: metric_records.ChunkMetrics) -> int:
        """Updates since the last chunk of the arm."""
        first = 0 if chunk.arm == arms.SHARED_PHASES else shared_updates
        before = done.get(chunk.arm, first)
        if chunk.update <= before:  # of the next block of seeds
            before = first
        done[chunk.arm] = chunk.update
        return chunk.update - before

    def note(chunk: metric_records.ChunkMetrics, steps_per_second: float) -> str:
        mean = mean_of(chunk.reward_per_episode)
        reward = "-" if mean is None else f"{mean:.2f}"
        return f"{steps_per_second:,.0f} steps/s  return {reward}"

    if is_terminal():
        with _bar(total) as (display, task):

            def advance(
                chunk: metric_records.ChunkMetrics, steps_per_second: float
            ) -> None:
                updates, text = advanced(chunk), note(chunk, steps_per_second)
                display.update(task, advance=updates, description=chunk.arm, note=text)

            yield advance
        return
    handler, sums = _Lines(seconds), [0]

    def remember(chunk: metric_records.ChunkMetrics, steps_per_second: float) -> None:
        sums[0] += advanced(chunk)
        handler.at(
            f"{chunk.arm}: phase {chunk.phase!r}, update {chunk.update} of "
            f"{train.total_updates} ({sums[0] / total:.0%} of all training)  "
            f"{note(chunk, steps_per_second)}"
        )

    with _heard(handler):
        yield remember


@contextlib.contextmanager
def parts(seconds: float = SECONDS) -> Iterator[scheduler.Show]:
    """Show how far the parts of a run are, and what happens to them.

    Args:
      seconds: time without a line after which one is written.
    """
    if is_terminal():
        with _bar(None) as (display, task):

            def move(status: scheduler.Status, event: str) -> None:
                if event:
                    display.console.print(event, markup=False, highlight=False)
                display.update(
                    task,
                    total=status.total,
                    completed=status.updates,
                    note=str(status),
                )

            yield move
        return
    handler = _Lines(seconds)

    def remember(status: scheduler.Status, event: str) -> None:
        if event:
            handler.write(f"{event}  ({status})")
        handler.at(str(status))

    with _heard(handler):
        yield remember


@contextlib.contextmanager
def counted(total: int, seconds: float = SECONDS) -> Iterator[Callable[[str], None]]:
    """Show how many of some steps are done, and which is the last one.

    Args:
      total: number of steps.
      seconds: time without a line after which one is written.
    """
    if is_terminal():
        with _bar(total) as (display, task):
            yield lambda text: display.update(task, advance=1, note=text)
        return
    handler, sums = _Lines(seconds), [0]

    def remember(text: str) -> None:
        sums[0] += 1
        handler.at(f"{text} ({sums[0]} of {total})")

    with _heard(handler):
        yield remember


@contextlib.contextmanager
def _bar(
    total: int | None,
) -> Iterator[tuple[rich.progress.Progress, rich.progress.TaskID]]:
    columns = (
        rich.progress.TextColumn("{task.description:>9}", markup=False),
        rich.progress.BarColumn(),
        rich.progress.TextColumn("{task.fields[note]}", markup=False),
        rich.progress.TimeRemainingColumn(),
    )
    console = rich.console.Console(file=sys.stderr)
    with rich.progress.Progress(*columns, console=console) as display:
        task = display.add_task("", total=total, note="starting")
        with _heard(_Bar(display, task)):
            yield display, task
