"""Pieces of HTML. Whatever text comes from outside is escaped here."""

import base64
import html
from collections.abc import Iterable, Mapping
from typing import Any


def text(words: object) -> str:
    """Anything as text that can stand in HTML, in an attribute too."""
    return html.escape(str(words))


def cell(words: object) -> str:
    """A cell of a table."""
    return f"<td>{text(words)}</td>"


def number(words: str) -> str:
    """A cell that is set to the right."""
    return f'<td class="number">{text(words)}</td>'


def signed(x: float | None) -> str:
    """Three decimals with a sign; a dash for what is no number."""
    return "-" if x is None else f"{x:+.3f}"


def plain(x: float | None) -> str:
    """Three digits; a dash for what is no number."""
    return "-" if x is None else f"{x:.3g}"


def share(x: float | None) -> str:
    """Per cent to a tenth; a dash for what is no number."""
    return "-" if x is None else f"{x:.1%}"


def shown(value: Any) -> str:
    """Nested numbers in a line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {shown(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(shown(v) for v in value)
    return plain(value) if isinstance(value, float | None) else str(value)


def items(lines: Iterable[str]) -> str:
    """A list of texts."""
    return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>"


def table(
    head: Iterable[str], rows: Iterable[Iterable[str]], numbers: tuple[int, ...]
) -> str:
    """A table of cells.

    Args:
      numbers: columns whose heads are set to the right.
    """
    top = "".join(
        f"<th{' class=number' if i in numbers else ''}>{text(word)}</th>"
        for i, word in enumerate(head)
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def figure(svg: str, caption: str) -> str:
    """A picture inside the page; as an image its names and styles stay its own."""
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img alt="{text(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )
