"""A row of cells with a fruit at its right end. Symbols: H, W board, C contexts."""

from typing import Annotated, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key
from pydantic import Field

import shardsim
from shardsim_envs.gridworld import grid, validation
from shardsim_envs.gridworld.records import Level, Outcome, State
from shardsim_envs.gridworld.world import GridWorld


class Params(NamedTuple):
    """What a phase of a schedule may change."""

    reward: Float[Array, ""]
    """Reward of the fruit."""


@shardsim.record
class Corridor(GridWorld):
    """A row of cells; the fruit is at the right end, and the start anywhere else."""

    SCHEDULED: ClassVar[tuple[str, ...]] = Params._fields
    planes: ClassVar[tuple[str, ...]] = ("fruit 0",)
    reward_sources: ClassVar[tuple[str, ...]] = ("fruit 0",)
    required_planes: ClassVar[tuple[str, ...]] = ("fruit 0",)

    kind: Literal["corridor"] = "corridor"
    length: Annotated[int, Field(ge=2, le=40)] = 8
    """Number of cells."""
    reward: float = 1.0
    """Reward of the fruit."""
    max_steps: validation.MaxSteps = 20
    """Time limit: steps after which an episode is truncated."""
    view: grid.View = "board"
    """What the agent sees: a window centred on it (`agent`) or the whole board."""

    @property
    def shape(self) -> tuple[int, int]:
        return 1, self.length

    def params(self) -> Params:
        return self.arrays(Params)

    def generate(self, key: Key[Array, ""], params: Params) -> Level:
        """Draw the start, uniform over the cells without the fruit."""
        del params
        fruit = grid.plane(self.shape, jnp.array([0, self.length - 1]))
        start = jax.random.randint(key, (), 0, self.length - 1)
        cell = jnp.stack([jnp.int32(0), start.astype(jnp.int32)])
        return self.level({"fruit 0": fruit}, cell)

    def advance(
        self,
        key: Key[Array, ""] | None,
        state: State,
        action: Int[Array, ""],
        params: Params,
    ) -> Outcome:
        del key
        moved = self.move(state, action)
        fruit = moved.here[self.plane("fruit 0")] > 0
        return Outcome(
            self.settle(state, moved),
            moved.position,
            state.memory,
            jnp.where(fruit, params.reward, 0.0)[None],
            fruit,
        )
