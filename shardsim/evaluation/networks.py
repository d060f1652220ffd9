"""What agents put out in states, whoever trained them, and how they act on it.

Symbols: N seeds, B states, A actions, K shards.
"""

import dataclasses
import functools
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from shardsim.agents import action_selection
from shardsim.agents import agent as agents
from shardsim.core.jit import jit
from shardsim.core.types import Params, State, Trainable
from shardsim.evaluation import battery
from shardsim.evaluation.exact_policies import ActingRule


class Outputs(NamedTuple):
    """What agents say of states; of a single seed, without the axis N.

    Examples:
      >>> run = shardsim.load(folder)
      >>> out = run.agents("sharded").outputs(run.levels(count=3))
      >>> out.value.shape, out.gates.shape, out.logits.shape
      ((2, 3), (2, 3, 2), (2, 3, 4))
    """

    value: Float[np.ndarray, "*NB"]
    """V, in units of reward; of what is left, where shards are switched off."""
    shard_values: Float[np.ndarray, "*NB K"]
    """Value of each shard without its gate; 0 where it is switched off."""
    gates: Float[np.ndarray, "*NB K"]
    """Gate of each shard; as it is in the whole V, where shards are switched off."""
    logits: Float[np.ndarray, "*NB A"]
    """Log-probabilities of D."""


@runtime_checkable
class Network(Protocol):
    """Any agents: from observations [B, ...] and contexts [B, C] to outputs [N, B]."""

    def __call__(self, observations: Any, contexts: Any) -> Outputs: ...


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """Agents that shardsim trained, leaves [N, ...]."""

    population: agents.Agent

    def __call__(self, observations: Any, contexts: Any) -> Outputs:
        return Outputs(
            *map(np.asarray, _forward(self.population, observations, contexts))
        )


@dataclasses.dataclass(frozen=True, eq=False)
class OneOf:
    """One seed of some agents, with some of its shards switched off."""

    network: Network
    seed: int | None = None
    """Its number; None: all seeds."""
    switched_off: tuple[int, ...] = ()
    """Numbers of shards that are missing from V."""

    def __call__(self, observations: Any, contexts: Any) -> Outputs:
        out = self.network(observations, contexts)
        if self.seed is not None:
            out = Outputs(*(leaf[self.seed : self.seed + 1] for leaf in out))
        if not self.switched_off:
            return out
        keep = np.ones(out.gates.shape[-1], np.float32)
        keep[list(self.switched_off)] = 0
        shard_values = out.shard_values * keep
        value = (out.gates * shard_values).sum(axis=-1)
        return out._replace(value=value, shard_values=shard_values)


@dataclasses.dataclass(frozen=True, eq=False)
class Where:
    """Agents of somebody else that are asked about possible states alone.

    Their functions need not know what to say of an agent in a wall. The outputs of all
    other states are 0.
    """

    network: Network
    mask: Bool[np.ndarray, " B"]
    """Which of the states of the next call are possible."""

    def __call__(self, observations: Any, contexts: Any) -> Outputs:
        asked = self.network(observations[self.mask], contexts[self.mask])
        leaves = []
        for leaf in asked:
            full = np.zeros((len(leaf), len(self.mask), *leaf.shape[2:]), leaf.dtype)
            full[:, self.mask] = leaf
            leaves.append(full)
        return Outputs(*leaves)


def possible(condition: battery.Condition) -> Bool[np.ndarray, "L S"]:
    """The states that an episode can be in or end in."""
    table, reachable = condition.table, np.asarray(condition.reachable)
    mask = reachable.copy()
    rows = np.arange(len(mask))[:, None, None]
    after = np.asarray(table.successor)
    mask[np.broadcast_to(rows, after.shape)[reachable], after[reachable]] = True
    coins = np.asarray(table.coin_successor)
    for coin in range(coins.shape[-1]):
        level, state = np.nonzero(mask)
        mask[level, coins[level, state, coin]] = True
    return mask


@jit
def _forward(population: agents.Agent, observations: Any, contexts: Any) -> Any:
    def one(agent: agents.Agent) -> agents.AgentOutput:
        return jax.vmap(agent.__call__)(observations, contexts)

    out = jax.vmap(one)(population)
    value = out.value
    return value.value, value.shard_values, value.gates, out.policy_logits


def num_shards(population: agents.Agent, env: Trainable) -> int:
    """K of trained agents; 1 for a head without shards."""
    observations = jnp.zeros((1, *env.observation_shape), jnp.uint8)
    contexts = jnp.zeros((1, env.num_contexts))
    _, _, gates, _ = _forward.shapes(population, observations, contexts)
    return int(gates.shape[-1])


@functools.partial(jit, static_argnums=0)
def observed(env: Trainable, states: State) -> tuple[Array, Array]:
    """Observations and contexts of states, leaves [B, ...]."""
    return jax.vmap(lambda state: (env.observe(state), env.context(state)))(states)


@functools.partial(jit, static_argnums=0)
def ahead(env: Trainable, states: State, params: Params) -> tuple[Array, ...]:
    """One step without chance: reward, end, observation and context, [B, A, ...]."""

    def one(state: State, action: Array) -> tuple[Array, ...]:
        step = env.step(None, state, action, params)
        after = env.context(step.state)
        return step.reward, step.terminated, step.observation, after

    actions = jnp.arange(env.num_actions)
    over_actions = jax.vmap(one, in_axes=(None, 0))
    return jax.vmap(over_actions, in_axes=(0, None))(states, actions)


def policy(
    logits: Float[np.ndarray, "*B A"],
    q: Float[np.ndarray, "*B A"] | None,
    acting: ActingRule,
) -> Float[np.ndarray, "*B A"]:
    """Probability of each action: D(a|s) exp(Q(s, a) / tau), or D where V does not act.

    Args:
      logits: log D(a | s).
      q: Q(s, a); None where V does not act.
    """
    prior = logits if acting.use_decoder else np.zeros_like(logits)
    if q is not None:
        prior = action_selection.combine(prior, q, acting.temperature)
    weights = np.exp(prior - prior.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = weights / weights.sum(axis=-1, keepdims=True)
    return probabilities
