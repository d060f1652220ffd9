"""Collecting data: the agent's own acting, or a walker that knows no reward.

Symbols: B environments of one agent, T steps, A actions.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from shardsim.agents import action_selection
from shardsim.agents.agent import Agent
from shardsim.algorithms import autoreset
from shardsim.core import fields
from shardsim.core.types import Environment, Params, State, Trainable, Trajectory

Policy: TypeAlias = Callable[
    [Any, Array, State, Array, Array, Array], action_selection.ActionSample
]
"""(plan, t, states, observations, noise, key) -> what is done, in B environments.

The plan, states, observations and noise have a leading axis B; `noise` [B, A] is
standard Gumbel, the largest of logits + noise is taken."""


@fields.record
class RandomWalker:
    """A random walker that ignores reward, for self-supervised phases."""

    goal_probability: fields.Fraction = 0.5
    """Probability that the walker heads for a random cell during one rollout, by a
    shortest path with ties broken at random; otherwise its steps are random. After it
    arrives, or when an episode ends, its steps are random until the rollout ends."""


def collect(
    env: Trainable,
    params: Params,
    policy: Policy,
    plan: PyTree,
    states: State,
    key: Key[Array, ""],
    num_steps: int,
    pool: autoreset.ResetPool,
) -> tuple[Trajectory, State]:
    """T steps of B environments, and where the environments stand after them.

    Args:
      plan: what the policy keeps for each environment, leaves [B, ...].
      states: where the environments stand, leaves [B, ...].
      pool: starts that follow the end of an episode.
    """
    count = jax.tree.leaves(states)[0].shape[0]
    shape = (num_steps, count)
    # all that is random is drawn at once: one generator to compile, not one a use
    noise_key, start_key, world_key = jax.random.split(key, 3)
    draws = (
        jax.random.gumbel(noise_key, (*shape, env.num_actions)),
        jax.random.randint(start_key, shape, 0, pool.size),
        jax.random.split(world_key, shape),
    )

    def one(
        state: State, seen: Array, move: action_selection.ActionSample, key: Array
    ) -> tuple[State, Trajectory]:
        out = env.step(key, state, move.action, params)
        return out.state, Trajectory(
            observation=seen,
            context=env.context(state),
            action=move.action,
            reward=out.reward,
            terminated=out.terminated,
            truncated=out.truncated,
            next_observation=out.observation,
            next_context=env.context(out.state),
            rewards=out.info["rewards"],
            logits=move.logits,
        )

    def step(
        states: State, each: tuple[Array, tuple[Array, Array, Array]]
    ) -> tuple[State, Trajectory]:
        t, (noise, starts, keys) = each
        seen = jax.vmap(env.observe)(states)
        own_key = jax.random.fold_in(noise_key, t)
        move = policy(plan, t, states, seen, noise, own_key)
        after, taken = jax.vmap(one)(states, seen, move, keys)
        ended = taken.terminated | taken.truncated
        return autoreset.reset_done(pool, starts, after, ended), taken

    states, trajectory = jax.lax.scan(step, states, (jnp.arange(num_steps), draws))
    return trajectory, states


def agent_policy(
    choice: action_selection.ActionSelection,
    agent: Agent,
    env: Trainable,
    params: Params,
    discount: float,
    temperature: Float[Array, ""],
) -> Policy:
    """The agent's own acting, as `collect` wants it."""

    def policy(
        plan: Any, t: Array, states: State, seen: Array, noise: Array, key: Array
    ) -> action_selection.ActionSample:
        del plan, t
        return action_selection.act(
            choice,
            agent,
            env,
            params,
            states,
            seen,
            discount,
            temperature,
            noise,
            key,
        )

    return policy


def walker_plan(
    walker: RandomWalker, env: Environment, states: State, key: Key[Array, ""]
) -> dict[str, Array]:
    """A goal for each of B environments, and whether it is pursued."""
    count = jax.tree.leaves(states)[0].shape[0]
    goal_key, choice_key = jax.random.split(key)
    fields = jax.vmap(env.goal_field)(jax.random.split(goal_key, count), states)
    heading = jax.random.bernoulli(choice_key, walker.goal_probability, (count,))
    return {"field": fields, "heading": heading, "began": states.time}


def walker_policy(env: Environment) -> Policy:
    """The goal-agnostic walker, as `collect` wants it."""

    def policy(
        plan: Any, t: Array, states: State, seen: Array, noise: Array, key: Array
    ) -> action_selection.ActionSample:
        del seen, key

        def one(plan: Any, state: State, noise: Array) -> action_selection.ActionSample:
            # another time than t steps after the start of the plan: another episode
            heading = plan["heading"] & (state.time == plan["began"] + t)
            logits = env.walk_logits(plan["field"], state)
            logits = jnp.where(heading, logits, 0.0)
            return action_selection.ActionSample(
                jnp.argmax(logits + noise), jax.nn.log_softmax(logits)
            )

        return jax.vmap(one)(plan, states, noise)

    return policy


def draw(
    kept: Trajectory, num_steps: int, num_envs: int, key: Key[Array, ""]
) -> Trajectory:
    """A stretch of `num_steps` steps of each of `num_envs` environments, at random."""
    steps, envs = kept.reward.shape
    first_key, which_key = jax.random.split(key)
    first = jax.random.randint(first_key, (num_envs,), 0, steps - num_steps + 1)
    which = jax.random.randint(which_key, (num_envs,), 0, envs)
    times = first[None] + jnp.arange(num_steps)[:, None]
    return jax.tree.map(lambda leaf: leaf[times, which[None]], kept)
