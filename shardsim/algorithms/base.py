"""What a trajectory teaches, whatever the rule.

Symbols: T steps, B environments, n samples, A actions.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Targets(NamedTuple):
    """Of every step of a trajectory; zeros where no loss in use reads them."""

    target: Float[Array, "T B"]
    """G, the lambda-return: what V is to say."""
    value: Float[Array, "T B"]
    """V when the lesson was made; G less V is the advantage of the action."""
    label: Int[Array, "T B"]
    """The expert that a step belongs to; -1 where that is not known."""


class PolicyBatch(NamedTuple):
    """What a rule reads of n steps."""

    action: Int[Array, " n"]
    logits: Float[Array, "n A"]
    """Log-probabilities by which the step was taken; with a search, its policy."""
    target: Float[Array, " n"]
    value: Float[Array, " n"]


def standardise(x: Float[Array, " n"]) -> Float[Array, " n"]:
    """Mean 0 and standard deviation 1 within the batch."""
    return (x - x.mean()) / (x.std() + 1e-8)


def log_prob_of(
    logits: Float[Array, "n A"], action: Int[Array, " n"]
) -> Float[Array, " n"]:
    """Log-probability of the action of each sample, without a look-up."""
    taken: Bool[Array, "n A"] = action[:, None] == jnp.arange(logits.shape[-1])[None]
    return jnp.sum(jnp.where(taken, logits, 0.0), axis=-1)
