"""The boards of a report: V and the policy of all arms, gates and values of shards.

Symbols: K shards, H, W the board.
"""

from collections.abc import Sequence

import altair as alt
import numpy as np

from shardsim.reports.charts import board_sheet, theme
from shardsim.reports.charts.board_cells import Board, Scale
from shardsim.reports.maps import LevelMaps


def values(
    levels: Sequence[LevelMaps],
    arms: Sequence[str],
    width: float | None = None,
    is_transposed: bool = False,
) -> alt.LayerChart:
    """V and the policy on a few levels: a row for V*, then one for each arm.

    Args:
      width: of the whole chart, in pixels; None gives each board its usual size.
      is_transposed: arms have columns, and levels have rows.
    """
    optimal = [level.optimal for level in levels]
    high = max(float(np.max(x)) for x in optimal)
    low = min(0.0, *(float(np.min(x)) for x in optimal))
    scale = Scale(low, high if high > low else low + 1, theme.SEQUENTIAL)
    boards = []
    for column, level in enumerate(levels):
        for row, arm in enumerate(["exact", *arms]):
            drawn = level.optimal if row == 0 else level.arms[arm].value
            move = level.arms[arm].move
            boards.append(Board(row, column, level, drawn, scale, move))
    titles = [_title(level) for level in levels]
    return board_sheet.lay_out(
        boards, ["V*", *arms], titles, {"V": scale}, width, is_transposed
    )


def shards(
    levels: Sequence[LevelMaps],
    arm: str,
    scheme: theme.Scheme = "light",
    width: float | None = None,
    is_transposed: bool = False,
) -> alt.LayerChart:
    """Gate and contribution (gate times value) of every shard on a few levels.

    Args:
      width: of the whole chart, in pixels; None gives each board its usual size.
      is_transposed: shards have columns, and levels have rows.
    """
    gates = [level.arms[arm].gates for level in levels]
    each = [
        gate * level.arms[arm].shard_values
        for gate, level in zip(gates, levels, strict=True)
    ]
    most = max(float(np.abs(x).max()) for x in each) or 1.0
    top = max(1.0, *(float(gate.max()) for gate in gates))
    scales = {
        "gate": Scale(0.0, top, theme.SEQUENTIAL),
        "contribution": Scale(-most, most, theme.DIVERGING[scheme]),
    }
    boards, titles = [], []
    for column, level in enumerate(levels):
        for which, (name, by_level) in enumerate(
            zip(scales, (gates, each), strict=True)
        ):
            place = 2 * column + which
            titles.append(f"{name}\n{_title(level)}")
            boards += [
                Board(k, place, level, by_level[column][..., k], scales[name])
                for k in range(by_level[column].shape[-1])
            ]
    count = gates[0].shape[-1]
    rows = [f"shard {k}" for k in range(count)]
    return board_sheet.lay_out(boards, rows, titles, scales, width, is_transposed)


def _title(level: LevelMaps) -> str:
    context = ", ".join(map(str, level.scene.context))
    name = level.scene.condition.replace("_", " ")
    return f"{name}\ncontext {context}" if context else name
