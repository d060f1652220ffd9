"""Discounted and lambda returns of one environment. Symbols: T time steps.

All functions are unbatched over time-major arrays; the caller maps. `v_t` is the
value of the state that step t led to, taken before any reset, so that a time limit
(truncation) bootstraps from it and an end (termination) does not.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

Numbers = TypeVar("Numbers", Array, np.ndarray)
"""Of the device or of the host."""


def one_step_return(
    reward: Float[Numbers, "..."],
    terminated: Bool[Numbers, "..."],
    next_value: Float[Numbers, "..."],
    discount: float,
) -> Float[Numbers, "..."]:
    """The return of one step, bootstrapped from V: Q(s, a) if V is exact.

      Q(s, a) = r(s, a) + gamma (1 - terminated) V(s')

    Where the step ends the episode V(s') is not read, so that it may be anything, NaN
    included. NumPy arrays stay on the host, in their own type.

    Args:
      reward: of the step, of any shape that broadcasts against the others.
      terminated: nothing lies beyond the step.
      next_value: V of the state that the step led to, before any reset.
      discount: gamma in [0, 1].
    """
    where = jnp.where if isinstance(next_value, jax.Array) else np.where
    q: Numbers = reward + discount * where(terminated, 0.0, next_value)
    return q


def lambda_returns(
    r_t: Float[Array, " T"],
    v_t: Float[Array, " T"],
    terminated_t: Bool[Array, " T"],
    truncated_t: Bool[Array, " T"],
    discount: float,
    lambda_: float | Float[Array, ""],
) -> Float[Array, " T"]:
    """The TD(lambda) target of each state that a step left.

    G_t = r_t + gamma (1 - terminated_t) [(1 - lambda) v_t + lambda G_{t+1}],
    with G_{t+1} replaced by v_t where the episode or the array ends.

    Args:
      r_t: reward of step t.
      v_t: value of the state after step t, before any reset.
      terminated_t: nothing lies beyond step t.
      truncated_t: the episode was cut after step t; value lies beyond.
      discount: gamma in [0, 1].
      lambda_: in [0, 1]; 0 is TD(0), 1 the discounted return.

    Reference: Sutton and Barto, Reinforcement Learning, 2nd ed., eq. 12.18.
    """
    weight_t = jnp.where(truncated_t, 0.0, lambda_)

    def back(g: Array, step: tuple[Array, ...]) -> tuple[Array, Array]:
        r, v, terminated, weight = step
        beyond = (1.0 - weight) * v + weight * g
        g = one_step_return(r, terminated, beyond, discount)
        return g, g

    steps = (r_t, v_t, terminated_t, weight_t)
    _, g_t = jax.lax.scan(back, v_t[-1], steps, reverse=True)
    return g_t


def discounted_return(r_t: Float[Array, " T"], discount: float) -> Float[Array, ""]:
    """sum_t gamma^t r_t."""
    return jnp.sum(r_t * discount ** jnp.arange(r_t.shape[0], dtype=r_t.dtype))
