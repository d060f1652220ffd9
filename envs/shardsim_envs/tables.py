"""A finite world given as a table: states, actions, transitions, rewards.

Symbols: S states, A actions, R reward sources, H, W board. A transition with chance is
an intermediate state for each state and action, which coins turn into its outcomes; its
number is S + s A + a. So exact values take chance into account.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, UInt8

from shardsim.core.types import Params, TimeStep, Whole


class Start(NamedTuple):
    """A level of a table: where an episode starts."""

    start: Int[Array, ""]
    """Number of the state."""


class TableState(NamedTuple):
    """A state of an episode."""

    number: Int[Array, ""]
    """In [0, S), or that of an intermediate state."""
    time: Int[Array, ""]
    """Steps since the start."""
    terminated: Bool[Array, ""]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TableWorld:
    """An environment whose dynamics are arrays. Two of them are never equal."""

    SCHEDULED: ClassVar[tuple[str, ...]] = ()

    kind: str
    """Its name."""
    successor: Int[np.ndarray, "S A"]
    """Number of the next state; of an intermediate one where there is chance."""
    rewards: Float[np.ndarray, "S A R"]
    """Expected reward by source."""
    terminal: Bool[np.ndarray, " S"]
    """States that end the episode when they are entered."""
    observations: np.ndarray
    """[S, ...]"""
    start: Float[np.ndarray, " S"]
    """Probability that an episode starts in each state."""
    cells: Int[np.ndarray, "S 2"]
    """Row and column at which each state is drawn."""
    board_walls: Bool[np.ndarray, "H W"]
    things: Mapping[str, tuple[int, int]]
    """Cell of each thing that is drawn."""
    pictures: UInt8[np.ndarray, "S h w 3"] | None
    """A picture of each state; None: there are none."""
    outcomes: Int[np.ndarray, "X N"]
    """Possible next states of each of the X intermediate states, the likeliest first;
    filled up with the last."""
    chances: Float[np.ndarray, "X N"]
    """Probability of each of them."""
    reward_sources: tuple[str, ...]
    max_steps: int
    num_contexts: int = 1
    unlisted: str = ""
    proxy_names: tuple[str, ...] = ()
    plane_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<table world {self.kind!r}: {len(self.terminal)} states, "
            f"{self.num_actions} actions>"
        )

    @property
    def num_actions(self) -> int:
        return self.successor.shape[1]

    @property
    def observation_shape(self) -> tuple[int, ...]:
        return self.observations.shape[1:]

    @property
    def num_states(self) -> int:
        """S, and the intermediate states."""
        return len(self.terminal) + len(self.outcomes)

    @property
    def num_coins(self) -> int:
        return self.outcomes.shape[1] if len(self.outcomes) else 0

    def params(self) -> Params:
        return ()

    def all_states(self) -> TableState:
        """The S states of the table in its order, as agents are asked about them."""
        numbers = jnp.arange(len(self.terminal), dtype=jnp.int32)
        return jax.vmap(_state)(numbers)

    def generate(self, key: Key[Array, ""], params: Params) -> Start:
        del params
        return Start(self._draw(jax.random.uniform(key), jnp.asarray(self.start)))

    def _draw(self, uniform: Array, probabilities: Array) -> Array:
        number = (jnp.cumsum(probabilities) <= uniform).sum().astype(jnp.int32)
        last = jnp.flatnonzero(probabilities > 0, size=1, fill_value=0)[0]
        is_possible = probabilities[jnp.minimum(number, len(probabilities) - 1)] > 0
        return jnp.where(is_possible, number, last).astype(jnp.int32)

    def reset(self, key: Key[Array, ""], params: Params) -> tuple[Array, TableState]:
        return self.reset_to(self.generate(key, params), params)

    def reset_to(self, level: Start, params: Params) -> tuple[Array, TableState]:
        del params
        state = _state(jnp.asarray(level.start, jnp.int32))
        return self.observe(state), state

    def step(
        self,
        key: Key[Array, ""] | None,
        state: TableState,
        action: Whole,
        params: Params,
    ) -> TimeStep:
        """One step; without a key it ends in the intermediate state before chance."""
        del params
        start = self._outcome(state.number)
        running = ~state.terminated & ~jnp.asarray(self.terminal)[start]
        after = jnp.asarray(self.successor)[start, action]
        rewards = jnp.where(running, jnp.asarray(self.rewards)[start, action], 0.0)
        if key is not None and len(self.outcomes):
            row = jnp.maximum(after - len(self.terminal), 0)
            drawn = self._draw(jax.random.uniform(key), jnp.asarray(self.chances)[row])
            outcome = jnp.asarray(self.outcomes)[row, drawn]
            after = jnp.where(after >= len(self.terminal), outcome, after)
        number = jnp.where(running, after, start).astype(jnp.int32)
        is_between = number >= len(self.terminal)
        ends = jnp.asarray(self.terminal)[self._outcome(number)] & ~is_between
        terminated = state.terminated | ends
        time = state.time + running.astype(jnp.int32)
        new = TableState(number, time, terminated)
        info = {"rewards": rewards, "proxy_rewards": jnp.zeros((0,))}
        truncated = (time >= self.max_steps) & ~terminated
        observation = self.observe(new)
        return TimeStep(observation, new, rewards.sum(), terminated, truncated, info)

    def _outcome(self, given: Whole) -> Array:
        """The state itself; of an intermediate one the likeliest outcome."""
        number = jnp.asarray(given, jnp.int32)
        if not len(self.outcomes):
            return number
        row = jnp.maximum(number - len(self.terminal), 0)
        likeliest = jnp.asarray(self.outcomes)[row, 0]
        return jnp.where(number >= len(self.terminal), likeliest, number)

    def observe(self, state: TableState) -> Array:
        return jnp.asarray(self.observations)[self._outcome(state.number)]

    def context(self, state: TableState) -> Float[Array, " C"]:
        del state
        return jnp.ones((1,))

    def states(self, level: Start) -> TableState:
        numbers = jnp.arange(self.num_states, dtype=jnp.int32)
        return jax.vmap(lambda number: self.state_at(level, number))(numbers)

    def state_at(self, level: Start, number: Whole) -> TableState:
        del level
        return _state(jnp.asarray(number, jnp.int32))

    def index(self, level: Start, state: TableState) -> Int[Array, ""]:
        del level
        return state.number

    def coin(self, number: int, state: TableState) -> tuple[TableState, Array]:
        """One coin for each outcome: it falls if the others before it have not."""
        count = len(self.terminal)
        row = jnp.maximum(state.number - count, 0)
        left = 1 - jnp.asarray(self.chances)[row, :number].sum()
        prob = jnp.asarray(self.chances)[row, number] / jnp.maximum(left, 1e-12)
        is_last = number == self.num_coins - 1
        falls = jnp.where(is_last, 1.0, jnp.clip(prob, 0.0, 1.0))
        is_between = state.number >= count
        after = jnp.where(
            is_between, jnp.asarray(self.outcomes)[row, number], state.number
        )
        return state._replace(number=after), jnp.where(is_between, falls, 0.0)

    def slip(self, state: TableState) -> Float[Array, ""]:
        del state
        return jnp.float32(0)

    def position(self, state: TableState) -> Int[Array, "2"]:
        return jnp.asarray(self.cells, jnp.int32)[self._outcome(state.number)]

    def walls(self, level: PyTree) -> Bool[Array, "H W"]:
        del level
        return jnp.asarray(self.board_walls)

    def goal_field(self, key: Key[Array, ""], state: PyTree) -> Int[Array, "H W"]:
        """No goals: the walk of a table is uniform."""
        del key, state
        return jnp.zeros(self.board_walls.shape, jnp.int32)

    def walk_logits(
        self, field: Int[Array, "H W"], state: PyTree
    ) -> Float[Array, " A"]:
        del field, state
        return jnp.zeros((self.num_actions,))

    def glyphs(self, level: Start) -> dict[str, tuple[int, int]]:
        row, column = self.cells[int(level.start)].tolist()
        return {**self.things, "start": (row, column)}

    def picture(self, level: Start) -> UInt8[np.ndarray, "h w 3"] | None:
        """The picture of a level's start; None where there are no pictures."""
        return None if self.pictures is None else self.pictures[int(level.start)]


def _state(number: Array) -> TableState:
    return TableState(number, jnp.int32(0), jnp.bool_(False))
