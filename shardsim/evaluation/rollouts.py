"""Whole episodes of an agent in fixed levels, all of them in one compiled program.

They judge agents where states cannot be listed. Every agent meets the same levels and
the same random numbers: those of an episode follow from its level, its number and a
seed. Symbols: L levels, M episodes of each level, E events, A actions.
"""

import functools
import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from shardsim.agents import action_selection
from shardsim.agents.agent import Agent
from shardsim.core.jit import jit
from shardsim.core.types import Environment, Level, Params, State
from shardsim.evaluation import battery
from shardsim.evaluation.exact_policies import ActingRule

AT_ONCE = 512
"""Most episodes that are played at once, which bounds the memory."""
MOST_STEPS = 10_000
"""Most steps of an episode."""


def each_agent(population: Agent) -> list[Agent]:
    """The single agents of N seeds, leaves [N, ...]."""
    leaves = jax.tree.map(np.asarray, population)
    count = len(jax.tree.leaves(leaves)[0])
    return [jax.tree.map(lambda x, n=n: x[n], leaves) for n in range(count)]


class Played(NamedTuple):
    """What happened in the episodes of one agent."""

    returns: Float[np.ndarray, "L M"]
    """Discounted return of each episode."""
    times: Int[np.ndarray, "L M E"]
    """Number of steps in which each event happened, in the order of `events`."""


def events(env: Environment) -> tuple[str, ...]:
    """Names of what can be counted: sources of reward, then proxy goals."""
    return (*env.reward_sources, *env.proxy_names)


def play(
    env: Environment,
    agent: Agent | None,
    levels: battery.Levels | battery.Condition,
    acting: ActingRule,
    steps: int,
    episodes: int,
    seed: int = 0,
) -> Played:
    """Play whole episodes from the start of every level.

    More episodes begin with the same ones. The bits of an episode do not depend on the
    agents that are played beside this one.

    Args:
      agent: a single one; None: every action is equally likely.
      levels: L levels of one condition.
      acting: how the agent acts.
      steps: steps after which an episode is cut off, whatever the time limit of the
        environment.
      episodes: M, for each level.
      seed: of actions and of chance.
    """
    count = len(jax.tree.leaves(levels.levels)[0])
    level, episode = (x.ravel() for x in np.indices((count, episodes)))
    size = min(len(level), AT_ONCE)
    parts = []
    for first in range(0, len(level), size):
        # the last part is filled up, so that one program plays all
        at = np.minimum(np.arange(first, first + size), len(level) - 1)
        part = _play(
            env,
            acting,
            steps,
            agent,
            levels.levels,
            levels.params,
            np.uint32(seed),
            level[at].astype(np.int32),
            episode[at].astype(np.int32),
        )
        parts.append(jax.tree.map(np.asarray, part))
    joined = (np.concatenate(x)[: len(level)] for x in zip(*parts, strict=True))
    returns, times = (x.reshape(count, episodes, *x.shape[1:]) for x in joined)
    return Played(returns, times)


@functools.partial(jit, static_argnums=(0, 1, 2))
def _play(
    env: Environment,
    acting: ActingRule,
    steps: int,
    agent: Agent | None,
    levels: Level,
    params: Params,
    seed: Any,
    level: Int[Array, " B"],
    episode: Int[Array, " B"],
) -> tuple[Array, Array]:
    """Return and number of events of B episodes."""
    root = jax.random.fold_in(jax.random.key(seed), zlib.crc32(b"rollouts"))

    def one(level: Array, episode: Array) -> tuple[Array, Array]:
        key = jax.random.fold_in(jax.random.fold_in(root, level), episode)
        _, state = env.reset_to(jax.tree.map(lambda x: x[level], levels), params)

        def goes_on(carry: tuple[Any, ...]) -> Array:
            t, *_, ended = carry
            return (t < steps) & ~ended

        def step(carry: tuple[Any, ...]) -> tuple[Any, ...]:
            t, state, weight, total, times, _ = carry
            action_key, step_key = jax.random.split(jax.random.fold_in(key, t))
            logits = _logits(env, acting, agent, params, state)
            noise = jax.random.gumbel(action_key, logits.shape)
            out = env.step(step_key, state, jnp.argmax(logits + noise), params)
            sources = (out.info["rewards"], out.info["proxy_rewards"])
            happened = jnp.concatenate(sources) != 0
            return (
                t + 1,
                out.state,
                weight * acting.discount,
                total + weight * out.reward,
                times + happened.astype(jnp.int32),
                out.terminated,
            )

        none = jnp.zeros(len(events(env)), jnp.int32)
        zero, first = jnp.float32(0), jnp.float32(1)
        start = (jnp.int32(0), state, first, zero, none, jnp.bool_(False))
        _, _, _, total, times, _ = jax.lax.while_loop(goes_on, step, start)
        return total, times

    return jax.vmap(one)(level, episode)


def _logits(
    env: Environment,
    acting: ActingRule,
    agent: Agent | None,
    params: Params,
    state: State,
) -> Float[Array, " A"]:
    if agent is None:
        return jnp.zeros(env.num_actions)
    return action_selection.choose(
        acting.selection,
        agent,
        env,
        params,
        state,
        env.observe(state),
        acting.discount,
        jnp.float32(acting.temperature),
    ).logits


class Starts(NamedTuple):
    """What an agent says at the start of every level."""

    value: Float[np.ndarray, " L"]
    """V."""
    policy: Float[np.ndarray, "L A"]
    """Probability of each action, as the agent acts."""


def at_starts(
    env: Environment,
    agent: Agent,
    levels: battery.Levels | battery.Condition,
    acting: ActingRule,
) -> Starts:
    """V and policy of one agent at the start of every level."""
    found = _at_starts(env, acting, agent, levels.levels, levels.params)
    return Starts(*map(np.asarray, found))


@functools.partial(jit, static_argnums=(0, 1))
def _at_starts(
    env: Environment, acting: ActingRule, agent: Agent, levels: Level, params: Params
) -> tuple[Array, Array]:
    def one(level: Level) -> tuple[Array, Array]:
        observation, state = env.reset_to(level, params)
        logits = _logits(env, acting, agent, params, state)
        value = agent(observation, env.context(state)).value.value
        return value, jax.nn.softmax(logits)

    return jax.vmap(one)(levels)
