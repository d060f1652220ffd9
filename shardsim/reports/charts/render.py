"""Charts as SVG text, as files, and as what a page draws without the network."""

import functools
import json
import re
from pathlib import Path
from typing import Any, TypeAlias

import altair as alt
import vl_convert

from shardsim.core import files
from shardsim.reports.charts import theme

Chart: TypeAlias = alt.TopLevelMixin
"""Any chart of altair."""

FORMATS = (".svg", ".png", ".pdf", ".json")
"""What `save` writes."""
RESOLUTION = 2.0
"""Pixels of a PNG for a pixel of the chart."""
PADDING = {"left": 20, "right": 10, "top": 6, "bottom": 6}
"""Around a static chart, in pixels: fonts differ in width from machine to machine."""
SIZE = 11
"""Of the text on the axes of a static chart, in pixels."""
_NAME = re.compile(r"var\(--([a-z0-9-]+)\)")
_ID = re.compile(r' id="(\w+)"')
_DIGITS = "0123456789"
_GEOMETRY = re.compile(r'(?:d|transform)="[^"]*"')
_LONG = re.compile(r"(\.\d\d)\d+")
"""Digits below a hundredth of a pixel."""


def specification(chart: Chart, scheme: theme.Scheme = "light") -> dict[str, Any]:
    """The chart as Vega-Lite JSON with the colours of a scheme in it."""
    text = json.dumps(_static(chart))
    resolved: dict[str, Any] = json.loads(_coloured(text, scheme))
    return resolved


def svg(chart: Chart) -> dict[theme.Scheme, str]:
    """The chart as SVG text for each scheme: the same chart gives the same text."""
    text = _named_svg(chart)
    return {scheme: _coloured(text, scheme) for scheme in theme.SCHEMES}


def adaptive_svg(chart: Chart) -> str:
    """The chart as one SVG text that takes the colours of the reader's scheme.

    Its colours are CSS variables, which browsers know, and other programs may not.
    """
    text = _named_svg(chart)
    names = dict.fromkeys(_NAME.findall(text))
    light, dark = (
        "".join(f"--{name}:{theme.variables(scheme)[name]};" for name in names)
        for scheme in theme.SCHEMES
    )
    style = (
        f"<style>:root{{{light}}}"
        f"@media(prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    )
    start = text.index(">") + 1
    return text[:start] + style + text[start:]


def _named_svg(chart: Chart) -> str:
    """The chart as SVG text with names of colours."""
    text = vl_convert.vegalite_to_svg(_static(chart))
    short = _GEOMETRY.sub(lambda match: _LONG.sub(r"\1", match[0]), text)
    short = short.replace(' opacity="1"', "")  # the default
    # identifiers are numbered over all charts of a process: here, over this one
    names = dict.fromkeys(_ID.findall(short))
    own = {name: f"{name.rstrip(_DIGITS)}{i}" for i, name in enumerate(names)}
    if own:
        either = re.compile(rf"\b(?:{'|'.join(own)})\b")
        short = either.sub(lambda match: own[match[0]], short)
    return short


def _static(chart: Chart) -> dict[str, Any]:
    """The specification of a chart that is no part of a page, with names of colours."""
    # an image is described by its text in the page, not mark by mark
    config = {**theme.config(SIZE), "aria": False, "padding": PADDING}
    return {**_plain(chart), "config": config}


def _plain(chart: Chart) -> dict[str, Any]:
    """The specification of a chart, whatever theme or transformer a notebook chose."""
    with (
        alt.theme.enable("none"),
        alt.data_transformers.enable("default", max_rows=None),
    ):
        plain: dict[str, Any] = chart.to_dict()
    return plain


def _coloured(text: str, scheme: theme.Scheme) -> str:
    """Text with the colours of a scheme in the place of their names."""
    colours = theme.variables(scheme)
    return _NAME.sub(lambda match: colours[match[1]], text)


def displayable(chart: Chart, scheme: theme.Scheme = "light") -> Chart:
    """The chart with the colours of a scheme, as a notebook shows it."""
    shown: Chart = alt.Chart.from_dict(specification(chart, scheme))
    return shown


def save(
    chart: Chart,
    path: Path,
    scheme: theme.Scheme = "light",
    overwrite: bool = False,
) -> None:
    """Write the chart as SVG, PNG or PDF, or as its Vega-Lite specification (JSON).

    Raises:
      ValueError: the name of the file ends in something else, or the file exists and
        `overwrite` is False.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"path: got {path}; allowed: a name in {', '.join(FORMATS)}")
    files.check_new(path, overwrite, "path")
    spec = specification(chart, scheme)
    if path.suffix == ".svg":
        data = svg(chart)[scheme].encode()
    elif path.suffix == ".json":
        data = (json.dumps(spec, indent=1) + "\n").encode()
    else:
        paper = {**spec, "background": theme.PALETTES[scheme]["card"]}
        if path.suffix == ".png":
            data = vl_convert.vegalite_to_png(paper, scale=RESOLUTION)
        else:
            data = vl_convert.vegalite_to_pdf(paper)
    with files.replacing(path) as file:
        file.write(data)


def compiled(chart: Chart, size: int = 10) -> dict[str, Any]:
    """The chart as a Vega specification for a page, which resolves colours by CSS.

    Args:
      chart: its rows come later, by the name of each `altair.NamedData`.
      size: of the text on axes, in pixels of the chart.
    """
    spec = {**_plain(chart), "config": theme.config(size)}
    vega: dict[str, Any] = vl_convert.vegalite_to_vega(spec)
    return vega


@functools.cache
def library() -> str:
    """Vega as one script that defines `vegaEmbed` and loads nothing."""
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    # its names stay its own, and nothing in it ends the script element
    return f"(() => {{{bundle}}})();".replace("</script", "<\\/script")
