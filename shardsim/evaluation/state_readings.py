"""What V, its shards and D say in every state of a condition, for all seeds of an arm.

Symbols: N seeds, L levels, S states of a level, A actions, C contexts, K shards,
U units, D features. Memory of a reading: 4 bytes x N L S (U + 2K + A + 1), and D more
with features.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.agents.agent import Agent, AgentOutput
from shardsim.core.jit import jit
from shardsim.core.types import Environment, Level
from shardsim.evaluation.battery import Condition, observed


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
    features: Float[np.ndarray, "N L S D"] | None = None
    """Of E, for measures that need them; None: they were not read."""


def read(
    env: Environment,
    population: Agent,
    condition: Condition,
    with_features: bool = False,
) -> Reading:
    """Evaluate V, shards, gates, units and D of every seed in every state.

    Args:
      population: N agents, leaves [N, ...].
      with_features: whether to read the features of E too.
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
        _one_by_one(_features_of_one, env, population, condition.levels)
        if with_features
        else None,
    )


def evaluate(env: Environment, population: Agent, levels: Level) -> tuple[Any, Any]:
    """V with its insides, and log D, of N agents in every state of L levels.

    One agent at a time, in a program that does not know how many there are: the bits
    of a seed do not depend on the seeds and devices beside it.

    Returns:
      The output of V, leaves [N, L, S, ...], and log D(a | s), [N, L, S, A].
    """
    value, policy_logits = _one_by_one(_evaluate_one, env, population, levels)
    return value, policy_logits


def _one_by_one(
    program: Callable[..., Any], env: Environment, population: Agent, levels: Level
) -> Any:
    """What a program gives for each agent, stacked: leaves [N, ...]."""
    leaves = jax.tree.map(np.asarray, population)
    count = len(jax.tree.leaves(leaves)[0])
    readings = [
        jax.tree.map(np.asarray, program(env, jax.tree.map(take, leaves), levels))
        for take in map(operator.itemgetter, range(count))
    ]
    return jax.tree.map(lambda *each: np.stack(each), *readings)


@functools.partial(jit, static_argnums=0)
def _evaluate_one(env: Environment, agent: Agent, levels: Level) -> tuple[Any, Array]:
    out = _outputs_of_one(env, agent, levels)
    return out.value, out.policy_logits


@functools.partial(jit, static_argnums=0)
def _features_of_one(env: Environment, agent: Agent, levels: Level) -> Array:
    return _outputs_of_one(env, agent, levels).features


def _outputs_of_one(env: Environment, agent: Agent, levels: Level) -> AgentOutput:
    one = jax.tree.map(lambda leaf: leaf[None], agent)
    out: AgentOutput = jax.tree.map(lambda leaf: leaf[0], outputs(env, one, levels))
    return out


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


def exact_reading(condition: Condition, num_actions: int) -> Reading:
    """The reading of V* with a uniform D: one fixed utility, N = 1, one shard."""
    value = condition.optimal[None]
    policy_logits = np.full((*value.shape, num_actions), -np.log(num_actions))
    gates = np.ones_like(value)[..., None]
    shards = value[..., None]
    unit_shard = np.zeros(1, int)
    # V* reads nothing but itself
    return Reading(value, shards, gates, shards, policy_logits, unit_shard, shards)


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
