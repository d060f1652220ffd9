"""Records and functions that all learning algorithms share.

Symbols: T steps, B environments, n samples, A actions.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Targets(NamedTuple):
    """Training targets of every step of a trajectory.

    A field that no loss in use reads is filled with zeros (`label`: with -1).
    """

    target: Float[Array, "T B"]
    """G, the lambda-return that V is fitted to, in units of reward."""
    value: Float[Array, "T B"]
    """V before the update, in units of reward. G - V is the advantage of the action."""
    label: Int[Array, "T B"]
    """The expert (shard) that a step is labelled with; -1 if the label is unknown."""


class PolicyBatch(NamedTuple):
    """What a policy loss reads of n steps."""

    action: Int[Array, " n"]
    logits: Float[Array, "n A"]
    """Log-probabilities of the policy that acted; with search, its improved policy."""
    target: Float[Array, " n"]
    """G, the lambda-return."""
    value: Float[Array, " n"]
    """V before the update."""


def standardise(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """(x - mean) / (sd + 1e-8): mean 0 and standard deviation 1 within the batch."""
    return (x - x.mean()) / (x.std() + 1e-8)


def log_prob_of(
    logits: Float[Array, "n A"], action: Int[Array, " n"]
) -> Float[Array, " n"]:
    """log pi(a|s) of the action of each sample, by a masked sum instead of a gather.

    Args:
      logits: log-probabilities of all actions.
      action: in [0, A).
    """
    taken: Bool[Array, "n A"] = action[:, None] == jnp.arange(logits.shape[-1])[None]
    return jnp.sum(jnp.where(taken, logits, 0.0), axis=-1)
