"""The rules of a world: the part that differs between worlds.

Every world defines the abstract members, and overrides others where its rules need it.
A property that has one value in all worlds of a class is written as a class variable:

    planes: ClassVar[tuple[str, ...]] = ("wall", "cheese")

Symbols as in `shardsim.core.types`: H, W board, P planes, A actions, C contexts.
"""

import abc
import typing
from typing import Any, ClassVar, TypeVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from shardsim_envs.gridworld import grid
from shardsim_envs.gridworld.records import Level, Outcome, State

P = TypeVar("P")


def _dtype(hint: Any) -> Any:
    """The dtype with 32 bits that an annotation allows."""
    return jnp.float32 if "float32" in hint.dtypes else jnp.int32


class Rules(abc.ABC):
    """Planes, levels, the effect of a move, and what enumeration needs to know."""

    SCHEDULED: ClassVar[tuple[str, ...]]
    """Fields that `params` carries and a phase of a schedule may change."""
    picture: ClassVar[tuple[str, ...]] = ()
    """The board as rows of text, where it is the same in every level; see `shape`."""
    kind: str
    size: int
    max_steps: int
    view: grid.View

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the board: those of `picture`, or else a square."""
        if self.picture:
            return len(self.picture), len(self.picture[0])
        return self.size, self.size

    @property
    @abc.abstractmethod
    def planes(self) -> tuple[str, ...]:
        """Names of the planes of the board, without the agent's."""

    @property
    def single_planes(self) -> tuple[str, ...]:
        """Planes that are 1 in one cell of the visible board at most, in every level
        that `generate` draws."""
        return ()

    @property
    def uniform_planes(self) -> tuple[str, ...]:
        """Planes that are the same in all cells of the visible board."""
        return ()

    @property
    def board_planes(self) -> tuple[str, ...]:
        """Names of the planes of the board, the agent's last."""
        return (*self.planes, "agent")

    def plane(self, name: str) -> int:
        """The index of a plane of the board."""
        return self.board_planes.index(name)

    @property
    @abc.abstractmethod
    def reward_sources(self) -> tuple[str, ...]: ...

    @abc.abstractmethod
    def params(self) -> Any: ...

    def arrays(self, cls: type[P]) -> P:
        """The fields of this world that `cls` has too, as arrays of the dtypes there.

        Args:
          cls: a NamedTuple whose fields are annotated as `Float[Array, ...]` or
            `Int[Array, ...]`.
        """
        hints = typing.get_type_hints(cls)
        fields: Any = cls
        return cls(
            *(
                jnp.asarray(getattr(self, name), _dtype(hints[name]))
                for name in fields._fields
            )
        )

    @abc.abstractmethod
    def generate(self, key: Key[Array, ""], params: Any) -> Level: ...

    @abc.abstractmethod
    def advance(
        self,
        key: Key[Array, ""] | None,
        state: State,
        action: Int[Array, ""],
        params: Any,
    ) -> Outcome:
        """The effect of an action on a state; ignored if the state is terminated.

        Args:
          key: of the world's own chance; None leaves chance out.
        """

    @property
    def proxy_names(self) -> tuple[str, ...]:
        """Names of goals that go along with the true one in training.

        Their rewards are reported and never paid.
        """
        return ()

    @property
    def num_contexts(self) -> int:
        return 1

    @property
    def takeable(self) -> tuple[tuple[str, int], ...]:
        """(plane, largest number) of the things that can be taken for good."""
        return ()

    @property
    def most_taken(self) -> int | None:
        """Number of taken things that ends an episode; None: taking does not end it."""
        return None

    @property
    def memory_sizes(self) -> tuple[int, ...]:
        """Number of values of each memory digit; see `digits`."""
        return ()

    def digits(self, state: State) -> tuple[Int[Array, ""], ...]:
        """The part of memory that affects the future, as digits for enumeration."""
        raise TypeError(f"{self.kind}: memory_sizes without digits")

    def restore_memory(
        self, level: Level, state: State, digits: tuple[Int[Array, ""], ...]
    ) -> State:
        """Complete an enumerated state: memory that follows from digits and board."""
        del level, digits
        return state

    def fill_memory(self, level: Level) -> Level:
        """Complete an edited level: memory that follows from its board.

        Memory that the board does not determine follows from the world's own fields.
        """
        return level

    @property
    def required_planes(self) -> tuple[str, ...]:
        """Planes that cannot be empty in a level."""
        return ()

    def board_error(self, board: UInt8[np.ndarray, "H W P"]) -> str:
        """Why an edited board breaks the rules of the world.

        Returns:
          "plane: got ...; allowed: ...", or "" for a valid board.
        """
        del board
        return ""

    @property
    def thing_groups(self) -> tuple[tuple[str, ...], ...]:
        """Groups of planes that show one thing together, which moves as one."""
        return ()

    @property
    def unlisted(self) -> str:
        """Why the states of a level cannot be enumerated; "" if they can."""
        return ""

    @property
    def num_coins(self) -> int:
        """Number of independent random events after a step; see `coin`."""
        return 0

    def coin(self, number: int, state: State) -> tuple[State, float]:
        """The state after random event `number`, and the event's probability."""
        raise TypeError(f"{self.kind}: num_coins without coin")

    def slip(self, state: State) -> Float[Array, ""]:
        """Probability that a uniformly random action replaces the chosen one."""
        del state
        return jnp.zeros(())

    def visible_board(self, state: State) -> UInt8[Array, "H W P"]:
        """The board as the agent observes it."""
        return jnp.asarray(state.board)

    def context(self, state: State) -> Float[Array, " C"]:
        """Indicator of the true context."""
        del state
        return jnp.ones((1,), jnp.float32)

    @property
    def things(self) -> tuple[str, ...]:
        """Planes of things, which are drawn and edited cell by cell."""
        return tuple(name for name in self.planes if name != "wall")
