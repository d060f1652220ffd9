"""Pictures of worlds: frames, sheets of levels, animations, text for a terminal.

All in numpy on the host. A frame of H x W cells is [H tile, W tile, 3] uint8.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from shardsim.core import files
from shardsim_envs.gridworld.records import Level, State
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.rendering import sprites

SCALE = 3
"""Screen pixels for each pixel of a sprite; a cell then has 24 x 24."""
FLOOR = (245, 243, 238)
LINE = (232, 228, 218)
GAP = 8
"""Pixels between the levels of a sheet."""
PIXELS = 2**26
"""Most pixels of a picture: at 67 million it takes 200 MB of memory."""


class Limits(NamedTuple):
    """What a file format can hold."""

    fps: tuple[float, float]
    """Fewest and most frames per second of an animation; the format stores the time of
    a frame as a whole number of hundredths (GIF) or thousandths (WebP) of a second."""
    side: int
    """Most rows and columns of a picture, in pixels."""


FORMATS = {
    # browsers show frames of less than 2 hundredths as if they took 10
    ".gif": Limits((100 / 65535, 50), 65535),
    ".webp": Limits((1000 / (2**24 - 1), 1000), 16383),
    ".png": Limits((0, 0), 2**31 - 1),
}
ANSI = {"agent": "\x1b[1;7m", "wall": "\x1b[90m"}


def frame(
    world: GridWorld, state: State | Level, scale: int = SCALE
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of everything on the board, whether the agent sees it or not.

    Args:
      scale: screen pixels for each pixel of a sprite, at least 1.

    Raises:
      ValueError: a scale below 1, or so large that the picture passes `PIXELS`.
    """
    board = _board(world, state)
    height, width, _ = board.shape
    side = sprites.PIXELS
    largest = math.isqrt(PIXELS // (height * width * side**2))
    if not (isinstance(scale, int | np.integer) and 1 <= scale <= largest):
        raise ValueError(f"scale: got {scale!r}; allowed: whole numbers 1 to {largest}")
    picture = np.full((height, side, width, side, 3), FLOOR, np.uint8)
    picture[:, 0] = picture[:, :, :, 0] = LINE
    for index, plane in enumerate(world.board_planes):
        drawn = sprites.sprite(plane)
        for row, column in np.argwhere(board[..., index]):
            tile = picture[row, :, column]
            tile[drawn.mask] = drawn.colour[drawn.mask]
    flat = picture.reshape(height * side, width * side, 3)
    return flat.repeat(scale, axis=0).repeat(scale, axis=1)


def sheet(
    frames: Sequence[UInt8[np.ndarray, "h w 3"]], columns: int
) -> UInt8[np.ndarray, "H W 3"]:
    """Frames of one size in a grid.

    Raises:
      ValueError: no frame, no column, or more than `PIXELS` pixels.
    """
    _check_not_empty(frames)
    if columns < 1:
        raise ValueError(f"columns: got {columns}; allowed: at least 1")
    height, width, _ = frames[0].shape
    columns = min(columns, len(frames))
    rows = -(-len(frames) // columns)
    shape = (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3)
    if shape[0] * shape[1] > PIXELS:
        raise ValueError(
            f"frames: got {len(frames)} of {height} x {width} pixels, a sheet of "
            f"{shape[0]} x {shape[1]}; allowed: at most {PIXELS} pixels"
        )
    page = np.full(shape, 255, np.uint8)
    for number, picture in enumerate(frames):
        row, column = divmod(number, columns)
        top, left = GAP + row * (height + GAP), GAP + column * (width + GAP)
        page[top : top + height, left : left + width] = picture
    return page


def save(
    frames: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    path: Path | str,
    fps: float = 8,
    overwrite: bool = False,
) -> None:
    """Write a picture (.png, .gif, .webp) or an animation (.gif, .webp).

    Args:
      path: the file; missing folders are created.
      fps: frames per second of an animation, as far as `FORMATS` allows. A GIF stores
        hundredths of a second: at 30 a frame takes 0.03 s.
      overwrite: replace an existing file.

    Raises:
      ValueError: another ending, several frames for a .png, no frame, frames of
        several sizes, a rate or a size that the format cannot hold, or the file
        exists.
    """
    _check_not_empty(frames)
    if not fps > 0:
        raise ValueError(f"fps: got {fps}; allowed: above 0")
    path = Path(path)
    ending = path.suffix.lower()
    is_film = len(frames) > 1
    if ending not in FORMATS or (ending == ".png" and is_film):
        allowed = [name for name in FORMATS if name != ".png" or not is_film]
        raise ValueError(
            f"out: got {str(path)!r} for {len(frames)} frame(s); allowed: a name "
            f"that ends in {', '.join(allowed)}"
        )
    sizes = sorted({picture.shape[:2] for picture in frames})
    if len(sizes) > 1:
        raise ValueError(f"frames: got sizes {sizes}; allowed: one size")
    limits = FORMATS[ending]
    if max(sizes[0]) > limits.side:
        raise ValueError(
            f"frames: got {sizes[0][0]} x {sizes[0][1]} pixels; allowed: at most "
            f"{limits.side} a side in {ending}"
        )
    low, high = limits.fps
    if is_film and not low <= fps <= high:
        raise ValueError(
            f"fps: got {fps}; allowed: {low:.2g} to {high} in {ending}, which stores "
            "the time of a frame"
        )
    files.check_new(path, overwrite)
    from PIL import Image  # half of the import time of this file

    first, *rest = [Image.fromarray(picture) for picture in frames]
    # a GIF counts hundredths of a second; Pillow cuts the rest off
    unit = 10 if ending == ".gif" else 1
    animation: dict[str, Any] = {
        "save_all": True,
        "append_images": rest,
        "duration": max(1, round(1000 / (fps * unit))) * unit,
        "loop": 0,
        "lossless": True,
    }
    with files.replacing(path) as file:
        first.save(file, ending[1:].upper(), **(animation if rest else {}))


def _check_not_empty(frames: Sequence[UInt8[np.ndarray, "_ _ 3"]]) -> None:
    if not len(frames):
        raise ValueError("frames: got none; allowed: at least one")


def text(world: GridWorld, state: State | Level, colour: bool = False) -> str:
    """The board as text: one letter for each cell, of its topmost thing.

    A line below the board names planes that are no things, such as floors.

    Args:
      colour: add ANSI colours for a terminal.
    """
    board = _board(world, state)
    rows = np.full(board.shape[:2], ".", dtype=object)
    others = []
    for index, plane in enumerate(world.board_planes):
        occupied = board[..., index] > 0
        if plane in world.things or plane in ("wall", "agent"):
            letter = sprites.sprite(plane).letter
            style = ANSI.get(plane, "\x1b[1m") if colour else ""
            rows[occupied] = f"{style}{letter}\x1b[0m" if colour else letter
        elif occupied.any():
            count = occupied.sum()
            others.append(plane if occupied.all() else f"{plane} x {count}")
    lines = ["".join(row) for row in rows]
    return "\n".join([*lines, *([", ".join(others)] if others else [])])


def _board(world: GridWorld, state: State | Level) -> UInt8[np.ndarray, "H W P"]:
    """The board with what memory adds to the view; nothing on it is hidden.

    Memory adds for example a full register, or the top row of a drunk agent.
    """
    board = np.asarray(state.board)
    if isinstance(state, State):
        visible = world.visible_board(jax.tree.map(jnp.asarray, state))
        board = np.maximum(board, np.asarray(visible))
    return board
