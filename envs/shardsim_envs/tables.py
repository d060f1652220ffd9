"""A finite world given as a table: states, actions, transitions, rewards.

Symbols: S states, A actions, R reward sources, H, W board. A transition with chance is
an intermediate state for each state and action, which coins turn into its outcomes; its
number is S + s A + a. So exact values take chance into account.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, UInt8

from shardsim.core.types import Params, TimeStep, Whole

SUM_TOLERANCE = 1e-5
"""How far probabilities may be from a sum of 1."""


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
        here = self._outcome(state.number)
        running = ~state.terminated & ~jnp.asarray(self.terminal)[here]
        after = jnp.asarray(self.successor)[here, action]
        rewards = jnp.where(running, jnp.asarray(self.rewards)[here, action], 0.0)
        if key is not None and len(self.outcomes):
            row = jnp.maximum(after - len(self.terminal), 0)
            drawn = self._draw(jax.random.uniform(key), jnp.asarray(self.chances)[row])
            outcome = jnp.asarray(self.outcomes)[row, drawn]
            after = jnp.where(after >= len(self.terminal), outcome, after)
        number = jnp.where(running, after, here).astype(jnp.int32)
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


def table(
    transitions: Any,
    rewards: Any,
    *,
    terminal: Any = None,
    observations: Any = None,
    start: Any = 0,
    cells: Any = None,
    walls: Any = None,
    things: Mapping[str, tuple[int, int]] | None = None,
    pictures: Any = None,
    max_steps: int = 100,
    name: str = "table",
) -> TableWorld:
    """Build a world from arrays; see `shardsim.table`.

    Raises:
      ValueError: an array does not fit the others; the text names it.
    """
    moves = np.asarray(transitions)
    if moves.ndim == 2 and np.issubdtype(moves.dtype, np.integer):
        chance = None
    elif moves.ndim == 3 and moves.shape[0] == moves.shape[2]:
        chance = np.asarray(moves, np.float64)
    else:
        raise ValueError(
            f"transitions: got {moves.dtype} of shape {moves.shape}; allowed: numbers "
            "of the next states [S, A], or probabilities [S, A, S]"
        )
    count, actions = moves.shape[:2]
    if count < 1 or actions < 1 or max_steps < 1:
        raise ValueError(
            f"transitions: got {count} states, {actions} actions and max_steps "
            f"{max_steps}; allowed: at least 1 of each"
        )
    if chance is None:
        _check("transitions", (moves >= 0) & (moves < count), f"0 to {count - 1}")
    else:
        fits = np.abs(chance.sum(axis=-1) - 1) <= SUM_TOLERANCE
        fits &= (chance >= 0).all(axis=-1)
        _check("transitions", fits, "probabilities that sum to 1")
    sources = rewards if isinstance(rewards, Mapping) else {"reward": rewards}
    paid = np.stack(
        [_reward(name, own, moves, chance) for name, own in sources.items()], axis=-1
    )
    ends = _array("terminal", terminal, np.zeros(count, bool), (count,))
    if ends.dtype != bool:
        raise ValueError(f"terminal: got {ends.dtype}; allowed: booleans, [{count}]")
    seen = np.eye(count, dtype=np.float32) if observations is None else observations
    seen = np.asarray(seen)
    if seen.ndim < 2 or len(seen) != count or seen.dtype.kind not in "buif":
        raise ValueError(
            f"observations: got {seen.dtype} of shape {seen.shape}; allowed: numbers "
            f"[{count}, ...], one row for each state"
        )
    narrow = {"f": np.float32, "i": np.int32, "u": np.uint8, "b": np.uint8}
    if seen.dtype.kind == "u" and seen.dtype != np.uint8:
        seen = seen.astype(np.int32)
    seen = seen.astype(narrow[seen.dtype.kind])
    _check("observations", np.isfinite(seen), "finite numbers")
    drawn = _cells(cells, count)
    shape = tuple(int(n) for n in drawn.max(axis=0) + 1)
    if walls is None:
        blocked = np.ones(shape, bool)
        blocked[tuple(drawn.T)] = False
    else:
        blocked = np.asarray(walls, bool)
        if blocked.ndim != 2 or (np.asarray(blocked.shape) < shape).any():
            raise ValueError(
                f"walls: got shape {blocked.shape}; allowed: a board [H, W] of at "
                f"least {shape}, which has all cells"
            )
    for thing, cell in (things or {}).items():
        inside = len(cell) == 2 and all(
            0 <= x < n for x, n in zip(cell, blocked.shape, strict=True)
        )
        if not inside:
            raise ValueError(
                f"things.{thing}: got {cell}; allowed: a cell of the board"
            )
    if pictures is not None:
        pictures = np.asarray(pictures)
        if pictures.dtype != np.uint8 or pictures.ndim != 4 or len(pictures) != count:
            raise ValueError(
                f"pictures: got {pictures.dtype} of shape {pictures.shape}; allowed: "
                f"uint8 [{count}, h, w, 3]"
            )
    successor, outcomes, chances = _with_chance(moves, chance)
    return TableWorld(
        kind=name,
        successor=successor,
        rewards=paid.astype(np.float32),
        terminal=ends,
        observations=seen,
        start=_start(start, ends),
        cells=drawn,
        board_walls=blocked,
        things=dict(things or {}),
        pictures=pictures,
        outcomes=outcomes,
        chances=chances,
        reward_sources=tuple(sources),
        max_steps=max_steps,
    )


def _check(name: str, fits: np.ndarray, allowed: str) -> None:
    if not np.asarray(fits).all():
        at = np.argwhere(~np.asarray(fits))[0].tolist()
        raise ValueError(f"{name}: got another value at {at}; allowed: {allowed}")


def _array(
    name: str, given: Any, default: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    array = default if given is None else np.asarray(given)
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}; allowed: {shape}")
    return array


def _reward(
    name: str, given: Any, moves: np.ndarray, chance: np.ndarray | None
) -> np.ndarray:
    """Expected reward of one source, [S, A]."""
    reward = np.asarray(given, np.float64)
    states, actions = moves.shape[:2]
    if chance is not None and reward.shape == chance.shape:
        reward = (chance * reward).sum(axis=-1)
    if reward.shape != (states, actions):
        more = f" or {chance.shape}" if chance is not None else ""
        raise ValueError(
            f"rewards: got shape {reward.shape} for {name!r}; allowed: "
            f"{(states, actions)}{more}"
        )
    _check("rewards", np.isfinite(reward), "finite numbers")
    return reward


def _start(given: Any, terminal: np.ndarray) -> np.ndarray:
    count = len(terminal)
    start = np.asarray(given)
    if start.ndim == 0 and np.issubdtype(start.dtype, np.integer):
        if not 0 <= start < count:
            raise ValueError(f"start: got {start}; allowed: 0 to {count - 1}")
        start = np.eye(count)[int(start)]
    start = start.astype(np.float64)
    is_distribution = start.shape == (count,) and (start >= 0).all()
    if not is_distribution or abs(start.sum() - 1) > SUM_TOLERANCE:
        raise ValueError(
            f"start: got shape {start.shape}; allowed: the number of a state, or "
            f"probabilities [{count}] that sum to 1"
        )
    if (start[terminal] > 0).any():
        raise ValueError("start: got a terminal state; allowed: states that go on")
    return start.astype(np.float32)


def _cells(given: Any, count: int) -> np.ndarray:
    """Row and column of each state; without any, a board that is nearly square."""
    if given is None:
        width = int(np.ceil(np.sqrt(count)))
        return np.stack(np.divmod(np.arange(count), width), axis=-1).astype(np.int32)
    cells = np.asarray(given)
    is_whole = np.issubdtype(cells.dtype, np.integer)
    if cells.shape != (count, 2) or not is_whole or (cells < 0).any():
        raise ValueError(
            f"cells: got {cells.dtype} of shape {cells.shape}; allowed: row and column "
            f"of each state, whole numbers [{count}, 2] from 0"
        )
    return cells.astype(np.int32)


def _with_chance(
    moves: np.ndarray, chance: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Successors, and outcomes and chances of the intermediate states."""
    count, actions = moves.shape[:2]
    if chance is None:
        empty = np.zeros((0, 0), np.int32)
        return moves.astype(np.int32), empty, empty.astype(np.float32)
    order = np.argsort(-chance, axis=-1, kind="stable").astype(np.int32)
    sorted_chances = np.take_along_axis(chance, order, axis=-1)
    most = int((sorted_chances > 0).sum(axis=-1).max())
    if most == 1:
        empty = np.zeros((0, 0), np.int32)
        return order[..., 0], empty, empty.astype(np.float32)
    between = count + np.arange(count * actions, dtype=np.int32).reshape(count, actions)
    outcomes = order[..., :most].reshape(-1, most)
    chances = sorted_chances[..., :most].reshape(-1, most).astype(np.float32)
    return between, outcomes, chances
