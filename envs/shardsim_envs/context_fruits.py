"""ContextFruits: which fruit pays depends on the colour of the floor.

An open board without walls. C contexts are shown as floor colour, one fruit of
each kind and (in some levels) a neutral cue lie at random cells. Nothing but
eating pays: a bite of fruit f pays the largest `rewards[c][f]` over the contexts
c that are shown. The cue pays nothing, ever, and is never used up. An episode
ends with the last of `bites` bites. This is the juice and lollipop world.

A schedule is a change of `Params`: acquisition of A shows {A}; conflict shows
{A, B} together; extinction pays 0; renewal shows the old context again.
"""

import dataclasses
from typing import ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from shardsim.types import TimeStep
from shardsim_envs import grid


class Params(NamedTuple):
    """What a phase of a schedule may change."""

    rewards: Float[Array, "C F"]
    """Pay of a bite by context and fruit."""
    shown: Float[Array, " subsets"]
    """Weight of each set of contexts, by bit mask (index 0, no context, is 0)."""
    cue: Float[Array, ""]
    """Probability that a level holds the cue."""


class Level(NamedTuple):
    """A level as data: what `reset_to` starts from."""

    floor: Bool[Array, " C"]
    """Contexts shown."""
    fruits: Int[Array, "F 2"]
    cue: Int[Array, "2"]
    has_cue: Bool[Array, ""]
    start: Int[Array, "2"]


class State(NamedTuple):
    """A moment of an episode."""

    level: Level
    position: Int[Array, "2"]
    uneaten: Bool[Array, " F"]
    time: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class ContextFruits:
    """The world and its static parameters."""

    SCHEDULED: ClassVar[tuple[str, ...]] = ("rewards", "shown", "cue_probability")

    kind: Literal["context_fruits"] = "context_fruits"
    size: int = 7
    """Rows and columns of the board."""
    contexts: int = 2
    """C, the floor colours."""
    fruits: int = 2
    """F, the kinds of fruit; one of each lies on the board."""
    rewards: tuple[tuple[float, ...], ...] = ((1.0, 0.0), (0.0, 1.0))
    """Pay of a bite, C rows of F numbers."""
    shown: tuple[tuple[int, ...], ...] = ((0,), (1,))
    """Sets of contexts a level may show, drawn with equal chance."""
    cue_probability: float = 0.5
    """Chance that a level holds the neutral cue."""
    bites: int = 1
    """Bites after which the episode is terminated."""
    max_steps: int = 40
    """Steps after which the episode is truncated."""
    view: grid.View = "agent"
    """`agent`: a window centred on the agent; `board`: the board as it lies."""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def num_actions(self) -> int:
        return len(grid.ACTIONS)

    @property
    def num_contexts(self) -> int:
        return self.contexts

    @property
    def eaten_sets(self) -> tuple[int, ...]:
        """Bit masks of the eaten fruit before the last bite, in order."""
        masks = range(2**self.fruits)
        return tuple(m for m in masks if m.bit_count() < self.bites)

    @property
    def num_states(self) -> int:
        return self.size**2 * len(self.eaten_sets)

    @property
    def plane_names(self) -> tuple[str, ...]:
        fruits = tuple(f"fruit {f}" for f in range(self.fruits))
        floors = tuple(f"floor {c}" for c in range(self.contexts))
        agent = ("agent",) if self.view == "board" else ()
        return (*fruits, "cue", *floors, *agent)

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        side = 2 * self.size - 1 if self.view == "agent" else self.size
        return side, side, len(self.plane_names)

    @property
    def reward_sources(self) -> tuple[str, ...]:
        return tuple(f"fruit {f}" for f in range(self.fruits))

    def params(self) -> Params:
        masks = [sum(1 << c for c in group) for group in self.shown]
        weights = [masks.count(m) / len(masks) for m in range(2**self.contexts)]
        return Params(
            rewards=jnp.asarray(self.rewards, jnp.float32),
            shown=jnp.asarray(weights, jnp.float32),
            cue=jnp.asarray(self.cue_probability, jnp.float32),
        )

    def generate(self, key: Key[Array, ""], params: Params) -> Level:
        """A level: a set of contexts, then F + 2 different cells."""
        floor_key, cell_key, cue_key = jax.random.split(key, 3)
        mask = jax.random.categorical(floor_key, jnp.log(params.shown))
        free = jnp.ones((self.size, self.size), bool)
        cells = grid.random_cells(cell_key, free, self.fruits + 2)
        return Level(
            floor=(mask >> jnp.arange(self.contexts)) & 1 == 1,
            fruits=cells[: self.fruits],
            cue=cells[self.fruits],
            has_cue=jax.random.bernoulli(cue_key, params.cue),
            start=cells[self.fruits + 1],
        )

    def reset(
        self, key: Key[Array, ""], params: Params
    ) -> tuple[UInt8[Array, "H W P"], State]:
        return self.reset_to(self.generate(key, params), params)

    def reset_to(
        self, level: Level, params: Params
    ) -> tuple[UInt8[Array, "H W P"], State]:
        del params
        uneaten = jnp.ones((self.fruits,), bool)
        state = State(level, level.start, uneaten, jnp.int32(0))
        return self.observe(state), state

    def step(
        self, key: Key[Array, ""], state: State, action: Int[Array, ""], params: Params
    ) -> TimeStep:
        del key
        level = state.level
        position = grid.move(self.walls(level), state.position, action)
        bite = state.uneaten & jnp.all(level.fruits == position[None], axis=-1)
        pay = jnp.where(level.floor[:, None], params.rewards, -jnp.inf).max(axis=0)
        rewards = jnp.where(bite, pay, 0.0)
        uneaten = state.uneaten & ~bite
        time = state.time + 1
        terminated = jnp.sum(~uneaten) >= self.bites
        truncated = (time >= self.max_steps) & ~terminated
        new = State(level, position, uneaten, time)
        return TimeStep(
            self.observe(new),
            new,
            rewards.sum(),
            terminated,
            truncated,
            {"rewards": rewards},
        )

    def observe(self, state: State) -> UInt8[Array, "H W P"]:
        level, shape = state.level, (self.size, self.size)
        fruits = jax.vmap(lambda cell: grid.plane(shape, cell))(level.fruits)
        fruits = fruits & state.uneaten[:, None, None]
        cue = grid.plane(shape, level.cue) & level.has_cue
        floor = jnp.broadcast_to(level.floor[:, None, None], (self.contexts, *shape))
        planes = [*fruits, cue, *floor]
        if self.view == "board":
            planes.append(grid.plane(shape, state.position))
        board = jnp.stack(planes, axis=-1).astype(jnp.uint8)
        return board if self.view == "board" else grid.window(board, state.position)

    def context(self, state: State) -> Float[Array, " C"]:
        return state.level.floor.astype(jnp.float32)

    def states(self, level: Level) -> State:
        """All positions by all sets of eaten fruit; see `index`."""
        cells, sets = self.size**2, jnp.asarray(self.eaten_sets, jnp.int32)
        number = jnp.arange(self.num_states, dtype=jnp.int32)
        cell, eaten = number % cells, sets[number // cells]
        return State(
            level=jax.tree.map(
                lambda x: jnp.broadcast_to(x, (self.num_states, *x.shape)), level
            ),
            position=jnp.stack([cell // self.size, cell % self.size], axis=-1),
            uneaten=(eaten[:, None] >> jnp.arange(self.fruits)[None]) & 1 == 0,
            time=jnp.zeros((self.num_states,), jnp.int32),
        )

    def index(self, state: State) -> Int[Array, ""]:
        """cell + cells * (rank of the set of eaten fruit); terminal sets count as 0."""
        rank = {mask: i for i, mask in enumerate(self.eaten_sets)}
        ranks = [rank.get(m, 0) for m in range(2**self.fruits)]
        cell = state.position[0] * self.size + state.position[1]
        eaten = jnp.sum(jnp.where(state.uneaten, 0, 1 << jnp.arange(self.fruits)))
        return (cell + self.size**2 * jnp.asarray(ranks)[eaten]).astype(jnp.int32)

    def position(self, state: State) -> Int[Array, "2"]:
        return state.position

    def walls(self, level: Level) -> Bool[Array, "H W"]:
        del level
        return jnp.zeros((self.size, self.size), bool)

    def goal_field(self, key: Key[Array, ""], state: State) -> Int[Array, "H W"]:
        walls = self.walls(state.level)
        goal = grid.random_cells(key, ~walls, 1)[0]
        return grid.distances(walls, grid.plane(walls.shape, goal))

    def walk_logits(self, field: Int[Array, "H W"], state: State) -> Float[Array, " A"]:
        walls = self.walls(state.level)
        return grid.shortest_path_logits(field, walls, state.position)

    def glyphs(self, level: Level) -> dict[str, tuple[int, int]]:
        found = {f"fruit {f}": level.fruits[f] for f in range(self.fruits)}
        if level.has_cue:
            found["cue"] = level.cue
        found["start"] = level.start
        return {name: (int(cell[0]), int(cell[1])) for name, cell in found.items()}


def _check(world: ContextFruits) -> None:
    """Refuse what can't be played, naming the field."""
    cells = world.fruits + 2
    rules = {
        "contexts": (1 <= world.contexts <= 8, "1 to 8"),
        "fruits": (1 <= world.fruits <= 6, "1 to 6"),
        "size": (
            world.size >= 2 and world.size**2 >= cells,
            f"at least 2, with room for {cells} different cells",
        ),
        "rewards": (
            len(world.rewards) == world.contexts
            and all(len(row) == world.fruits for row in world.rewards),
            f"{world.contexts} rows (contexts) of {world.fruits} numbers (fruits)",
        ),
        "shown": (
            len(world.shown) > 0
            and all(
                group and all(0 <= c < world.contexts for c in group)
                for group in world.shown
            ),
            f"one or more non-empty sets of contexts 0 to {world.contexts - 1}",
        ),
        "cue_probability": (0 <= world.cue_probability <= 1, "0 to 1"),
        "bites": (1 <= world.bites <= world.fruits, f"1 to {world.fruits}"),
        "max_steps": (world.max_steps >= 1, "at least 1"),
    }
    for field, (fine, allowed) in rules.items():
        if not fine:
            got = getattr(world, field)
            raise ValueError(f"{field}: got {got!r}; allowed: {allowed}")
