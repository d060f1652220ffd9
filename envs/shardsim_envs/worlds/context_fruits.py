"""ContextFruits: the colour of the floor decides which fruit gives reward.

A board without walls. The floor colour shows one or more of C contexts. One fruit of
each kind and, in some levels, a neutral cue lie at random cells. A bite of fruit f
gives

    max over the contexts c shown of rewards[c][f].

Nothing else gives reward: the cue never does, and it is never used up. The episode ends
with bite number `bites`. This is the juice and lollipop world.

With `hunger`, every level shows for each kind of fruit whether the agent is hungry for
it, and a bite gives reward only then. A phase without hunger is a devaluation.

A schedule changes `Params`: acquisition of A shows {A}, conflict shows {A, B} together,
extinction gives 0, renewal shows the old context again.
"""

from typing import Annotated, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8
from pydantic import Field, NonNegativeInt, PositiveInt

from shardsim.core import fields
from shardsim_envs.gridworld import grid, validation
from shardsim_envs.gridworld.records import Level, Outcome, State
from shardsim_envs.gridworld.world import GridWorld


class Params(NamedTuple):
    """What a phase of a schedule may change."""

    rewards: Float[Array, "C F"]
    """Reward of a bite by context and fruit."""
    contexts_shown: Float[Array, " subsets"]
    """Weight of each set of contexts, by bit mask (index 0, no context, is 0)."""
    cue: Float[Array, ""]
    """Probability that a level holds the cue."""
    hunger: Float[Array, " F"]
    """Probability of hunger for each fruit; empty in a world without hunger."""


@fields.record
class ContextFruits(GridWorld):
    """The floor colour (context) decides which fruit gives reward."""

    SCHEDULED: ClassVar[tuple[str, ...]] = (
        "rewards",
        "contexts_shown",
        "cue_probability",
        "hunger",
    )

    kind: Literal["context_fruits"] = "context_fruits"
    size: Annotated[int, Field(ge=2)] = 7
    """Rows and columns of the board, which has no walls."""
    contexts: Annotated[int, Field(ge=1, le=8)] = 2
    """C, number of contexts (floor colours)."""
    fruits: Annotated[int, Field(ge=1, le=6)] = 2
    """F, number of kinds of fruit; one of each is on the board."""
    rewards: tuple[tuple[float, ...], ...] = ((1.0, 0.0), (0.0, 1.0))
    """Reward of a bite: a row for each context, a number for each fruit."""
    contexts_shown: Annotated[
        tuple[Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)], ...],
        Field(min_length=1),
    ] = ((0,), (1,))
    """Sets of contexts that a level may show, chosen with equal probability."""
    cue_probability: fields.Fraction = 0.5
    """Probability that a level has the neutral cue."""
    hunger: tuple[fields.Fraction, ...] = ()
    """For each fruit, the probability that the agent is hungry for it in a level, so
    that a bite is rewarded; an empty list: always."""
    bites: PositiveInt = 1
    """Number of bites after which an episode terminates."""
    max_steps: validation.MaxSteps = 40
    """Time limit: steps after which an episode is truncated."""
    view: grid.View = "agent"
    """What the agent sees: a window centred on it (`agent`) or the whole board."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def num_contexts(self) -> int:
        return self.contexts

    @property
    def planes(self) -> tuple[str, ...]:
        floors = tuple(f"floor {c}" for c in range(self.contexts))
        hungry = tuple(f"hungry {f}" for f in range(len(self.hunger)))
        return (*self.reward_sources, "cue", *floors, *hungry)

    @property
    def single_planes(self) -> tuple[str, ...]:
        return self.things

    @property
    def uniform_planes(self) -> tuple[str, ...]:
        return self.planes[len(self.things) :]

    @property
    def things(self) -> tuple[str, ...]:
        return (*self.reward_sources, "cue")

    @property
    def reward_sources(self) -> tuple[str, ...]:
        return tuple(f"fruit {f}" for f in range(self.fruits))

    @property
    def takeable(self) -> tuple[tuple[str, int], ...]:
        return tuple((fruit, 1) for fruit in self.reward_sources)

    @property
    def most_taken(self) -> int:
        return self.bites

    def params(self) -> Params:
        masks = [sum(1 << c for c in group) for group in self.contexts_shown]
        weights = [masks.count(m) / len(masks) for m in range(2**self.contexts)]
        return Params(
            rewards=jnp.asarray(self.rewards, jnp.float32),
            contexts_shown=jnp.asarray(weights, jnp.float32),
            cue=jnp.asarray(self.cue_probability, jnp.float32),
            hunger=jnp.asarray(self.hunger, jnp.float32),
        )

    def generate(self, key: Key[Array, ""], params: Params) -> Level:
        """Draw a set of contexts, then F + 2 different cells."""
        floor_key, cell_key, cue_key = jax.random.split(key, 3)
        mask = jax.random.categorical(floor_key, jnp.log(params.contexts_shown))
        shown = (mask >> jnp.arange(self.contexts)) & 1 == 1
        free = jnp.ones(self.shape, bool)
        cells = grid.random_cells(cell_key, free, self.fruits + 2)
        has_cue = jax.random.bernoulli(cue_key, params.cue)
        maps = {
            fruit: grid.plane(self.shape, cells[f])
            for f, fruit in enumerate(self.reward_sources)
        }
        maps["cue"] = grid.plane(self.shape, cells[self.fruits]) & has_cue
        maps |= {f"floor {c}": free & shown[c] for c in range(self.contexts)}
        if self.hunger:
            hungry = jax.random.bernoulli(jax.random.fold_in(key, 1), params.hunger)
            maps |= {f"hungry {f}": free & hungry[f] for f in range(self.fruits)}
        return self.level(maps, cells[self.fruits + 1])

    def board_error(self, board: UInt8[np.ndarray, "H W P"]) -> str:
        kinds = int(board[..., : self.fruits].any(axis=(0, 1)).sum())
        # bites are counted by the fruits that are gone, so all must be there at first
        least = 1 if self.bites == 1 else self.fruits
        if kinds < least:
            return f"fruit: got {kinds} kinds; allowed: at least {least}"
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
        bite = moved.here[: self.fruits] > 0
        shown = self.context(state) > 0
        reward = jnp.where(shown[:, None], params.rewards, -jnp.inf).max(axis=0)
        if self.hunger:
            hungry = moved.here[self.plane("hungry 0") : -1]
            reward = reward * hungry.astype(jnp.float32)
        eaten = {fruit: jnp.bool_(False) for fruit in self.reward_sources}
        if self.bites == 1:
            terminated = bite.any()
        else:
            left = (state.board[..., : self.fruits] > 0).any(axis=(0, 1)) & ~bite
            terminated = jnp.sum(~left) >= self.bites
        return Outcome(
            self.settle(state, moved, eaten),
            moved.position,
            state.memory,
            jnp.where(bite, reward, 0.0),
            terminated,
        )

    def context(self, state: State) -> Float[Array, " C"]:
        """1 for each context that the floor shows."""
        first = self.plane("floor 0")
        return state.board[0, 0, first : first + self.contexts].astype(jnp.float32)


def _check(world: ContextFruits) -> None:
    """Check that the fields fit together.

    Raises:
      ValueError: naming the field, its value and what is allowed.
    """
    cells, contexts = world.fruits + 2, set(range(world.contexts))
    rules = {
        "size": (
            world.size**2 >= cells,
            f"at least 2, with room for {cells} different cells",
        ),
        "rewards": (
            len(world.rewards) == world.contexts
            and all(len(row) == world.fruits for row in world.rewards),
            f"{world.contexts} rows (contexts) of {world.fruits} numbers (fruits)",
        ),
        "contexts_shown": (
            all(contexts.issuperset(g) for g in world.contexts_shown)
            and all(len(set(g)) == len(g) for g in world.contexts_shown),
            f"one or more non-empty sets of contexts 0 to {world.contexts - 1}",
        ),
        "hunger": (
            len(world.hunger) in (0, world.fruits),
            f"() or {world.fruits} probabilities (fruits), 0 to 1",
        ),
        "bites": (world.bites <= world.fruits, f"1 to {world.fruits}"),
    }
    validation.check(world, rules)
