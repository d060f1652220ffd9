"""Boards on one sheet, with headings and colour bars, as a chart.

Symbols: H, W the board. All boards share one coordinate system whose unit is a cell.
Cells are an image; arrows and names are marks.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from shardsim.reports.charts import board_cells, theme
from shardsim.reports.charts.board_cells import Board, Scale

BOARD = 92
"""Pixels of the longer side of a board."""
MOST_SIDE, MOST_SIDE_NARROW = 170, 100
"""Pixels of a board and the gap next to it, at most, where the width is given."""
NARROW = 500
"""Pixels of a chart below which its colour bars are under it."""
BAR = 62
"""Pixels of a colour bar beside the boards, with its numbers."""
LINE = 12
"""Pixels from a line of a heading to the next."""
GAP = 0.08
"""Between boards, of the longer side."""
ARROW = "M-1,-0.22L0.1,-0.22L0.1,-0.62L1,0L0.1,0.62L0.1,0.22L-1,0.22Z"
"""From left to right, 2 long."""
LENGTH = 0.75
"""Of an arrow where the policy always takes one action, in cells."""


def lay_out(
    boards: Sequence[Board],
    rows: Sequence[str],
    columns: Sequence[str],
    scales: Mapping[str, Scale],
    width: float | None,
    is_transposed: bool,
) -> alt.LayerChart:
    """The sheet as it is, or with rows and columns swapped."""
    if not is_transposed:
        return _sheet(boards, rows, columns, scales, width)
    swapped = [board._replace(row=board.column, column=board.row) for board in boards]
    return _sheet(swapped, columns, rows, scales, width)


class _Sheet(NamedTuple):
    """Where boards lie: a grid whose unit is a cell of a board."""

    columns: int
    rows: int
    side: float
    """Of the square that a board has for itself, with the gap, in cells."""
    cell: float
    """Pixels of a cell."""

    def corner(self, board: Board) -> tuple[float, float]:
        """Left and upper end of a board."""
        height, width = board.values.shape
        left = (board.column + 0.5) * self.side - width / 2
        return left, (board.row + 0.5) * self.side - height / 2

    def axes(self) -> tuple[alt.X, alt.Y]:
        """Positions on the sheet: x to the right and y downwards."""
        across = alt.Scale(domain=[0, self.columns * self.side], nice=False)
        down = alt.Scale(domain=[self.rows * self.side, 0], nice=False)
        return (
            alt.X("x:Q", axis=None, scale=across),
            alt.Y("y:Q", axis=None, scale=down),
        )


def _sheet(
    boards: Sequence[Board],
    rows: Sequence[str],
    columns: Sequence[str],
    scales: Mapping[str, Scale],
    width: float | None,
) -> alt.LayerChart:
    """All boards with their headings and colour bars.

    Args:
      rows, columns: headings; a line break starts a new line.
      width: of the whole chart, in pixels; None gives each board its usual size.
    """
    longer = max(max(board.values.shape) for board in boards)
    side = (1 + GAP) * longer
    is_narrow = width is not None and width < NARROW
    cell = BOARD / longer
    if width is not None:
        margin = _line_height(rows) + (0 if is_narrow else BAR)
        most = MOST_SIDE_NARROW if is_narrow else MOST_SIDE
        cell = min((width - margin) / len(columns), most) / side
    sheet = _Sheet(len(columns), len(rows), side, cell)
    layers = [
        _images(boards, sheet),
        _moves(boards, sheet),
        *_names(boards, sheet),
        _column_headings(columns, sheet),
        _row_headings(rows, sheet),
        *(
            _bar(name, scale, channel, is_narrow)
            for (name, scale), channel in zip(scales.items(), _CHANNELS, strict=False)
        ),
    ]
    return (
        alt.layer(*layers)
        .properties(width=sheet.columns * side * cell, height=sheet.rows * side * cell)
        .resolve_legend(color="independent")
    )


def _images(boards: Sequence[Board], sheet: _Sheet) -> alt.Chart:
    """The colours of all cells."""
    x, y = sheet.axes()
    height, width = boards[0].values.shape
    rows = []
    for board in boards:
        left, top = sheet.corner(board)
        rows.append({"x": left, "y": top, "url": _png(board_cells.painted(board))})
    mark = _data(rows).mark_image(
        aspect=False,
        align="left",
        baseline="top",
        width=width * sheet.cell,
        height=height * sheet.cell,
    )
    return mark.encode(x, y, url="url:N")


def _moves(boards: Sequence[Board], sheet: _Sheet) -> alt.Chart:
    """The arrows of all policies."""
    x, y = sheet.axes()
    rows = []
    for board in boards:
        left, top = sheet.corner(board)
        rows += [
            {
                "x": left + arrow["column"] + 0.5,
                "y": top + arrow["row"] + 0.5,
                "angle": arrow["angle"],
                # twice the area of the square that the arrow's half length spans
                "size": (arrow["length"] * LENGTH * sheet.cell) ** 2,
            }
            for arrow in board_cells.arrows(board)
        ]
    mark = _data(rows).mark_point(
        shape=ARROW,
        filled=True,
        fill="white",
        stroke="black",
        strokeWidth=0.4,
        opacity=1,
    )
    return mark.encode(
        x,
        y,
        angle=alt.Angle("angle:Q", scale=None),
        size=alt.Size("size:Q", scale=None),
    )


def _names(boards: Sequence[Board], sheet: _Sheet) -> list[alt.Chart]:
    """The symbol of everything that lies on a board, in a white box."""
    x, y = sheet.axes()
    short = board_cells.symbols([board.level for board in boards])
    rows = []
    for board in boards:
        left, top = sheet.corner(board)
        rows += [
            {"x": left + column + 0.5, "y": top + row + 0.5, "name": short[name]}
            for name, (row, column) in board.level.scene.glyphs.items()
        ]
    box = _data(rows).mark_point(
        shape="M-1,-0.8L1,-0.8L1,0.8L-1,0.8Z",
        filled=True,
        fill="white",
        stroke="#777777",
        strokeWidth=0.5,
        size=130,
        opacity=1,
    )
    text = _data(rows).mark_text(fontSize=8, color="black", baseline="middle", dy=0.5)
    return [box.encode(x, y), text.encode(x, y, text="name:N")]


def _column_headings(names: Sequence[str], sheet: _Sheet) -> alt.Chart:
    """Above the sheet; the last line is next to the boards."""
    x, _ = sheet.axes()
    lines = [name.split("\n") for name in names]
    rows = [{"x": (i + 0.5) * sheet.side, "lines": own} for i, own in enumerate(lines)]
    most = max(map(len, lines))
    mark = _data(rows).mark_text(
        fontSize=10,
        color=theme.colour("ink"),
        baseline="bottom",
        dy=-5 - LINE * (most - 1),
    )
    return mark.encode(x, y=alt.value(0), text="lines:N")


def _row_headings(names: Sequence[str], sheet: _Sheet) -> alt.Chart:
    """To the left of the sheet, from bottom to top."""
    _, y = sheet.axes()
    lines = [name.split("\n") for name in names]
    rows = [{"y": (i + 0.5) * sheet.side, "lines": own} for i, own in enumerate(lines)]
    most = max(map(len, lines))
    mark = _data(rows).mark_text(
        fontSize=11 if most == 1 else 10,
        color=theme.colour("ink"),
        angle=270,
        dy=-8 - LINE * (most - 1),
    )
    return mark.encode(x=alt.value(0), y=y, text="lines:N")


def _line_height(names: Sequence[str]) -> float:
    """Pixels that headings take."""
    return 8 + LINE * max(name.count("\n") + 1 for name in names)


_CHANNELS = (alt.Fill, alt.Stroke)
"""Each has a legend of its own."""


def _bar(name: str, scale: Scale, channel: Any, is_below: bool) -> alt.Chart:
    """A colour bar, by a layer that draws nothing else."""
    domain = np.linspace(scale.low, scale.high, len(scale.stops)).tolist()
    colour = channel(
        "value:Q",
        title=name,
        scale=alt.Scale(domain=domain, range=list(scale.stops)),
        legend=alt.Legend(
            type="gradient",
            gradientLength=110 if is_below else 130,
            gradientOpacity=1,
            tickCount=2 if is_below else 5,
            orient="bottom" if is_below else "right",
        ),
    )
    key = "fill" if channel is alt.Fill else "stroke"
    return _data([]).mark_point(filled=key == "fill").encode(**{key: colour})


def _data(rows: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(rows))


ZOOM = 8
"""Pixels of the image for a cell: what smooths images leaves edges sharp."""


def _png(pixels: UInt8[np.ndarray, "H W 3"]) -> str:
    file = io.BytesIO()
    large = pixels.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    Image.fromarray(large).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
