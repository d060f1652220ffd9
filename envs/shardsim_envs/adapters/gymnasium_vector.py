"""Many copies of a world as one Gymnasium vector environment; ids of all worlds."""

import functools
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode
from jaxtyping import Array

from shardsim_envs.adapters import gymnasium_env
from shardsim_envs.gridworld.records import State
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.levels import levels
from shardsim_envs.rendering import drawing

POOL = 512
"""Smallest number of levels that are generated at a time."""
NAMESPACE = "shardsim"


class GridVectorEnv(gymnasium.vector.VectorEnv[np.ndarray, Any, np.ndarray]):
    """N copies of one world in one compiled step; memory grows linearly in N.

    The step that ends an episode also starts the next one. The last observation of the
    episode is in `info["final_obs"]`, for the copies where `info["_final_obs"]` is
    true.
    """

    metadata = {  # noqa: RUF012 - the name and the type are Gymnasium's
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": gymnasium_env.FPS,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self, world: GridWorld, num_envs: int = 1, render_mode: str | None = None
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs: got {num_envs}; allowed: at least 1")
        self.world, self.num_envs = world, num_envs
        self.render_mode = gymnasium_env.check_mode(render_mode, self.metadata)
        self.single_observation_space, self.single_action_space = gymnasium_env.spaces(
            world
        )
        batch = gymnasium.vector.utils.batch_space
        self.observation_space = batch(self.single_observation_space, num_envs)
        self.action_space = batch(self.single_action_space, num_envs)
        self._states: Any = None

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start every copy in a level of its own.

        Args:
          seed: one for all, or a list with one for each copy. With a list the first
            level of a copy depends on its own seed alone.

        Raises:
          ValueError: options, a list of another length, or a seed out of range.
        """
        if options:
            raise ValueError(f"options: got {sorted(options)}; allowed: none")
        seed = seed.tolist() if isinstance(seed, np.ndarray) else seed
        first = seed[0] if isinstance(seed, list) else seed
        super().reset(seed=first)
        seeds = self.np_random.integers(2**31, size=self.num_envs)
        if isinstance(seed, list):
            if len(seed) != self.num_envs:
                raise ValueError(
                    f"seed: got {len(seed)} seeds; allowed: one for each of "
                    f"{self.num_envs} environments"
                )
            for number, s in enumerate(seed):
                if s is not None:
                    levels.check_seed(s)
                seeds[number] = seeds[number] if s is None else s
        self._pool_key = jax.random.key(int(self.np_random.integers(2**31)))
        self._pools, self._used = 0, 0
        reset, _, _ = _compiled(self.world)
        observations, self._states = reset(seeds.astype(np.uint32))
        self._steps = np.int32(0)
        self._refill()
        return np.array(observations), {}

    def step(
        self, actions: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self._states is None:
            raise gymnasium.error.ResetNeeded("step: got no state; call reset first")
        actions = gymnasium_env.check_actions(
            actions, (self.num_envs,), self.world.num_actions
        )
        if self._used + self.num_envs > self._pool_size:
            self._refill()
        _, step, _ = _compiled(self.world)
        observations, final, self._states, packed = step(
            self._pool_key,
            self._pool,
            np.int32(self._used),
            self._steps,
            self._states,
            actions,
        )
        self._steps += np.int32(1)
        numbers = np.array(packed)  # a copy, which the user may write to
        rewards, terminated, truncated = numbers[:, :3].T
        terminated, truncated = terminated > 0, truncated > 0
        info = gymnasium_env.info_of(self.world, numbers)
        ended = terminated | truncated
        if ended.any():
            self._used += int(ended.sum())
            info["final_obs"], info["_final_obs"] = _finals(np.asarray(final), ended)
        return np.array(observations), rewards, terminated, truncated, info

    def render(self) -> Any:
        if self._states is None:
            raise gymnasium.error.ResetNeeded("render: got no state; call reset first")
        if self.render_mode is None:
            return None
        states = [
            jax.tree.map(lambda leaf, n=n: np.asarray(leaf)[n], self._states)
            for n in range(self.num_envs)
        ]
        if self.render_mode == "ansi":
            return tuple(drawing.text(self.world, state) for state in states)
        return tuple(drawing.frame(self.world, state) for state in states)

    @property
    def _pool_size(self) -> int:
        return max(POOL, 2 * self.num_envs)

    def _refill(self) -> None:
        """Generate new levels; called when the pool may not last another step."""
        _, _, fill = _compiled(self.world)
        key = jax.random.fold_in(self._pool_key, self._pools)
        self._pool = fill(jax.random.split(key, self._pool_size))
        self._pools, self._used = self._pools + 1, 0


@functools.cache
def _compiled(world: GridWorld) -> tuple[Any, Any, Any]:
    """The compiled reset, step and fill (of the pool) of a vector environment."""
    params = world.params()

    @jax.jit
    def reset(seeds: Array) -> tuple[Array, State]:
        def one(seed: Array) -> tuple[Array, State]:
            return world.reset(jax.random.key(seed), params)

        return jax.vmap(one)(seeds)

    @jax.jit
    def fill(keys: Array) -> State:
        return jax.vmap(lambda key: world.reset(key, params)[1])(keys)

    @functools.partial(jax.jit, donate_argnums=4)
    def step(
        key: Array, pool: State, used: Array, time: Array, states: State, actions: Array
    ) -> tuple[Array, Array, State, Array]:
        keys = jax.random.split(jax.random.fold_in(key, time), actions.shape[0])
        out = jax.vmap(world.step, in_axes=(0, 0, 0, None))(
            keys, states, actions, params
        )
        ended = out.terminated | out.truncated
        start = used + jnp.cumsum(ended) - 1

        def one(fresh: Array, old: Array) -> Array:
            mask = ended.reshape(-1, *(1,) * (old.ndim - 1))
            return jnp.where(mask, fresh[start], old)

        states = jax.lax.cond(
            ended.any(),
            lambda: jax.tree.map(one, pool, out.state),
            lambda: out.state,
        )
        observations = jax.vmap(world.observe)(states)
        numbers = jax.vmap(gymnasium_env.packed)(out)
        return observations, out.observation, states, numbers

    return reset, step, fill


def _finals(final: np.ndarray, ended: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Final observations as Gymnasium's array of objects, and where they are."""
    finals = np.full(len(ended), None, dtype=object)
    for number in np.flatnonzero(ended):
        finals[number] = final[number]
    return finals, ended


def make(world: type[GridWorld], render_mode: str | None = None, **fields: Any) -> Any:
    """Entry point of an id; fields that come from JSON may be lists."""
    return gymnasium_env.GridEnv(world(**levels.to_tuples(fields)), render_mode)


def make_many(
    world: type[GridWorld],
    num_envs: int = 1,
    render_mode: str | None = None,
    **fields: Any,
) -> Any:
    """Vector entry point of an id."""
    return GridVectorEnv(world(**levels.to_tuples(fields)), num_envs, render_mode)


def register(worlds: tuple[type[GridWorld], ...]) -> None:
    """Register `shardsim/NAME-v0` for every world."""
    for world in worlds:
        gymnasium.register(
            id=f"{NAMESPACE}/{world.__name__}-v0",
            entry_point=functools.partial(make, world),
            vector_entry_point=functools.partial(make_many, world),
            disable_env_checker=True,
            order_enforce=False,
        )
