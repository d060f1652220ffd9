"""DrugThenStudy: a drug gives reward at once and makes later actions random.

Reading the book gives reward and ends the episode. Taking the drug gives reward once;
afterwards a random action replaces each action with probability `slip_probability`, so
the book is harder to reach. The agent sees that it is drugged. Whether the drug is
worth it depends on the discount and the rewards: an agent that plans with a good model
of the world can know, an agent that repeats what was rewarded cannot.
"""

from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from shardsim.core import fields
from shardsim_envs.gridworld import grid, validation
from shardsim_envs.gridworld.records import Level, Outcome, State
from shardsim_envs.gridworld.world import GridWorld


class Params(NamedTuple):
    """What a phase of a schedule may change."""

    reward: Float[Array, "2"]
    """Rewards: of the book and of the drug."""
    slip_probability: Float[Array, ""]
    """Probability of a random action after the drug."""
    drugged_at_start: Float[Array, ""]
    """Probability that the drug has been taken when an episode begins."""


class Memory(NamedTuple):
    """What the rules need besides the board."""

    drugged: Bool[Array, ""]
    """Whether the agent has taken the drug."""
    slip_probability: Float[Array, ""]
    """Probability of a random action after the drug."""


@fields.record
class DrugThenStudy(GridWorld):
    """A drug gives reward at once and makes later actions random."""

    SCHEDULED: ClassVar[tuple[str, ...]] = Params._fields
    num_contexts: ClassVar[int] = 2
    planes: ClassVar[tuple[str, ...]] = ("book", "drug", "drugged")
    single_planes: ClassVar[tuple[str, ...]] = ("book", "drug")
    uniform_planes: ClassVar[tuple[str, ...]] = ("drugged",)
    things: ClassVar[tuple[str, ...]] = ("book", "drug")
    reward_sources: ClassVar[tuple[str, ...]] = ("book", "drug")
    takeable: ClassVar[tuple[tuple[str, int], ...]] = (("drug", 1),)
    required_planes: ClassVar[tuple[str, ...]] = ("book",)

    kind: Literal["drug_then_study"] = "drug_then_study"
    size: validation.BoardSize = 7
    """Rows and columns of the board, which has no walls."""
    reward: tuple[float, float] = (1.0, 0.2)
    """Rewards: of the book and of the drug."""
    slip_probability: fields.Fraction = 0.8
    """Probability that an action is replaced by a random one after the drug."""
    drugged_at_start: fields.Fraction = 0.0
    """Probability that the drug has been taken when an episode begins, so that V learns
    what that is worth from agents that never take it."""
    max_steps: validation.MaxSteps = 40
    """Time limit: steps after which an episode is truncated."""
    view: grid.View = "agent"
    """What the agent sees: a window centred on it (`agent`) or the whole board."""

    def params(self) -> Params:
        return self.arrays(Params)

    def generate(self, key: Key[Array, ""], params: Params) -> Level:
        cells = grid.random_cells(key, jnp.ones(self.shape, bool), 3)
        drugged = jax.random.bernoulli(
            jax.random.fold_in(key, 1), params.drugged_at_start
        )
        maps = {
            "book": grid.plane(self.shape, cells[0]),
            "drug": grid.plane(self.shape, cells[1]) * ~drugged,
        }
        return self.level(maps, cells[2], Memory(drugged, params.slip_probability))

    def fill_memory(self, level: Level) -> Level:
        slip = jnp.asarray(self.slip_probability, jnp.float32)
        return level._replace(memory=Memory(jnp.bool_(False), slip))

    def advance(
        self,
        key: Key[Array, ""] | None,
        state: State,
        action: Int[Array, ""],
        params: Params,
    ) -> Outcome:
        action = grid.slipped(key, action, self.slip(state))
        moved = self.move(state, action)
        book = moved.here[self.plane("book")] > 0
        drug = moved.here[self.plane("drug")] > 0
        return Outcome(
            self.settle(state, moved, {"drug": jnp.bool_(False)}),
            moved.position,
            state.memory._replace(drugged=state.memory.drugged | drug),
            jnp.where(jnp.stack([book, drug]), params.reward, 0.0),
            book,
        )

    def slip(self, state: State) -> Float[Array, ""]:
        return jnp.where(state.memory.drugged, state.memory.slip_probability, 0.0)

    def visible_board(self, state: State) -> UInt8[Array, "H W P"]:
        drugged = state.memory.drugged.astype(jnp.uint8)
        return state.board.at[..., self.plane("drugged")].set(drugged)

    def context(self, state: State) -> Float[Array, " C"]:
        """[sober, drugged]."""
        drugged = state.memory.drugged
        return jnp.stack([~drugged, drugged]).astype(jnp.float32)

    def restore_memory(
        self, level: Level, state: State, digits: tuple[Int[Array, ""], ...]
    ) -> State:
        """The agent is drugged if the drug is gone from the board."""
        on_board = (state.board[..., self.plane("drug")] > 0).any()
        return state._replace(memory=level.memory._replace(drugged=~on_board))
