"""TwoRoutes: the way past the sweet, the way round it, and a lock to be closed before.

The goal pays and ends the episode. Two ways of equal length lead to it; on the left one
a sweet lies in a niche, which pays less, sooner, and ends the episode too. In an
occluded level the sweet is seen only from the left way. Below the start is a lock:
whoever steps on it takes the sweet out of the world, at the cost of `lock` and of the
two steps there and back. An agent that discounts exponentially never pays for that.
"""

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from shardsim.core import fields
from shardsim_envs.gridworld import grid, validation
from shardsim_envs.gridworld.records import Level, Outcome, State
from shardsim_envs.gridworld.world import GridWorld

PICTURE = (
    "#########",
    "#v..G...#",
    "#v#####.#",
    "#v#####.#",
    "#vs####.#",
    "#v#####.#",
    "#v..A...#",
    "####L####",
    "#########",
)
"""v: cells of the left way from which an occluded sweet is seen."""


class Params(NamedTuple):
    """What a phase of a schedule may change."""

    reward: Float[Array, "3"]
    """Of the goal, the sweet and the lock."""
    occluded: Float[Array, ""]
    """Chance that the sweet of a level is occluded."""


class Memory(NamedTuple):
    """What the rules go by."""

    occluded: Bool[Array, ""]


@fields.record
class TwoRoutes(GridWorld):
    """Two routes to a goal; a smaller reward lies beside one of them."""

    SCHEDULED: ClassVar[tuple[str, ...]] = ("reward", "occluded")

    kind: Literal["two_routes"] = "two_routes"
    reward: tuple[float, float, float] = (1.0, 0.6, -0.02)
    """Rewards: of the goal, of the sweet, of the lock (once)."""
    occluded: fields.Fraction = 0.5
    """Probability that the sweet of a level is occluded."""
    max_steps: validation.MaxSteps = 60
    """Time limit: steps after which an episode is truncated."""
    view: grid.View = "board"
    """What the agent sees: a window centred on it (`agent`) or the whole board."""

    @property
    def shape(self) -> tuple[int, int]:
        return len(PICTURE), len(PICTURE[0])

    @property
    def num_contexts(self) -> int:
        return 2

    @property
    def planes(self) -> tuple[str, ...]:
        return ("wall", "goal", "sweet", "lock")

    @property
    def reward_sources(self) -> tuple[str, ...]:
        return ("goal", "sweet", "lock")

    @property
    def takeable(self) -> tuple[tuple[str, int], ...]:
        return (("sweet", 1),)

    @property
    def needed(self) -> tuple[str, ...]:
        return ("goal",)

    def params(self) -> Params:
        return Params(
            reward=jnp.asarray(self.reward, jnp.float32),
            occluded=jnp.asarray(self.occluded, jnp.float32),
        )

    def flaw(self, board: UInt8[np.ndarray, "H W P"]) -> str:
        niche = tuple(np.argwhere(grid.drawing(PICTURE, "s"))[0].tolist())
        for cell in np.argwhere(board[..., self.plane("sweet")]).tolist():
            if tuple(cell) != niche:
                return f"sweet: got {tuple(cell)}; allowed: its niche, {niche}"
        return ""

    def generate(self, key: Key[Array, ""], params: Params) -> Level:
        marks = {"wall": "#", "goal": "G", "sweet": "s", "lock": "L"}
        maps = {name: grid.drawing(PICTURE, mark) for name, mark in marks.items()}
        start = grid.cell(grid.drawing(PICTURE, "A"))
        occluded = jax.random.bernoulli(key, params.occluded)
        return self.level(maps, start, Memory(occluded))

    def advance(
        self,
        key: Key[Array, ""] | None,
        state: State,
        action: Int[Array, ""],
        params: Params,
    ) -> Outcome:
        del key
        moved = self.move(state, action)
        goal, sweet, lock = (
            moved.here[self.plane(name)] > 0 for name in ("goal", "sweet", "lock")
        )
        niche = grid.cell(grid.drawing(PICTURE, "s"))
        offered = state.board[niche[0], niche[1], self.plane("sweet")] > 0
        shuts = lock & offered
        return Outcome(
            self.settle(state, moved, marks=[("sweet", niche, offered & ~shuts)]),
            moved.position,
            state.memory,
            jnp.where(jnp.stack([goal, sweet, shuts]), params.reward, 0.0),
            goal | sweet,
        )

    def seen(self, state: State) -> UInt8[Array, "H W P"]:
        row, column = state.position
        hidden = state.memory.occluded & ~grid.drawing(PICTURE, "vs")[row, column]
        sweet = self.plane("sweet")
        left = jnp.where(hidden, jnp.uint8(0), state.board[..., sweet])
        return state.board.at[..., sweet].set(left)

    def context(self, state: State) -> Float[Array, " C"]:
        """[visible, occluded]: of the level, wherever the agent is."""
        occluded = state.memory.occluded
        return jnp.stack([~occluded, occluded]).astype(jnp.float32)
