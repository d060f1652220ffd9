"""The evaluation battery: fixed levels with exact values in all their states.

A condition is a set of levels with all their states. The levels come from a seed of
their own, which training never uses. All conditions draw their levels from the same
keys, so level i differs between two conditions only in the env fields that differ.

Symbols: L levels, S states of a level, A actions, C contexts.
"""

import dataclasses
import functools
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key
from pydantic import Field

from shardsim.agents.action_selection import (
    Lookahead,
    PolicyOnly,
    ValueOnly,
)
from shardsim.core import dynamic_programming, fields
from shardsim.core.jit import jit
from shardsim.core.types import Environment, Level, Params


@fields.record
class EvaluationConfig:
    """In which levels, conditions and states trained arms are evaluated."""

    levels: Annotated[int, Field(ge=2)] = 32
    """L, levels of each condition."""
    seed: fields.Seed = 1_000_003
    """Seed of the evaluation levels; training never uses it."""
    conditions: Annotated[
        dict[fields.Label, fields.EnvChanges], Field(min_length=1)
    ] = dataclasses.field(default_factory=lambda: {"in_distribution": {}})
    """Conditions by name, each with the env fields that differ from training. The
    first one is the training distribution."""
    action_selection: PolicyOnly | Lookahead | ValueOnly | None = None
    """How agents act in the evaluation; null: as in training, a search by its first
    step. V is visible in behaviour only if it acts. Returns and the return goal always
    use the acting of training."""


class Condition(NamedTuple):
    """L levels with all their states and the exact values in them."""

    levels: Level
    """Leaves [L, ...]."""
    table: dynamic_programming.TransitionTable
    """Leaves [L, S, A]."""
    optimal: Float[np.ndarray, "L S"]
    """V* under the condition's own rewards."""
    best: Float[np.ndarray, " L"]
    """Largest return of an episode from the level's start within the time limit. It is
    less than V* at the start if reward comes later than the limit, or recurs."""
    reachable: Bool[np.ndarray, "L S"]
    """Whether an episode that has not terminated can be in the state."""
    context: Float[np.ndarray, "L S C"]
    """Indicator of the true context of the state."""
    params: Params
    """Env parameters of the condition."""


class Levels(NamedTuple):
    """L levels of a condition where no exact values are computed.

    A `Condition` has the same fields, besides others.
    """

    levels: Level
    """Leaves [L, ...]."""
    params: Params
    """Env parameters of the condition."""


def draw(env: Environment, params: Params, config: EvaluationConfig) -> Levels:
    """Draw the levels of one condition: those of `build`, without exact values.

    Args:
      params: env parameters of the condition.
    """
    return Levels(_levels(env, _keys(config), params), params)


def _keys(config: EvaluationConfig) -> Key[Array, " L"]:
    return jax.random.split(jax.random.key(config.seed), config.levels)


def _generate(env: Environment, keys: Key[Array, " L"], params: Params) -> Level:
    return jax.vmap(lambda key: env.generate(key, params))(keys)


_levels = functools.partial(jit, static_argnums=0)(_generate)


def build(
    env: Environment, params: Params, config: EvaluationConfig, discount: float
) -> Condition:
    """Draw the levels of one condition and compute exact values in all their states.

    Args:
      params: env parameters of the condition.
      discount: gamma in [0, 1).
    """
    levels, table, *truth = _truth(env, discount, _keys(config), params)
    optimal, best, reachable, context = map(np.asarray, truth)
    return Condition(levels, table, optimal, best, reachable, context, params)


@functools.partial(jit, static_argnums=(0, 1))
def _truth(
    env: Environment, discount: float, keys: Key[Array, " L"], params: Params
) -> tuple[Level, dynamic_programming.TransitionTable, Array, Array, Array, Array]:
    levels = _generate(env, keys, params)
    table = jax.vmap(lambda level: dynamic_programming.tabulate(env, level, params))(
        levels
    )

    def best(within: int) -> Array:
        return jax.vmap(
            lambda t: dynamic_programming.optimal_value(t, discount, within)
        )(table)

    optimal = best(dynamic_programming.horizon(env, discount))
    best_return = jax.vmap(lambda value, t: value[t.start])(best(env.max_steps), table)
    reachable = jax.vmap(dynamic_programming.reachable)(table)
    _, context = observed(env, levels)
    return levels, table, optimal, best_return, reachable, context


def observed(env: Environment, levels: Level) -> tuple[Array, Float[Array, "L S C"]]:
    """Observation [L, S, H, W, P] and true context [L, S, C] of every state."""

    def one(state: Any) -> tuple[Array, Array]:
        return env.observe(state), env.context(state)

    return jax.vmap(lambda level: jax.vmap(one)(env.states(level)))(levels)


@functools.partial(jit, static_argnums=0)
def positions(env: Environment, levels: Level) -> Int[Array, "L S 2"]:
    """Row and column of the agent in every state of every level."""
    return jax.vmap(lambda level: jax.vmap(env.position)(env.states(level)))(levels)


def first_states(
    position: Int[np.ndarray, "S 2"],
    shape: tuple[int, ...],
    states: Int[np.ndarray, " M"],
) -> Int[np.ndarray, "H W"]:
    """For each cell, the first of the given states with the agent on it.

    Args:
      position: cell of the agent in every state of a level.
      shape: (H, W).
      states: numbers of states, in rising order.

    Returns:
      Numbers of states; -1 where no given state has the agent on the cell.
    """
    cells = np.full(shape, -1)
    last_to_first = states[::-1]
    cells[tuple(position[last_to_first].T)] = last_to_first
    return cells
