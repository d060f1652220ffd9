"""Many copies of a world as one Gymnasium vector environment; ids of all worlds."""

import dataclasses
import functools
import operator
from collections.abc import Sequence
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from jaxtyping import Array

from shardsim.core.types import Whole
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

    At the end of an episode it gives what `gymnasium.vector.SyncVectorEnv` gives in the
    same mode, see `autoreset_mode`.
    """

    metadata = {  # noqa: RUF012 - the name and the type are Gymnasium's
        **gymnasium_env.METADATA,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        world: GridWorld | str,
        num_envs: int = 1,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
        **fields: Any,
    ) -> None:
        """Make the copies.

        Args:
          world: a world, or where its class stands: "module:name".
          num_envs: N, at least 1.
          autoreset_mode: what follows the end of an episode.
            `SAME_STEP`: the same step begins the next episode. The last observation
            and info of the old one are in `info["final_obs"]` and `info["final_info"]`,
            where `info["_final_obs"]` is true.
            `NEXT_STEP`: the next step begins it, ignores the action and gives reward 0.
            `DISABLED`: the caller begins it with `options={"reset_mask": mask}`.
          max_episode_steps: a time limit below the world's own.
          fields: of the world, where only its class is given.

        Raises:
          ValueError: a number or a mode that is not allowed.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs: got {num_envs}; allowed: at least 1")
        own: Any = gymnasium_env.world_of(world, fields)
        if max_episode_steps is not None and max_episode_steps < own.max_steps:
            own = dataclasses.replace(own, max_steps=max_episode_steps)
        self.world: GridWorld = own
        self.num_envs = operator.index(num_envs)
        self.metadata = {**self.metadata, "autoreset_mode": _mode(autoreset_mode)}
        self.render_mode = gymnasium_env.check_mode(render_mode, self.metadata)
        self.single_observation_space, self.single_action_space = gymnasium_env.spaces(
            own
        )
        batch = gymnasium.vector.utils.batch_space
        self.observation_space = batch(self.single_observation_space, num_envs)
        self.action_space = batch(self.single_action_space, num_envs)
        self._spec: EnvSpec | None = None
        self._states: Any = None
        self._ended = np.zeros(num_envs, bool)

    @property
    def spec(self) -> EnvSpec | None:
        """How `gymnasium.make_vec` makes this environment again."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = gymnasium_env.complete(spec, self.world)

    def reset(
        self,
        *,
        seed: Whole | Sequence[Whole | None] | np.ndarray | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start every copy in a level of its own.

        Args:
          seed: one for all, or a list with one for each copy. With a list the first
            level of a copy depends on its own seed alone.
          options: `reset_mask` [N], booleans: only these copies start, the others go
            on.

        Raises:
          ResetNeeded: a mask before the first reset.
          ValueError: other options, a list of another length, or a seed out of range.
        """
        mask = self._reset_mask(options)
        own = self._own_seeds(seed)
        first: Any = own[0] if own else seed
        super().reset(seed=None if first is None else operator.index(first))
        seeds = self.np_random.integers(2**31, size=self.num_envs)
        for number, own_seed in enumerate(own):
            if own_seed is not None:
                seeds[number] = levels.check_seed(own_seed)
        programs = _compiled(self.world, self.metadata["autoreset_mode"])
        fresh = programs.reset(seeds.astype(np.uint32))
        if mask.all():
            self._pool_key = jax.random.key(int(self.np_random.integers(2**31)))
            self._pools, self._used, self._steps = 0, 0, np.int32(0)
            self._refill()
            observations, self._states = fresh
        else:
            observations, self._states = programs.restart(mask, fresh[1], self._states)
        self._ended = self._ended & ~mask
        nothing = np.zeros((self.num_envs, self._num_numbers), np.float32)
        return np.array(observations), _masked(self._info(nothing), mask)

    def step(
        self, actions: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        if self._states is None:
            raise gymnasium.error.ResetNeeded("step: got no state; call reset first")
        mode = self.metadata["autoreset_mode"]
        if mode == AutoresetMode.DISABLED and self._ended.any():
            over = np.flatnonzero(self._ended).tolist()
            raise gymnasium.error.ResetNeeded(
                f"step: got copies {over}, whose episodes are over; call "
                'reset(options={"reset_mask": mask}) first'
            )
        actions = gymnasium_env.check_actions(
            actions, (self.num_envs,), self.world.num_actions
        )
        if self._used + self.num_envs > self._pool_size:
            self._refill()
        observations, final, self._states, packed = _compiled(self.world, mode).step(
            self._pool_key,
            self._pool,
            np.int32(self._used),
            self._steps,
            self._states,
            actions,
            self._ended,
        )
        self._steps += np.int32(1)
        numbers = np.array(packed)  # a copy, which the user may write to
        rewards = numbers[:, 0].astype(np.float64)
        terminated, truncated = numbers[:, 1] > 0, numbers[:, 2] > 0
        began, self._ended = self._ended, terminated | truncated
        ended, final_info = self._ended.copy(), {}
        if mode == AutoresetMode.SAME_STEP:
            began = ended
            if ended.any():
                last = np.where(ended[:, None], numbers, 0)
                final_info = {
                    "final_obs": _finals(np.asarray(final), ended),
                    "final_info": _masked(self._info(last), ended),
                }
            # beside the first observation of an episode stands the info of its reset
            numbers[ended] = 0
            self._ended = np.zeros_like(ended)
        if mode != AutoresetMode.DISABLED:
            self._used += int(began.sum())
        everywhere = np.ones(self.num_envs, bool)
        info = _masked(self._info(numbers), everywhere) | _masked(final_info, ended)
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
    def _num_numbers(self) -> int:
        return 3 + len(self.world.reward_sources) + len(self.world.proxy_names)

    def _info(self, numbers: np.ndarray) -> dict[str, Any]:
        return gymnasium_env.info_of(self.world, numbers)

    def _own_seeds(self, seed: Any) -> list[Any]:
        """The seed of each copy, if each has one of its own."""
        if not isinstance(seed, Sequence) and not np.ndim(seed):
            return []
        own = list(seed)
        if len(own) != self.num_envs:
            raise ValueError(
                f"seed: got {len(own)} seeds; allowed: one for each of "
                f"{self.num_envs} environments"
            )
        return own

    def _reset_mask(self, options: dict[str, Any] | None) -> np.ndarray:
        """Which copies a reset starts."""
        unknown = sorted(set(options or {}) - {"reset_mask"})
        if unknown:
            raise ValueError(f"options: got {', '.join(unknown)}; allowed: reset_mask")
        if not options:
            return np.ones(self.num_envs, bool)
        mask = np.asarray(options["reset_mask"])
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise ValueError(
                f"reset_mask: got {options['reset_mask']!r}; allowed: {self.num_envs} "
                "booleans, at least one of them true"
            )
        if self._states is None and not mask.all():
            raise gymnasium.error.ResetNeeded(
                "reset_mask: got no state to go on from; reset all copies first"
            )
        return mask

    @property
    def _pool_size(self) -> int:
        return max(POOL, 2 * self.num_envs)

    def _refill(self) -> None:
        """Generate new levels; called when the pool may not last another step."""
        fill = _compiled(self.world, self.metadata["autoreset_mode"]).fill
        key = jax.random.fold_in(self._pool_key, self._pools)
        self._pool = fill(jax.random.split(key, self._pool_size))
        self._pools, self._used = self._pools + 1, 0


@dataclasses.dataclass(frozen=True)
class Programs:
    """The compiled functions of a vector environment."""

    reset: Any
    """The first observations and states, from seeds."""
    restart: Any
    """Observations and states, of which a mask restarts some."""
    step: Any
    fill: Any
    """The states of a pool, from keys."""


@functools.cache
def _compiled(world: GridWorld, mode: AutoresetMode) -> Programs:
    """The compiled functions of a world, shared by all vectors of it."""
    params = world.params()

    @jax.jit
    def reset(seeds: Array) -> tuple[Array, State]:
        def one(seed: Array) -> tuple[Array, State]:
            return world.reset(jax.random.key(seed), params)

        return jax.vmap(one)(seeds)

    @jax.jit
    def restart(mask: Array, fresh: State, states: State) -> tuple[Array, State]:
        def one(new: Array, old: Array) -> Array:
            return jnp.where(mask.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

        states = jax.tree.map(one, fresh, states)
        return jax.vmap(world.observe)(states), states

    @jax.jit
    def fill(keys: Array) -> State:
        return jax.vmap(lambda key: world.reset(key, params)[1])(keys)

    @functools.partial(jax.jit, donate_argnums=4)
    def step(
        key: Array,
        pool: State,
        used: Array,
        time: Array,
        states: State,
        actions: Array,
        over: Array,
    ) -> tuple[Array, Array, State, Array]:
        keys = jax.random.split(jax.random.fold_in(key, time), actions.shape[0])
        out = jax.vmap(world.step, in_axes=(0, 0, 0, None))(
            keys, states, actions, params
        )
        numbers = jax.vmap(gymnasium_env.packed)(out)
        begins = out.terminated | out.truncated
        if mode == AutoresetMode.NEXT_STEP:
            begins = over
            numbers = jnp.where(over[:, None], 0.0, numbers)
        if mode == AutoresetMode.DISABLED:
            begins = jnp.zeros_like(over)
        start = used + jnp.cumsum(begins) - 1

        def one(fresh: Array, old: Array) -> Array:
            mask = begins.reshape(-1, *(1,) * (old.ndim - 1))
            return jnp.where(mask, fresh[start], old)

        states = jax.lax.cond(
            begins.any(),
            lambda: jax.tree.map(one, pool, out.state),
            lambda: out.state,
        )
        observations = jax.vmap(world.observe)(states)
        return observations, out.observation, states, numbers

    return Programs(reset, restart, step, fill)


def _mode(mode: AutoresetMode | str) -> AutoresetMode:
    """The mode, which may also be given by its value, as in a spec from JSON."""
    try:
        return AutoresetMode(mode)
    except ValueError:
        allowed = ", ".join(mode.value for mode in AutoresetMode)
        raise ValueError(f"autoreset_mode: got {mode!r}; allowed: {allowed}") from None


def _masked(info: dict[str, Any], mask: np.ndarray) -> dict[str, Any]:
    """Info with Gymnasium's masks: `_name` says which copies have `name`."""
    return info | {f"_{name}": mask.copy() for name in info}


def _finals(final: np.ndarray, ended: np.ndarray) -> np.ndarray:
    """Final observations as Gymnasium's array of objects; None where there is none."""
    finals = np.full(len(ended), None, dtype=object)
    for number in np.flatnonzero(ended):
        finals[number] = final[number]
    return finals


def register(worlds: tuple[type[GridWorld], ...]) -> None:
    """Register `shardsim/NAME-v0` for every world.

    Entry points are texts and arguments are plain, so that a spec can be written as
    JSON and used in another process.
    """
    for world in worlds:
        gymnasium.register(
            id=f"{NAMESPACE}/{world.__name__}-v0",
            entry_point=_place(gymnasium_env.GridEnv),
            vector_entry_point=_place(GridVectorEnv),
            disable_env_checker=True,
            order_enforce=False,
            kwargs={"world": _place(world)},
        )


def _place(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"
