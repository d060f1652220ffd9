"""Pictures and letters of the planes, read from `sprites.txt`.

Colours are those of Okabe and Ito. All things of a world differ in shape, so nobody has
to distinguish them by colour.
"""

import functools
import importlib.resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

PIXELS = 8
"""Rows and columns of a sprite, in pixels."""
INK = {
    "k": (0, 0, 0),
    "d": (68, 68, 68),
    "a": (136, 136, 136),
    "l": (204, 204, 204),
    "w": (255, 255, 255),
    "n": (121, 85, 50),
    "o": (230, 159, 0),
    "s": (86, 180, 233),
    "g": (0, 158, 115),
    "y": (240, 228, 66),
    "b": (0, 114, 178),
    "v": (213, 94, 0),
    "p": (204, 121, 167),
}
NUMBERED = "vbogpsyn"
"""Ink of a numbered plane, by its number."""
MARKS = (
    (),
    ((3, 2), (4, 3), (5, 4), (6, 5)),
    ((4, 2), (4, 3), (4, 4), (4, 5)),
    ((3, 3), (3, 4), (5, 3), (5, 4)),
    ((3, 2), (3, 5), (5, 2), (5, 5)),
    ((3, 3), (4, 3), (5, 3), (6, 3)),
)
"""White pixels that distinguish numbered fruits without colour."""
LETTERS = "0123456789"


class Sprite(NamedTuple):
    """How a plane is drawn."""

    letter: str
    """Its letter in text; all letters of a world differ."""
    colour: UInt8[np.ndarray, "8 8 3"]
    mask: Bool[np.ndarray, "8 8"]
    """True at the pixels that are drawn."""


@functools.cache
def sprite(plane: str) -> Sprite:
    """The sprite of a plane, by its name with or without the number."""
    table = _table()
    stem, _, number = plane.rpartition(" ")
    if plane in table:
        letter, rows = table[plane]
    elif number.isdigit() and stem in table:
        letter, rows = table[stem]
    else:
        letter, rows = table.get(plane.partition(" ")[0], ("?", ["kkkkkkkk"] * PIXELS))
    index = int(number) if number.isdigit() else 0
    if number.isdigit():
        letter = _numbered(stem, index)
    ink = {**INK, "1": INK[NUMBERED[index % len(NUMBERED)]]}
    if stem in ("floor", "hungry"):
        # several of these can fill the board at once, so each draws other pixels
        rows = [row[-index:] + row[:-index] for row in rows]
    mask = np.asarray([[mark != "." for mark in row] for row in rows])
    colour = np.zeros((PIXELS, PIXELS, 3), np.uint8)
    for at in np.argwhere(mask):
        colour[tuple(at)] = ink[rows[at[0]][at[1]]]
    if stem == "fruit":
        for row, column in MARKS[index % len(MARKS)]:
            colour[row, column] = INK["w"]
    return Sprite(letter, colour, mask)


def _numbered(stem: str, index: int) -> str:
    """The letter of a numbered plane, e.g. "0" to "9" for fruits."""
    first = {"fruit": "0", "floor": "A", "hungry": "a", "colour": "a", "shape": "A"}
    return chr(ord(first[stem]) + index) if stem in first else LETTERS[index % 10]


@functools.cache
def _table() -> dict[str, tuple[str, list[str]]]:
    source = importlib.resources.files("shardsim_envs.rendering") / "sprites.txt"
    table = {}
    for block in source.read_text(encoding="utf-8").split("\n\n"):
        lines = [line for line in block.splitlines() if line and line[:2] != "# "]
        if lines:
            name, letter = lines[0].rsplit(" ", 1)
            name = f"{name} {letter}" if letter.isdigit() else name
            table[name] = (letter, lines[1:])
    return table
