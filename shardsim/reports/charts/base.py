"""What the charts of the page have in common.

Their rows come from the browser, by name, and so do their parameters: which seed is
chosen, and in which colour. Each mark has its numbers in `text`, which is shown on
hover and read by screen readers.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt

from shardsim.reports.charts import theme

WIDTH, HEIGHT = 340, 190
"""Of a chart, in its own pixels; the page scales it to its column."""

HOVER: dict[str, Any] = {"tooltip": "text:N", "description": "text:N"}
"""Encodings of a mark whose rows have a `text`."""


def rows(data: str = "rows", **properties: Any) -> alt.Chart:
    """A chart whose rows the page fills in by name."""
    return alt.Chart(alt.NamedData(name=data), **properties)


def layered(
    *layers: alt.Chart | alt.LayerChart,
    params: Sequence[alt.Parameter] = (),
    width: int = WIDTH,
    height: int = HEIGHT,
) -> alt.LayerChart:
    """Charts on top of each other, with their axes inside of a size."""
    chart: Any = alt.layer(*layers).add_params(*params)
    sizes = alt.AutoSizeParams(type="fit", contains="padding")
    sized: alt.LayerChart = chart.properties(width=width, height=height, autosize=sizes)
    return sized


def chosen_seed() -> alt.Parameter:
    """Parameter: the seed that the page shows."""
    return alt.param(name="seed", value=0)


def side_colour() -> alt.Parameter:
    """Parameter: the colour of side A or B."""
    return alt.param(name="side", value=theme.colour("a"))


def by_seed(chosen: float, others: float) -> Any:
    """A number that is another one for the rows of the chosen seed."""
    return alt.condition("datum.seed == seed", alt.value(chosen), alt.value(others))


def rule(name: str, dashed: bool = True, colour: str = "accent") -> alt.Chart:
    """Vertical or horizontal lines across the chart, once rows are filled in."""
    dash = alt.Undefined if not dashed else [3, 3]
    return rows(name).mark_rule(
        color=theme.colour(colour), strokeDash=dash, strokeWidth=1.5
    )
