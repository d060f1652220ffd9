"""The fixed battery of states on which every arm is read, and the reading itself.

A battery is made from its own seed, before and apart from training. All conditions
draw their levels from the same keys, so that level i of one condition is level i of
another with only the changed fields of the world different.

Symbols: N seeds, L levels, S states of a level, A actions, C contexts, K parts,
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
    conditions: Annotated[dict[str, fields.EnvChanges], Field(min_length=1)] = (
        dataclasses.field(default_factory=lambda: {"in_distribution": {}})
    )
    """Conditions by name, each with the env fields that differ from training. The
    first one is the training distribution."""
    action_selection: PolicyOnly | Lookahead | ValueOnly | None = None
    """How agents act in the evaluation; null: as in training, a search by its first
    step. V is visible in behaviour only if it acts. Returns and the return goal always
    use the acting of training."""


class Condition(NamedTuple):
    """L levels with all their states, and the truth about them."""

    levels: Level
    """Leaves [L, ...]."""
    table: dynamic_programming.TransitionTable
    """Leaves [L, S, A]."""
    optimal: Float[np.ndarray, "L S"]
    """V* of the condition's own rewards."""
    best: Float[np.ndarray, " L"]
    """The most that an episode returns, from the level's start within the time limit;
    less than V* where reward comes later, or recurs."""
    reachable: Bool[np.ndarray, "L S"]
    """Whether the agent can stand there while the episode goes on."""
    context: Float[np.ndarray, "L S C"]
    params: Params


class Reading(NamedTuple):
    """What N seeds of one arm say of a condition."""

    value: Float[np.ndarray, "N L S"]
    shard_values: Float[np.ndarray, "N L S K"]
    gates: Float[np.ndarray, "N L S K"]
    units: Float[np.ndarray, "N L S U"]
    policy_logits: Float[np.ndarray, "N L S A"]
    """Log-probabilities of D."""
    unit_shard: np.ndarray
    """[U]: the part of each unit."""


class ActingRule(NamedTuple):
    """How values become behaviour: what all measures share."""

    discount: float
    temperature: float
    """tau of the acting; infinite where V does not steer."""
    use_decoder: bool
    """Whether D takes part in acting."""
    max_steps: int

    @property
    def value_acts(self) -> bool:
        """Whether V takes part in acting."""
        return self.temperature < float("inf")

    def describe(self) -> str:
        """Who acts, in words."""
        if not self.value_acts:
            return "D alone"
        who = "D and V" if self.use_decoder else "V alone"
        return f"{who} at tau = {self.temperature:g}"


def acting_rule(choice: ActionSelection, discount: float, max_steps: int) -> ActingRule:
    """The acting of a config, as numbers.

    A search is judged as a look ahead of one step at its temperature: what it takes
    for the policy before any deeper leaf is seen.
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
    """The levels of one condition and the truth about all their states."""
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
    earned = jax.vmap(lambda value, t: value[t.start])(best(env.max_steps), table)
    reachable = jax.vmap(dynamic_programming.reachable)(table)
    _, context = observed(env, levels)
    return levels, table, optimal, earned, reachable, context


def read(env: Environment, population: Agent, condition: Condition) -> Reading:
    """Every seed's V, parts, gates, units and D in every state of a condition."""
    value, prior = _read(env, population, condition.levels)
    unit_shard = np.asarray(
        jax.vmap(lambda agent: agent.value.unit_shard)(population)[0]
    )
    return Reading(
        np.asarray(value.value),
        np.asarray(value.shard_values),
        np.asarray(value.gates),
        np.asarray(value.units),
        np.asarray(prior),
        unit_shard,
    )


@functools.partial(jit, static_argnums=0)
def _read(env: Environment, population: Agent, levels: Level) -> tuple[Any, Array]:
    out = outputs(env, population, levels)
    return out.value, out.policy_logits


def outputs(
    env: Environment, population: Agent, levels: Level, batch_size: int | None = None
) -> AgentOutput:
    """E, D and V of every agent in every state of every level; to be compiled.

    Args:
      population: leaves [N, ...].
      levels: leaves [L, ...].
      batch_size: agents at a time, to bound the memory; None takes all at once.

    Returns:
      Leaves [N, L, S, ...]. What a compiled caller drops is not computed.
    """
    observation, context = observed(env, levels)

    def one(agent: Agent) -> AgentOutput:
        over_states = jax.vmap(agent.__call__)
        return jax.vmap(over_states)(observation, context)

    if batch_size is None:
        return jax.vmap(one)(population)
    return jax.lax.map(one, population, batch_size=batch_size)


def observed(env: Environment, levels: Level) -> tuple[Array, Float[Array, "L S C"]]:
    """Observations [L, S, H, W, P] and true contexts of every state."""

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
    """The first of some states in which the agent stands on each cell; -1 for none.

    Args:
      position: of the agent in every state of a level.
      shape: H, W.
      states: rising numbers of states.
    """
    cells = np.full(shape, -1)
    last_to_first = states[::-1]
    cells[tuple(position[last_to_first].T)] = last_to_first
    return cells


def exact_reading(condition: Condition, num_actions: int) -> Reading:
    """V* in place of a learned V, under a uniform D: one fixed utility, N = 1."""
    value = condition.optimal[None]
    prior = np.full((*value.shape, num_actions), -np.log(num_actions))
    one = np.ones_like(value)[..., None]
    parts = value[..., None]
    return Reading(value, parts, one, parts, prior, np.zeros(1, int))


def q_values(
    value: Float[np.ndarray, "... L S"], condition: Condition, discount: float
) -> Float[np.ndarray, "... L S A"]:
    """Q(s, a) = r + gamma (1 - terminated) V(s') in every state."""
    table = condition.table
    level = np.arange(value.shape[-2])[:, None, None]
    beyond = value[..., level, np.asarray(table.successor)]
    reward, terminated = np.asarray(table.reward), np.asarray(table.terminated)
    return returns.one_step_return(reward, terminated, beyond, discount)


def policy(
    value: Float[np.ndarray, "... L S"],
    prior: Float[np.ndarray, "... L S A"],
    condition: Condition,
    how: ActingRule,
) -> Float[np.ndarray, "... L S A"]:
    """The probabilities with which the agent acts, state by state."""
    decoder = prior if how.use_decoder else np.zeros_like(prior)
    q = q_values(value, condition, how.discount)
    logits = combine(decoder, q, how.temperature)
    logits = logits - logits.max(axis=-1, keepdims=True)
    weights = np.exp(logits)
    return weights / weights.sum(axis=-1, keepdims=True)


def expected_return(
    chosen: Float[np.ndarray, "M L S A"],
    condition: Condition,
    discount: float,
    steps: int,
) -> Float[np.ndarray, "M L"]:
    """Mean discounted return of policies from each level's start, without sampling."""
    value = _policy_values(
        jnp.asarray(chosen, jnp.float32), condition.table, discount, steps
    )
    start = np.asarray(condition.table.start)
    return np.asarray(value)[:, np.arange(len(start)), start]


@functools.partial(jit, static_argnums=(2, 3))
def _policy_values(
    chosen: Array,
    table: dynamic_programming.TransitionTable,
    discount: float,
    steps: int,
) -> Array:
    def one(policy: Array, level: dynamic_programming.TransitionTable) -> Array:
        return dynamic_programming.policy_value(level, policy, discount, steps)

    return jax.vmap(jax.vmap(one), in_axes=(0, None))(chosen, table)


def return_fraction(
    reading: Reading, condition: Condition, how: ActingRule
) -> Float[np.ndarray, " N"]:
    """Mean return over levels as a fraction of the exact optimum's.

    NaN where that is not above 0: of nothing, or of a loss, there are no fractions.
    """
    optimum = float(condition.best.mean())
    chosen = policy(reading.value, reading.policy_logits, condition, how)
    got = expected_return(chosen, condition, how.discount, how.max_steps)
    return got.mean(axis=1) / (optimum if optimum > 0 else np.nan)


def gate_shares(reading: Reading, condition: Condition) -> Float[np.ndarray, "N K"]:
    """Mean share of the gates that each shard has; all 0 where none is ever open.

    Gates are normalised in every state, then averaged over the reachable ones that have
    any open.
    """
    gates = reading.gates[:, condition.reachable].astype(np.float64)
    share = gates / np.maximum(gates.sum(axis=-1, keepdims=True), 1e-12)
    whole = share.sum(axis=1)
    return whole / np.maximum(whole.sum(axis=-1, keepdims=True), 1e-12)


def shards_in_use(reading: Reading, condition: Condition) -> Float[np.ndarray, " N"]:
    """exp(entropy of the mean gates): 1 where one shard does all, K where all share; 0
    where none is ever open."""
    mean = gate_shares(reading, condition)
    entropy = -np.sum(mean * np.log(np.maximum(mean, 1e-12)), axis=-1)
    return np.where(mean.any(axis=-1), np.exp(entropy), 0.0)


def action_gap(condition: Condition, value: np.ndarray, discount: float) -> float:
    """Mean gap between the best action and the best worse one, ties left out."""
    q = np.sort(q_values(value, condition, discount), axis=-1)
    best = q[..., -1:]
    gap = np.where(best - q > 1e-6, best - q, np.inf).min(axis=-1)
    fine = np.isfinite(gap) & np.broadcast_to(condition.reachable, gap.shape)
    return float(gap[fine].mean()) if fine.any() else float("nan")
