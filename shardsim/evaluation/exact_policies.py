"""The policy that every measure evaluates, with its exact Q-values and returns.

Symbols: N seeds, M policies, L levels, S states of a level, A actions.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from shardsim.agents.action_selection import (
    ActionSelection,
    Lookahead,
    PolicyOnly,
    Search,
    ValueOnly,
    combine,
)
from shardsim.core import dynamic_programming, returns
from shardsim.core.jit import jit
from shardsim.evaluation.battery import Condition
from shardsim.evaluation.state_readings import Reading


class ActingRule(NamedTuple):
    """The policy that every measure evaluates.

    pi(a | s) ~ D(a | s)^use_decoder * exp(Q_V(s, a) / temperature)
    """

    discount: float
    """gamma in [0, 1)."""
    temperature: float
    """tau, in units of the return; inf means that V does not act."""
    use_decoder: bool
    """False drops D, so that V alone acts."""
    max_steps: int
    """Time limit of an episode, in env steps."""

    @property
    def value_acts(self) -> bool:
        """Whether V takes part in acting."""
        return self.temperature < float("inf")

    @property
    def selection(self) -> PolicyOnly | Lookahead | ValueOnly:
        """The action selection that acts so: `acting_rule` backwards."""
        if not self.value_acts:
            return PolicyOnly()
        kind = Lookahead if self.use_decoder else ValueOnly
        return kind(temperature=self.temperature)

    def describe(self) -> str:
        """Who acts, e.g. "D and V at tau = 0.01"."""
        if not self.value_acts:
            return "D alone"
        who = "D and V" if self.use_decoder else "V alone"
        return f"{who} at tau = {self.temperature:g}"


def acting_rule(choice: ActionSelection, discount: float, max_steps: int) -> ActingRule:
    """The acting rule of a config.

    A search counts as a one-step lookahead at its temperature. That is the policy it
    starts from, before it visits any deeper leaf.

    Args:
      choice: `action_selection` of the config.
      discount: gamma in [0, 1).
      max_steps: time limit of an episode, in env steps.
    """
    match choice:
        case PolicyOnly():
            return ActingRule(discount, float("inf"), True, max_steps)
        case Lookahead(temperature=tau) | Search(temperature=tau):
            return ActingRule(discount, tau, True, max_steps)
        case ValueOnly(temperature=tau):
            return ActingRule(discount, tau, False, max_steps)


def q_values(
    value: Float[np.ndarray, "... L S"], condition: Condition, discount: float
) -> Float[np.ndarray, "... L S A"]:
    """Q(s, a) = r + gamma (1 - terminated) V(s') in every state.

    Args:
      value: V(s), in units of the return.
      discount: gamma in [0, 1).
    """
    table = condition.table
    level = np.arange(value.shape[-2])[:, None, None]
    next_value = value[..., level, np.asarray(table.successor)]
    reward, terminated = np.asarray(table.reward), np.asarray(table.terminated)
    return returns.one_step_return(reward, terminated, next_value, discount)


def policy(
    value: Float[np.ndarray, "... L S"],
    policy_logits: Float[np.ndarray, "... L S A"],
    condition: Condition,
    acting: ActingRule,
) -> Float[np.ndarray, "... L S A"]:
    """pi(a | s) of the acting rule in every state: probabilities over actions.

    Args:
      value: V(s), in units of the return.
      policy_logits: log D(a | s).
    """
    decoder = policy_logits if acting.use_decoder else np.zeros_like(policy_logits)
    q = q_values(value, condition, acting.discount)
    logits = combine(decoder, q, acting.temperature)
    logits = logits - logits.max(axis=-1, keepdims=True)
    weights = np.exp(logits)
    return weights / weights.sum(axis=-1, keepdims=True)


def expected_return(
    policies: Float[np.ndarray, "M L S A"],
    condition: Condition,
    discount: float,
    steps: int,
) -> Float[np.ndarray, "M L"]:
    """Exact expected discounted return of M policies from each level's start.

    Args:
      policies: probabilities over actions.
      discount: gamma in [0, 1).
      steps: length of an episode, in env steps.
    """
    value = _policy_values(
        jnp.asarray(policies, jnp.float32), condition.table, discount, steps
    )
    start = np.asarray(condition.table.start)
    return np.asarray(value)[:, np.arange(len(start)), start]


@functools.partial(jit, static_argnums=(2, 3))
def _policy_values(
    policies: Array,
    table: dynamic_programming.TransitionTable,
    discount: float,
    steps: int,
) -> Array:
    def one(policy: Array, level: dynamic_programming.TransitionTable) -> Array:
        return dynamic_programming.policy_value(level, policy, discount, steps)

    return jax.vmap(jax.vmap(one), in_axes=(0, None))(policies, table)


def return_fraction(
    reading: Reading, condition: Condition, acting: ActingRule
) -> Float[np.ndarray, " N"]:
    """Mean return over levels, divided by the mean of the exact optimal return.

    Returns:
      1 is optimal. NaN if the optimal return is not above 0, because a fraction of
      nothing, or of a loss, means nothing.
    """
    optimum = float(condition.best.mean())
    policies = policy(reading.value, reading.policy_logits, condition, acting)
    mean = expected_return(policies, condition, acting.discount, acting.max_steps)
    return mean.mean(axis=1) / (optimum if optimum > 0 else np.nan)


def action_gap(condition: Condition, value: np.ndarray, discount: float) -> float:
    """Mean gap of Q between the best action and the best worse action.

    Args:
      value: [..., L, S] V(s).
      discount: gamma in [0, 1).

    Returns:
      Mean over reachable states, in units of the return. States whose actions are all
      equally good do not count; NaN if there are no other states.
    """
    q = np.sort(q_values(value, condition, discount), axis=-1)
    best = q[..., -1:]
    gap = np.where(best - q > 1e-6, best - q, np.inf).min(axis=-1)
    has_gap = np.isfinite(gap) & np.broadcast_to(condition.reachable, gap.shape)
    return float(gap[has_gap].mean()) if has_gap.any() else float("nan")
