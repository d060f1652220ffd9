"""Workers on this machine: processes of their own, each with its share of the cores."""

import dataclasses
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from shardsim.core import processor
from shardsim.execution import scheduler

GRACE_SECONDS = 120.0
"""Time in which a worker that is stopped has to save what it has."""


@dataclasses.dataclass
class _Running:
    task: scheduler.Task
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    cores: tuple[int, ...]


class Processes:
    """Workers as processes; never a fork of this one, in which JAX has threads."""

    def __init__(self, slots: int) -> None:
        """Divide the cores that this process may use.

        Args:
          slots: workers at a time.
        """
        self.slots: int | None = slots
        self.free = shares(processor.cores(), slots)
        self.running: list[_Running] = []

    def start(self, task: scheduler.Task) -> None:
        """Start a process that trains a part."""
        share = self.free.pop(0)
        errors = tempfile.TemporaryFile()  # noqa: SIM115, closed when it has ended
        process = subprocess.Popen(
            command(task.run, task.part.place, share),
            stdin=subprocess.PIPE,  # closed when this process ends, however it ends
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is for this process, which stops them
        )
        self.running.append(_Running(task, process, errors, share))

    def ended(self, seconds: float) -> list[scheduler.Ended]:
        """The workers that ended; waits for the first, at most some seconds."""
        until = time.monotonic() + seconds
        while True:
            over = [each for each in self.running if each.process.poll() is not None]
            if over or time.monotonic() >= until:
                return [self._end(each) for each in over]
            time.sleep(0.05)

    def _end(self, each: _Running) -> scheduler.Ended:
        self.running.remove(each)
        self.free.append(each.cores)
        code = each.process.wait()
        each.errors.seek(0)
        text = each.errors.read().decode(errors="replace")
        each.errors.close()
        if each.process.stdin is not None:
            each.process.stdin.close()
        return scheduler.Ended(each.task, code, cause(code, text))

    def stop(self) -> None:
        """Let all workers save what they have, and wait until they have ended."""
        for each in self.running:
            each.process.terminate()
        until = time.monotonic() + GRACE_SECONDS
        for each in list(self.running):
            try:
                each.process.wait(max(until - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                each.process.kill()
            self._end(each)


def command(run: Path, place: str, cores: Sequence[int] = ()) -> list[str]:
    """The command line of a worker that ends with its standard input.

    Args:
      place: of the part, SEEDS/GROUP.
      cores: that it is kept to; none: it may use all.
    """
    words = [sys.executable, "-m", "shardsim.cli", "work", str(run), place]
    share = ["--cores", ",".join(map(str, cores))] if cores else []
    return [*words, "--attached", *share]


def cause(code: int, errors: str) -> str:
    """Why a worker ended, in one line.

    Args:
      code: its exit code.
      errors: what it wrote to stderr.
    """
    if code == scheduler.Code.DONE:
        return ""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    last = lines[-1].removeprefix("shardsim: ") if lines else ""
    if code < 0:
        killed = f"killed by {signal.Signals(-code).name}"
        return f"{killed} ({last})" if last else killed
    return last or f"ended with code {code}"


def shares(available: Sequence[int], slots: int) -> list[tuple[int, ...]]:
    """Cores of each worker, as even as possible; with more workers than cores, one."""
    if slots >= len(available):
        return [(available[n % len(available)],) for n in range(slots)]
    size, more = divmod(len(available), slots)
    result, first = [], 0
    for n in range(slots):
        last = first + size + (n < more)
        result.append(tuple(available[first:last]))
        first = last
    return result
