"""`jax.jit` for whole programs, with the choices that suit the device.

`core.backends` has the options of the compiler and the precision of products for each
kind of device.

Garbage collection is off while a program is traced and compiled. Everything that is
traced stays alive until the program is compiled, and scanning it repeatedly takes a
third of the tracing time.
"""

import contextlib
import functools
import gc
import os
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import jax

from shardsim.core import backends

R = TypeVar("R")


class Program(Generic[R]):
    """A jitted function that reads the backend at its first call, not at import.

    It is a whole program: it cannot be called while another one is traced.
    """

    def __init__(
        self, function: Callable[..., R], options: dict[str, Any], optimize: bool
    ) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._options = options
        self._optimize = optimize
        self._compiled: dict[str, Any] = {}

    @property
    def compiled(self) -> Any:
        """The jitted function for the present backend, as `jax.jit` returns it."""
        name = backends.current()
        if name not in self._compiled:
            choices = backends.TABLE[name]
            self._compiled[name] = jax.jit(
                _with_precision(self._function, choices.matmul_precision),
                compiler_options=_compiler_options(choices, self._optimize),
                **self._options,
            )
        return self._compiled[name]

    def __call__(self, *args: Any, **kwargs: Any) -> R:
        with _without_garbage_collection():
            return self.compiled(*args, **kwargs)

    def lower_and_compile(self, *args: Any, **kwargs: Any) -> jax.stages.Compiled:
        """Trace and compile the program for these arguments without running it."""
        with _without_garbage_collection():
            return self.compiled.lower(*args, **kwargs).compile()


def jit(
    function: Callable[..., R], *, optimize: bool = False, **options: Any
) -> Program[R]:
    """Decorate a function as a compiled program.

    Args:
      function: a pure function of arrays.
      optimize: keep the compiler's own level of optimization, which costs time to
        compile.
      options: keyword arguments of `jax.jit`, e.g. `static_argnums`.
    """
    return Program(function, options, optimize)


def _with_precision(
    function: Callable[..., R], precision: str | None
) -> Callable[..., R]:
    """The function, traced with a precision for products of float32."""
    if precision is None:
        return function

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> R:
        with jax.default_matmul_precision(precision):
            return function(*args, **kwargs)

    return traced


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Turn garbage collection off. Safe with several threads at once."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _compiler_options(
    choices: backends.Backend, optimize: bool
) -> dict[str, bool | int] | None:
    """The options of a backend, but for those that XLA_FLAGS sets; None if none."""
    flags = os.environ.get("XLA_FLAGS", "")
    options = {
        name: value
        for name, value in choices.compiler_options.items()
        if name not in flags and not (optimize and name == backends.OPTIMIZATION_LEVEL)
    }
    return options or None
