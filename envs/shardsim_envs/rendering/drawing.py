"""Pictures of worlds: frames, sheets of levels, films, text for a terminal.

All on the host, in numpy. A frame of H x W cells is [H tile, W tile, 3] uint8.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from shardsim_envs.gridworld.records import Level, State
from shardsim_envs.gridworld.world import GridWorld
from shardsim_envs.rendering import sprites

SCALE = 3
"""Screen pixels for a pixel of a sprite, so that a cell has 24."""
FLOOR = (245, 243, 238)
LINE = (232, 228, 218)
GAP = 8
"""Pixels between the levels of a sheet."""
ANSI = {"agent": "\x1b[1;7m", "wall": "\x1b[90m"}
FORMATS = (".gif", ".webp", ".png")


def frame(
    world: GridWorld, state: State | Level, scale: int = SCALE
) -> UInt8[np.ndarray, "h w 3"]:
    """What there is, whether or not the agent sees it; the agent on top."""
    board = _board(world, state)
    height, width, _ = board.shape
    side = sprites.PIXELS
    picture = np.full((height, side, width, side, 3), FLOOR, np.uint8)
    picture[:, 0] = picture[:, :, :, 0] = LINE
    for index, plane in enumerate(world.board_planes):
        drawn = sprites.sprite(plane)
        for row, column in np.argwhere(board[..., index]):
            tile = picture[row, :, column]
            tile[drawn.there] = drawn.colour[drawn.there]
    flat = picture.reshape(height * side, width * side, 3)
    return flat.repeat(scale, axis=0).repeat(scale, axis=1)


def sheet(
    frames: Sequence[UInt8[np.ndarray, "h w 3"]], columns: int
) -> UInt8[np.ndarray, "h w 3"]:
    """Frames of one size side by side.

    Raises:
      ValueError: no frame, or no column.
    """
    _some(frames)
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
    frames: Sequence[UInt8[np.ndarray, "h w 3"]], path: Path | str, fps: float = 8
) -> None:
    """Write one picture (.png, .gif, .webp) or a film (.gif, .webp); folders are made.

    Raises:
      ValueError: another ending, several frames for a .png, no frame, no speed.
    """
    _some(frames)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.fromarray(picture) for picture in frames]
    if rest:
        first.save(
            path,
            save_all=True,
            append_images=rest,
            duration=round(1000 / fps),
            loop=0,
            lossless=True,
        )
    else:
        first.save(path)


def _some(frames: Sequence[UInt8[np.ndarray, "h w 3"]]) -> None:
    if not len(frames):
        raise ValueError("frames: got none; allowed: at least one")


def text(world: GridWorld, state: State | Level, colour: bool = False) -> str:
    """One letter a cell: of the topmost thing, the agent first.

    Planes that fill the board (floors, moods) are named in a line below it.
    """
    board = _board(world, state)
    rows = np.full(board.shape[:2], ".", dtype=object)
    whole = []
    for index, plane in enumerate(world.board_planes):
        shown = board[..., index] > 0
        if plane in world.things or plane in ("wall", "agent"):
            letter = sprites.sprite(plane).letter
            paint = ANSI.get(plane, "\x1b[1m") if colour else ""
            rows[shown] = f"{paint}{letter}\x1b[0m" if colour else letter
        elif shown.any():
            whole.append(f"{plane} x {shown.sum()}" if not shown.all() else plane)
    lines = ["".join(row) for row in rows]
    return "\n".join([*lines, *([", ".join(whole)] if whole else [])])


def _board(world: GridWorld, state: State | Level) -> UInt8[np.ndarray, "H W P"]:
    """What memory adds (a full register, a drunk row) is there, nothing is hidden."""
    board = np.asarray(state.board)
    if isinstance(state, State):
        seen = world.seen(jax.tree.map(jnp.asarray, state))
        board = np.maximum(board, np.asarray(seen))
    return board
