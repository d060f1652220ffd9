"""Charts as the images of a page: for wide and narrow, light and dark ones."""

import dataclasses
import urllib.parse
from collections.abc import Callable
from typing import Literal

from shardsim.reports.charts import render, theme

WIDE, NARROW = 880, 330
"""Width of charts on a desktop and on a phone, in pixels."""


UNESCAPED = "~()*!.'/,;:@=+$"
"""Characters that mean nothing in the attribute of a data URI, `srcset` included."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A chart as SVG text, with its caption."""

    caption: str
    wide: dict[theme.Scheme, str]
    narrow: dict[theme.Scheme, str]

    def uri(self, size: Literal["wide", "narrow"], scheme: theme.Scheme) -> str:
        """The chart as a data URI; as an image its names and styles stay its own.

        Most of an SVG needs no escape, which makes this shorter than base64. The result
        holds no quotation mark, & or <: it is safe in an attribute.
        """
        svg = (self.wide if size == "wide" else self.narrow)[scheme]
        if "'" not in svg:
            svg = svg.replace('"', "'")
        return "data:image/svg+xml," + urllib.parse.quote(svg, safe=UNESCAPED)


def draw(caption: str, chart: Callable[[int], render.Chart]) -> Figure:
    """A chart in both widths.

    Args:
      chart: makes the chart of a width, in pixels.
    """
    wide, narrow = (render.svg(chart(width)) for width in (WIDE, NARROW))
    return Figure(caption, wide, narrow)
