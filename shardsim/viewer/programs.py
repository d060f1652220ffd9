"""Programs that run once or twice: soon compiled rather than fast."""

import functools
import os
from collections.abc import Callable
from typing import Any

import jax

LEVEL = "xla_backend_optimization_level"


def program(function: Callable[..., Any], **how: Any) -> Callable[..., Any]:
    """`jax.jit` at the first level of optimisation on a CPU.

    It halves the time to compile and costs next to nothing when run. A level that
    XLA_FLAGS asks for stands.

    Args:
      how: as `jax.jit` takes it.
    """

    @functools.cache
    def made() -> Callable[..., Any]:
        chosen = LEVEL in os.environ.get("XLA_FLAGS", "")
        first = jax.default_backend() == "cpu" and not chosen
        options = {LEVEL: 1} if first else None
        return jax.jit(function, compiler_options=options, **how)

    @functools.wraps(function)
    def call(*values: Any, **named: Any) -> Any:
        return made()(*values, **named)

    return call
