"""Exact Shapley values of up to ten objects, for V and for each shard.

A coalition is a number whose bit i says whether object i is there.

Symbols: n objects, O output of a game (any shape).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from shardsim.inspection import validation

MOST = 10
"""Objects; all 2^n coalitions are played."""


class Shapley(NamedTuple):
    """How V is shared out among the objects, and what pairs of them are worth."""

    values: Float[Array, "n *O"]
    interactions: Float[Array, "n n *O"]
    """Shapley interaction index of each pair, 0 on the diagonal and for all pairs of an
    additive game; negative for objects that replace one another."""
    total: Float[Array, "*O"]
    """The sum of the values."""
    change: Float[Array, "*O"]
    """Worth of all objects together less that of none, which the total must be."""

    @property
    def residual(self) -> Float[Array, "*O"]:
        return self.total - self.change

    def summary(self) -> str:
        size = np.abs(np.asarray(self.values)).reshape(len(self.values), -1).sum(axis=1)
        residual = np.abs(np.asarray(self.residual)).max()
        return (
            f"Shapley values of {len(size)} objects: object {int(size.argmax())} "
            f"counts most, {size.max():.4g}; largest residual {residual:.2g}"
        )


def coalitions(n: int) -> Bool[np.ndarray, "coalitions n"]:
    """All 2^n coalitions in the order that `exact` takes their worths in.

    Raises:
      ValueError: n below 1 or above 10.
    """
    validation.at_least("n", n, 1)
    if n > MOST:
        raise ValueError(f"n: got {n} objects; allowed: at most {MOST}")
    return (np.arange(2**n)[:, None] >> np.arange(n)) % 2 == 1


def play(
    game: Callable[[Bool[Array, " n"]], Float[Array, "*O"]],
    n: int,
    batch_size: int = 64,
) -> Float[Array, "coalitions *O"]:
    """The worth of every coalition.

    Args:
      game: V, or all contributions, of the state with only these objects there;
        `attribution.remove` draws it.
      n: objects.
      batch_size: coalitions at once.
    """
    return jax.lax.map(game, jnp.asarray(coalitions(n)), batch_size=batch_size)


def exact(worths: Float[Array, "coalitions *O"]) -> Shapley:
    """phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)).

    I_ij = sum over S without i, j of |S|! (n - |S| - 2)! / (n - 1)!
    (v(S + i + j) - v(S + i) - v(S + j) + v(S)).

    Args:
      worths: v of each coalition in the order of `coalitions`, as `play` returns it;
        whole numbers and truth values are taken for floating-point ones.

    Raises:
      ValueError: as many worths as no number of objects from 1 to 10 has, NaN.

    Reference: Shapley, A Value for n-Person Games, 1953; Grabisch & Roubens, An
    axiomatic approach to the concept of interaction among players, 1999.
    """
    count = len(np.shape(worths)) and np.shape(worths)[0]
    n = max(count.bit_length() - 1, 0)
    if count != 2**n or not 1 <= n <= MOST:
        raise ValueError(
            f"worths: got {count} of them; allowed: 2^n for n of 1 to {MOST} objects"
        )
    validation.finite("worths", worths)
    v = validation.floating(worths)
    values = jnp.stack([_average(_step(v, n, (i,)), n - 1) for i in range(n)])
    pairs = [
        [_pair(v, n, i, j) if i != j else jnp.zeros_like(v[0]) for j in range(n)]
        for i in range(n)
    ]
    interactions = jnp.stack([jnp.stack(row) for row in pairs])
    return Shapley(values, interactions, values.sum(axis=0), v[-1] - v[0])


def _pair(v: Array, n: int, i: int, j: int) -> Array:
    return _average(_step(v, n, (min(i, j), max(i, j))), n - 2)


def _step(v: Array, n: int, players: tuple[int, ...]) -> Array:
    """Discrete derivative of the game: what the players add, for all without them."""
    board = v.reshape(*(2 for _ in range(n)), *v.shape[1:])
    axes = sorted(n - 1 - i for i in players)
    for axis in reversed(axes):
        there = jax.lax.index_in_dim(board, 1, axis, keepdims=False)
        board = there - jax.lax.index_in_dim(board, 0, axis, keepdims=False)
    return board.reshape(-1, *v.shape[1:])


def _average(steps: Array, others: int) -> Array:
    """Mean over orders: the size of what came before is equally likely to be any."""
    size = np.array([int(s).bit_count() for s in range(2**others)])
    share = [1 / ((others + 1) * math.comb(others, k)) for k in range(others + 1)]
    weights = jnp.asarray(np.array(share)[size], steps.dtype)
    return jnp.tensordot(weights, steps, axes=1)
