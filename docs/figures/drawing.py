"""SVG elements in the colours of one theme, for the pictures of docs/concepts.md.

Units are pixels. A picture is `WIDTH` wide; its height is its own.
"""

import dataclasses
from collections.abc import Callable
from xml.sax.saxutils import escape

WIDTH = 760
BLUE, ORANGE, GREEN, PURPLE, RED = "blue", "orange", "green", "purple", "red"
THEMES = {
    "light": {
        "ink": "#24292f",
        "soft": "#6b7280",
        "line": "#9aa4b2",
        "box": "#f3f5f9",
        "floor_a": "#e3edff",
        "floor_b": "#ffe9d6",
        BLUE: "#3b6fd4",
        ORANGE: "#d9731a",
        GREEN: "#2f8f5b",
        PURPLE: "#7d55c7",
        RED: "#c8443c",
    },
    "dark": {
        "ink": "#e6e9ef",
        "soft": "#a3adbd",
        "line": "#66707f",
        "box": "#2a303c",
        "floor_a": "#26395e",
        "floor_b": "#57381f",
        BLUE: "#7ea6f5",
        ORANGE: "#f0a257",
        GREEN: "#6cc493",
        PURPLE: "#b497ec",
        RED: "#ee8a83",
    },
}

THINGS = ((4, 0), (0, 3), (2, 3))
"""Cells, (column, row), of the red fruit, the green fruit and the agent."""


@dataclasses.dataclass(frozen=True)
class Drawing:
    """SVG elements in the colours of one theme."""

    theme: dict[str, str]
    parts: list[str] = dataclasses.field(default_factory=list)

    def colour(self, name: str) -> str:
        return self.theme.get(name, name)

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str = "box",
        edge: str = "line",
        opacity: float = 1.0,
        radius: float = 6,
    ) -> None:
        self.parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'rx="{radius:g}" fill="{self.colour(fill)}" fill-opacity="{opacity:g}" '
            f'stroke="{self.colour(edge)}"/>'
        )

    def circle(self, x: float, y: float, radius: float, fill: str) -> None:
        self.parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{self.colour(fill)}"/>'
        )

    def line(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        colour: str = "line",
        width: float = 1.5,
        dashed: bool = False,
    ) -> None:
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        self.parts.append(
            f'<line x1="{start[0]:g}" y1="{start[1]:g}" x2="{end[0]:g}" '
            f'y2="{end[1]:g}" stroke="{self.colour(colour)}" '
            f'stroke-width="{width:g}"{dash}/>'
        )

    def arrow(
        self, start: tuple[float, float], end: tuple[float, float], colour: str = "line"
    ) -> None:
        """A line with a head at its end."""
        length = ((end[0] - start[0]) ** 2 + (end[1] - start[1]) ** 2) ** 0.5
        along = ((end[0] - start[0]) / length, (end[1] - start[1]) / length)
        base = (end[0] - 8 * along[0], end[1] - 8 * along[1])
        self.line(start, base, colour)
        corners = [
            end,
            (base[0] - 4 * along[1], base[1] + 4 * along[0]),
            (base[0] + 4 * along[1], base[1] - 4 * along[0]),
        ]
        points = " ".join(f"{x:.4g},{y:.4g}" for x, y in corners)
        self.parts.append(f'<polygon points="{points}" fill="{self.colour(colour)}"/>')

    def text(
        self,
        x: float,
        y: float,
        words: str,
        colour: str = "ink",
        size: float = 14,
        anchor: str = "middle",
        bold: bool = False,
        italic: bool = False,
    ) -> None:
        weight = ' font-weight="600"' if bold else ""
        style = ' font-style="italic"' if italic else ""
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" fill="{self.colour(colour)}" '
            f'font-size="{size:g}" text-anchor="{anchor}"{weight}{style}>'
            f"{escape(words)}</text>"
        )

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        words: str,
        colour: str,
        note: str = "",
    ) -> None:
        """A module: its name, and what it is in small letters below."""
        self.rect(x, y, width, height, colour, colour, opacity=0.16)
        middle = y + height / 2
        self.text(x + width / 2, middle + (5 if not note else -2), words, bold=True)
        if note:
            self.text(x + width / 2, middle + 16, note, "soft", 12)

    def features(
        self, x: float, y: float, size: float = 11, colour: str = BLUE
    ) -> None:
        """A vector: eight cells of different strength."""
        for i, strength in enumerate((0.2, 0.7, 0.35, 0.95, 0.1, 0.55, 0.8, 0.3)):
            self.rect(x, y + i * size, size + 3, size, colour, "line", strength, 0)

    def board(
        self,
        x: float,
        y: float,
        cell: float,
        floor: str = "floor_a",
        things: tuple[tuple[int, int], ...] = THINGS,
    ) -> None:
        """A level of context_fruits: two fruits and the agent."""
        self.rect(x, y, 5 * cell, 5 * cell, floor, "line", radius=2)
        for i in range(1, 5):
            self.line((x + i * cell, y), (x + i * cell, y + 5 * cell), "line", 0.5)
            self.line((x, y + i * cell), (x + 5 * cell, y + i * cell), "line", 0.5)
        at = [(x + (i + 0.5) * cell, y + (j + 0.5) * cell) for i, j in things]
        self.circle(*at[0], 0.3 * cell, RED)
        self.circle(*at[1], 0.3 * cell, GREEN)
        self.circle(*at[2], 0.3 * cell, "ink")


def svg(theme: str, figure: Callable[[Drawing], int]) -> str:
    """A picture as an SVG file.

    Args:
      figure: draws it, and returns its height.
    """
    drawing = Drawing(THEMES[theme])
    height = figure(drawing)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="system-ui, sans-serif">',
        *drawing.parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
