"""Worlds given as tables, for agents of other people."""

from collections.abc import Mapping
from typing import Any

from shardsim.core import config as configs
from shardsim_envs import tables


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
) -> tables.TableWorld:
    """A finite world from arrays, for `shardsim.wrap`.

    Symbols: S states, A actions, H, W board.

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
    try:
        return tables.table(
            transitions,
            rewards,
            terminal=terminal,
            observations=observations,
            start=start,
            cells=cells,
            walls=walls,
            things=things,
            pictures=pictures,
            max_steps=max_steps,
            name=name,
        )
    except (ValueError, TypeError) as error:
        raise configs.ConfigError(" ".join(str(error).split())) from None
