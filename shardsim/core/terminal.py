"""Output on terminals that are not UTF-8: what they cannot show is shown plainer."""

import codecs
import sys
import unicodedata
from collections.abc import Mapping
from typing import Final

ERRORS = "shardsim.plainer"
"""Name of the handler of characters that a terminal cannot show."""
PLAINER: Final[Mapping[str, str]] = {
    **{"\N{HORIZONTAL ELLIPSIS}": "...", "\N{MULTIPLICATION SIGN}": "x"},
    **{"\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{MINUS SIGN}": "-"},
    **{"\N{PLUS-MINUS SIGN}": "+-", "\N{MIDDLE DOT}": "*", "\N{BULLET}": "*"},
    **{"\N{FRACTION SLASH}": "/", "\N{DIVISION SLASH}": "/"},
    **{"\N{LESS-THAN OR EQUAL TO}": "<=", "\N{GREATER-THAN OR EQUAL TO}": ">="},
    **{"\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'"},
    **{"\N{LEFT DOUBLE QUOTATION MARK}": '"', "\N{RIGHT DOUBLE QUOTATION MARK}": '"'},
    **{"\N{RIGHTWARDS ARROW}": "->", "\N{LEFTWARDS ARROW}": "<-"},
    **{"\N{BLACK SQUARE}": "#", "\N{FULL BLOCK}": "#", "\N{WARNING SIGN}": "!"},
}
"""Characters that have no plainer form of their own in Unicode."""


def plain_streams() -> None:
    """Let stdout and stderr show characters that they do not have as plainer ones."""
    codecs.register_error(ERRORS, _plainer)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(plain, error.object[error.start : error.end])), error.end


def plain(letter: str) -> str:
    """ASCII for a character: another spelling, its base letter, or a question mark."""
    if letter in PLAINER:
        return PLAINER[letter]
    name = unicodedata.name(letter, "")
    if name.startswith("BOX DRAWINGS"):
        if " AND " in name:
            return "+"
        return "|" if "VERTICAL" in name else "-"
    if 0xDC80 <= ord(letter) <= 0xDCFF:  # a byte of a file's name that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    parts = unicodedata.normalize("NFKD", letter)
    letters = [part for part in parts if not unicodedata.combining(part)]
    return "".join(
        part if part.isascii() else PLAINER.get(part, "?") for part in letters
    )
