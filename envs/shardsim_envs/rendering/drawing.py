"""Pictures of worlds: frames, sheets of levels, animations, text for a terminal.

All in numpy on the host. A frame of H x W cells is [H tile, W tile, 3] uint8.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
ANSI = {"agent": "\x1b[1;7m", "wall": "\x1b[90m"}
FORMATS = (".gif", ".webp", ".png")


def frame(
    world: GridWorld, state: State | Level, scale: int = SCALE
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of everything on the board, whether the agent sees it or not.

    Args:
      scale: screen pixels for each pixel of a sprite.
    """
    board = _board(world, state)
    height, width, _ = board.shape
    side = sprites.PIXELS
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
) -> UInt8[np.ndarray, "h w 3"]:
    """Frames of one size in a grid.

    Raises:
      ValueError: no frame, or no column.
    """
    _check_not_empty(frames)
    if columns < 1:
        raise ValueError(f"columns: got {columns}; allowed: at least 1")
    height, width, _ = frames[0].shape
    columns = min(columns, len(frames))
    rows = -(-len(frames) // columns)
    shape = (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3)
    page = np.full(shape, 255, np.uint8)
    for number, picture in enumerate(frames):
        row, column = divmod(number, columns)
        top, left = GAP + row * (height + GAP), GAP + column * (width + GAP)
        page[top : top + height, left : left + width] = picture
    return page


def save(
    frames: Sequence[UInt8[np.ndarray, "h w 3"]],
    path: Path | str,
    fps: float = 8,
    overwrite: bool = False,
) -> None:
    """Write a picture (.png, .gif, .webp) or an animation (.gif, .webp).

    Args:
      path: the file; missing folders are created.
      fps: frames per second, above 0.
      overwrite: replace an existing file.

    Raises:
      ValueError: another ending, several frames for a .png, no frame, fps <= 0, or the
        file exists.
    """
    _check_not_empty(frames)
    if fps <= 0:
        raise ValueError(f"fps: got {fps}; allowed: above 0")
    from PIL import Image  # half of the import time of this file

    path = Path(path)
    ending = path.suffix.lower()
    if ending not in FORMATS or (ending == ".png" and len(frames) > 1):
        allowed = FORMATS if len(frames) == 1 else FORMATS[:2]
        raise ValueError(
            f"out: got {str(path)!r} for {len(frames)} frame(s); allowed: a name "
            f"that ends in {', '.join(allowed)}"
        )
    files.check_new(path, overwrite)
    first, *rest = [Image.fromarray(picture) for picture in frames]
    animation: dict[str, Any] = {
        "save_all": True,
        "append_images": rest,
        "duration": round(1000 / fps),
        "loop": 0,
        "lossless": True,
    }
    with files.replacing(path) as file:
        first.save(file, ending[1:].upper(), **(animation if rest else {}))


def _check_not_empty(frames: Sequence[UInt8[np.ndarray, "h w 3"]]) -> None:
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
