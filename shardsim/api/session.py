"""The process of a user: what is settled in it, and in what numerics it computes.

A command owns its process. Here the process is somebody else's: what they have set
stays, but while one of our functions computes.
"""

import contextlib
import functools
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ParamSpec, TypeVar

from shardsim.core import files

P = ParamSpec("P")
R = TypeVar("R")


def settle() -> None:
    """Settle what has to be settled before JAX is imported; later, do nothing.

    It is what a command does: LAPACK gets one thread, since its threads change the last
    bits; the CPU is as many JAX devices as it has cores, on which seeds are trained
    side by side; and compiled programs are kept.
    """
    if "jax" in sys.modules:
        return
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from shardsim.core import compile_cache

    compile_cache.quiet()
    compile_cache.use()
    from shardsim.commands import devices

    devices.offer_devices({"train": {"devices": "auto"}})


@contextlib.contextmanager
def numerics() -> Iterator[None]:
    """In the block, JAX's settings and precision are those of a command."""
    import jax

    from shardsim.core import backends, surroundings

    with surroundings.fixed_numerics():
        precision = backends.choices().matmul_precision
        with jax.default_matmul_precision(precision):
            yield


def computes(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that computes: it does so in the numerics of commands."""

    @functools.wraps(function)
    def inside(*args: P.args, **keywords: P.kwargs) -> R:
        with numerics():
            return function(*args, **keywords)

    return inside


class TemporaryFolder:
    """A folder that is removed when nothing refers to this object any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="shardsim-"))
        self._removed = weakref.finalize(self, shutil.rmtree, self.path, True)


@contextlib.contextmanager
def keywords_for_options() -> Iterator[None]:
    """Let errors about files name the keyword in place of the option of a command."""
    try:
        yield
    except files.PathError as error:
        text = str(error).replace("--overwrite", "overwrite=True")
        raise type(error)(text) from None
