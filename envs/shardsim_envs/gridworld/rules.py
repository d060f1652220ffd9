"""What a world says: the part of it that is not the same for all.

Members that are abstract are given by every world, the others by those that have
something to say. Symbols as in `shardsim.core.types`.
"""

import abc
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from shardsim_envs.gridworld import grid
from shardsim_envs.gridworld.records import Level, Outcome, State


class Rules(abc.ABC):
    """Planes, levels, what happens when the agent moves, and what is known of it."""

    SCHEDULED: ClassVar[tuple[str, ...]]
    """Fields that `params` carries and a phase of a schedule may change."""
    kind: str
    max_steps: int
    view: grid.View

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the board."""

    @property
    @abc.abstractmethod
    def planes(self) -> tuple[str, ...]:
        """Names of the planes of the board but the agent's."""

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
        """The rules. What it says of a terminated state is not heeded."""

    @property
    def proxy_names(self) -> tuple[str, ...]:
        """Goals that go with the true one in training; reported, never paid."""
        return ()

    @property
    def num_contexts(self) -> int:
        return 1

    @property
    def takeable(self) -> tuple[tuple[str, int], ...]:
        """Planes whose things can be taken for good, and the most there are of each."""
        return ()

    @property
    def most_taken(self) -> int | None:
        """How many taken things end an episode, if that is what ends it."""
        return None

    @property
    def memory_sizes(self) -> tuple[int, ...]:
        """How many values each digit of the memory has; see `digits`."""
        return ()

    def digits(self, state: State) -> tuple[Int[Array, ""], ...]:
        """What memory holds, as digits: all of it that bears on what comes."""
        raise TypeError(f"{self.kind}: memory_sizes without digits")

    def recall(
        self, level: Level, state: State, digits: tuple[Int[Array, ""], ...]
    ) -> State:
        """A listed state with all that follows from its digits and its board."""
        del level, digits
        return state

    def remember(self, level: Level) -> Level:
        """A level that somebody drew, with the memory that follows from its board.

        Where the board does not tell, memory is that of the world's own parameters.
        """
        return level

    @property
    def needed(self) -> tuple[str, ...]:
        """Planes of which every level has to show something."""
        return ()

    def flaw(self, board: UInt8[np.ndarray, "H W P"]) -> str:
        """What the rules can make nothing of in a board that somebody drew.

        Returns:
          `plane: got ...; allowed: ...`, or nothing where all is well.
        """
        del board
        return ""

    @property
    def wholes(self) -> tuple[tuple[str, ...], ...]:
        """Planes that show one thing where they lie together: it moves as a whole."""
        return ()

    @property
    def unlisted(self) -> str:
        """Why the states of a level can't be listed, if they can't."""
        return ""

    @property
    def num_coins(self) -> int:
        """Independent coins that chance tosses after a step; see `coin`."""
        return 0

    def coin(self, number: int, state: State) -> tuple[State, float]:
        """What a state becomes if a coin falls, and the chance that it does."""
        raise TypeError(f"{self.kind}: num_coins without coin")

    def slip(self, state: State) -> Float[Array, ""]:
        """Chance that an action is replaced by one drawn with equal chances."""
        del state
        return jnp.zeros(())

    def seen(self, state: State) -> UInt8[Array, "H W P"]:
        """The board as the agent sees it."""
        return state.board

    def context(self, state: State) -> Float[Array, " C"]:
        del state
        return jnp.ones((1,), jnp.float32)

    @property
    def things(self) -> tuple[str, ...]:
        """Planes of things: what is drawn and edited cell by cell."""
        return tuple(name for name in self.planes if name != "wall")
