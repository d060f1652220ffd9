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
from jaxtyping import Array, Float, Key, PyTree

from shardsim.core import fields
from shardsim.core.types import Params, TimeStep

SUPPORTED = "discrete actions and observations that are one array"
"""What an environment must have, for error texts."""


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
    """A Gymnasium id, or `module:id` to import the module first."""
    part: str = ""
    """Key of the array to use if observations are a dictionary."""

    def __post_init__(self) -> None:
        observation, actions = _spaces(self.id)
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

    @property
    def num_actions(self) -> int:
        return int(_spaces(self.id)[1].n)

    @property
    def num_contexts(self) -> int:
        return 1

    @property
    def first_action(self) -> int:
        """The environment's number of its first action; the agent counts from 0."""
        return int(_spaces(self.id)[1].start)

    @property
    def space(self) -> gymnasium.spaces.Box:
        """The space of the array that the agent observes."""
        observation, _ = _spaces(self.id)
        return observation[self.part] if self.part else observation

    @property
    def observation_shape(self) -> tuple[int, ...]:
        return tuple(self.space.shape)

    @property
    def reward_sources(self) -> tuple[str, ...]:
        return ("reward",)

    @property
    def max_steps(self) -> int:
        # `module:id` has imported the module already
        name = self.id.rpartition(":")[2]
        return gymnasium.spec(name).max_episode_steps or 2**31 - 1

    def params(self) -> Params:
        return ()

    def reset(self, key: Key[Array, ""], params: Params) -> tuple[Array, ExternalState]:
        """A state of zeros, which gives the shapes of a new TrainState.

        The true state is on the host.
        """
        del key, params
        dtype = jax.dtypes.canonicalize_dtype(self.space.dtype)  # at most 32 bits
        observation = jnp.zeros(self.observation_shape, dtype)
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


@functools.cache
def _spaces(id: str) -> tuple[Any, Any]:
    """The spaces of observations and actions; makes the environment and closes it."""
    try:
        env = gymnasium.make(id)
    except Exception as error:  # external code may raise anything
        line = " ".join(str(error).split())
        raise ValueError(
            f"id: got {id!r}; allowed: an id of Gymnasium or module:id ({line})"
        ) from None
    spaces = env.observation_space, env.action_space
    env.close()
    return spaces
