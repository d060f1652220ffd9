"""Continuous hyperparameters, held as arrays: a sweep is one compiled program."""

from typing import NamedTuple

from jaxtyping import Array, Float


class Hyperparameters(NamedTuple):
    """Hyperparameters of one seed.

    They are data and not constants of the program, so `jax.vmap` maps them with the
    seeds. A population has leaves [N].
    """

    learning_rate: Float[Array, ""]
    """Step size at the peak of the schedule."""
    td_lambda: Float[Array, ""]
    """lambda of the lambda-return and of generalised advantages, in [0, 1]."""
    temperature: Float[Array, ""]
    """tau of the action selection, in units of reward; 1 where V does not act."""
    entropy: Float[Array, ""]
    """Weight of the entropy bonus of D; 0 if the algorithm has none."""
    load_balance: Float[Array, ""]
    """Loss weight of uneven use of the shards; 0 if the head has none."""
