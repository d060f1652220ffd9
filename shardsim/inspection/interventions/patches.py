"""Patches: functions that map an activation to its replacement.

Each patch takes an activation h of any shape and returns one of the same shape.
Directions are vectors over the flattened activation.

Symbols: k directions, d numbers of a site.
"""

from typing import Annotated, Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from shardsim.inspection import validation
from shardsim.inspection.interventions import graph
from shardsim.inspection.validation import Input, Numbers

Directions: TypeAlias = Annotated[Numbers, "k d"] | Annotated[Numbers, "d"]


def replace(activation: Numbers) -> graph.Patch:
    """h' = activation, of the shape of h."""
    return lambda h: _same_shape("activation", activation, h)


def fill(mask: Numbers | None, value: Numbers | float) -> graph.Patch:
    """h' = value where the mask is true, h elsewhere.

    Args:
      mask: booleans of the shape of h; None replaces all of h.
      value: one number, or an array of the shape of h.
    """

    def patch(h: Array) -> Array:
        new = _finite("value", value, h)
        if new.ndim:
            validation.shaped("value", new, *h.shape)
        filled = jnp.broadcast_to(new, h.shape)
        return filled if mask is None else jnp.where(_mask(mask, h), filled, h)

    return patch


def add(vector: Numbers, *, scale: Input | float = 1.0) -> graph.Patch:
    """h' = h + scale * vector.

    Args:
      vector: of the shape of h.
      scale: one number.

    Reference: Turner et al., Activation Addition: Steering Language Models Without
    Optimization, arXiv 2308.10248.
    """
    return lambda h: h + _finite("scale", scale, h) * _same_shape("vector", vector, h)


def project_out(directions: Directions, center: Numbers | float) -> graph.Patch:
    """h' = h - sum_i d_i d_i'(h - center): erase the component along the directions.

    Args:
      directions: one, or k that are linearly independent; made orthonormal here.
      center: h' has the component of `center` along the directions. Of the shape of h,
        or one number. A patch knows no samples, so there is no default: the mean over
        samples leaves a typical activation, and 0 may be far from all of them.
    """

    def patch(h: Array) -> Array:
        middle = center if np.ndim(center) == 0 else _same_shape("center", center, h)
        return h - _project(directions, h - _finite("center", middle, h))

    return patch


def swap(source: Numbers, directions: Directions) -> graph.Patch:
    """h' = h + sum_i d_i d_i'(source - h): take the component of another run.

    Args:
      source: activation of the other run, of the shape of h.
      directions: one, or k that are linearly independent; made orthonormal here.

    Reference: Geiger et al., Finding Alignments Between Interpretable Causal Variables
    and Distributed Neural Representations, arXiv 2303.02536.
    """

    def patch(h: Array) -> Array:
        return h + _project(directions, _same_shape("source", source, h) - h)

    return patch


def orthonormal(directions: Directions) -> Float[Array, "k d"]:
    """Orthonormal rows with the same span, by Gram-Schmidt applied twice.

    Under jit, a row that depends on the rows before it becomes 0, so that nothing
    changes along it. Elsewhere it is an error.

    Args:
      directions: one, or k that are linearly independent.

    Raises:
      ValueError: a number is not finite, a row is 0, or a row depends on the rows
        before it up to 1e-4 of its length.
    """
    sizes = (None,) if np.ndim(directions) == 1 else (None, None)
    array = validation.floats("directions", directions, *sizes)
    validation.sized("directions", array)
    array = array.reshape(-1, array.shape[-1])
    rows: list[Array] = []
    for row in array:
        length = jnp.linalg.norm(row)
        rest = row / jnp.where(length > 0, length, 1)
        for _ in range(2):
            for other in rows:
                rest = rest - other * jnp.dot(other, rest)
        rest_length = jnp.linalg.norm(rest)
        independent = rest_length > 1e-4
        if not isinstance(independent, jax.core.Tracer) and not independent:
            raise ValueError(
                f"directions: got row {len(rows)} of length {float(length):.3g}, "
                "0 or in the span of the rows before it; allowed: independent rows"
            )
        unit = rest / jnp.where(independent, rest_length, 1)
        rows.append(jnp.where(independent, unit, 0))
    return jnp.stack(rows)


def random_like(vector: Numbers, key: Key[Array, ""]) -> Float[Array, "..."]:
    """A random direction with the length and shape of `vector`, as its control."""
    validation.finite("vector", vector)
    validation.sized("vector", vector)
    vector = validation.floating(vector)
    sample = jax.random.normal(key, vector.shape, vector.dtype)
    return sample * (jnp.linalg.norm(vector) / jnp.linalg.norm(sample))


def _project(directions: Directions, x: Float[Array, "*X"]) -> Float[Array, "*X"]:
    basis = _basis(directions, x)
    return (basis.T @ (basis @ x.reshape(-1))).reshape(x.shape)


def _basis(directions: Directions, h: Array) -> Float[Array, "k d"]:
    basis = orthonormal(directions)
    validation.shaped("directions", basis, None, h.size)
    return basis.astype(h.dtype)


def _same_shape(name: str, array: Any, h: Array) -> Array:
    validation.shaped(name, array, *h.shape)
    return _finite(name, array, h)


def _finite(name: str, array: Any, h: Array) -> Array:
    validation.finite(name, array)
    return validation.floating(array).astype(h.dtype)


def _mask(mask: Any, h: Array) -> Bool[Array, "..."]:
    return jnp.asarray(validation.mask("mask", mask, *h.shape))
