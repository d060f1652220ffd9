"""What crosses borders: time steps, trajectories, and what a world must offer.

Shape legend, used in every file:
    A actions       B environments of one agent   C contexts      D features of E
    H, W board      K parts (shards) of V         L levels        N training seeds
    P planes        S states of a level           T time steps    U units of V
    R reward sources
"""

from typing import ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Array, Bool, Float, Int, Key, PyTree, UInt8

State: TypeAlias = PyTree
Level: TypeAlias = PyTree
Params: TypeAlias = PyTree


class TimeStep(NamedTuple):
    """What `Environment.step` returns, in gymnax's order."""

    observation: UInt8[Array, "H W P"]
    state: State
    reward: Float[Array, ""]
    terminated: Bool[Array, ""]
    """The world ended the episode: no value lies beyond."""
    truncated: Bool[Array, ""]
    """The time limit ended it: value lies beyond, so it is bootstrapped."""
    info: dict[str, Array]
    """`rewards [R]`: the reward by source, in the order of `reward_sources`;
    `proxy_rewards [X]`: what goals that go with it in training would pay."""


class Trajectory(NamedTuple):
    """T steps of B environments; `next_*` are taken before any reset."""

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
    """Log-probabilities by which the action was chosen; with a search, its policy."""


@runtime_checkable
class Trainable(Protocol):
    """What training asks of a world: a frozen dataclass whose methods are pure.

    Fields are static. What may change between the phases of a schedule (rewards, which
    contexts are shown, where the goal may lie) is in `params`, a pytree of arrays, so
    that a change of phase compiles nothing anew.
    """

    SCHEDULED: ClassVar[tuple[str, ...]]
    """Fields that `params` carries and a phase of a schedule may change."""

    @property
    def num_actions(self) -> int: ...

    @property
    def num_contexts(self) -> int: ...

    @property
    def max_steps(self) -> int:
        """Length at which an episode is truncated."""
        ...

    @property
    def observation_shape(self) -> tuple[int, ...]: ...

    @property
    def reward_sources(self) -> tuple[str, ...]: ...

    def params(self) -> Params:
        """The world's own parameters as arrays."""
        ...

    def reset(self, key: Key[Array, ""], params: Params) -> tuple[Array, State]: ...

    def step(
        self,
        key: Key[Array, ""] | None,
        state: State,
        action: Int[Array, ""],
        params: Params,
    ) -> TimeStep:
        """One step; nothing changes after the end.

        Without a key chance is left out and rewards are the expected ones.
        """
        ...

    def observe(self, state: State) -> Array: ...

    def context(self, state: State) -> Float[Array, " C"]:
        """The true context, 1 where present. Only the planted control reads it."""
        ...


@runtime_checkable
class Environment(Trainable, Protocol):
    """A world whose states can be listed and drawn: what a comparison asks for."""

    @property
    def observation_shape(self) -> tuple[int, int, int]: ...

    @property
    def unlisted(self) -> str:
        """Why the states of a level can't be listed, if they can't."""
        ...

    @property
    def num_states(self) -> int:
        """S: how many states `states` lists for a level."""
        ...

    @property
    def plane_names(self) -> tuple[str, ...]: ...

    @property
    def proxy_names(self) -> tuple[str, ...]:
        """Goals that go with the true one in training; reported, never paid."""
        ...

    def generate(self, key: Key[Array, ""], params: Params) -> Level: ...

    def reset_to(
        self, level: Level, params: Params
    ) -> tuple[UInt8[Array, "H W P"], State]: ...

    def states(self, level: Level) -> State:
        """Every state of a level, in the order of `index`. Leaves are [S, ...]."""
        ...

    def state_at(self, level: Level, number: Int[Array, ""]) -> State:
        """The state that stands at `number` in `states`."""
        ...

    def index(self, level: Level, state: State) -> Int[Array, ""]:
        """Where a state stands in `states` of its level, in [0, S)."""
        ...

    @property
    def num_coins(self) -> int:
        """Independent coins that chance tosses after a step; see `coin`."""
        ...

    def coin(self, number: int, state: State) -> tuple[State, float]:
        """What a state becomes if a coin falls, and the chance that it does."""
        ...

    def slip(self, state: State) -> Float[Array, ""]:
        """Chance that an action is replaced by one drawn with equal chances."""
        ...

    def position(self, state: State) -> Int[Array, "2"]:
        """Row and column of the agent on the board."""
        ...

    def walls(self, level: Level) -> Bool[Array, "H W"]: ...

    def goal_field(self, key: Key[Array, ""], state: State) -> Int[Array, "H W"]:
        """Steps to a random free cell: the plan of a goal-agnostic walker."""
        ...

    def walk_logits(self, field: Int[Array, "H W"], state: State) -> Float[Array, " A"]:
        """Logits of the walker that goes down `field`, ties at random."""
        ...

    def glyphs(self, level: Level) -> dict[str, tuple[int, int]]:
        """What lies where in one level, by name, for pictures. Not for programs."""
        ...
