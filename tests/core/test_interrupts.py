"""A signal stops the program wherever it arrives, without a traceback."""

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

# background jobs of a shell ignore Ctrl-C
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
def test_a_signal_during_the_import_of_jax_prints_one_line(number):
    words = [sys.executable, "-c", PRESSED.format(number=number)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 130
    (line,) = done.stderr.strip().splitlines()
    assert "stopped at once" in line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_garbage_collection_is_not_lost(number, capsys):
    """Python prints and ignores errors in callbacks, and JAX has such a callback."""

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
def test_other_unraisable_errors_reach_the_old_hook(monkeypatch, error, heard):
    """Except those of Orbax after it gave up a checkpoint, which one line reports."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    def broken(phase, said):
        gc.callbacks.remove(broken)
        raise error

    with interrupts.sigterm_as_interrupt():
        gc.callbacks.append(broken)
        gc.collect()
    assert [lost.exc_type for lost in told] == heard
