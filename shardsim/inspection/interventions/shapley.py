"""Exact Shapley values of up to ten objects, for V and for each shard.

A coalition is a set of objects, encoded as a number whose bit i is 1 if object i is
present.

Symbols: n objects, O output of a game (any shape).
"""

import math
from collections.abc import Callable
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from shardsim.inspection import validation
from shardsim.inspection.validation import Numbers

MAX_OBJECTS = 10
"""The game is evaluated for all 2^n coalitions."""


class Shapley(NamedTuple):
    """Shapley value of each object, and interaction index of each pair."""

    values: Float[Array, "n *O"]
    """phi_i, in the unit of the game."""
    interactions: Float[Array, "n n *O"]
    """I_ij; 0 on the diagonal. All are 0 for an additive game; negative for two objects
    that replace each other."""
    total: Float[Array, "*O"]
    """Sum of the values."""
    change: Float[Array, "*O"]
    """v(all objects) - v(no object), which `total` should equal (efficiency)."""

    @property
    def residual(self) -> Float[Array, "*O"]:
        """total - change: rounding error."""
        return self.total - self.change

    def summary(self) -> str:
        size = np.abs(np.asarray(self.values)).reshape(len(self.values), -1).sum(axis=1)
        residual = np.abs(np.asarray(self.residual)).max()
        return (
            f"Shapley values of {len(size)} objects: object {int(size.argmax())} "
            f"counts most, {size.max():.4g}; largest residual {residual:.2g}"
        )


def coalitions(n: int) -> Bool[np.ndarray, "coalitions n"]:
    """All 2^n coalitions, in the order in which `exact` expects their worths.

    Returns:
      True where object i belongs to the coalition.

    Raises:
      ValueError: n below 1 or above 10.
    """
    n = validation.integer("n", n, 1, MAX_OBJECTS)
    return (np.arange(2**n)[:, None] >> np.arange(n)) % 2 == 1


def play(
    game: Callable[[Bool[Array, " objects"]], Shaped[Array, "*O"]],
    n: int,
    *,
    batch_size: int = 64,
) -> Shaped[Array, "coalitions *O"]:
    """Evaluate the game for every coalition.

    Args:
      game: maps the objects that are present to V, or to all contributions, of the
        state with only these objects (see `attribution.remove`).
      n: number of objects, 1 to 10.
      batch_size: coalitions evaluated at once.

    Returns:
      The worth of each coalition, in the order of `coalitions`.

    Raises:
      ValueError: n out of range.
    """
    return jax.lax.map(game, jnp.asarray(coalitions(n)), batch_size=batch_size)


def exact(worths: Annotated[Numbers, "coalitions *O"]) -> Shapley:
    """Shapley values and interaction indices of a game.

      phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S))
      I_ij = sum over S without i, j of |S|! (n - |S| - 2)! / (n - 1)!
             (v(S + i + j) - v(S + i) - v(S + j) + v(S))

    Args:
      worths: v of each coalition in the order of `coalitions`, as `play` returns it.
        Integers and booleans are converted to floats.

    Raises:
      ValueError: the number of worths is not 2^n for an n of 1 to 10, or a worth is not
        finite.

    Reference: Shapley, A Value for n-Person Games, 1953; Grabisch & Roubens, An
    axiomatic approach to the concept of interaction among players, 1999.
    """
    count = len(np.shape(worths)) and np.shape(worths)[0]
    n = max(count.bit_length() - 1, 0)
    if count != 2**n or not 1 <= n <= MAX_OBJECTS:
        raise ValueError(
            f"worths: got {count} of them; allowed: 2^n for n of 1 to {MAX_OBJECTS} "
            "objects"
        )
    validation.finite("worths", worths)
    v = validation.floating(worths)
    values = jnp.stack([_average(_derivative(v, n, (i,)), n - 1) for i in range(n)])
    pairs = [
        [_interaction(v, n, i, j) if i != j else jnp.zeros_like(v[0]) for j in range(n)]
        for i in range(n)
    ]
    interactions = jnp.stack([jnp.stack(row) for row in pairs])
    return Shapley(values, interactions, values.sum(axis=0), v[-1] - v[0])


def _interaction(
    v: Float[Array, "coalitions *O"], n: int, i: int, j: int
) -> Float[Array, "*O"]:
    return _average(_derivative(v, n, (min(i, j), max(i, j))), n - 2)


def _derivative(
    v: Float[Array, "coalitions *O"], n: int, objects: tuple[int, ...]
) -> Float[Array, "others *O"]:
    """Discrete derivative of the game with respect to the objects.

    Returns:
      One number for each coalition of the other objects.
    """
    cube = v.reshape(*(2 for _ in range(n)), *v.shape[1:])
    axes = sorted(n - 1 - i for i in objects)
    for axis in reversed(axes):
        present = jax.lax.index_in_dim(cube, 1, axis, keepdims=False)
        cube = present - jax.lax.index_in_dim(cube, 0, axis, keepdims=False)
    return cube.reshape(-1, *v.shape[1:])


def _average(
    derivative: Float[Array, "others *O"], num_others: int
) -> Float[Array, "*O"]:
    """Mean over coalitions in which all coalition sizes have the same weight."""
    size = np.array([int(s).bit_count() for s in range(2**num_others)])
    weight_of_size = [
        1 / ((num_others + 1) * math.comb(num_others, k)) for k in range(num_others + 1)
    ]
    weights = jnp.asarray(np.array(weight_of_size)[size], derivative.dtype)
    return jnp.tensordot(weights, derivative, axes=1)
