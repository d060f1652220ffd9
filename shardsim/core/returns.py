"""Discounted and lambda returns of one environment. Symbols: T time steps.

All functions are unbatched over time-major arrays; the caller maps. `v_t` is the
value of the state that step t led to, taken before any reset, so that a time limit
(truncation) bootstraps from it and an end (termination) does not.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


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
        g = r + jnp.where(terminated, 0.0, discount * beyond)
        return g, g

    steps = (r_t, v_t, terminated_t, weight_t)
    _, g_t = jax.lax.scan(back, v_t[-1], steps, reverse=True)
    return g_t


def discounted_return(r_t: Float[Array, " T"], discount: float) -> Float[Array, ""]:
    """sum_t gamma^t r_t."""
    return jnp.sum(r_t * discount ** jnp.arange(r_t.shape[0], dtype=r_t.dtype))
