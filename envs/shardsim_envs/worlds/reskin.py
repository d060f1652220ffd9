"""Reskin: the same two things in other colours and shapes.

Two things lie on an open board, one good and one bad; either ends the episode. Every
colour and every shape has its own plane, and a thing shows one of each. A new skin
changes what the agent sees and nothing else. Does a value that was learned for a red
circle follow the colour, the shape, or neither?
"""

import dataclasses
from typing import Annotated, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8
from pydantic import Field, NonNegativeInt

from shardsim.core import fields
from shardsim_envs.gridworld import grid, validation
from shardsim_envs.gridworld.records import Level, Outcome, State
from shardsim_envs.gridworld.world import GridWorld


class Params(NamedTuple):
    """What a phase of a schedule may change."""

    reward: Float[Array, "2"]
    """Rewards: of the good thing and of the bad one."""
    skins: Int[Array, "2 2"]
    """Colour and shape of the good thing and of the bad one."""


class Memory(NamedTuple):
    """What the rules need besides the board."""

    cells: Int[Array, "2 2"]
    """Cells of the good and of the bad thing, whatever they look like."""


@fields.record
class Reskin(GridWorld):
    """One good and one bad thing, whose colours and shapes can change."""

    SCHEDULED: ClassVar[tuple[str, ...]] = ("reward", "good", "bad")
    reward_sources: ClassVar[tuple[str, ...]] = ("good", "bad")

    kind: Literal["reskin"] = "reskin"
    size: validation.BoardSize = 7
    """Rows and columns of the board, which has no walls."""
    colours: Annotated[int, Field(ge=1, le=8)] = 3
    """Number of colours."""
    shapes: Annotated[int, Field(ge=1, le=8)] = 3
    """Number of shapes."""
    good: tuple[NonNegativeInt, NonNegativeInt] = (0, 0)
    """Colour and shape of the good thing, by number."""
    bad: tuple[NonNegativeInt, NonNegativeInt] = (1, 1)
    """Colour and shape of the bad thing, by number."""
    reward: tuple[float, float] = (1.0, -1.0)
    """Rewards: of the good thing and of the bad one."""
    max_steps: validation.MaxSteps = 40
    """Time limit: steps after which an episode is truncated."""
    view: grid.View = "agent"
    """What the agent sees: a window centred on it (`agent`) or the whole board."""

    def __post_init__(self) -> None:
        allowed = (
            f"a colour 0 to {self.colours - 1} and a shape 0 to {self.shapes - 1}, "
            "not those of the other thing"
        )

        def skin(pair: tuple[int, int]) -> bool:
            return pair[0] < self.colours and pair[1] < self.shapes

        rules = {
            "good": (skin(self.good) and self.good != self.bad, allowed),
            "bad": (skin(self.bad), allowed),
        }
        validation.check(self, rules)

    @property
    def planes(self) -> tuple[str, ...]:
        colours = tuple(f"colour {c}" for c in range(self.colours))
        return (*colours, *(f"shape {s}" for s in range(self.shapes)))

    @property
    def thing_groups(self) -> tuple[tuple[str, ...], ...]:
        """A thing is a colour and a shape in one cell."""
        return (self.planes,)

    def shifted(self) -> "Reskin":
        """The test: the two things swap their colours."""
        good, bad = (self.bad[0], self.good[1]), (self.good[0], self.bad[1])
        return dataclasses.replace(self, good=good, bad=bad)

    def params(self) -> Params:
        return Params(
            reward=jnp.asarray(self.reward, jnp.float32),
            skins=jnp.asarray((self.good, self.bad), jnp.int32),
        )

    def generate(self, key: Key[Array, ""], params: Params) -> Level:
        cells = grid.random_cells(key, jnp.ones(self.shape, bool), 3)
        at = [grid.plane(self.shape, cells[thing]) for thing in (0, 1)]
        maps = {}
        for feature, (name, count) in enumerate(
            (("colour", self.colours), ("shape", self.shapes))
        ):
            for value in range(count):
                has_value = params.skins[:, feature] == value
                maps[f"{name} {value}"] = (at[0] & has_value[0]) | (
                    at[1] & has_value[1]
                )
        return self.level(maps, cells[2], Memory(cells[:2]))

    def fill_memory(self, level: Level) -> Level:
        """The world's own skins decide which thing is good and which is bad."""
        cells = [
            grid.cell(
                (level.board[..., self.plane(f"colour {colour}")] > 0)
                & (level.board[..., self.plane(f"shape {shape}")] > 0)
            )
            for colour, shape in (self.good, self.bad)
        ]
        return level._replace(memory=Memory(jnp.stack(cells)))

    def board_error(self, board: UInt8[np.ndarray, "H W P"]) -> str:
        names = np.asarray(self.planes, dtype=object)
        cells = np.argwhere(board[..., :-1].any(axis=-1))
        shown = {" + ".join(names[board[(*cell, slice(-1))] > 0]) for cell in cells}
        skins = [f"colour {c} + shape {s}" for c, s in (self.good, self.bad)]
        if len(cells) != len(skins) or shown != set(skins):
            got = ", ".join(sorted(shown)) or "nothing"
            allowed = ", ".join(skins)
            return f"colour, shape: got {got} in {len(cells)} cells; allowed: {allowed}"
        return ""

    def advance(
        self,
        key: Key[Array, ""] | None,
        state: State,
        action: Int[Array, ""],
        params: Params,
    ) -> Outcome:
        del key
        moved = self.move(state, action)
        taken = jnp.all(state.memory.cells == moved.position[None], axis=-1)
        return Outcome(
            self.settle(state, moved),
            moved.position,
            state.memory,
            jnp.where(taken, params.reward, 0.0),
            taken.any(),
        )
