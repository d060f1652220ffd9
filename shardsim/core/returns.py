"""One-step and lambda returns of one environment. Symbols: T time steps.

All functions take one environment's arrays over time; batch them with `jax.vmap`. `v_t`
is the value of the state after step t, before any reset. A time limit (truncation)
bootstraps from it, an end (termination) does not.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from shardsim.core.types import Scalar

Numbers = TypeVar("Numbers", Array, np.ndarray)
"""Arrays on the device or on the host."""


def one_step_return(
    reward: Float[Numbers, "..."],
    terminated: Bool[Numbers, "..."],
    next_value: Float[Numbers, "..."],
    discount: Scalar,
) -> Float[Numbers, "..."]:
    """Return of one step, bootstrapped from V; it is Q(s, a) if V is exact.

      Q(s, a) = r(s, a) + gamma (1 - terminated) V(s')

    V(s') may be anything, even NaN, where the step ends the episode. NumPy arrays stay
    on the host and keep their dtype.

    Args:
      reward: r(s, a), of any shape that broadcasts against the others.
      terminated: true where the step ends the episode.
      next_value: V of the state after the step, before any reset.
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
    discount: Scalar,
    lambda_: Scalar,
) -> Float[Array, " T"]:
    """TD(lambda) target of the state before each step.

      G_t = r_t + gamma (1 - terminated_t) [(1 - lambda) v_t + lambda G_{t+1}]

    G_{t+1} is replaced by v_t where the episode or the array ends.

    Args:
      r_t: reward of step t.
      v_t: value of the state after step t, before any reset.
      terminated_t: step t ended the episode; the value after it is 0.
      truncated_t: a time limit cut the episode after step t; the target bootstraps.
      discount: gamma in [0, 1].
      lambda_: in [0, 1]; 0 is TD(0), 1 the discounted return.

    Reference: Sutton and Barto, Reinforcement Learning, 2nd ed., eq. 12.18.
    """
    weight_t = jnp.where(truncated_t, 0.0, lambda_)

    def back(g: Array, step: tuple[Array, ...]) -> tuple[Array, Array]:
        r, v, terminated, weight = step
        next_value = (1.0 - weight) * v + weight * g
        g = one_step_return(r, terminated, next_value, discount)
        return g, g

    steps = (r_t, v_t, terminated_t, weight_t)
    _, g_t = jax.lax.scan(back, v_t[-1], steps, reverse=True)
    return g_t
