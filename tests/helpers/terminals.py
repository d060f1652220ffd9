"""A command of shardsim in a terminal of its own, to be played by a test."""

import contextlib
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator

SECONDS = 90
"""Time till a text has to be there."""


class Terminal:
    """The keyboard and the screen of a command."""

    def __init__(self, descriptor: int, process: subprocess.Popen) -> None:
        self.descriptor = descriptor
        self.process = process

    def press(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)

    def screen(self, wanted: str) -> str:
        """What is printed till a text is there."""
        text, late = "", time.monotonic() + SECONDS
        while wanted not in text and time.monotonic() < late:
            if select.select([self.descriptor], [], [], 1)[0]:
                text += os.read(self.descriptor, 65536).decode()
        assert wanted in text, text
        return text


@contextlib.contextmanager
def opened(*words: object) -> Iterator[Terminal]:
    """Run a command until the block ends; it must have ended well by then."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "shardsim.cli", *map(str, words)]
    # as users have it: the flags of the test process hide options of the compiler
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment |= {"TERM": "xterm", "JAX_PLATFORMS": "cpu"}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
