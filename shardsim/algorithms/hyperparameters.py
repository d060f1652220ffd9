"""Continuous hyper-parameters: numbers that are data, so that a grid is one program."""

from typing import NamedTuple

from jaxtyping import Array, Float


class Hyperparameters(NamedTuple):
    """Of one seed. They ride along with it, a mapped axis like the seed itself."""

    learning_rate: Float[Array, ""]
    td_lambda: Float[Array, ""]
    """lambda of the lambda-return, and of generalised advantages."""
    temperature: Float[Array, ""]
    """tau of acting by V; 1 where V does not act."""
    entropy: Float[Array, ""]
    """Weight of the entropy of D; 0 where the rule has none."""
    load_balance: Float[Array, ""]
    """Cost of gates that are used unevenly; 0 where the head has none."""
