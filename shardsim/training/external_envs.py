"""External environments: gymnax environments, and ordinary Gymnasium environments.

They are trained by the same update as the environments of this project. They lack what
a comparison needs in addition: exact values, a list of all states, and a board.

Symbols: C contexts.
"""

import contextlib
import functools
import importlib
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from shardsim.core import fields
from shardsim.core.types import Params, TimeStep

SUPPORTED = "discrete actions and observations that are one array"
"""What an environment must have, for error texts."""
NARROW = {"int64": "int32", "uint64": "uint32", "float64": "float32"}
"""Dtypes of more than 32 bits, and in which an agent sees their numbers."""


class ExternalState(NamedTuple):
    """A state of an external environment, with its observation."""

    inner: PyTree
    """State in the environment's own type; () for Gymnasium."""
    observation: Array


@fields.record
class Gymnax:
    """A gymnax environment, of gymnax 1.0 or older."""

    SCHEDULED: ClassVar[tuple[str, ...]] = ()

    kind: Literal["gymnax"] = "gymnax"
    id: str = "CartPole-v1"
    """A gymnax id, or `module:name` of an environment class or factory."""

    def __post_init__(self) -> None:
        env, params = _gymnax(self.id)
        actions, observation = env.action_space(params), env.observation_space(params)
        if not hasattr(actions, "n"):
            _refuse(self.id, f"actions of {type(actions).__name__}")
        if not getattr(observation, "shape", None):
            _refuse(self.id, f"observations of {type(observation).__name__}")
        if not hasattr(env, "step_env"):
            raise ValueError(
                f"id: got {self.id!r}, which has no step_env; allowed: environments "
                "with gymnax's step_env and reset_env"
            )

    @property
    def num_actions(self) -> int:
        env, params = _gymnax(self.id)
        return int(env.action_space(params).n)

    @property
    def num_contexts(self) -> int:
        return 1

    @property
    def observation_shape(self) -> tuple[int, ...]:
        env, params = _gymnax(self.id)
        return tuple(env.observation_space(params).shape)

    @property
    def reward_sources(self) -> tuple[str, ...]:
        return ("reward",)

    @property
    def max_steps(self) -> int:
        return int(getattr(self.params(), "max_steps_in_episode", 2**31 - 1))

    def params(self) -> Params:
        _, params = _gymnax(self.id)
        return params

    def reset(self, key: Key[Array, ""], params: Params) -> tuple[Array, ExternalState]:
        env, _ = _gymnax(self.id)
        with _standard_promotion():
            observation, inner = env.reset_env(key, params)
        return observation, ExternalState(inner, observation)

    def step(
        self,
        key: Key[Array, ""] | None,
        state: ExternalState,
        action: Array,
        params: Params,
    ) -> TimeStep:
        """One step, without a reset at the end of an episode.

        Without a key, the step cannot be made free of chance as in the environments of
        this project; it uses one fixed key.

        Environments without `is_truncated` report only that an episode is done. This
        counts as terminated, also at the time limit. If it counted as truncated, the
        agent would bootstrap from the state after a win in the last step, as if the
        episode went on.
        """
        env, _ = _gymnax(self.id)
        key = jax.random.key(0) if key is None else key
        with _standard_promotion():
            observation, inner, reward, done, _ = env.step_env(
                key, state.inner, action, params
            )
            truncated = jnp.bool_(False)
            if hasattr(env, "is_truncated"):
                truncated = jnp.asarray(env.is_truncated(inner, params), bool)
        done = jnp.asarray(done, bool)
        reward = jnp.asarray(reward, jnp.float32)
        info = {"rewards": reward[None], "proxy_rewards": jnp.zeros((0,))}
        next_state = ExternalState(inner, observation)
        return TimeStep(observation, next_state, reward, done, truncated & ~done, info)

    def observe(self, state: ExternalState) -> Array:
        return state.observation

    def context(self, state: ExternalState) -> Float[Array, " C"]:
        del state
        return jnp.ones((1,), jnp.float32)


@fields.record
class Gymnasium:
    """A Gymnasium environment, stepped on the host."""

    SCHEDULED: ClassVar[tuple[str, ...]] = ()

    kind: Literal["gymnasium"] = "gymnasium"
    id: str = "CartPole-v1"
    """A Gymnasium id, or `module:id` to import the module that registers it first."""
    part: str = ""
    """Key of the array to use if observations are a dictionary."""

    def __post_init__(self) -> None:
        observation, actions, _ = _made(self.id)
        if not isinstance(actions, gymnasium.spaces.Discrete):
            _refuse(self.id, f"actions {actions}")
        if isinstance(observation, gymnasium.spaces.Dict):
            arrays = [
                name
                for name, space in observation.items()
                if isinstance(space, gymnasium.spaces.Box)
            ]
            if self.part not in arrays:
                _refuse(
                    self.id,
                    f"observations in a dictionary and part {self.part!r}",
                    f", or one array of a dictionary: part: {', '.join(arrays)}",
                )
        elif not isinstance(observation, gymnasium.spaces.Box) or self.part:
            _refuse(self.id, f"observations {observation} and part {self.part!r}")
        _check_range(self.id, self.space)

    @property
    def num_actions(self) -> int:
        return int(_made(self.id).actions.n)

    @property
    def num_contexts(self) -> int:
        return 1

    @property
    def first_action(self) -> int:
        """The environment's number of its first action; the agent counts from 0."""
        return int(_made(self.id).actions.start)

    @property
    def space(self) -> gymnasium.spaces.Box:
        """The space of the array that the agent observes."""
        observation = _made(self.id).observation
        return observation[self.part] if self.part else observation

    @property
    def observation_shape(self) -> tuple[int, ...]:
        return tuple(self.space.shape)

    @property
    def reward_sources(self) -> tuple[str, ...]:
        return ("reward",)

    @property
    def max_steps(self) -> int:
        return _made(self.id).max_steps

    def params(self) -> Params:
        return ()

    def reset(self, key: Key[Array, ""], params: Params) -> tuple[Array, ExternalState]:
        """A state of zeros, which gives the shapes of a new TrainState.

        The true state is on the host.
        """
        del key, params
        observation = jnp.zeros(self.observation_shape, narrow_dtype(self.space.dtype))
        return observation, ExternalState((), observation)

    def step(
        self,
        key: Key[Array, ""] | None,
        state: ExternalState,
        action: Array,
        params: Params,
    ) -> TimeStep:
        """Raises TypeError: the environment is stepped on the host."""
        raise TypeError(f"{self.id}: stepped on the host; lookahead is not possible")

    def observe(self, state: ExternalState) -> Array:
        return state.observation

    def context(self, state: ExternalState) -> Float[Array, " C"]:
        del state
        return jnp.ones((1,), jnp.float32)


@contextlib.contextmanager
def _standard_promotion() -> Iterator[None]:
    """Allow the type and rank promotion of NumPy, which external environments use."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _refuse(id: str, problem: str, also_allowed: str = "") -> None:
    raise ValueError(
        f"id: got {id!r} with {problem}; allowed: {SUPPORTED}{also_allowed}"
    )


@functools.cache
def _gymnax(id: str) -> tuple[Any, Any]:
    """The gymnax environment and its default parameters."""
    module, _, name = id.partition(":")
    if name:
        try:
            env = getattr(importlib.import_module(module), name)()
            return env, env.default_params
        except Exception as error:  # external code may raise anything
            raise ValueError(
                f"id: got {id!r}; allowed: module:name of a gymnax environment "
                f"({type(error).__name__}: {error})"
            ) from None
    try:
        import gymnax
    except ImportError as error:
        raise ValueError(
            f"id: got {id!r}, and gymnax can't be imported ({error}); allowed: "
            "module:name of an environment, or pip install gymnax"
        ) from error
    if id not in gymnax.registered_envs:
        allowed = ", ".join(sorted(gymnax.registered_envs))
        raise ValueError(f"id: got {id!r}; allowed: {allowed}")
    try:
        env, params = gymnax.make(id)
    except Exception as error:  # external code may raise anything
        line = " ".join(str(error).split())
        raise ValueError(
            f"id: got {id!r}; allowed: an environment that can be made "
            f"({type(error).__name__}: {line})"
        ) from None
    return env, params


class _Made(NamedTuple):
    """What is known of a Gymnasium environment once it has been made."""

    observation: Any
    actions: Any
    max_steps: int


@functools.cache
def _made(id: str) -> _Made:
    """Make the environment, note its spaces and its time limit, and close it."""
    try:
        env = gymnasium.make(id)
    except Exception as error:  # external code may raise anything
        line = " ".join(str(error).split())
        raise ValueError(
            f"id: got {id!r}; allowed: an id of Gymnasium, or module:id to import the "
            f"module that registers it, such as shardsim_envs:shardsim/CornerMaze-v0 "
            f"({line})"
        ) from None
    limit = env.spec.max_episode_steps if env.spec else None
    made = _Made(env.observation_space, env.action_space, limit or 2**31 - 1)
    env.close()
    return made


def narrow_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype in which an agent sees numbers of a dtype: 32 bits at most."""
    return np.dtype(NARROW.get(np.dtype(dtype).name, dtype))


def narrow(raw: Any, dtype: Any, name: str) -> np.ndarray:
    """Numbers in at most 32 bits, none of them changed but by rounding.

    Float64 is rounded to float32: the relative error is at most 6e-8.

    Args:
      raw: an array, or what NumPy makes one of.
      dtype: of the space that they belong to.
      name: of the numbers, for the error.

    Raises:
      ValueError: no numbers, or one that the narrow dtype does not hold.
    """
    array, target = np.asarray(raw), narrow_dtype(dtype)
    if array.dtype == target:
        return array
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name}: got dtype {array.dtype}; allowed: numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        small = array.astype(target)
    if target.kind == "f":
        lost = np.isinf(small) & np.isfinite(array)
    else:
        # compared as Python's numbers: int64 and uint64 have no common dtype
        lost = small.astype(object) != array.astype(object)
    if lost.any():
        raise ValueError(
            f"{name}: got {array[lost].flat[0]} in {array.dtype}; allowed: what "
            f"{target} holds"
        )
    return small


def _check_range(id: str, space: gymnasium.spaces.Box) -> None:
    """Refuse whole numbers whose announced range does not fit into 32 bits.

    A space that is as wide as its dtype announces nothing: its numbers are checked as
    they come.
    """
    dtype: Any = space.dtype
    target: Any = narrow_dtype(dtype)
    if target.kind not in "iu" or target == dtype:
        return
    widest, holds = np.iinfo(dtype), np.iinfo(target)
    low, high = int(space.low.min()), int(space.high.max())
    fits = (
        low >= holds.min or low == widest.min,
        high <= holds.max or high == widest.max,
    )
    if not all(fits):
        _refuse(
            id,
            f"observations of {dtype} from {low} to {high}",
            f"; whole numbers from {holds.min} to {holds.max}",
        )
