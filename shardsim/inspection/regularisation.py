"""How much regularisation? As much as has the lowest loss on samples that are held out.

Symbols: n samples, C choices, F folds.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.inspection import arrays, validation
from shardsim.inspection.validation import Numbers

CHOICES = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4)
"""Strengths of an L2 penalty to choose from, for features of variance 1. The strongest
comes first, so that it wins ties."""
FOLDS = 4
"""F. Each sample is held out once."""
FEWEST = 2 * FOLDS
"""With fewer samples none are held out."""
WITHOUT = 1e-3
"""The strength where none are held out."""


class Choice(NamedTuple):
    """The choice with the lowest held-out loss."""

    value: Float[Array, ""]
    losses: Float[Array, " C"]
    """Mean loss over the samples, each held out once."""


def folds(
    n: int, groups: Annotated[Numbers, "n"] | None = None
) -> Int[Array | np.ndarray, " n"]:
    """The fold of each sample, 0 to F - 1.

    Args:
      n: number of samples.
      groups: [n] labels of at least two kinds; samples of one group are held out
        together, such as the states of one maze. Under a JAX transformation they have
        to be indices. None: each sample is its own group.

    Raises:
      ValueError: `groups` is no label per sample, or there is only one group.
    """
    if groups is None:
        return np.arange(n) % FOLDS
    if isinstance(groups, jax.core.Tracer):
        validation.kind("groups", groups, "iu", "integers")
        validation.shaped("groups", groups, n)
        return groups % FOLDS
    labels = validation.labels("groups", groups, n, least=2)
    return np.asarray(labels.index) % FOLDS


def choose(
    losses_of: Callable[[Float[Array, " n"], Float[Array, " C"]], Float[Array, "C n"]],
    fold: Int[Array | np.ndarray, " n"],
    *,
    choices: Sequence[float] = CHOICES,
) -> Choice:
    """The choice whose fits have the lowest mean loss on the samples they did not see.

    Runs inside a compiled program, one fold after the other. Samples that resemble each
    other in two folds make the choice too weak, so groups belong in one fold: see
    `folds`.

    Args:
      losses_of: fits with each choice to samples weighted by shares, which are 0 where
        a sample is held out and have a sum of 1, and returns the loss of every sample
        for every choice.
      fold: of each sample.
      choices: C numbers.
    """
    number = jnp.asarray(fold)
    n = len(number)
    values = jnp.asarray(choices, float)

    def held_out(index: Array) -> Array:
        is_held_out = number == index
        seen = (~is_held_out).astype(values.dtype)
        losses = losses_of(seen / arrays.or_one(seen.sum()), values)
        return jnp.where(is_held_out[None], losses, 0).sum(axis=1)

    losses = jax.lax.map(held_out, jnp.arange(FOLDS)).sum(axis=0) / n
    # a fit that overflows is no choice
    finite = jnp.where(jnp.isfinite(losses), losses, jnp.inf)
    return Choice(values[jnp.argmin(finite)], losses)
