"""Charts as the images of a page: for wide and narrow, light and dark ones."""

import base64
import dataclasses
from collections.abc import Callable
from typing import Literal

from shardsim.reports.charts import render, theme

WIDE, NARROW = 880, 330
"""Width of charts on a desktop and on a phone, in pixels."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A chart as SVG text, with its caption."""

    caption: str
    wide: dict[theme.Scheme, str]
    narrow: dict[theme.Scheme, str]

    def uri(self, size: Literal["wide", "narrow"], scheme: theme.Scheme) -> str:
        """The chart as a data URI; as an image its names and styles stay its own."""
        svg = self.wide if size == "wide" else self.narrow
        data = base64.b64encode(svg[scheme].encode()).decode()
        return f"data:image/svg+xml;base64,{data}"


def draw(caption: str, chart: Callable[[int], render.Chart]) -> Figure:
    """A chart in both widths.

    Args:
      chart: makes the chart of a width, in pixels.
    """
    wide, narrow = (render.svg(chart(width)) for width in (WIDE, NARROW))
    return Figure(caption, wide, narrow)
