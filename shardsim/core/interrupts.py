"""Signals that are heeded when there is time for it."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def _handled(
    numbers: tuple[signal.Signals, ...],
    handler: Callable[[int, FrameType | None], object],
) -> Iterator[None]:
    try:
        before = {number: signal.signal(number, handler) for number in numbers}
    except ValueError:  # not the main thread: signals are someone else's
        before = {}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM stops as Ctrl-C does, with KeyboardInterrupt."""
    with _handled((signal.SIGTERM,), signal.default_int_handler), _again():
        yield


@contextmanager
def _again() -> Iterator[None]:
    """Stop a little later where KeyboardInterrupt was told to the user and forgotten.

    That is what Python does with errors in callbacks, and JAX has one that is called at
    each collection of garbage. Orbax has some that come too late when it has given up a
    torn checkpoint, of which the user hears anyway: they are not told.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, sent = sys.unraisablehook, []

    def again(lost: "sys.UnraisableHookArgs") -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            if str(lost.exc_value) != "Event loop is closed":
                told(lost)
            return
        sent.append(threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)))
        sent[-1].start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = told
        for timer in sent:
            timer.cancel()


@contextmanager
def defer_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM instead of dying in the middle of a write."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    with _handled((signal.SIGINT, signal.SIGTERM), note):
        yield seen
