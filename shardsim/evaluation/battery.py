"""The evaluation battery: fixed levels with exact values, and the readings of arms.

A condition is a set of levels with all their states. The levels come from a seed of
their own, which training never uses. All conditions draw their levels from the same
keys, so level i differs between two conditions only in the env fields that differ.

A reading holds V, its insides and D of N seeds in every state of a condition.

Symbols: N seeds, L levels, S states of a level, A actions, C contexts, K shards,
U units. Memory of a reading: 4 bytes x N L S (U + 2K + A + 1).
"""

import dataclasses
import functools
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key
from pydantic import Field

from shardsim.agents.action_selection import (
    ActionSelection,
    Lookahead,
    PolicyOnly,
    Search,
    ValueOnly,
    combine,
)
from shardsim.agents.agent import Agent, AgentOutput
from shardsim.core import dynamic_programming, fields, returns
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


class Reading(NamedTuple):
    """V, its insides and D of N seeds of one arm, in every state of a condition."""

    value: Float[np.ndarray, "N L S"]
    """V(s)."""
    shard_values: Float[np.ndarray, "N L S K"]
    """Contribution of each shard to V(s)."""
    gates: Float[np.ndarray, "N L S K"]
    units: Float[np.ndarray, "N L S U"]
    """Contribution of each unit to V(s)."""
    policy_logits: Float[np.ndarray, "N L S A"]
    """log D(a | s)."""
    unit_shard: Int[np.ndarray, " U"]
    """The shard of each unit, 0 to K - 1."""


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


def build(
    env: Environment, params: Params, config: EvaluationConfig, discount: float
) -> Condition:
    """Draw the levels of one condition and compute exact values in all their states.

    Args:
      params: env parameters of the condition.
      discount: gamma in [0, 1).
    """
    keys = jax.random.split(jax.random.key(config.seed), config.levels)
    levels, table, *truth = _truth(env, discount, keys, params)
    optimal, best, reachable, context = map(np.asarray, truth)
    return Condition(levels, table, optimal, best, reachable, context, params)


@functools.partial(jit, static_argnums=(0, 1))
def _truth(
    env: Environment, discount: float, keys: Key[Array, " L"], params: Params
) -> tuple[Level, dynamic_programming.TransitionTable, Array, Array, Array, Array]:
    levels = jax.vmap(lambda key: env.generate(key, params))(keys)
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


def read(env: Environment, population: Agent, condition: Condition) -> Reading:
    """Evaluate V, shards, gates, units and D of every seed in every state.

    Args:
      population: N agents, leaves [N, ...].
    """
    value, policy_logits = evaluate(env, population, condition.levels)
    unit_shard = np.asarray(
        jax.vmap(lambda agent: agent.value.unit_shard)(population)[0]
    )
    return Reading(
        np.asarray(value.value),
        np.asarray(value.shard_values),
        np.asarray(value.gates),
        np.asarray(value.units),
        np.asarray(policy_logits),
        unit_shard,
    )


@functools.partial(jit, static_argnums=0)
def evaluate(env: Environment, population: Agent, levels: Level) -> tuple[Any, Array]:
    """V with its insides, and log D, of N agents in every state of L levels.

    Returns:
      The output of V, leaves [N, L, S, ...], and log D(a | s), [N, L, S, A].
    """
    out = outputs(env, population, levels)
    return out.value, out.policy_logits


def outputs(
    env: Environment, population: Agent, levels: Level, batch_size: int | None = None
) -> AgentOutput:
    """E, D and V of every agent in every state of every level.

    Call it under jit: outputs that the compiled caller drops are not computed.

    Args:
      population: N agents, leaves [N, ...].
      levels: leaves [L, ...].
      batch_size: agents at a time, which bounds the memory; None: all at once.

    Returns:
      Leaves [N, L, S, ...].
    """
    observation, context = observed(env, levels)

    def one(agent: Agent) -> AgentOutput:
        over_states = jax.vmap(agent.__call__)
        return jax.vmap(over_states)(observation, context)

    if batch_size is None:
        return jax.vmap(one)(population)
    return jax.lax.map(one, population, batch_size=batch_size)


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


def exact_reading(condition: Condition, num_actions: int) -> Reading:
    """The reading of V* with a uniform D: one fixed utility, N = 1, one shard."""
    value = condition.optimal[None]
    policy_logits = np.full((*value.shape, num_actions), -np.log(num_actions))
    gates = np.ones_like(value)[..., None]
    shards = value[..., None]
    return Reading(value, shards, gates, shards, policy_logits, np.zeros(1, int))


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


def gate_shares(reading: Reading, condition: Condition) -> Float[np.ndarray, "N K"]:
    """Mean share of each shard in the gates, in [0, 1].

    Gates are normalised to a sum of 1 in every state, then averaged over the reachable
    states with an open gate. All shares are 0 if no gate is ever open.
    """
    gates = reading.gates[:, condition.reachable].astype(np.float64)
    share = gates / np.maximum(gates.sum(axis=-1, keepdims=True), 1e-12)
    total = share.sum(axis=1)
    return total / np.maximum(total.sum(axis=-1, keepdims=True), 1e-12)


def shards_in_use(reading: Reading, condition: Condition) -> Float[np.ndarray, " N"]:
    """Effective number of shards: exp(entropy of `gate_shares`).

    Returns:
      1 if one shard has all gates, K if all shards have the same share, 0 if no gate is
      ever open.
    """
    mean = gate_shares(reading, condition)
    entropy = -np.sum(mean * np.log(np.maximum(mean, 1e-12)), axis=-1)
    return np.where(mean.any(axis=-1), np.exp(entropy), 0.0)


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
