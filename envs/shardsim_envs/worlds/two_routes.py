"""TwoRoutes: two routes to a goal, a sweet beside one, and a lock that removes it.

The goal gives reward and ends the episode. Two routes of equal length lead to it. In a
niche beside the left route lies a sweet, which gives less reward, sooner, and also ends
the episode. In an occluded level the agent sees the sweet only from the left route.
Below the start is a lock: stepping on it removes the sweet, at the cost of the reward
of the lock and of two steps. An agent that discounts exponentially never pays for that.
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
"""v: cells of the left route, from which the agent sees an occluded sweet."""


class Params(NamedTuple):
    """What a phase of a schedule may change."""

    reward: Float[Array, "3"]
    """Rewards: of the goal, of the sweet, of the lock (once)."""
    occluded: Float[Array, ""]
    """Probability that the sweet of a level is occluded."""


class Memory(NamedTuple):
    """What the rules need besides the board."""

    occluded: Bool[Array, ""]
    """Whether the sweet is visible from the left route alone."""


@fields.record
class TwoRoutes(GridWorld):
    """Two routes to a goal; a smaller reward lies beside one of them."""

    SCHEDULED: ClassVar[tuple[str, ...]] = Params._fields
    picture: ClassVar[tuple[str, ...]] = PICTURE
    num_contexts: ClassVar[int] = 2
    planes: ClassVar[tuple[str, ...]] = ("wall", "goal", "sweet", "lock")
    reward_sources: ClassVar[tuple[str, ...]] = ("goal", "sweet", "lock")
    takeable: ClassVar[tuple[tuple[str, int], ...]] = (("sweet", 1),)
    required_planes: ClassVar[tuple[str, ...]] = ("goal",)

    kind: Literal["two_routes"] = "two_routes"
    reward: tuple[float, float, float] = (1.0, 0.6, -0.02)
    """Rewards: of the goal, of the sweet, of the lock (once)."""
    occluded: fields.Fraction = 0.5
    """Probability that the sweet of a level is occluded."""
    max_steps: validation.MaxSteps = 60
    """Time limit: steps after which an episode is truncated."""
    view: grid.View = "board"
    """What the agent sees: a window centred on it (`agent`) or the whole board."""

    def params(self) -> Params:
        return self.arrays(Params)

    def board_error(self, board: UInt8[np.ndarray, "H W P"]) -> str:
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
        has_sweet = state.board[niche[0], niche[1], self.plane("sweet")] > 0
        locks = lock & has_sweet
        return Outcome(
            self.settle(state, moved, marks=[("sweet", niche, has_sweet & ~locks)]),
            moved.position,
            state.memory,
            jnp.where(jnp.stack([goal, sweet, locks]), params.reward, 0.0),
            goal | sweet,
        )

    def visible_board(self, state: State) -> UInt8[Array, "H W P"]:
        row, column = state.position
        hidden = state.memory.occluded & ~grid.drawing(PICTURE, "vs")[row, column]
        sweet = self.plane("sweet")
        visible = jnp.where(hidden, jnp.uint8(0), state.board[..., sweet])
        return state.board.at[..., sweet].set(visible)

    def context(self, state: State) -> Float[Array, " C"]:
        """[visible, occluded], of the level, wherever the agent is."""
        occluded = state.memory.occluded
        return jnp.stack([~occluded, occluded]).astype(jnp.float32)
