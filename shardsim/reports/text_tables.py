"""Tables of text: for a terminal, and as Markdown."""

import io
import shutil
import sys
from collections.abc import Sequence

import rich.box
import rich.cells
import rich.console
import rich.table

WIDTH = 110
"""Columns of a table, where a terminal has no fewer."""
NARROWEST = 60
"""Columns of a table in any terminal."""
UNLIMITED = 10_000
"""Columns of what is printed before it is fitted."""
NAME = 24
"""Columns of the names of rows: names up to this length are never broken."""


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]] = (), title: str | None = None
) -> rich.table.Table:
    """A table for a terminal; more rows may be added."""
    made = rich.table.Table(box=rich.box.SIMPLE, title=title)
    for column in head:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def terminal(tables: Sequence[rich.table.Table]) -> str:
    """Tables as text, as wide as the terminal allows; nothing is cut off.

    Users choose names, which may contain what rich reads as markup; and nothing
    follows the colours and the kind of the user's terminal.
    """
    width = _width()
    return "".join(_fitted(each, width) for each in tables).rstrip()


def _fitted(table: rich.table.Table, width: int) -> str:
    """A table of at most some columns, in which short names of rows are whole."""
    text = _printed(table)
    if _columns(text) <= width:
        return text
    names = table.columns[0]
    longest = max(len(str(cell)) for cell in (names.header, *names.cells))
    names.min_width = min(NAME, longest)
    # rich gives the other columns what it should have kept for the names
    for room in range(width, 0, -1):
        table.width = room
        text = _printed(table)
        if _columns(text) <= width:
            break
    return text


def _printed(table: rich.table.Table) -> str:
    """A table as wide as it is."""
    file = io.StringIO()
    console = rich.console.Console(
        file=file,
        width=UNLIMITED,
        markup=False,
        emoji=False,
        highlight=False,
        color_system=None,
        force_terminal=False,
        force_jupyter=False,
        legacy_windows=False,
    )
    console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def _columns(text: str) -> int:
    return max(rich.cells.cell_len(line) for line in text.splitlines())


def _width() -> int:
    """Columns of a table: those of the terminal, if it is a narrow one."""
    if not sys.stdout.isatty():
        return WIDTH
    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size().columns))


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown; a bar in a cell stays a letter of the cell."""
    lines = [
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"
        for row in (head, *rows)
    ]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join(lines)
