"""The base of every world: a board of planes, moves, time, views, enumerated states.

A world is one file of rules: the planes of its board, how a level is generated, and
what happens after the agent moves. Everything else is here, once.

The board is the state: `board[h, w, p]` is 1 where plane p shows something, and the
agent is the last plane. A step changes a few cells in place and the agent observes the
board itself, so nothing is drawn. Symbols as in `shardsim.core.types`.

Memory of a batch of B states: B (H W P + a few numbers) bytes.
"""

from collections.abc import Sequence
from typing import TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree, UInt8

from shardsim.core import sparse
from shardsim.core.types import Params, TimeStep, Whole
from shardsim_envs.gridworld import enumeration, grid, rules
from shardsim_envs.gridworld.records import Level, Moved, State

T = TypeVar("T")


class GridWorld(rules.Rules):
    """An environment that follows from its rules. A world is a final frozen dataclass.

    Methods without a docstring are documented at `shardsim.core.types.Environment`.
    """

    @property
    def num_actions(self) -> int:
        return len(grid.ACTIONS)

    @property
    def plane_names(self) -> tuple[str, ...]:
        """Names of the planes that the agent sees."""
        if self.view == "board":
            return self.board_planes
        # the window always has the agent in the middle, so its plane is dropped. It has
        # zeros outside the board: the floor plane distinguishes free cells from those
        return (*self.planes, "floor") if self.has_walls else self.planes

    @property
    def observation_shape(self) -> tuple[int, int, int]:
        height, width = self.shape
        if self.view == "agent":
            height, width = 2 * height - 1, 2 * width - 1
        return height, width, len(self.plane_names)

    @property
    def has_walls(self) -> bool:
        return "wall" in self.planes

    @property
    def num_states(self) -> int:
        return enumeration.count(self)

    def reset(
        self, key: Key[Array, ""], params: Params
    ) -> tuple[UInt8[Array, "H W P"], State]:
        return self.reset_to(self.generate(key, params), params)

    def reset_to(
        self, level: Level, params: Params
    ) -> tuple[UInt8[Array, "H W P"], State]:
        del params
        level = jax.tree.map(jnp.asarray, level)  # edited levels hold numpy arrays
        state = State(
            level.board, level.start, level.memory, jnp.int32(0), jnp.bool_(False)
        )
        return self.observe(state), state

    def step(
        self,
        key: Key[Array, ""] | None,
        state: State,
        action: Whole,
        params: Params,
    ) -> TimeStep:
        """One step. A terminated state does not change and gives reward 0.

        Args:
          key: of the world's own chance. None leaves chance out: rewards are expected
            ones, and `coin` says how chance changes the state.
        """
        out = self.advance(key, state, jnp.asarray(action, jnp.int32), params)
        running = ~state.terminated
        rewards = jnp.where(running, out.rewards, 0.0)
        proxies = [jnp.where(running, jnp.float32(p), 0.0) for p in out.proxies]
        time = state.time + running.astype(jnp.int32)
        terminated = out.terminated | state.terminated
        new = State(
            out.board,
            out.position,
            _where(running, out.memory, state.memory),
            time,
            terminated,
        )
        return TimeStep(
            self.observe(new),
            new,
            rewards.sum(),
            terminated,
            (time >= self.max_steps) & ~terminated,
            {
                "rewards": rewards,
                "proxy_rewards": jnp.stack(proxies) if proxies else jnp.zeros((0,)),
            },
        )

    def observe(self, state: State) -> UInt8[Array, "H W P"]:
        board = self.visible_board(state)
        if self.view == "board":
            return board
        planes = board[..., :-1]
        if self.has_walls:
            free = 1 - board[..., self.plane("wall")]
            planes = jnp.concatenate([planes, free[..., None]], axis=-1)
        return grid.window(planes, state.position)

    @property
    def patterns(self) -> sparse.Patterns | None:
        """Things in single cells, and planes that are 1 on the whole board."""
        if {*self.single_planes, *self.uniform_planes} != set(self.planes):
            return None
        uniform = tuple(self.plane(name) for name in self.uniform_planes)
        return sparse.Patterns(
            self.observation_shape, len(self._single_indices), self.shape, uniform
        )

    @property
    def _single_indices(self) -> tuple[int, ...]:
        """The planes with one cell at most, among those that the agent sees."""
        names = (*self.single_planes, *(("agent",) if self.view == "board" else ()))
        return tuple(self.plane(name) for name in names)

    def rows(self, state: State) -> Int[Array, " rows"]:
        """The observation as numbers of patterns; see `shardsim.core.sparse`."""
        board, patterns = (
            self.visible_board(state),
            cast(sparse.Patterns, self.patterns),
        )
        _, width, planes = patterns.shape
        # of the board's corner in the observation
        corner = jnp.zeros((2,), jnp.int32)
        if self.view == "agent":
            corner = jnp.asarray(self.shape, jnp.int32) - 1 - state.position
        index = np.asarray(self._single_indices, np.int32)
        single = board[..., index].astype(jnp.int32)
        # one cell at most is 1, so that these sums are its row and its column
        rows, columns = (np.arange(n, dtype=np.int32) for n in self.shape)
        row = jnp.sum(single * rows[:, None, None], axis=(0, 1))
        column = jnp.sum(single * columns[None, :, None], axis=(0, 1))
        cell = ((row + corner[0]) * width + column + corner[1]) * planes + index
        is_there = single.sum(axis=(0, 1)) > 0
        cells = jnp.where(is_there, cell, patterns.num_inputs)
        uniform = np.asarray(patterns.area_planes, np.int32)
        down, across = patterns.places
        place = corner[0] * across + corner[1]
        number = place * len(uniform) + np.arange(len(uniform), dtype=np.int32)
        is_shown = board[0, 0, uniform] > 0
        areas = jnp.where(is_shown, number, down * across * len(uniform))
        return jnp.concatenate([cells, areas])

    def move(self, state: State, action: Int[Array, ""]) -> Moved:
        """Move the agent; walls, the edge and a terminated episode block the move."""
        goal = state.position + jnp.asarray(grid.MOVES, jnp.int32)[action]
        edge = jnp.asarray(self.shape, jnp.int32) - 1
        target = jnp.clip(goal, 0, edge)
        blocked = jnp.any(goal != target) | state.terminated
        if self.has_walls:
            wall = state.board[target[0], target[1], self.plane("wall")]
            blocked = blocked | (wall > 0)
        position = jnp.where(blocked, state.position, target)
        return Moved(state.position, position, state.board[position[0], position[1]])

    def settle(
        self,
        state: State,
        moved: Moved,
        changes: dict[str, Array] | None = None,
        marks: Sequence[tuple[str, Array, Array]] = (),
    ) -> UInt8[Array, "H W P"]:
        """The board after a move, with the changes that the rules make.

        Args:
          changes: new content of planes at the agent's new cell.
          marks: (plane, cell, new content) elsewhere; each place at most once.
        """
        width, planes = self.shape[1], len(self.board_planes)
        old = (moved.before[0] * width + moved.before[1]) * planes
        new = (moved.position[0] * width + moved.position[1]) * planes
        agent = planes - 1
        at, values = [old + agent, new + agent], [old == new, jnp.bool_(True)]
        for name, value in (changes or {}).items():
            index = self.plane(name)
            was = moved.here[index] > 0
            at.append(new + index)
            values.append(jnp.where(state.terminated, was, value))
        for name, cell, value in marks:
            index = self.plane(name)
            was = state.board[cell[0], cell[1], index] > 0
            at.append((cell[0] * width + cell[1]) * planes + index)
            values.append(jnp.where(state.terminated, was, value))
        # one scatter of single numbers works in place and is fastest on a CPU
        flat = state.board.reshape(-1)
        flat = flat.at[jnp.stack(at)].set(jnp.stack(values).astype(jnp.uint8))
        return flat.reshape(state.board.shape)

    def level(
        self, planes: dict[str, Array], start: Int[Array, "2"], memory: PyTree = ()
    ) -> Level:
        """Build a level from maps [H, W] of some planes; the others are empty.

        Args:
          start: cell of the agent.
          memory: what the rules need at the start besides the board.
        """
        planes = {**planes, "agent": grid.plane(self.shape, start)}
        empty = jnp.zeros(self.shape, jnp.uint8)
        maps = [
            planes[name].astype(jnp.uint8) if name in planes else empty
            for name in self.board_planes
        ]
        return Level(jnp.stack(maps, axis=-1), start, memory)

    def position(self, state: State) -> Int[Array, "2"]:
        return jnp.asarray(state.position)

    def walls(self, level: Level | State) -> Bool[Array, "H W"]:
        if not self.has_walls:
            return jnp.zeros(self.shape, bool)
        # an edited level holds numpy arrays
        return jnp.asarray(level.board)[..., self.plane("wall")] > 0

    def goal_field(self, key: Key[Array, ""], state: State) -> Int[Array, "H W"]:
        walls = self.walls(state)
        if self.has_walls:
            goal = grid.random_cell(key, ~walls)
        else:
            goal = grid.random_cells(key, ~walls, 1)[0]
        return grid.distances(walls, grid.plane(walls.shape, goal))

    def walk_logits(self, field: Int[Array, "H W"], state: State) -> Float[Array, " A"]:
        return grid.shortest_path_logits(field, self.walls(state), state.position)

    def glyphs(self, level: Level) -> dict[str, tuple[int, int]]:
        cell_of: dict[str, tuple[int, int]] = {}
        for name in self.things:
            cells = jnp.argwhere(level.board[..., self.plane(name)] > 0).tolist()
            for number, (row, column) in enumerate(cells):
                label = name if len(cells) == 1 else f"{name} {number}"
                cell_of[label] = (row, column)
        cell_of["start"] = (int(level.start[0]), int(level.start[1]))
        return cell_of

    def states(self, level: Level) -> State:
        return enumeration.states(self, level)

    def state_at(self, level: Level, number: Whole) -> State:
        return enumeration.state_at(self, level, number)

    def index(self, level: Level, state: State) -> Int[Array, ""]:
        return enumeration.index(self, level, state)


def _where(condition: Array, one: T, other: T) -> T:
    result: T = jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
    return result
