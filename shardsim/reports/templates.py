"""HTML from Jinja2 templates: whatever text comes from a file is escaped."""

import functools
from typing import Any

import jinja2
import markupsafe

from shardsim.reports.charts import theme

DASH = "\N{EN DASH}"
"""For a number that is missing."""


@functools.cache
def environment(package: str, folder: str) -> jinja2.Environment:
    """Templates in a folder of a package, with the filters below.

    Args:
      package: dotted name.
      folder: below the package.
    """
    made = jinja2.Environment(
        loader=jinja2.PackageLoader(package, folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "signed": signed,
        "digits": digits,
        "percent": percent,
        "interval": interval,
        "nested": nested,
        "words": lambda name: str(name).replace("_", " "),
    }
    made.globals["variables"] = theme.variables
    made.globals["asset"] = functools.partial(_asset, made)
    return made


def _asset(made: jinja2.Environment, name: str) -> markupsafe.Markup:
    """A style sheet or script of the package, as it is."""
    assert made.loader is not None
    return markupsafe.Markup(made.loader.get_source(made, name)[0])


def _is_missing(x: float | None) -> bool:
    return x is None or x != x


def signed(x: float | None, places: int = 3) -> str:
    """With a sign and a fixed number of decimals."""
    return DASH if _is_missing(x) else f"{x:+.{places}f}"


def digits(x: float | None, count: int = 3) -> str:
    """With a number of significant digits."""
    return DASH if _is_missing(x) else f"{x:.{count}g}"


def percent(x: float | None) -> str:
    """To a tenth of a per cent."""
    return DASH if _is_missing(x) else f"{x:.1%}"


def interval(found: Any, show: str = "digits") -> str:
    """An estimate with its interval, where it has one.

    Args:
      show: the name of another filter.
    """
    if found is None:
        return DASH
    text = {"digits": _padded, "signed": signed, "percent": percent}[show]
    ends = [found.estimate]
    if not _is_missing(found.low) and found.low != found.high:
        ends += [found.low, found.high]
    estimate, *rest = (text(x).replace("-", "\N{MINUS SIGN}") for x in ends)
    return f"{estimate} [{', '.join(rest)}]" if rest else estimate


def _padded(x: float | None) -> str:
    """Three significant digits, zeros at the end too."""
    return DASH if _is_missing(x) else f"{x:#.3g}".rstrip(".")


def nested(value: Any) -> str:
    """Numbers in lists and mappings, in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {nested(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(nested, value))
    return digits(value) if isinstance(value, float | None) else str(value)
