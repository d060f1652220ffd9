"""Our worlds under the functional interface of gymnax 1.0, without gymnax.

    observation, state = env.reset(key, params)
    observation, state, reward, terminated, truncated, info = env.step(
        key, state, action, params)

Code that is written for gymnax environments runs on these: an episode that ends is
followed by a new level in the same step, `info["final_observation"]` is what was seen
last, and `params` is a pytree that may be mapped over. `step_env` and `reset_env` are
the same without the reset.
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
    """One world under gymnax's names. It keeps nothing: all is in `state`."""

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
        """The start of a new level."""
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
        """One step, and the next level where the episode ended.

        The level is made at every step, wanted or not; `shardsim.algorithms.autoreset`
        has a way that costs less.
        """
        params = self._or_default(params)
        step_key, reset_key = jax.random.split(key)
        out = self.world.step(step_key, state, jnp.asarray(action, jnp.int32), params)
        ended = out.terminated | out.truncated
        again = self.reset_env(reset_key, params)
        observation, state = jax.tree.map(
            lambda fresh, old: jnp.where(ended, fresh, old),
            again,
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
        """The start of a new level."""
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
        """One step without a reset; the time limit is left to `is_truncated`."""
        out = self.world.step(key, state, jnp.asarray(action, jnp.int32), params)
        return out.observation, out.state, out.reward, out.terminated, out.info

    def is_truncated(self, state: State, params: Params) -> Bool[Array, ""]:
        del params
        return (state.time >= self.world.max_steps) & ~state.terminated

    def is_terminated(self, state: State, params: Params) -> Bool[Array, ""]:
        del params
        return state.terminated

    def discount(self, state: State, params: Params) -> Float[Array, ""]:
        """0 after the end, else 1."""
        return jnp.where(self.is_terminated(state, params), 0.0, 1.0)

    def observation_space(self, params: Params | None = None) -> spaces.Box:
        del params
        return gymnasium_env.spaces(self.world)[0]

    def action_space(self, params: Params | None = None) -> spaces.Discrete:
        del params
        return gymnasium_env.spaces(self.world)[1]

    def _or_default(self, params: Any) -> Params:
        return self.default_params if params is None else params
