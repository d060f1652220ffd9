"""FruitMini: a value that is a sum of known parts.

Five fruits lie at five of ten fixed sites of an open board. Each gives reward when it
is eaten, and eating all ends the episode. With one head for each fruit, the value of
the hybrid reward architecture is a sum of functions of distances, so it is known
exactly.

Reference: van Seijen et al., "Hybrid reward architecture for RL", 2017.
"""

from typing import Annotated, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key
from pydantic import Field

from shardsim.core import fields
from shardsim_envs.gridworld import grid, validation
from shardsim_envs.gridworld.records import Level, Outcome, State
from shardsim_envs.gridworld.world import GridWorld


class Params(NamedTuple):
    """What a phase of a schedule may change."""

    reward: Float[Array, ""]
    """Reward of a fruit."""


class Memory(NamedTuple):
    """What the rules need besides the board."""

    left: Int[Array, ""]
    """Number of fruits that are left."""


SITES = (
    (0, 0),
    (0, 9),
    (1, 2),
    (3, 6),
    (4, 4),
    (5, 7),
    (6, 2),
    (7, 7),
    (8, 8),
    (9, 0),
)
"""Cells at which a fruit can lie, as in van Seijen et al."""


@fields.record
class FruitMini(GridWorld):
    """Five fruits, so that the value is a sum of known parts."""

    SCHEDULED: ClassVar[tuple[str, ...]] = Params._fields
    shape: ClassVar[tuple[int, int]] = (10, 10)
    planes: ClassVar[tuple[str, ...]] = ("fruit",)
    reward_sources: ClassVar[tuple[str, ...]] = ("fruit",)
    required_planes: ClassVar[tuple[str, ...]] = ("fruit",)

    kind: Literal["fruit_mini"] = "fruit_mini"
    fruits: Annotated[int, Field(ge=1, le=len(SITES))] = 5
    """Number of fruits in a level, each at its own site."""
    reward: float = 1.0
    """Reward of a fruit."""
    max_steps: validation.MaxSteps = 300
    """Time limit: steps after which an episode is truncated."""
    view: grid.View = "board"
    """What the agent sees: a window centred on it (`agent`) or the whole board."""

    @property
    def takeable(self) -> tuple[tuple[str, int], ...]:
        return (("fruit", self.fruits),)

    @property
    def most_taken(self) -> int:
        return self.fruits

    def params(self) -> Params:
        return self.arrays(Params)

    def generate(self, key: Key[Array, ""], params: Params) -> Level:
        """Draw sites for the fruits, and a start on another cell."""
        del params
        site_key, start_key = jax.random.split(key)
        sites = jax.random.permutation(site_key, jnp.asarray(SITES, jnp.int32))
        sites = sites[: self.fruits]
        fruit = grid.mark(self.shape, sites, jnp.ones(self.fruits, bool))
        start = grid.random_cell(start_key, ~fruit)
        return self.level({"fruit": fruit}, start, Memory(jnp.int32(self.fruits)))

    def fill_memory(self, level: Level) -> Level:
        left = (level.board[..., self.plane("fruit")] > 0).sum()
        return level._replace(memory=Memory(left.astype(jnp.int32)))

    def advance(
        self,
        key: Key[Array, ""] | None,
        state: State,
        action: Int[Array, ""],
        params: Params,
    ) -> Outcome:
        del key
        moved = self.move(state, action)
        fruit = moved.here[self.plane("fruit")] > 0
        left = state.memory.left - fruit.astype(jnp.int32)
        return Outcome(
            self.settle(state, moved, {"fruit": jnp.bool_(False)}),
            moved.position,
            Memory(left),
            jnp.where(fruit, params.reward, 0.0)[None],
            left <= 0,
        )

    def restore_memory(
        self, level: Level, state: State, digits: tuple[Int[Array, ""], ...]
    ) -> State:
        left = (state.board[..., self.plane("fruit")] > 0).sum()
        return state._replace(memory=Memory(left.astype(jnp.int32)))
