"""Colours and text sizes, in one place for both pages and all charts.

Reference: Okabe & Ito, Color Universal Design, 2008, for the colours of arms; the
further ones are from Paul Tol's muted scheme. Both can be told apart by people with
any form of colour blindness.
"""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

Scheme: TypeAlias = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

PALETTES = MappingProxyType(
    {
        "light": MappingProxyType(
            {
                "paper": "#f4f3ef",
                "card": "#ffffff",
                "ink": "#1d2126",
                "soft": "#666d76",
                "line": "#e2e0da",
                "band": "#e4e4e4",
                "grid": "rgba(0, 0, 0, 0.06)",
                "wall": "#3d434b",
                "floor": "#e9e6de",
                "a": "#0072b2",
                "b": "#d55e00",
                "accent": "#7b4397",
                "ring": "#d1175b",
                "mark": "#111418",
                "good": "#00674f",
                "bad": "#b3261e",
            }
        ),
        "dark": MappingProxyType(
            {
                "paper": "#121418",
                "card": "#1a1d22",
                "ink": "#e8eaed",
                "soft": "#98a0aa",
                "line": "#2c3037",
                "band": "#30343b",
                "grid": "rgba(255, 255, 255, 0.06)",
                "wall": "#0b0c0f",
                "floor": "#30353d",
                "a": "#56b4e9",
                "b": "#f0883e",
                "accent": "#c792ea",
                "ring": "#ff5c93",
                "mark": "#ffffff",
                "good": "#57c7a5",
                "bad": "#ff8a80",
            }
        ),
    }
)
"""Colour by name; the pages have each as a CSS variable."""

ARMS = MappingProxyType(
    {
        "light": (
            *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"),
            *("#332288", "#882255", "#999933", "#44aa99", "#ddcc77"),
        ),
        "dark": (
            *("#56b4e9", "#f0883e", "#3fc79d", "#e39ac4", "#f2b93b", "#9bd7ff"),
            *("#a79af0", "#e07fb0", "#c9c96a", "#7fd6c8", "#efe2a0"),
        ),
    }
)
"""Colour of each arm of a report, in order."""

DIVERGING = MappingProxyType(
    {
        "light": (
            *("#7f1d1d", "#b2332f", "#d6604d", "#f0a482", "#f9ddcd", "#f6f6f3"),
            *("#d3e5f0", "#92c5de", "#4393c3", "#2166ac", "#0b3a6f"),
        ),
        "dark": (
            *("#ffb59c", "#f4845f", "#d0553a", "#96392b", "#56292a", "#23272e"),
            *("#1d3a55", "#205a8a", "#2f83bf", "#64b1e8", "#b5dcff"),
        ),
    }
)
"""From the most negative to the most positive number, through the colour of paper."""

SEQUENTIAL = (
    *("#440154", "#482878", "#3e4a89", "#31688e", "#26828e"),
    *("#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"),
)
"""From 0 to the largest number, in both schemes (viridis)."""

FONT = "system-ui, -apple-system, Segoe UI, Roboto, sans-serif"


def colour(name: str) -> str:
    """Reference to a colour of the palette, e.g. "ink" or "arm-3"."""
    return f"var(--{name})"


def arm_colour(arm: str, arms: Sequence[str]) -> str:
    """The same colour for an arm in every chart; grey for exact values."""
    if arm not in arms:
        return colour("soft")
    return colour(f"arm-{list(arms).index(arm) % len(ARMS['light'])}")


def variables(scheme: Scheme) -> dict[str, str]:
    """All colours of a scheme by the name of their CSS variable."""
    arms = {f"arm-{i}": own for i, own in enumerate(ARMS[scheme])}
    return {**PALETTES[scheme], **arms}


def config(size: int) -> dict[str, Any]:
    """Vega-Lite's `config` of every chart.

    Args:
      size: of the text on axes, in pixels.
    """
    soft, line = colour("soft"), colour("line")
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": soft,
            "titleColor": soft,
            "labelFontSize": size,
            "titleFontSize": size,
            "titleFontWeight": "normal",
            "domain": False,
            "ticks": False,
            "labelPadding": 5,
            "titlePadding": 4,
            "gridColor": line,
        },
        "axisX": {"grid": False},
        "header": {
            "labelColor": colour("ink"),
            "labelFontSize": size,
            "titleColor": soft,
            "titleFontSize": size,
            "titleFontWeight": "normal",
        },
        "legend": {
            "labelColor": soft,
            "titleColor": soft,
            "labelFontSize": size,
            "titleFontSize": size,
            "titleFontWeight": "normal",
        },
        "title": {
            "color": colour("ink"),
            "fontSize": size + 1,
            "fontWeight": "normal",
            "anchor": "start",
        },
        "text": {"color": soft, "fontSize": size},
        "concat": {"spacing": 16},
    }
