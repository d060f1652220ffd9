"""Slopes against differences, of functions that take arrays of JAX alone."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import test_util


def check_grads(f: Callable[..., Any], args: tuple[Any, ...], **options: Any) -> None:
    """`jax.test_util.check_grads`, which itself evaluates f at NumPy arrays."""

    def of_arrays(*args: Any) -> Any:
        return f(*jax.tree.map(jnp.asarray, args))

    test_util.check_grads(of_arrays, args, **options)
