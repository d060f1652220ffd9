"""Small operations on arrays that several tools share."""

from typing import Any, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

AnyArray: TypeAlias = Shaped[Any, "..."]
"""An input as the caller has it: NumPy or JAX, any dtype. Its docstring states the
shape, and `validation` refuses another one by name."""


def or_one(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x, and 1 where it is 0: what to divide by."""
    return jnp.where(x == 0, 1.0, x)


def unit(x: Float[Array, "... d"]) -> Float[Array, "... d"]:
    """x / |x| along the last axis; zeros stay zeros."""
    return x / or_one(jnp.linalg.norm(x, axis=-1, keepdims=True))
