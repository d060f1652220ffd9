"""What to put in the place of an activation: functions to patch a site with.

Each takes an activation h of any shape and returns one of the same shape. Directions
are over the flattened activation.

Symbols: k directions, d numbers of a site, n samples.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from shardsim.inspection import validation
from shardsim.inspection.interventions import graph


def replace(activation: Array) -> graph.Patch:
    """h' = activation."""
    return lambda h: _like("activation", activation, h)


def fill(mask: Array | None, value: Array | float) -> graph.Patch:
    """h' = value where the mask is true, h elsewhere.

    Args:
      mask: booleans of the shape of h, or None for all of it.
      value: one number, or one for each of h.
    """

    def patch(h: Array) -> Array:
        new = _number("value", value, h)
        if new.ndim:
            validation.shaped("value", new, *h.shape)
        whole = jnp.broadcast_to(new, h.shape)
        return whole if mask is None else jnp.where(_mask(mask, h), whole, h)

    return patch


def add(vector: Array, scale: Float[Array, ""] | float = 1.0) -> graph.Patch:
    """h' = h + scale * vector.

    Reference: Turner et al., Activation Addition: Steering Language Models Without
    Optimization, arXiv 2308.10248.
    """
    return lambda h: h + _number("scale", scale, h) * _like("vector", vector, h)


def project_out(
    directions: Float[Array, "k d"] | Float[Array, " d"],
    center: Array | None = None,
) -> graph.Patch:
    """h' = h - sum_i d_i d_i'(h - center): nothing is left along the directions.

    Args:
      directions: one, or k that are linearly independent; made orthonormal here.
      center: what h becomes along them, of the shape of h; 0 if not given.
    """

    def patch(h: Array) -> Array:
        gone = h if center is None else h - _like("center", center, h)
        return h - _along(directions, gone)

    return patch


def set_along(
    direction: Float[Array, " d"], to: Float[Array, ""] | float
) -> graph.Patch:
    """h' = h + u (to - u'h) with u = direction / |direction|."""

    def patch(h: Array) -> Array:
        u = _basis(direction, h)[0].reshape(h.shape)
        return h + u * (_number("to", to, h) - jnp.sum(u * h))

    return patch


def swap(
    source: Array, directions: Float[Array, "k d"] | Float[Array, " d"]
) -> graph.Patch:
    """h' = h + sum_i d_i d_i'(source - h): another run's component along them.

    Reference: Geiger et al., Finding Alignments Between Interpretable Causal Variables
    and Distributed Neural Representations, arXiv 2303.02536.
    """

    def patch(h: Array) -> Array:
        return h + _along(directions, _like("source", source, h) - h)

    return patch


def orthonormal(
    directions: Float[Array, "k d"] | Float[Array, " d"],
) -> Float[Array, "k d"]:
    """The same span with orthonormal rows, by Gram-Schmidt done twice.

    Raises:
      ValueError: NaN, a zero row, or rows that depend on one another (up to 1e-4 of
        their length), where values can be looked at. Under jit such a row becomes 0:
        nothing is changed along it.
    """
    validation.finite("directions", directions)
    validation.sized("directions", directions)
    array = jnp.asarray(directions)
    if array.ndim == 1:
        array = array[None]
    validation.shaped("directions", array, None, None)
    rows: list[Array] = []
    for row in array:
        length = jnp.linalg.norm(row)
        left = row / jnp.where(length > 0, length, 1)
        for _ in range(2):
            for other in rows:
                left = left - other * jnp.dot(other, left)
        size = jnp.linalg.norm(left)
        new = size > 1e-4
        if not isinstance(new, jax.core.Tracer) and not new:
            raise ValueError(
                f"directions: got row {len(rows)} of length {float(length):.3g}, "
                "0 or in the span of those before it; allowed: independent rows"
            )
        rows.append(jnp.where(new, left / jnp.where(new, size, 1), 0))
    return jnp.stack(rows)


def random_like(key: Key[Array, ""], vector: Array) -> Array:
    """The control of a vector: a random direction of the same length and shape."""
    validation.finite("vector", vector)
    validation.sized("vector", vector)
    vector = validation.floating(vector)
    drawn = jax.random.normal(key, vector.shape, vector.dtype)
    return drawn * (jnp.linalg.norm(vector) / jnp.linalg.norm(drawn))


def _along(directions: Array, x: Array) -> Array:
    basis = _basis(directions, x)
    return (basis.T @ (basis @ x.reshape(-1))).reshape(x.shape)


def _basis(directions: Array, h: Array) -> Array:
    basis = orthonormal(directions)
    validation.shaped("directions", basis, None, h.size)
    return basis.astype(h.dtype)


def _like(name: str, array: Any, h: Array) -> Array:
    validation.shaped(name, array, *h.shape)
    return _number(name, array, h)


def _number(name: str, array: Any, h: Array) -> Array:
    validation.finite(name, array)
    return jnp.asarray(array, h.dtype)


def _mask(mask: Any, h: Array) -> Array:
    validation.shaped("mask", mask, *h.shape)
    if not np.issubdtype(jnp.asarray(mask).dtype, np.bool_):
        raise ValueError(
            f"mask: got dtype {jnp.asarray(mask).dtype}; allowed: booleans"
        )
    return jnp.asarray(mask)
