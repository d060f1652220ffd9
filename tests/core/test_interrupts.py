"""A signal is heeded wherever it comes, and without a traceback."""

import gc
import os
import signal
import subprocess
import sys
import time

import pytest

from shardsim.core import interrupts

PRESSED = """
import os, signal, sys

# a shell's jobs in the background don't hear Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)

class Pressed:
    def find_spec(self, name, *rest):
        if name == "jax":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.{number})

sys.meta_path.insert(0, Pressed())
from shardsim import cli
sys.exit(cli.main(["list"]))
"""


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_while_jax_is_imported_a_signal_stops_with_one_line(number):
    words = [sys.executable, "-c", PRESSED.format(number=number)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 130
    (line,) = done.stderr.strip().splitlines()
    assert "stopped at once" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_comes_while_garbage_is_collected_is_not_lost(number, capsys):
    """A callback's errors are printed and forgotten; JAX has one."""

    def swallow(phase, told):
        gc.callbacks.remove(swallow)
        os.kill(os.getpid(), number)

    def stopped():
        with interrupts.sigterm_as_interrupt():
            gc.callbacks.append(swallow)
            gc.collect()
            time.sleep(10)

    hook = sys.unraisablehook
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            stopped()
    finally:
        signal.signal(signal.SIGINT, heard)
    assert capsys.readouterr().err == ""
    assert sys.unraisablehook is hook


@pytest.mark.parametrize(
    ("error", "heard"),
    [
        (LookupError(), [LookupError]),
        (RuntimeError(), [RuntimeError]),
        (RuntimeError("Event loop is closed"), []),
    ],
)
def test_other_errors_that_can_t_be_raised_are_told_as_ever(monkeypatch, error, heard):
    """But what Orbax does after it gave up a checkpoint, of which one line tells."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def broken(phase, said):
        gc.callbacks.remove(broken)
        raise error

    with interrupts.sigterm_as_interrupt():
        gc.callbacks.append(broken)
        gc.collect()
    assert [lost.exc_type for lost in told] == heard
