"""A world as a Gymnasium environment; `gymnasium_vector` runs many copies at once.

Importing `shardsim_envs` registers the ids `shardsim/NAME-v0`. Keyword arguments of
`gymnasium.make` are fields of the world. The world's own time limit `max_steps` is
truncation. `env.spec.max_episode_steps` tells it, and no wrapper adds another one.

Actions are 0 up, 1 right, 2 down, 3 left; `metadata["actions"]` holds these names.

`info` holds `rewards` [R] and `proxy_rewards` [X], in the order of `reward_sources` and
`proxy_names` of `env.unwrapped.world`.
"""

import copy
import functools
import importlib
import importlib.util
import operator
import typing
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import DependencyNotInstalled
from jaxtyping import Array

from shardsim.core import json_text
from shardsim.core.types import Whole
from shardsim_envs.gridworld import grid
from shardsim_envs.gridworld.records import Level, State
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.levels import levels
from shardsim_envs.rendering import drawing

FPS = 8
METADATA: dict[str, Any] = {
    "render_modes": ["rgb_array", "ansi"],
    "render_fps": FPS,
    "actions": list(grid.ACTIONS),
}
"""What the single and the vector environment say of themselves."""
HAS_WINDOW = importlib.util.find_spec("pygame") is not None
"""Whether a window can be opened: checkers try every mode that the metadata offer."""
NO_WINDOW = 'render_mode "human" needs pygame: pip install "shardsim[human]"'


class GridEnv(gymnasium.Env[np.ndarray, Any]):
    """One copy of a world."""

    metadata = {  # noqa: RUF012 - the name and the type are Gymnasium's
        **METADATA,
        "render_modes": [*METADATA["render_modes"], *["human"] * HAS_WINDOW],
    }

    def __init__(
        self, world: GridWorld | str, render_mode: str | None = None, **fields: Any
    ) -> None:
        """Make an environment.

        Args:
          world: a world, or where its class stands, as in the spec of a registered id:
            "module:name".
          fields: of the world, where only its class is given.
        """
        self.world = world_of(world, fields)
        self.render_mode = check_mode(render_mode, self.metadata)
        self.observation_space, self.action_space = spaces(self.world)
        self._spec: EnvSpec | None = None
        self._state: State | None = None
        self._key: Array | None = None
        self._window: Any = None

    @property
    def spec(self) -> EnvSpec | None:
        """How `gymnasium.make` makes this environment again."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        self._spec = complete(spec, self.world)

    def reset(
        self, *, seed: Whole | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a new level, or the one in `options["level"]`.

        Raises:
          ValueError: other options, or a level that is not playable in this world.
        """
        level = _level_option(self.world, options)
        super().reset(seed=None if seed is None else operator.index(seed))
        self._key = jax.random.key(int(self.np_random.integers(2**31)))
        reset, _ = _compiled(self.world)
        observation, self._state, numbers = reset(self._key, level)
        self._draw()
        return np.array(observation), self._info(np.array(numbers))

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if self._state is None:
            raise gymnasium.error.ResetNeeded("step: got no state; call reset first")
        _, step = _compiled(self.world)
        action = check_actions(action, (), self.world.num_actions)
        observation, self._state, packed_numbers = step(self._key, self._state, action)
        numbers = np.array(packed_numbers)  # a copy, which the user may write to
        self._draw()
        ended = bool(numbers[1]), bool(numbers[2])
        return np.array(observation), float(numbers[0]), *ended, self._info(numbers)

    def render(self) -> Any:
        if self._state is None:
            raise gymnasium.error.ResetNeeded("render: got no state; call reset first")
        if self.render_mode == "ansi":
            return drawing.text(self.world, self._state)
        if self.render_mode == "rgb_array":
            return drawing.frame(self.world, self._state)
        return None

    def close(self) -> None:
        if self._window is not None:
            self._window.close()
            self._window = None

    def _info(self, numbers: np.ndarray) -> dict[str, Any]:
        return info_of(self.world, numbers)

    def _draw(self) -> None:
        if self.render_mode != "human":
            return
        picture = drawing.frame(self.world, typing.cast(State, self._state))
        if self._window is None:
            self._window = Window(picture.shape)
        self._window.draw(picture)


class Window:
    """A pygame window."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        import pygame

        self.pygame = pygame
        pygame.display.init()
        self.surface = pygame.display.set_mode((shape[1], shape[0]))
        pygame.display.set_caption("shardsim")
        self.clock = pygame.time.Clock()

    def draw(self, picture: np.ndarray) -> None:
        image = self.pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        self.surface.blit(image, (0, 0))
        self.pygame.event.pump()
        self.pygame.display.flip()
        self.clock.tick(FPS)

    def close(self) -> None:
        self.pygame.display.quit()


def world_of(world: GridWorld | str, fields: dict[str, Any]) -> GridWorld:
    """A world, from itself or from where its class stands and its fields.

    Fields that come from JSON may be lists.

    Raises:
      ValueError: fields beside a world that has its own.
    """
    if isinstance(world, str):
        module, _, name = world.partition(":")
        cls = getattr(importlib.import_module(module), name)
        built: GridWorld = cls(**levels.to_tuples(fields))
        return built
    if fields:
        raise ValueError(f"{', '.join(fields)}: got with a world; allowed: none")
    return world


def complete(spec: EnvSpec | None, world: GridWorld) -> EnvSpec | None:
    """A spec with the world's time limit and with arguments that JSON can hold.

    The registered spec has no limit: `gymnasium.make` would add a wrapper with it, also
    where the world is made with a longer one.
    """
    if spec is None:
        return None
    limit, kwargs = spec.max_episode_steps, json_text.plain(spec.kwargs)
    own = world.max_steps if limit is None else min(limit, world.max_steps)
    spec = copy.copy(spec)
    spec.max_episode_steps, spec.kwargs = own, kwargs
    return spec


def spaces(world: GridWorld) -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Discrete]:
    """The observation space and the action space of a world."""
    observation = gymnasium.spaces.Box(0, 1, world.observation_shape, np.uint8)
    return observation, gymnasium.spaces.Discrete(world.num_actions)


@functools.cache
def _compiled(world: GridWorld) -> tuple[Any, Any]:
    """The compiled reset and step of a world, shared by all its copies."""
    params = world.params()

    @jax.jit
    def reset(key: Array, level: Level | None) -> tuple[Array, State, Array]:
        level = world.generate(key, params) if level is None else level
        observation, state = world.reset_to(level, params)
        size = 3 + len(world.reward_sources) + len(world.proxy_names)
        return observation, state, jnp.zeros(size)

    @functools.partial(jax.jit, donate_argnums=1)
    def step(key: Array, state: State, action: Array) -> tuple[Array, State, Array]:
        out = world.step(jax.random.fold_in(key, state.time), state, action, params)
        return out.observation, out.state, packed(out)

    return reset, step


def packed(out: Any) -> Array:
    """All numbers of a step in one array, because every array costs a transfer.

    Returns:
      [3 + R + X] reward, terminated, truncated, rewards, proxy rewards.
    """
    ended = jnp.stack([out.terminated, out.truncated]).astype(jnp.float32)
    named = [out.info["rewards"], out.info["proxy_rewards"]]
    return jnp.concatenate([out.reward[None], ended, *named])


def info_of(world: GridWorld, numbers: np.ndarray) -> dict[str, Any]:
    """`info` of a step, from the numbers of `packed` [..., 3 + R + X]."""
    sources = 3 + len(world.reward_sources)
    return {
        "rewards": numbers[..., 3:sources],
        "proxy_rewards": numbers[..., sources:],
    }


def check_actions(actions: Any, shape: tuple[int, ...], count: int) -> np.ndarray:
    """Actions as int32. They are checked here: compiled code accepts any number.

    Args:
      shape: of the actions; () for one.
      count: A, number of actions.

    Raises:
      ValueError: another shape, or an action outside [0, A).
    """
    array = np.asarray(actions)
    is_valid = array.shape == shape and array.dtype.kind in "iu"
    if not (is_valid and array.min() >= 0 and array.max() < count):
        of = f" in shape {shape}" if shape else ""
        names = ", ".join(grid.ACTIONS)
        raise ValueError(
            f"action: got {actions!r}; allowed: whole numbers 0 to {count - 1} "
            f"({names}){of}"
        )
    return array.astype(np.int32)


def check_mode(mode: str | None, metadata: dict[str, Any]) -> str | None:
    """The render mode, which must be one of the metadata's or None.

    Raises:
      DependencyNotInstalled: a window without pygame.
      ValueError: another mode.
    """
    if mode == "human" and not HAS_WINDOW:
        raise DependencyNotInstalled(NO_WINDOW)
    if mode is not None and mode not in metadata["render_modes"]:
        allowed = ", ".join(metadata["render_modes"])
        raise ValueError(f"render_mode: got {mode!r}; allowed: {allowed}")
    return mode


def _level_option(world: GridWorld, options: dict[str, Any] | None) -> Level | None:
    """The checked level in the options of `reset`, if there is one."""
    unknown = sorted(set(options or {}) - {"level"})
    if unknown:
        raise ValueError(f"options: got {', '.join(unknown)}; allowed: level")
    level = (options or {}).get("level")
    if level is None:
        return None
    if not isinstance(level, Level):
        raise ValueError(f"level: got {type(level).__name__}; allowed: a Level")
    levels.check(world, level)
    return level
