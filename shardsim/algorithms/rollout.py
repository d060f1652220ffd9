"""Rollouts: trajectories of the agent, of a random walker, or from a dataset.

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
"""(plan, t, states, observations, noise, key) -> actions in B environments.

The plan, states, observations and noise have a leading axis B. `noise` [B, A] is
standard Gumbel: argmax(logits + noise) samples from softmax(logits)."""


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
    """Run a policy for T steps in B environments.

    Args:
      params: parameters of the environment.
      policy: selects the actions.
      plan: what the policy stores for each environment, leaves [B, ...].
      states: environment states before the first step, leaves [B, ...].
      key: for the actions, the environments and the choice of initial states.
      num_steps: T.
      pool: initial states for the episodes that follow finished ones.

    Returns:
      The trajectory, leaves [T, B, ...], and the environment states after it.
    """
    num_envs = jax.tree.leaves(states)[0].shape[0]
    shape = (num_steps, num_envs)
    # all random numbers are drawn at once, so that each generator is compiled once
    noise_key, pool_key, env_key = jax.random.split(key, 3)
    draws = (
        jax.random.gumbel(noise_key, (*shape, env.num_actions)),
        jax.random.randint(pool_key, shape, 0, pool.size),
        jax.random.split(env_key, shape),
    )

    def step_one(
        state: State,
        observation: Array,
        sample: action_selection.ActionSample,
        key: Array,
    ) -> tuple[State, Trajectory]:
        out = env.step(key, state, sample.action, params)
        return out.state, Trajectory(
            observation=observation,
            context=env.context(state),
            action=sample.action,
            reward=out.reward,
            terminated=out.terminated,
            truncated=out.truncated,
            next_observation=out.observation,
            next_context=env.context(out.state),
            rewards=out.info["rewards"],
            logits=sample.logits,
        )

    def step(
        states: State, inputs: tuple[Array, tuple[Array, Array, Array]]
    ) -> tuple[State, Trajectory]:
        t, (noise, pool_index, keys) = inputs
        observations = jax.vmap(env.observe)(states)
        policy_key = jax.random.fold_in(noise_key, t)
        sample = policy(plan, t, states, observations, noise, policy_key)
        states, steps = jax.vmap(step_one)(states, observations, sample, keys)
        done = steps.terminated | steps.truncated
        return autoreset.reset_done(pool, pool_index, states, done), steps

    states, trajectory = jax.lax.scan(step, states, (jnp.arange(num_steps), draws))
    return trajectory, states


def agent_policy(
    selection: action_selection.ActionSelection,
    agent: Agent,
    env: Trainable,
    params: Params,
    discount: float,
    temperature: Float[Array, ""],
) -> Policy:
    """The policy of an agent; it needs no plan.

    Args:
      selection: how D and V select an action.
      params: parameters of the environment, for the lookahead.
      discount: gamma in [0, 1).
      temperature: tau, in units of reward.
    """

    def policy(
        plan: Any,
        t: Array,
        states: State,
        observations: Array,
        noise: Array,
        key: Array,
    ) -> action_selection.ActionSample:
        del plan, t
        return action_selection.act(
            selection,
            agent,
            env,
            params,
            states,
            observations,
            discount,
            temperature,
            noise,
            key,
        )

    return policy


def walker_plan(
    walker: RandomWalker, env: Environment, states: State, key: Key[Array, ""]
) -> dict[str, Array]:
    """The plan of the random walker: a random goal cell in each of B environments.

    Returns:
      `field`: distances to the goal, as `Environment.goal_field` returns them.
      `heading`: [B], whether the walker heads for its goal.
      `start_time`: [B], time of the episode at the start of the rollout.
    """
    num_envs = jax.tree.leaves(states)[0].shape[0]
    goal_key, heading_key = jax.random.split(key)
    goal_fields = jax.vmap(env.goal_field)(jax.random.split(goal_key, num_envs), states)
    heading = jax.random.bernoulli(heading_key, walker.goal_probability, (num_envs,))
    return {"field": goal_fields, "heading": heading, "start_time": states.time}


def walker_policy(env: Environment) -> Policy:
    """The policy of the random walker, which does not depend on reward."""

    def policy(
        plan: Any,
        t: Array,
        states: State,
        observations: Array,
        noise: Array,
        key: Array,
    ) -> action_selection.ActionSample:
        del observations, key

        def one(plan: Any, state: State, noise: Array) -> action_selection.ActionSample:
            # the times differ once a new episode has begun: its steps are random
            heading = plan["heading"] & (state.time == plan["start_time"] + t)
            logits = env.walk_logits(plan["field"], state)
            logits = jnp.where(heading, logits, 0.0)
            return action_selection.ActionSample(
                jnp.argmax(logits + noise), jax.nn.log_softmax(logits)
            )

        return jax.vmap(one)(plan, states, noise)

    return policy


def draw(
    dataset: Trajectory, num_steps: int, num_envs: int, key: Key[Array, ""]
) -> Trajectory:
    """Sample a batch of trajectories from a dataset.

    Each of the B trajectories is a random window of T consecutive steps of a random
    environment of the dataset, with replacement.

    Args:
      dataset: leaves [steps, environments, ...], at least T steps.
      num_steps: T.
      num_envs: B.

    Returns:
      Leaves [T, B, ...].
    """
    steps, envs = dataset.reward.shape
    first_key, env_key = jax.random.split(key)
    first = jax.random.randint(first_key, (num_envs,), 0, steps - num_steps + 1)
    env_index = jax.random.randint(env_key, (num_envs,), 0, envs)

    def window(leaf: Array) -> Array:
        def one(step: Array, env: Array) -> Array:
            steps = jax.lax.dynamic_slice_in_dim(leaf, step, num_steps)
            return jnp.take(steps, env, axis=1)

        return jax.vmap(one, out_axes=1)(first, env_index)

    return jax.tree.map(window, dataset)
