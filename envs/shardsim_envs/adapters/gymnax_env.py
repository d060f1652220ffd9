"""Worlds under the functional interface of gymnax 1.0; gymnax is not needed.

    observation, state = env.reset(key, params)
    observation, state, reward, terminated, truncated, info = env.step(
        key, state, action, params)

Code for gymnax environments runs on these. The step that ends an episode also starts a
new level, `info["final_observation"]` is the last observation of the episode, and
`params` is a pytree that `jax.vmap` can map over. `step_env` does not reset.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from gymnasium import spaces
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from shardsim.core.types import Params
from shardsim_envs.adapters import gymnasium_env
from shardsim_envs.gridworld.records import State
from shardsim_envs.gridworld.world import GridWorld


@dataclasses.dataclass(frozen=True)
class FunctionalEnv:
    """One world under gymnax's names. It has no state of its own."""

    world: GridWorld

    @property
    def name(self) -> str:
        return type(self.world).__name__

    @property
    def default_params(self) -> Params:
        return self.world.params()

    @property
    def num_actions(self) -> int:
        return self.world.num_actions

    def reset(
        self, key: Key[Array, ""], params: Params | None = None
    ) -> tuple[UInt8[Array, "H W P"], State]:
        """Start a new level."""
        return self.reset_env(key, self._or_default(params))

    def step(
        self,
        key: Key[Array, ""],
        state: State,
        action: Int[Array, ""],
        params: Params | None = None,
    ) -> tuple[
        UInt8[Array, "H W P"],
        State,
        Float[Array, ""],
        Bool[Array, ""],
        Bool[Array, ""],
        dict[str, Array],
    ]:
        """One step, and the start of a new level if the episode ended.

        Every step generates a level, needed or not. `shardsim.algorithms.autoreset` is
        cheaper.
        """
        params = self._or_default(params)
        step_key, reset_key = jax.random.split(key)
        out = self.world.step(step_key, state, jnp.asarray(action, jnp.int32), params)
        ended = out.terminated | out.truncated
        new_episode = self.reset_env(reset_key, params)
        observation, state = jax.tree.map(
            lambda fresh, old: jnp.where(ended, fresh, old),
            new_episode,
            (out.observation, out.state),
        )
        info = {
            **out.info,
            "terminated": out.terminated,
            "truncated": out.truncated,
            "final_observation": out.observation,
        }
        return observation, state, out.reward, out.terminated, out.truncated, info

    def reset_env(
        self, key: Key[Array, ""], params: Params
    ) -> tuple[UInt8[Array, "H W P"], State]:
        """Start a new level."""
        return self.world.reset(key, params)

    def step_env(
        self, key: Key[Array, ""], state: State, action: Int[Array, ""], params: Params
    ) -> tuple[
        UInt8[Array, "H W P"],
        State,
        Float[Array, ""],
        Bool[Array, ""],
        dict[str, Array],
    ]:
        """One step without a reset; `is_truncated` checks the time limit."""
        out = self.world.step(key, state, jnp.asarray(action, jnp.int32), params)
        return out.observation, out.state, out.reward, out.terminated, out.info

    def is_truncated(self, state: State, params: Params) -> Bool[Array, ""]:
        del params
        return (state.time >= self.world.max_steps) & ~state.terminated

    def is_terminated(self, state: State, params: Params) -> Bool[Array, ""]:
        del params
        return state.terminated

    def discount(self, state: State, params: Params) -> Float[Array, ""]:
        """0 in a terminated state, otherwise 1."""
        return jnp.where(self.is_terminated(state, params), 0.0, 1.0)

    def observation_space(self, params: Params | None = None) -> spaces.Box:
        del params
        return gymnasium_env.spaces(self.world)[0]

    def action_space(self, params: Params | None = None) -> spaces.Discrete:
        del params
        return gymnasium_env.spaces(self.world)[1]

    def _or_default(self, params: Any) -> Params:
        return self.default_params if params is None else params
