"""Worlds under the functional interface of gymnax 1.0; gymnax is not needed.

    observation, state = env.reset(key, params)
    observation, state, reward, terminated, truncated, info = env.step(
        key, state, action, params)

Code and wrappers for gymnax environments run on these. The step that ends an episode
also starts a new level, `info["final_observation"]` is the last observation of the
episode, and `params` is a pytree that `jax.vmap` can map over. `step_env` does not
reset. Spaces are gymnax's own where it is installed, because its wrappers ask for their
class; otherwise they are `Box` and `Discrete` of this module, which sample by a key in
the same way. Actions are 0 up, 1 right, 2 down, 3 left.
"""

import dataclasses
import functools
import importlib
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from shardsim.core.types import Params, Whole
from shardsim_envs.gridworld.records import State
from shardsim_envs.gridworld.world import GridWorld


@dataclasses.dataclass(frozen=True)
class Discrete:
    """The whole numbers 0 to n - 1."""

    n: int

    @property
    def shape(self) -> tuple[int, ...]:
        return ()

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.int32)

    def sample(self, key: Key[Array, ""]) -> Int[Array, ""]:
        """A number; all are equally likely."""
        return jax.random.randint(key, (), 0, self.n)

    def contains(self, x: Whole) -> Bool[Array, ""]:
        """Whether a number is in the space."""
        number = jnp.asarray(x, jnp.int32)
        return (number >= 0) & (number < self.n)


@dataclasses.dataclass(frozen=True)
class Box:
    """Arrays of one shape, whose entries are whole numbers from `low` to `high`."""

    low: int
    high: int
    shape: tuple[int, ...]
    dtype: Any

    def sample(self, key: Key[Array, ""]) -> Array:
        """An array; all are equally likely."""
        numbers = jax.random.randint(key, self.shape, self.low, self.high + 1)
        return numbers.astype(self.dtype)

    def contains(self, x: Array | np.ndarray) -> Bool[Array, ""]:
        """Whether all entries are in range."""
        array = jnp.asarray(x)
        return jnp.all((array >= self.low) & (array <= self.high))


@dataclasses.dataclass(eq=False)
class FunctionalEnv:
    """One world under gymnax's names. It has no state of its own.

    As with gymnax's own environments, two are equal only if they are the same object:
    wrappers copy an environment and put compiled methods into the copy.
    """

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
        action: Whole,
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
        self, key: Key[Array, ""], state: State, action: Whole, params: Params
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

    def is_terminal(self, state: State, params: Params) -> Bool[Array, ""]:
        """gymnax's older name of `is_terminated`."""
        return self.is_terminated(state, params)

    def observe(
        self, key: Key[Array, ""], state: State, action: Any, params: Params
    ) -> UInt8[Array, "H W P"]:
        """What the agent sees in a state; it does not depend on key or action."""
        del key, action, params
        return self.world.observe(state)

    def get_obs(
        self,
        state: State,
        params: Params | None = None,
        key: Key[Array, ""] | None = None,
    ) -> UInt8[Array, "H W P"]:
        """gymnax's older name of `observe`."""
        del params, key
        return self.world.observe(state)

    def observation_space(self, params: Params | None = None) -> Any:
        """Arrays [H, W, P] of 0 and 1, uint8."""
        del params
        return _spaces().Box(0, 1, self.world.observation_shape, jnp.uint8)

    def action_space(self, params: Params | None = None) -> Any:
        """The actions 0 up, 1 right, 2 down, 3 left."""
        del params
        return _spaces().Discrete(self.world.num_actions)

    def _or_default(self, params: Any) -> Params:
        return self.default_params if params is None else params


@functools.cache
def _spaces() -> Any:
    """gymnax's module of spaces, or the classes of this one."""
    try:
        return importlib.import_module("gymnax.environments.spaces")
    except ImportError:
        return types.SimpleNamespace(Box=Box, Discrete=Discrete)
