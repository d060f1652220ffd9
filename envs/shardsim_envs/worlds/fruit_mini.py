"""FruitMini: a value that is a sum, known part by part.

Five fruits lie at five of ten fixed sites of an open board; each pays when it is eaten,
and eating all ends the episode. With one head for each fruit the value of the hybrid
reward architecture is a sum of distances, which is the known answer here.

Reference: van Seijen et al., "Hybrid reward architecture for RL", 2017.
"""

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from shardsim_envs.gridworld import grid, validation
from shardsim_envs.gridworld.records import Level, Outcome, State
from shardsim_envs.gridworld.world import GridWorld


class Params(NamedTuple):
    """What a phase of a schedule may change."""

    reward: Float[Array, ""]
    """Pay of a fruit."""


class Memory(NamedTuple):
    """What the rules go by."""

    left: Int[Array, ""]
    """Fruits that are left."""


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
"""Cells at which a fruit may lie, of van Seijen et al."""


@dataclasses.dataclass(frozen=True)
class FruitMini(GridWorld):
    """The world and its static parameters."""

    SCHEDULED: ClassVar[tuple[str, ...]] = ("reward",)

    kind: Literal["fruit_mini"] = "fruit_mini"
    fruits: int = 5
    """Fruits of a level, at different sites."""
    reward: float = 1.0
    """Pay of a fruit."""
    max_steps: int = 300
    """Steps after which the episode is truncated."""
    view: grid.View = "board"
    """`agent`: a window centred on the agent; `board`: the board as it lies."""

    def __post_init__(self) -> None:
        fruits = (1 <= self.fruits <= len(SITES), f"1 to {len(SITES)}")
        validation.refuse(self, {**validation.episode(self), "fruits": fruits})

    @property
    def shape(self) -> tuple[int, int]:
        return (10, 10)

    @property
    def planes(self) -> tuple[str, ...]:
        return ("fruit",)

    @property
    def reward_sources(self) -> tuple[str, ...]:
        return ("fruit",)

    @property
    def takeable(self) -> tuple[tuple[str, int], ...]:
        return (("fruit", self.fruits),)

    @property
    def most_taken(self) -> int:
        return self.fruits

    @property
    def needed(self) -> tuple[str, ...]:
        return ("fruit",)

    def params(self) -> Params:
        return Params(jnp.asarray(self.reward, jnp.float32))

    def generate(self, key: Key[Array, ""], params: Params) -> Level:
        """Sites, and a start that is none of them."""
        del params
        site_key, start_key = jax.random.split(key)
        sites = jax.random.permutation(site_key, jnp.asarray(SITES, jnp.int32))
        sites = sites[: self.fruits]
        fruit = grid.mark(self.shape, sites, jnp.ones(self.fruits, bool))
        start = grid.random_cell(start_key, ~fruit)
        return self.level({"fruit": fruit}, start, Memory(jnp.int32(self.fruits)))

    def remember(self, level: Level) -> Level:
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

    def recall(
        self, level: Level, state: State, digits: tuple[Int[Array, ""], ...]
    ) -> State:
        left = (state.board[..., self.plane("fruit")] > 0).sum()
        return state._replace(memory=Memory(left.astype(jnp.int32)))
