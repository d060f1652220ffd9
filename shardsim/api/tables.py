"""Worlds given as tables, for agents of other people.

Symbols: S states, A actions, H, W board, X intermediate states, N outcomes of one.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from shardsim.core.field_errors import ConfigError
from shardsim_envs.tables import TableWorld

SUM_TOLERANCE = 1e-5
"""How far probabilities may be from a sum of 1."""
WIDTHS = {"f": np.float32, "i": np.int32, "u": np.int32, "b": np.uint8}
"""Type of observations by the kind of what is given; uint8 stays as it is."""


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
    """A finite world from arrays, for `shardsim.wrap`.

    Args:
      transitions: number of the next state, [S, A], or probabilities of the next
        states, [S, A, S].
      rewards: expected reward of each step, [S, A]; by next state, [S, A, S], where
        transitions are probabilities; or a mapping of such arrays by source.
      terminal: booleans, [S]: entering such a state ends the episode, and V is 0 there.
        None: no state does.
      observations: what the agent sees in each state, [S, ...]; None: a one-hot vector.
      start: number of the first state, or its probabilities, [S].
      cells: how states are drawn: row and column of each on the board, [S, 2]. States
        may share a cell; the page shows the first of them that can be reached. None:
        row by row on a board that is nearly square.
      walls: booleans, [H, W]; None: cells without a state are walls.
      things: cells (row, column) of things that are drawn, by name.
      pictures: a picture of each state, uint8 [S, h, w, 3]; the page shows that of the
        first state.
      max_steps: time limit of an episode.
      name: of the world.

    Returns:
      A world; `all_states()` are its states, in the order of the table.

    Raises:
      ConfigError: an array that does not fit the others, in one line.

    Examples:
      >>> corridor = shardsim.table(  # left or right; the last state pays
      ...     transitions=[[0, 1], [0, 2], [2, 2]],
      ...     rewards=[[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]],
      ...     terminal=[False, False, True],
      ...     cells=[[0, 0], [0, 1], [0, 2]],
      ... )
      >>> corridor
      <table world 'table': 3 states, 2 actions>
      >>> agent = shardsim.wrap(lambda state: state @ [0.5, 1, 0], world=corridor)
      >>> agent.value(corridor.all_states())
      array([0.5, 1. , 0. ], dtype=float32)
      >>> agent.q_values(corridor.all_states()).shape
      (3, 2)
      >>> shardsim.table([[0, 3]], [[0.0, 0.0]])
      Traceback (most recent call last):
      shardsim.core.field_errors.ConfigError: transitions: got another value at ...
    """
    moves = _moves(transitions)
    count = len(moves.state)
    if max_steps < 1:
        raise ConfigError(f"max_steps: got {max_steps}; allowed: at least 1")
    sources = rewards if isinstance(rewards, Mapping) else {"reward": rewards}
    by_source = [_reward(source, own, moves) for source, own in sources.items()]
    ends = _terminal(terminal, count)
    drawn = _cells(cells, count)
    board_walls = _walls(walls, drawn)
    successor, outcomes, chances = _with_chance(moves)
    return TableWorld(
        kind=name,
        successor=successor,
        rewards=np.stack(by_source, axis=-1).astype(np.float32),
        terminal=ends,
        observations=_observations(observations, count),
        start=_start(start, ends),
        cells=drawn,
        board_walls=board_walls,
        things=_things(things, board_walls),
        pictures=_pictures(pictures, count),
        outcomes=outcomes,
        chances=chances,
        reward_sources=tuple(sources),
        max_steps=max_steps,
    )


class _Moves(NamedTuple):
    """Transitions; of a table with chance, `state` alone has no meaning."""

    state: np.ndarray
    """[S, A] number of the next state; [S, A, S] where there is chance."""
    chance: Float[np.ndarray, "S A S"] | None
    """Probabilities of the next states; None: there is no chance."""


def _numbers(name: str, given: Any, dtype: Any = None) -> np.ndarray:
    """An array.

    Raises:
      ConfigError: it is none, such as rows of different lengths.
    """
    try:
        return np.asarray(given, dtype)
    except (ValueError, TypeError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(f"{name}: got no array ({line}); allowed: numbers") from None


def _check(name: str, fits: np.ndarray, allowed: str) -> None:
    """Refuse an array by the place of the first number that does not fit."""
    if not fits.all():
        at = np.argwhere(~fits)[0].tolist()
        raise ConfigError(f"{name}: got another value at {at}; allowed: {allowed}")


def _moves(given: Any) -> _Moves:
    moves = _numbers("transitions", given)
    is_square = moves.ndim == 3 and moves.shape[0] == moves.shape[2]
    is_whole = moves.ndim == 2 and np.issubdtype(moves.dtype, np.integer)
    if not is_square and not is_whole:
        raise ConfigError(
            f"transitions: got {moves.dtype} of shape {moves.shape}; allowed: numbers "
            "of the next states [S, A], or probabilities [S, A, S]"
        )
    count, actions = moves.shape[:2]
    if count < 1 or actions < 1:
        raise ConfigError(
            f"transitions: got {count} states and {actions} actions; allowed: at least "
            "1 of each"
        )
    if is_whole:
        _check("transitions", (moves >= 0) & (moves < count), f"0 to {count - 1}")
        return _Moves(moves, None)
    chance = _numbers("transitions", moves, np.float64)
    is_distribution = np.abs(chance.sum(axis=-1) - 1) <= SUM_TOLERANCE
    is_distribution &= (chance >= 0).all(axis=-1)
    _check("transitions", is_distribution, "probabilities that sum to 1")
    return _Moves(moves, chance)


def _reward(source: str, given: Any, moves: _Moves) -> Float[np.ndarray, "S A"]:
    """Expected reward of one source."""
    reward = _numbers("rewards", given, np.float64)
    shape, more = moves.state.shape[:2], ""
    if moves.chance is not None:
        more = f" or {moves.chance.shape}"
        if reward.shape == moves.chance.shape:
            reward = (moves.chance * reward).sum(axis=-1)
    if reward.shape != shape:
        raise ConfigError(
            f"rewards: got shape {reward.shape} for {source!r}; allowed: {shape}{more}"
        )
    _check("rewards", np.isfinite(reward), "finite numbers")
    return reward


def _terminal(given: Any, count: int) -> Bool[np.ndarray, " S"]:
    ends = np.zeros(count, bool) if given is None else _numbers("terminal", given)
    if ends.shape != (count,):
        raise ConfigError(f"terminal: got shape {ends.shape}; allowed: {(count,)}")
    if ends.dtype != bool:
        raise ConfigError(f"terminal: got {ends.dtype}; allowed: booleans, [{count}]")
    return ends


def _observations(given: Any, count: int) -> np.ndarray:
    """[S, ...], in the narrowest type that agents are asked with."""
    if given is None:
        return np.eye(count, dtype=np.float32)
    rows = _numbers("observations", given)
    if rows.ndim < 2 or len(rows) != count or rows.dtype.kind not in WIDTHS:
        raise ConfigError(
            f"observations: got {rows.dtype} of shape {rows.shape}; allowed: numbers "
            f"[{count}, ...], one row for each state"
        )
    if rows.dtype != np.uint8:
        rows = rows.astype(WIDTHS[rows.dtype.kind])
    _check("observations", np.isfinite(rows), "finite numbers")
    return rows


def _start(given: Any, terminal: Bool[np.ndarray, " S"]) -> Float[np.ndarray, " S"]:
    """Probability that an episode starts in each state."""
    count = len(terminal)
    start = _numbers("start", given)
    if start.ndim == 0 and np.issubdtype(start.dtype, np.integer):
        if not 0 <= start < count:
            raise ConfigError(f"start: got {start}; allowed: 0 to {count - 1}")
        start = np.eye(count)[int(start)]
    start = _numbers("start", start, np.float64)
    is_distribution = start.shape == (count,) and (start >= 0).all()
    if not is_distribution or abs(start.sum() - 1) > SUM_TOLERANCE:
        raise ConfigError(
            f"start: got shape {start.shape}; allowed: the number of a state, or "
            f"probabilities [{count}] that sum to 1"
        )
    if (start[terminal] > 0).any():
        raise ConfigError("start: got a terminal state; allowed: states that go on")
    return start.astype(np.float32)


def _cells(given: Any, count: int) -> Int[np.ndarray, "S 2"]:
    """Row and column of each state; without any, a board that is nearly square."""
    if given is None:
        width = int(np.ceil(np.sqrt(count)))
        return np.stack(np.divmod(np.arange(count), width), axis=-1).astype(np.int32)
    cells = _numbers("cells", given)
    is_whole = np.issubdtype(cells.dtype, np.integer)
    if cells.shape != (count, 2) or not is_whole or (cells < 0).any():
        raise ConfigError(
            f"cells: got {cells.dtype} of shape {cells.shape}; allowed: row and column "
            f"of each state, whole numbers [{count}, 2] from 0"
        )
    return cells.astype(np.int32)


def _walls(given: Any, cells: Int[np.ndarray, "S 2"]) -> Bool[np.ndarray, "H W"]:
    """Walls of the board; without any, all cells that have no state."""
    shape = tuple(int(n) for n in cells.max(axis=0) + 1)
    if given is None:
        walls = np.ones(shape, bool)
        walls[tuple(cells.T)] = False
        return walls
    walls = _numbers("walls", given, bool)
    if walls.ndim != 2 or (np.asarray(walls.shape) < shape).any():
        raise ConfigError(
            f"walls: got shape {walls.shape}; allowed: a board [H, W] of at least "
            f"{shape}, which has all cells"
        )
    return walls


def _things(
    given: Mapping[str, tuple[int, int]] | None, walls: Bool[np.ndarray, "H W"]
) -> dict[str, tuple[int, int]]:
    things = dict(given or {})
    for thing, cell in things.items():
        if len(cell) != 2 or not all(
            0 <= x < n for x, n in zip(cell, walls.shape, strict=True)
        ):
            raise ConfigError(
                f"things.{thing}: got {cell}; allowed: a cell of the board"
            )
    return things


def _pictures(given: Any, count: int) -> UInt8[np.ndarray, "S h w 3"] | None:
    if given is None:
        return None
    pictures = _numbers("pictures", given)
    is_coloured = pictures.ndim == 4 and pictures.shape[-1] == 3
    if pictures.dtype != np.uint8 or not is_coloured or len(pictures) != count:
        raise ConfigError(
            f"pictures: got {pictures.dtype} of shape {pictures.shape}; allowed: uint8 "
            f"[{count}, h, w, 3]"
        )
    return pictures


def _with_chance(
    moves: _Moves,
) -> tuple[Int[np.ndarray, "S A"], Int[np.ndarray, "X N"], Float[np.ndarray, "X N"]]:
    """Successors, and outcomes and chances of the intermediate states."""
    none = np.zeros((0, 0), np.int32), np.zeros((0, 0), np.float32)
    if moves.chance is None:
        return moves.state.astype(np.int32), *none
    order = np.argsort(-moves.chance, axis=-1, kind="stable").astype(np.int32)
    likeliest_first = np.take_along_axis(moves.chance, order, axis=-1)
    most = int((likeliest_first > 0).sum(axis=-1).max())
    if most == 1:
        return order[..., 0], *none
    count, actions = moves.state.shape[:2]
    between = count + np.arange(count * actions, dtype=np.int32).reshape(count, actions)
    outcomes = order[..., :most].reshape(-1, most)
    chances = likeliest_first[..., :most].reshape(-1, most).astype(np.float32)
    return between, outcomes, chances
