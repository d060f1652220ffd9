"""Levels in Python: drawn as text, or generated. Symbols: L levels, H, W board."""

import dataclasses
import io
import textwrap
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, UInt8

from shardsim.api import session
from shardsim.commands import play
from shardsim.core import config as configs
from shardsim.core import field_errors
from shardsim_envs.gridworld.records import Level, State
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.levels import levels as level_files
from shardsim_envs.rendering import drawing


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Levels:
    """Levels of one world: a sequence of boards, which agents are asked about.

    `print` shows them as text, which `shardsim.levels` reads; a notebook shows a
    picture.

    Examples:
      >>> drawn = shardsim.levels("fruit_mini", count=2)
      >>> len(drawn), len(drawn[:1])
      (2, 1)
      >>> print(str(drawn[0]).splitlines()[0])
      f.........
      >>> drawn.picture().dtype
      dtype('uint8')
    """

    world: GridWorld
    data: Level
    """The levels as arrays, leaves [L, ...]."""

    def __len__(self) -> int:
        return len(self.data.board)

    def __getitem__(self, index: int | slice) -> "Levels":
        """Some of the levels; a number gives one of them, as a sequence of one."""
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"index: got {index}; allowed: below {len(self)}")
            index = slice(index, index + 1 or None)
        return Levels(self.world, jax.tree.map(lambda leaf: leaf[index], self.data))

    def __iter__(self) -> Iterator["Levels"]:
        return (self[number] for number in range(len(self)))

    def __str__(self) -> str:
        texts = (level_files.to_text(self.world, each) for each in self._each())
        return "\n".join(texts)

    def __repr__(self) -> str:
        noun = "level" if len(self) == 1 else "levels"
        return f"<{len(self)} {noun} of {field_errors.kind_of(type(self.world))}>"

    def _each(self) -> Iterator[Level]:
        return level_files.each(self.data)

    @property
    def letters(self) -> dict[str, str]:
        """What each letter of a drawing of this world stands for.

        Examples:
          >>> shardsim.levels("corner_maze", count=1).letters
          {'.': 'free', '#': 'wall', 'c': 'cheese', '@': 'agent'}
        """
        return level_files.letters(self.world)

    @property
    def states(self) -> State:
        """The states that the boards show: their episodes begin in them.

        Returns:
          States of the world, leaves [L, ...].

        Examples:
          >>> shardsim.levels("corner_maze", count=3).states.position.shape
          (3, 2)
        """
        return self._start()

    @session.computes
    def _start(self) -> State:
        params = self.world.params()
        return jax.vmap(lambda level: self.world.reset_to(level, params)[1])(self.data)

    @session.computes
    def everywhere(self) -> State:
        """The same states with the agent on every cell, all else as on the board.

        Those with the agent in a wall are among them; see `walls`.

        Returns:
          States of the world, leaves [L, H, W, ...].

        Examples:
          >>> shardsim.levels("fruit_mini", count=2).everywhere().position.shape
          (2, 10, 10, 2)
        """
        rows, columns = self.world.shape
        cells = jnp.stack(
            jnp.meshgrid(jnp.arange(rows), jnp.arange(columns), indexing="ij"), -1
        ).astype(jnp.int32)

        def moved(state: State, cell: jax.Array) -> State:
            agent = jnp.zeros(state.board.shape[:2], state.board.dtype)
            agent = agent.at[cell[0], cell[1]].set(1)
            board = state.board.at[..., -1].set(agent)
            return state._replace(board=board, position=cell)

        over_cells = jax.vmap(jax.vmap(moved, (None, 0)), (None, 0))
        states: State = jax.vmap(over_cells, (0, None))(self.states, cells)
        return states

    @property
    def walls(self) -> Bool[np.ndarray, "L H W"]:
        """Where the walls are.

        Examples:
          >>> shardsim.levels("fruit_mini", count=2).walls.any()
          np.False_
        """
        each = [level_files.walls_of(self.world, level) for level in self._each()]
        return np.stack(each)

    def picture(self, columns: int = 4) -> UInt8[np.ndarray, "h w 3"]:
        """A picture of the boards, side by side, in red, green and blue.

        Args:
          columns: boards in a row.

        Raises:
          ValueError: too many boards for a picture.

        Examples:
          >>> shardsim.levels("fruit_mini", count=2).picture().ndim
          3
        """
        frames = [drawing.frame(self.world, level) for level in self._each()]
        return drawing.sheet(frames, columns)

    def _repr_png_(self) -> bytes:
        """The picture, for notebooks."""
        from PIL import Image  # half a second, which only a picture needs

        file = io.BytesIO()
        Image.fromarray(self.picture()).save(file, "PNG")
        return file.getvalue()


def levels(world: Any, *texts: str, count: int | None = None, seed: int = 0) -> Levels:
    """Levels of a world, from drawings or drawn by the world itself.

    A drawing has one letter for each cell: `.` is free, `#` a wall, `@` the agent, and
    things have the letters of `Levels.letters`. Further lines
    may say `everywhere: PLANE` for what fills the board, such as a floor, and
    `X = PLANE + PLANE` for cells with several things.

    Args:
      world: its name, e.g. "corner_maze", or a world with other fields, e.g.
        `run.config.env`; `run.levels` takes that of the run.
      texts: drawings. Each level is checked: its things can be reached, and so on.
      count: number of levels to generate, at least 1, in place of drawings.
      seed: of the generated levels, 0 to 2^32 - 1.

    Raises:
      ConfigError: an unknown world, a drawing that is no playable level, or neither
        drawings nor a count.

    Examples:
      >>> maze = shardsim.levels(
      ...     shardsim_envs.CornerMaze(size=5),
      ...     '''
      ...     #####
      ...     #..c#
      ...     #.#.#
      ...     #@..#
      ...     #####
      ...     ''',
      ... )
      >>> maze
      <1 level of corner_maze>
    """
    env: GridWorld = play.read_env(world, ()) if isinstance(world, str) else world
    if not isinstance(env, GridWorld):
        kind = getattr(env, "kind", type(env).__name__)
        raise configs.ConfigError(
            f"world: got {kind!r}, which has no boards; allowed: a world of shardsim"
        )
    if bool(texts) == (count is not None):
        got = f"{len(texts)} drawings and count {count}"
        raise configs.ConfigError(
            f"texts: got {got}; allowed: drawings, or a count without drawings"
        )
    try:
        with session.numerics():
            if count is not None:
                return Levels(env, level_files.generate(env, seed, count).levels)
            each = [level_files.from_text(env, textwrap.dedent(t)) for t in texts]
            data: Any = jax.tree.map(lambda *leaves: np.stack(leaves), *each)
            return Levels(env, jax.tree.map(jnp.asarray, data))
    except (ValueError, TypeError) as error:
        raise configs.ConfigError(str(error)) from None


def of_world(env: Any, given: "Levels | str") -> Levels:
    """Levels that belong to a world, from levels or a drawing.

    Raises:
      ConfigError: they are levels of another world.
    """
    if isinstance(given, str):
        return levels(env, given)
    if given.world.observation_shape != env.observation_shape or type(
        given.world
    ) is not type(env):
        raise configs.ConfigError(
            f"levels: got {given!r}, of shape {given.world.observation_shape}; allowed:"
            f" those of {env.kind} of shape {env.observation_shape}"
        )
    return given
