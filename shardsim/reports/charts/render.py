"""Charts as SVG text, as files, and as what a page draws without the network."""

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import altair as alt
import vl_convert

from shardsim.reports.charts import theme

Chart: TypeAlias = alt.TopLevelMixin
"""Any chart of altair."""

FORMATS = (".svg", ".png", ".pdf", ".json")
"""What `save` writes."""
RESOLUTION = 2.0
"""Pixels of a PNG for a pixel of the chart."""
PADDING = {"left": 20, "right": 10, "top": 6, "bottom": 6}
"""Around a static chart, in pixels: fonts differ in width from machine to machine."""
_GEOMETRY = re.compile(r'(?:d|transform)="[^"]*"')
_LONG = re.compile(r"(\.\d\d)\d+")
"""Digits below a hundredth of a pixel."""


def specification(
    chart: Chart, scheme: theme.Scheme = "light", size: int = 11
) -> dict[str, Any]:
    """The chart as Vega-Lite JSON with the colours of a scheme in it.

    Args:
      size: of the text on axes, in pixels.
    """
    # an image is described by its text in the page, not mark by mark
    config = {**theme.config(size), "aria": False, "padding": PADDING}
    spec = {**chart.to_dict(), "config": config}
    colours = {f"var(--{k})": v for k, v in theme.variables(scheme).items()}
    resolved: dict[str, Any] = _resolved(spec, colours)
    return resolved


def _resolved(tree: Any, colours: Mapping[str, str]) -> Any:
    if isinstance(tree, dict):
        return {key: _resolved(inner, colours) for key, inner in tree.items()}
    if isinstance(tree, list | tuple):
        return [_resolved(inner, colours) for inner in tree]
    return colours.get(tree, tree) if isinstance(tree, str) else tree


def svg(chart: Chart, scheme: theme.Scheme = "light", size: int = 11) -> str:
    """The chart as SVG text: the same chart gives the same text."""
    text = vl_convert.vegalite_to_svg(specification(chart, scheme, size))
    return _GEOMETRY.sub(lambda found: _LONG.sub(r"\1", found[0]), text)


def save(chart: Chart, path: Path, scheme: theme.Scheme = "light") -> None:
    """Write the chart as SVG, PNG or PDF, or as its Vega-Lite specification (JSON).

    Raises:
      ValueError: the name of the file ends in something else.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"path: got {path}; allowed: a name in {', '.join(FORMATS)}")
    spec = specification(chart, scheme)
    if path.suffix == ".svg":
        path.write_text(vl_convert.vegalite_to_svg(spec))
    elif path.suffix == ".json":
        path.write_text(json.dumps(spec, indent=1) + "\n")
    else:
        paper = {**spec, "background": theme.PALETTES[scheme]["card"]}
        if path.suffix == ".png":
            path.write_bytes(vl_convert.vegalite_to_png(paper, scale=RESOLUTION))
        else:
            path.write_bytes(vl_convert.vegalite_to_pdf(paper))


def compiled(chart: Chart, size: int = 10) -> dict[str, Any]:
    """The chart as a Vega specification for a page, which resolves colours by CSS.

    Args:
      chart: its rows come later, by the name of each `altair.NamedData`.
      size: of the text on axes, in pixels of the chart.
    """
    spec = {**chart.to_dict(), "config": theme.config(size)}
    vega: dict[str, Any] = vl_convert.vegalite_to_vega(spec)
    return vega


@functools.cache
def library() -> str:
    """Vega as one script that defines `vegaEmbed` and loads nothing."""
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # its names stay its own, and nothing in it ends the script element
    return f"(() => {{{bundle}}})();".replace("</script", "<\\/script")
