"""Compile programs in the background, before they are needed.

XLA compiles on one core and outside the interpreter's lock. So all programs of a
training compile side by side while the first ones run.
"""

import concurrent.futures
import contextlib
import logging
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import jax
from jaxtyping import PyTree

from shardsim.core import processor
from shardsim.core.jit import Program

LOG = logging.getLogger(__name__)


class Ahead:
    """Programs that compile in the background, by name."""

    def __init__(self, executor: concurrent.futures.ThreadPoolExecutor) -> None:
        self._executor = executor
        self._started: dict[Hashable, concurrent.futures.Future[Any]] = {}

    def start(
        self, name: Hashable, program: Program[Any], arguments: Callable[[], tuple]
    ) -> None:
        """Compile a program, unless it has been started under this name.

        Args:
          arguments: returns those of the later call; arrays may be given as shapes.
        """
        if name not in self._started:
            self._started[name] = self._executor.submit(
                lambda: program.lower_and_compile(*arguments())
            )

    def wait(self, name: Hashable) -> None:
        """Wait until a program is compiled. JAX finds it again at the call.

        A fault of the program is not raised here: the call will raise it.
        """
        if name in self._started:
            fault = self._started[name].exception()
            if fault is not None:
                LOG.debug("a program could not be compiled ahead: %s", fault)


@contextlib.contextmanager
def ahead() -> Iterator[Ahead]:
    """Compile in the background during the block, on all cores of this process.

    At its end what has not begun to compile is dropped.
    """
    executor = concurrent.futures.ThreadPoolExecutor(len(processor.cores()))
    try:
        yield Ahead(executor)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def shapes(tree: PyTree, like: jax.Array) -> PyTree:
    """Shapes of arrays that are spread over the devices as an array is."""
    sharding = like.sharding if len(like.sharding.device_set) > 1 else None
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
    )
