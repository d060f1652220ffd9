"""Handle SIGINT and SIGTERM at safe points."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

HANGUP = tuple(getattr(signal, name) for name in ("SIGHUP",) if hasattr(signal, name))
"""The signal at the end of a terminal or connection; Windows has none."""


@contextmanager
def _handled(
    numbers: tuple[signal.Signals, ...],
    handler: Callable[[int, FrameType | None], object],
) -> Iterator[None]:
    """Handle signals by `handler` in the block, then restore the old handlers.

    A hangup that is ignored, as by nohup, stays ignored.
    """
    ignored = {n for n in HANGUP if signal.getsignal(n) is signal.SIG_IGN}
    try:
        before = {n: signal.signal(n, handler) for n in numbers if n not in ignored}
    except ValueError:  # only the main thread may set signal handlers
        before = {}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM and SIGHUP, as on Ctrl-C."""
    with (
        _handled((signal.SIGTERM, *HANGUP), signal.default_int_handler),
        _resend_swallowed(),
    ):
        yield


@contextmanager
def _resend_swallowed() -> Iterator[None]:
    """Send SIGTERM again if Python swallowed a KeyboardInterrupt in a callback.

    Python prints errors raised in callbacks and then ignores them, and JAX has a
    callback that runs at every garbage collection. The block also hides the "Event loop
    is closed" errors that Orbax raises late, after giving up a torn checkpoint: the
    user hears about the checkpoint anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old_hook, timers = sys.unraisablehook, []

    def resend(error: "sys.UnraisableHookArgs") -> None:
        if not issubclass(error.exc_type, KeyboardInterrupt):
            if str(error.exc_value) != "Event loop is closed":
                old_hook(error)
            return
        timers.append(threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)))
        timers[-1].start()

    sys.unraisablehook = resend
    try:
        yield
    finally:
        sys.unraisablehook = old_hook
        for timer in timers:
            timer.cancel()


@contextmanager
def defer_signals() -> Iterator[list[int]]:
    """Collect SIGINT, SIGTERM and SIGHUP, so that they do not interrupt a write.

    A second signal raises KeyboardInterrupt.

    Yields:
      The numbers of the signals received so far; the caller stops when it is safe.
    """
    received: list[int] = []

    def record(number: int, frame: FrameType | None) -> None:
        del frame
        if received:
            raise KeyboardInterrupt
        received.append(number)

    with _handled((signal.SIGINT, signal.SIGTERM, *HANGUP), record):
        yield received
