"""Shared types: time steps, trajectories, and the protocols of environments.

Symbols in shapes, used in every file:
    A actions       B environments of one agent   C contexts      D features of E
    H, W board      K shards of V                 L levels        N training seeds
    P planes        S states of a level           T time steps    U units of V
    R reward sources
"""

from typing import ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, UInt8

Scalar: TypeAlias = float | np.floating | Float[Array, ""]
"""One number, of Python, NumPy or JAX; it may be traced."""
Whole: TypeAlias = int | np.integer | Int[np.ndarray, ""] | Int[Array, ""]
"""One whole number, of Python, NumPy or JAX."""
State: TypeAlias = PyTree
Level: TypeAlias = PyTree
Params: TypeAlias = PyTree


class TimeStep(NamedTuple):
    """Result of `Environment.step`, with the fields in gymnax's order."""

    observation: UInt8[Array, "H W P"]
    state: State
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    """The environment ended the episode: the value of the next state is 0."""
    truncated: Bool[Array, ""]
    """The time limit ended the episode: returns bootstrap from the next state."""
    info: dict[str, Array]
    """`rewards [R]`: reward by source, in the order of `reward_sources`;
    `proxy_rewards [X]`: reward that the proxy goals would give, in the order of
    `proxy_names`."""


class Trajectory(NamedTuple):
    """T steps of B environments; `next_*` are from before any reset."""

    observation: UInt8[Array, "T B H W P"]
    context: Float[Array, "T B C"]
    action: Int[Array, "T B"]
    reward: Float[Array, "T B"]
    terminated: Bool[Array, "T B"]
    truncated: Bool[Array, "T B"]
    next_observation: UInt8[Array, "T B H W P"]
    next_context: Float[Array, "T B C"]
    rewards: Float[Array, "T B R"]
    logits: Float[Array, "T B A"]
    """Log-probabilities from which the action was sampled; of the search policy, if
    there is a search."""


@runtime_checkable
class Trainable(Protocol):
    """An environment that agents can be trained in.

    It is a frozen dataclass with pure methods. Its fields are static. Everything that a
    phase of a schedule may change (rewards, which contexts are shown, where the goal
    may lie) is in `params`, a pytree of arrays, so that a new phase compiles nothing.
    """

    SCHEDULED: ClassVar[tuple[str, ...]]
    """Fields that are part of `params` and that a phase may change."""

    @property
    def num_actions(self) -> int: ...

    @property
    def num_contexts(self) -> int: ...

    @property
    def max_steps(self) -> int:
        """Time limit: an episode is truncated after so many steps."""
        ...

    @property
    def observation_shape(self) -> tuple[int, ...]: ...

    @property
    def reward_sources(self) -> tuple[str, ...]: ...

    def params(self) -> Params:
        """The scheduled fields as arrays."""
        ...

    def reset(self, key: Key[Array, ""], params: Params) -> tuple[Array, State]: ...

    def step(
        self,
        key: Key[Array, ""] | None,
        state: State,
        action: Int[Array, ""],
        params: Params,
    ) -> TimeStep:
        """Take one step. After the end of the episode nothing changes.

        Args:
          key: without a key there is no randomness, and the reward is its expectation.
          state: the current state.
          action: in [0, A).
          params: as `params` returns them, or changed by a phase.
        """
        ...

    def observe(self, state: State) -> Array: ...

    def context(self, state: State) -> Float[Array, " C"]:
        """The true context, 1 where present. Only the head `oracle_gated` reads it."""
        ...


@runtime_checkable
class Environment(Trainable, Protocol):
    """An environment whose states can be enumerated and drawn; evaluation needs it."""

    @property
    def observation_shape(self) -> tuple[int, int, int]: ...

    @property
    def unlisted(self) -> str:
        """Why the states of a level cannot be enumerated; empty if they can."""
        ...

    @property
    def num_states(self) -> int:
        """S, the number of states of a level."""
        ...

    @property
    def plane_names(self) -> tuple[str, ...]: ...

    @property
    def proxy_names(self) -> tuple[str, ...]:
        """Proxy goals, which coincide with the true goal in training.

        Their rewards are reported, but the agent does not receive them.
        """
        ...

    def generate(self, key: Key[Array, ""], params: Params) -> Level: ...

    def reset_to(
        self, level: Level, params: Params
    ) -> tuple[UInt8[Array, "H W P"], State]: ...

    def states(self, level: Level) -> State:
        """All states of a level in the order of `index`, leaves [S, ...]."""
        ...

    def state_at(self, level: Level, number: Int[Array, ""]) -> State:
        """The state with index `number`, in [0, S)."""
        ...

    def index(self, level: Level, state: State) -> Int[Array, ""]:
        """The index of a state of the level, in [0, S)."""
        ...

    @property
    def num_coins(self) -> int:
        """Number of independent coins tossed after a step; see `coin`."""
        ...

    def coin(self, number: int, state: State) -> tuple[State, Scalar]:
        """The state after coin `number` falls, and the probability that it falls.

        The probability is a Python number where it is the same in all states.
        """
        ...

    def slip(self, state: State) -> Float[Array, ""]:
        """Probability that an action is replaced by a uniformly random one."""
        ...

    def position(self, state: State) -> Int[Array, "2"]:
        """Row and column of the agent on the board."""
        ...

    def walls(self, level: Level) -> Bool[Array, "H W"]: ...

    def goal_field(self, key: Key[Array, ""], state: State) -> Int[Array, "H W"]:
        """Distance of each cell to a random free cell, in steps.

        The goal of a random walker that ignores the goals of the environment.
        """
        ...

    def walk_logits(self, field: Int[Array, "H W"], state: State) -> Float[Array, " A"]:
        """Logits of the walker that descends `field`; ties are equally likely."""
        ...

    def glyphs(self, level: Level) -> dict[str, tuple[int, int]]:
        """Cell of each named object in a level. For pictures only."""
        ...
