"""The boards of a report: V, the policy, gates and shards, cell by cell, as SVG text.

Symbols: K shards, A actions, H, W the board.
"""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from shardsim.evaluation.measures import EXACT
from shardsim.reports.verdicts import figures, maps

PANEL = 1.25
"""Inches a side of a board, with the gap beside it."""
GAP = 0.08
"""Of a board's side."""


class _Sheet(NamedTuple):
    """Boards in rows and columns on one pair of axes, a unit a cell."""

    figure: Figure
    axes: Axes
    bars: list[Axes]
    """Where colour bars stand."""
    side: float
    """From one board to the next."""


def values(levels: Sequence[maps.LevelMaps], arms: list[str]) -> str:
    """V and the policy on a few boards: a row for V*, then one for each arm."""
    top = max(float(np.max(level.optimal)) for level in levels)
    low = min(0.0, *(float(np.min(level.optimal)) for level in levels))
    norm = Normalize(low, top if top > low else low + 1)
    with matplotlib.rc_context(figures.STYLE):
        size = (len(arms) + 1, len(levels))
        sheet = _sheet(size, levels[0].walls.shape, lines=2, bars=1)
        for column, level in enumerate(levels):
            rows = [
                (level.optimal, level.arms[EXACT].move),
                *((level.arms[arm].value, level.arms[arm].move) for arm in arms),
            ]
            for row, (value, move) in enumerate(rows):
                at = _board(sheet, (row, column), value, level, norm, "viridis")
                _arrows(sheet.axes, at, move, level)
            _over(sheet, column, _title(level.scene))
        for row, arm in enumerate(["V*", *arms]):
            _beside(sheet, row, arm)
        bar = ScalarMappable(norm, "viridis")
        sheet.figure.colorbar(bar, cax=sheet.bars[0], label="V")
        return figures.svg(sheet.figure)


def shards(levels: Sequence[maps.LevelMaps], arm: str) -> str:
    """Gate and contribution of every shard on a few boards."""
    gates = [level.arms[arm].gates for level in levels]
    bids = [level.arms[arm].gates * level.arms[arm].shard_values for level in levels]
    most = max(float(np.abs(bid).max()) for bid in bids)
    most = most if most > 0 else 1.0
    kinds = (
        (
            "gate",
            gates,
            Normalize(0, max(1.0, *(float(g.max()) for g in gates))),
            "cividis",
        ),
        ("contribution", bids, Normalize(-most, most), "RdBu"),
    )
    *shape, count = gates[0].shape
    with matplotlib.rc_context(figures.STYLE):
        sheet = _sheet((count, 2 * len(levels)), shape, lines=3, bars=2)
        for column, level in enumerate(levels):
            for which, (word, found, norm, cmap) in enumerate(kinds):
                at, what = 2 * column + which, found[column]
                for k in range(count):
                    _board(sheet, (k, at), what[..., k], level, norm, cmap)
                _over(sheet, at, f"{word}\n{_title(level.scene)}")
        for k in range(count):
            _beside(sheet, k, f"shard {k}")
        for bar, (word, _, norm, cmap) in zip(sheet.bars, kinds, strict=True):
            sheet.figure.colorbar(ScalarMappable(norm, cmap), cax=bar, label=word)
        return figures.svg(sheet.figure)


def _sheet(
    size: tuple[int, int], shape: Sequence[int], lines: int, bars: int
) -> _Sheet:
    """Rows and columns of boards under titles of some lines, with colour bars.

    One pair of axes holds all boards, for each takes as long as all that is on it. They
    stand where they are put: to have matplotlib look for room takes as long again.
    """
    rows, columns = size
    left, top, bottom, right = 0.35, 0.1 + 0.16 * lines, 0.08, 0.15 + 0.85 * bars
    width, height = left + PANEL * columns + right, top + PANEL * rows + bottom
    figure = Figure(figsize=(width, height))

    def place(x: float, y: float, w: float, h: float) -> Axes:
        return figure.add_axes((x / width, y / height, w / width, h / height))

    axes = place(left, bottom, PANEL * columns, PANEL * rows)
    axes.set_axis_off()
    middle, tall = bottom + PANEL * rows / 2, min(PANEL * rows, 2.0)
    beside = width - right + 0.15
    places = [
        place(beside + 0.85 * bar, middle - tall / 2, 0.12, tall) for bar in range(bars)
    ]
    side = (1 + GAP) * max(shape)
    axes.set(xlim=(0, side * columns), ylim=(side * rows, 0), autoscale_on=False)
    return _Sheet(figure, axes, places, side)


def _over(sheet: _Sheet, column: int, title: str) -> None:
    x = (column + 0.5) * sheet.side
    sheet.axes.text(x, -0.02 * sheet.side, title, ha="center", va="bottom")


def _beside(sheet: _Sheet, row: int, name: str) -> None:
    y = (row + 0.5) * sheet.side
    told = sheet.axes.text(-0.04 * sheet.side, y, figures.plain(name), rotation=90)
    told.set(ha="right", va="center")


def _title(scene: maps.Scene) -> str:
    shown = ", ".join(map(str, scene.context))
    name = figures.plain(scene.condition.replace("_", " "))
    return f"{name}\ncontext {shown}" if shown else name


def _board(
    sheet: _Sheet,
    at: tuple[int, int],
    what: Float[np.ndarray, "H W"],
    level: maps.LevelMaps,
    norm: Normalize,
    cmap: str,
) -> tuple[float, float]:
    """Draw a board.

    Returns:
      Where the middle of its first cell is, x and y.
    """
    walls = level.walls
    # a cell that holds a reward ends the episode: V of it is never asked for
    seen = np.where(level.reachable & ~walls, what, np.nan)
    colours = matplotlib.colormaps[cmap].with_extremes(bad="#bbbbbb")
    painted = colours(norm(np.ma.masked_invalid(seen)))
    painted[walls] = (0, 0, 0, 1)
    (height, width), (row, column) = what.shape, at
    x, y = ((place + 0.5) * sheet.side for place in (column, row))
    x, y = x - width / 2, y - height / 2
    sheet.axes.imshow(painted, extent=(x, x + width, y + height, y), aspect="auto")
    for name, (row, column) in level.scene.glyphs.items():
        sheet.axes.text(
            x + column + 0.5,
            y + row + 0.5,
            _glyph(name),
            ha="center",
            va="center",
            fontsize=7,
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"},
        )
    return x + 0.5, y + 0.5


def _glyph(name: str) -> str:
    """`fruit 1` -> F1: letters that any font has."""
    first, _, rest = name.partition(" ")
    return first[0].upper() + rest


def _arrows(
    axes: Axes,
    at: tuple[float, float],
    move: Float[np.ndarray, "H W 2"],
    level: maps.LevelMaps,
) -> None:
    """Mean move of the policy; short where it wavers."""
    fine = level.reachable & ~level.walls
    row, column = np.nonzero(fine)
    axes.quiver(
        at[0] + column,
        at[1] + row,
        move[fine][:, 1],
        -move[fine][:, 0],
        pivot="mid",
        scale=1.4,
        scale_units="xy",
        units="xy",
        width=0.1,
        color="white",
        edgecolor="black",
        linewidth=0.3,
    )
