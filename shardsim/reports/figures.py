"""Charts as the images of a page: for wide and narrow, light and dark ones."""

import dataclasses
import urllib.parse
from collections.abc import Callable
from typing import NamedTuple

import vl_convert

from shardsim.reports.charts import render, theme

WIDE, NARROW = 880, 330
"""Width of charts on a desktop and on a phone, in pixels."""
IS_NARROW, IS_DARK = "(max-width: 600px)", "(prefers-color-scheme: dark)"
"""Media queries of pages."""

UNESCAPED = "~()*!.'/,;:@=+$"
"""Characters that mean nothing in the attribute of a data URI, `srcset` included."""


class Image(NamedTuple):
    """One form of a figure."""

    media: str
    """Query for the pages that show it; empty for all others."""
    svg: str

    @property
    def uri(self) -> str:
        """The image as a data URI; so its names and styles stay its own.

        Most of an SVG needs no escape, which makes this shorter than base64. The result
        holds no quotation mark, & or <: it is safe in an attribute.
        """
        svg = self.svg if "'" in self.svg else self.svg.replace('"', "'")
        return "data:image/svg+xml," + urllib.parse.quote(svg, safe=UNESCAPED)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A chart as SVG text, with its caption."""

    caption: str
    file: str
    """Wide and light, for a file of its own."""
    images: tuple[Image, ...]
    """The first one whose query holds is shown; the last one has none."""


def draw(caption: str, chart: Callable[[int], render.Chart]) -> Figure:
    """A chart in both widths, each of which takes the colours of the page.

    Args:
      chart: makes the chart of a width, in pixels.
    """
    wide, narrow = chart(WIDE), chart(NARROW)
    images = (
        Image(IS_NARROW, render.adaptive_svg(narrow)),
        Image("", render.adaptive_svg(wide)),
    )
    return Figure(caption, render.svg(wide)["light"], images)


def draw_by_scheme(
    caption: str, chart: Callable[[int, theme.Scheme], render.Chart]
) -> Figure:
    """The same for a chart with pictures, which have other colours in each scheme.

    Args:
      chart: makes the chart of a width and a scheme.
    """
    (wide, wide_dark), (narrow, narrow_dark) = (
        [render.svg(chart(width, scheme))[scheme] for scheme in theme.SCHEMES]
        for width in (WIDE, NARROW)
    )
    images = (
        Image(f"{IS_NARROW} and {IS_DARK}", narrow_dark),
        Image(IS_NARROW, narrow),
        Image(IS_DARK, wide_dark),
        Image("", wide),
    )
    return Figure(caption, wide, images)


def converted(svg: str, kind: str) -> bytes:
    """A figure as a file.

    Args:
      svg: its text, of `Figure.file`.
      kind: "svg", "png" or "pdf".
    """
    match kind:
        case "png":
            return vl_convert.svg_to_png(svg, scale=render.RESOLUTION)
        case "pdf":
            return vl_convert.svg_to_pdf(svg)
    return svg.encode()
