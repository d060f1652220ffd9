"""The boards of a report: V, the policy, gates and contributions, cell by cell.

Symbols: K shards, H, W the board. All boards share one coordinate system whose unit is
a cell. Cells are the pixels of one small image per board; arrows and names are marks.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from shardsim.reports.charts import theme
from shardsim.reports.maps import LevelMaps

BOARD = 92
"""Pixels of the longer side of a board."""
GAP = 0.08
"""Between boards, of the longer side."""
WALL, UNSEEN = "#000000", "#bbbbbb"
"""Colours of walls, and of cells that have no V: an episode ends there."""
ARROW = "M-1,-0.22L0.1,-0.22L0.1,-0.62L1,0L0.1,0.62L0.1,0.22L-1,0.22Z"
"""From left to right, 2 long."""
LENGTH = 0.75
"""Of an arrow where the policy always takes one action, in cells."""


class Scale(NamedTuple):
    """Colours from `low` to `high`."""

    low: float
    high: float
    stops: tuple[str, ...]

    def paint(self, values: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
        stops = np.array([_rgb(stop) for stop in self.stops], float)
        span = self.high - self.low
        at = np.clip((values - self.low) / span, 0, 1) * (len(stops) - 1)
        at = np.nan_to_num(at)
        channels = [np.interp(at, np.arange(len(stops)), c) for c in stops.T]
        return np.stack(channels, axis=-1).round().astype(np.uint8)


class Board(NamedTuple):
    """One board in the row and column where it is drawn."""

    row: int
    column: int
    level: LevelMaps
    values: Float[np.ndarray, "H W"]
    scale: Scale
    move: Float[np.ndarray, "H W 2"] | None = None
    """Mean move of the policy, in rows and columns; None draws no arrows."""


def values(levels: Sequence[LevelMaps], arms: Sequence[str]) -> alt.LayerChart:
    """V and the policy on a few levels: a row for V*, then one for each arm."""
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
    return _drawn(boards, ["V*", *arms], titles, {"V": scale})


def shards(
    levels: Sequence[LevelMaps], arm: str, scheme: theme.Scheme = "light"
) -> alt.LayerChart:
    """Gate and contribution (gate times value) of every shard on a few levels."""
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
        for which, (name, found) in enumerate(zip(scales, (gates, each), strict=True)):
            at = 2 * column + which
            titles.append(f"{name}\n{_title(level)}")
            boards += [
                Board(k, at, level, found[column][..., k], scales[name])
                for k in range(found[column].shape[-1])
            ]
    count = gates[0].shape[-1]
    rows = [f"shard {k}" for k in range(count)]
    return _drawn(boards, rows, titles, scales)


def painted(board: Board) -> UInt8[np.ndarray, "H W 3"]:
    """A pixel per cell."""
    pixels = board.scale.paint(board.values)
    pixels[~board.level.reachable | ~np.isfinite(board.values)] = _rgb(UNSEEN)
    pixels[board.level.walls] = _rgb(WALL)
    return pixels


def arrows(board: Board) -> list[dict[str, float]]:
    """Row, column, angle (degrees, clockwise from right) and length of each arrow."""
    if board.move is None:
        return []
    rows, columns = np.nonzero(board.level.reachable & ~board.level.walls)
    down, right = board.move[rows, columns].T
    angle, length = np.degrees(np.arctan2(down, right)), np.hypot(down, right)
    return [
        {"row": int(r), "column": int(c), "angle": float(a), "length": float(size)}
        for r, c, a, size in zip(rows, columns, angle, length, strict=True)
        if np.isfinite(size)
    ]


def _drawn(
    boards: Sequence[Board],
    rows: Sequence[str],
    titles: Sequence[str],
    scales: Mapping[str, Scale],
) -> alt.LayerChart:
    longer = max(max(board.values.shape) for board in boards)
    cell, side = BOARD / longer, (1 + GAP) * longer
    height, width = boards[0].values.shape
    wide, high = width * cell, height * cell
    images, moves, names = [], [], []
    for board in boards:
        left = (board.column + 0.5) * side - width / 2
        top = (board.row + 0.5) * side - height / 2
        images.append(
            {
                "x": left,
                "y": top,
                "url": _png(painted(board)),
            }
        )
        moves += [
            {
                "x": left + one["column"] + 0.5,
                "y": top + one["row"] + 0.5,
                "angle": one["angle"],
                # twice the area of the square that the arrow's half length spans
                "size": (one["length"] * LENGTH * cell) ** 2,
            }
            for one in arrows(board)
        ]
        for name, (row, column) in board.level.scene.glyphs.items():
            at = {"x": left + column + 0.5, "y": top + row + 0.5}
            names.append({**at, "name": _glyph(name)})
    across = (1 + max(board.column for board in boards)) * side
    down = len(rows) * side
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, across], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[down, 0], nice=False))
    ink = theme.colour("ink")
    heads = [
        {"x": (i + 0.5) * side, "lines": title.split("\n")}
        for i, title in enumerate(titles)
    ]
    lines = max(len(head["lines"]) for head in heads)
    beside = [{"y": (i + 0.5) * side, "name": name} for i, name in enumerate(rows)]
    layers = [
        _data(images)
        .mark_image(aspect=False, align="left", baseline="top", width=wide, height=high)
        .encode(x, y, url="url:N"),
        _data(moves)
        .mark_point(
            shape=ARROW,
            filled=True,
            fill="white",
            stroke="black",
            strokeWidth=0.4,
            opacity=1,
        )
        .encode(
            x,
            y,
            angle=alt.Angle("angle:Q", scale=None),
            size=alt.Size("size:Q", scale=None),
        ),
        _data(names)
        .mark_point(
            shape="M-1,-0.8L1,-0.8L1,0.8L-1,0.8Z",
            filled=True,
            fill="white",
            stroke="#777777",
            strokeWidth=0.5,
            size=130,
            opacity=1,
        )
        .encode(x, y),
        _data(names)
        .mark_text(fontSize=8, color="black", baseline="middle", dy=0.5)
        .encode(x, y, text="name:N"),
        _data(heads)
        .mark_text(fontSize=10, color=ink, baseline="bottom", dy=-5 - 12 * (lines - 1))
        .encode(x, y=alt.value(0), text="lines:N"),
        _data(beside)
        .mark_text(fontSize=11, color=ink, angle=270, dy=-8)
        .encode(x=alt.value(0), y=y, text="name:N"),
        *(
            _bar(name, scale, channel)
            for (name, scale), channel in zip(scales.items(), _CHANNELS, strict=False)
        ),
    ]
    return (
        alt.layer(*layers)
        .properties(width=across * cell, height=down * cell)
        .resolve_legend(color="independent")
    )


_CHANNELS = (alt.Fill, alt.Stroke)
"""Each has a legend of its own."""


def _bar(name: str, scale: Scale, channel: Any) -> alt.Chart:
    """A colour bar, by a layer that draws nothing else."""
    domain = np.linspace(scale.low, scale.high, len(scale.stops)).tolist()
    colour = channel(
        "value:Q",
        title=name,
        scale=alt.Scale(domain=domain, range=list(scale.stops)),
        legend=alt.Legend(
            type="gradient", gradientLength=130, gradientOpacity=1, tickCount=5
        ),
    )
    key = "fill" if channel is alt.Fill else "stroke"
    return _data([]).mark_point(filled=key == "fill").encode(**{key: colour})


def _data(rows: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(rows))


def _title(level: LevelMaps) -> str:
    context = ", ".join(map(str, level.scene.context))
    name = level.scene.condition.replace("_", " ")
    return f"{name}\ncontext {context}" if context else name


def _glyph(name: str) -> str:
    """`fruit 1` -> F1."""
    first, _, rest = name.partition(" ")
    return first[0].upper() + rest


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


ZOOM = 8
"""Pixels of the image for a cell: what smooths images leaves edges sharp."""


def _png(pixels: UInt8[np.ndarray, "H W 3"]) -> str:
    file = io.BytesIO()
    large = pixels.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    Image.fromarray(large).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
