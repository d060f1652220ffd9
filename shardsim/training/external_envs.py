"""Worlds of others: any gymnax environment, any ordinary Gymnasium one.

They are trained by the same update as ours. What a comparison needs besides (exact
values, listed states, a board) they do not have.
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


class ExternalState(NamedTuple):
    """A state of somebody else's world with what is seen in it."""

    inner: PyTree
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
        actions, seen = env.action_space(params), env.observation_space(params)
        if not hasattr(actions, "n"):
            _refuse(self.id, f"actions of {type(actions).__name__}")
        if not getattr(seen, "shape", None):
            _refuse(self.id, f"observations of {type(seen).__name__}")
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
            seen, inner = env.reset_env(key, params)
        return seen, ExternalState(inner, seen)

    def step(
        self,
        key: Key[Array, ""] | None,
        state: ExternalState,
        action: Array,
        params: Params,
    ) -> TimeStep:
        """One step without a reset.

        Without a key chance is not left out, for nobody can: it falls as it does with
        one key that is always the same.

        An old environment tells only that it is done. That is taken for its end, at
        the time limit as well: were it taken for a cut there, an agent would learn to
        win in the last step, after which value would seem to go on.
        """
        env, _ = _gymnax(self.id)
        key = jax.random.key(0) if key is None else key
        with _standard_promotion():
            seen, inner, reward, ended, _ = env.step_env(
                key, state.inner, action, params
            )
            truncated = jnp.bool_(False)
            if hasattr(env, "is_truncated"):
                truncated = jnp.asarray(env.is_truncated(inner, params), bool)
        ended = jnp.asarray(ended, bool)
        reward = jnp.asarray(reward, jnp.float32)
        info = {"rewards": reward[None], "proxy_rewards": jnp.zeros((0,))}
        held = ExternalState(inner, seen)
        return TimeStep(seen, held, reward, ended, truncated & ~ended, info)

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
        seen, actions = _spaces(self.id)
        if not isinstance(actions, gymnasium.spaces.Discrete):
            _refuse(self.id, f"actions {actions}")
        if isinstance(seen, gymnasium.spaces.Dict):
            arrays = [
                name
                for name, space in seen.items()
                if isinstance(space, gymnasium.spaces.Box)
            ]
            if self.part not in arrays:
                _refuse(
                    self.id,
                    f"observations in a dictionary and part {self.part!r}",
                    f", or one array of a dictionary: part: {', '.join(arrays)}",
                )
        elif not isinstance(seen, gymnasium.spaces.Box) or self.part:
            _refuse(self.id, f"observations {seen} and part {self.part!r}")

    @property
    def num_actions(self) -> int:
        return int(_spaces(self.id)[1].n)

    @property
    def num_contexts(self) -> int:
        return 1

    @property
    def first_action(self) -> int:
        """The number that the world gives to its first action; ours is 0."""
        return int(_spaces(self.id)[1].start)

    @property
    def space(self) -> gymnasium.spaces.Box:
        """Of the array that the agent sees."""
        seen, _ = _spaces(self.id)
        return seen[self.part] if self.part else seen

    @property
    def observation_shape(self) -> tuple[int, ...]:
        return tuple(self.space.shape)

    @property
    def reward_sources(self) -> tuple[str, ...]:
        return ("reward",)

    @property
    def max_steps(self) -> int:
        name = self.id.rpartition(":")[2]  # the module before it is imported by now
        return gymnasium.spec(name).max_episode_steps or 2**31 - 1

    def params(self) -> Params:
        return ()

    def reset(self, key: Key[Array, ""], params: Params) -> tuple[Array, ExternalState]:
        """Nothing: the world lies on the host. For the shapes of a fresh carry."""
        del key, params
        kind = jax.dtypes.canonicalize_dtype(self.space.dtype)  # 32 bits at most
        seen = jnp.zeros(self.observation_shape, kind)
        return seen, ExternalState((), seen)

    def step(
        self,
        key: Key[Array, ""] | None,
        state: ExternalState,
        action: Array,
        params: Params,
    ) -> TimeStep:
        raise TypeError(f"{self.id}: stepped on the host; no look ahead is possible")

    def observe(self, state: ExternalState) -> Array:
        return state.observation

    def context(self, state: ExternalState) -> Float[Array, " C"]:
        del state
        return jnp.ones((1,), jnp.float32)


@contextlib.contextmanager
def _standard_promotion() -> Iterator[None]:
    """Environments of others promote dtypes and ranks as NumPy does."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _refuse(id: str, got: str, more: str = "") -> None:
    raise ValueError(f"id: got {id!r} with {got}; allowed: {SUPPORTED}{more}")


@functools.cache
def _gymnax(id: str) -> tuple[Any, Any]:
    """The environment and its default parameters."""
    module, _, name = id.partition(":")
    if name:
        try:
            env = getattr(importlib.import_module(module), name)()
            return env, env.default_params
        except Exception as error:  # somebody else's module may raise anything
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
    except Exception as error:  # somebody else's environment may raise anything
        line = " ".join(str(error).split())
        raise ValueError(
            f"id: got {id!r}; allowed: an environment that can be made "
            f"({type(error).__name__}: {line})"
        ) from None
    return env, params


@functools.cache
def _spaces(id: str) -> tuple[Any, Any]:
    """What is seen and what can be done; the environment is made and closed."""
    try:
        env = gymnasium.make(id)
    except Exception as error:  # somebody else's environment may raise anything
        line = " ".join(str(error).split())
        raise ValueError(
            f"id: got {id!r}; allowed: an id of Gymnasium or module:id ({line})"
        ) from None
    spaces = env.observation_space, env.action_space
    env.close()
    return spaces
