"""What a board shows in each cell: colours, arrows and names.

Symbols: H, W the board. Cells are the pixels of one small image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from shardsim.reports.maps import LevelMaps

WALL, UNSEEN = "#000000", "#bbbbbb"
"""Colours of walls, and of cells that have no V: an episode ends there."""


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


def symbols(levels: Sequence[LevelMaps]) -> dict[str, str]:
    """A short symbol for everything that lies in some levels: `fruit 1` -> F1.

    It is the first letter with what follows the word, or as many letters as tell all
    names apart.
    """
    names = dict.fromkeys(name for level in levels for name in level.scene.glyphs)
    longest = max((len(name) for name in names), default=1)
    for letters in range(1, longest + 1):
        short = {name: _symbol(name, letters) for name in names}
        if len(set(short.values())) == len(names):
            break
    return short


def _symbol(name: str, letters: int) -> str:
    word, _, rest = name.partition(" ")
    return word[:letters].capitalize() + rest


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


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
