"""Curves of several runs on top of each other: a panel for each metric and arm."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import altair as alt
import numpy as np
from jaxtyping import Float

from shardsim.reports.charts import theme

TICKS = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Updates that are labelled on the logarithmic axis."""
PANEL = 200
"""Least width of a panel, in pixels."""


class Curve(NamedTuple):
    """A metric of one arm of one run."""

    update: tuple[int, ...]
    values: Float[np.ndarray, "T N"]
    """By update and seed; NaN where a seed has no number."""


Metrics = Mapping[str, Mapping[str, Mapping[str, Curve]]]
"""Title of a metric -> arm -> run -> its curve."""


def training(metrics: Metrics, width: int = 880) -> alt.VConcatChart:
    """Mean and range over seeds of every metric: a row for it, a panel for each arm.

    An arm that was never trained is a horizontal line.

    Args:
      width: of the whole chart, in pixels.
    """
    runs = list(
        dict.fromkeys(
            run
            for arms in metrics.values()
            for by_run in arms.values()
            for run in by_run
        )
    )
    columns = max(1, width // (PANEL + 70))
    colour = alt.Color(
        "run:N",
        title=None,
        scale=alt.Scale(
            domain=runs, range=[theme.arm_colour(run, runs) for run in runs]
        ),
        legend=alt.Legend(
            orient="top",
            columns=1,
            labelLimit=width - 60,
            symbolType="stroke",
            symbolStrokeWidth=2,
            symbolOpacity=1,
        ),
    )
    rows = []
    for title, arms in metrics.items():
        panels = [
            _panel(arm, title, by_run, colour, width // columns - 70)
            for arm, by_run in arms.items()
            if rows_of(by_run)
        ]
        rows += [alt.concat(*panels, columns=columns)] if panels else []
    return alt.vconcat(*rows)


def has_rows(metrics: Metrics) -> bool:
    """Whether any run has a finite number."""
    return any(
        np.isfinite(curve.values).any()
        for arms in metrics.values()
        for by_run in arms.values()
        for curve in by_run.values()
    )


def rows_of(by_run: Mapping[str, Curve]) -> list[dict[str, Any]]:
    """One row per run and update: `mean`, `low` and `high` over seeds."""
    rows = []
    for run, curve in by_run.items():
        for update, values in zip(curve.update, curve.values, strict=True):
            seeds = values[np.isfinite(values)]
            if seeds.size:
                rows.append(
                    {
                        "run": run,
                        "update": update,
                        "mean": float(seeds.mean()),
                        "low": float(seeds.min()),
                        "high": float(seeds.max()),
                    }
                )
    return rows


def _panel(
    arm: str, title: str, by_run: Mapping[str, Curve], colour: alt.Color, width: int
) -> alt.LayerChart:
    rows = rows_of(by_run)
    is_still = {run for run, curve in by_run.items() if len(curve.update) == 1}
    moving = [row for row in rows if row["run"] not in is_still]
    still = [row for row in rows if row["run"] in is_still]
    start = min((row["update"] for row in moving), default=0)
    moving = [{**row, "update": row["update"] - start} for row in moving]
    last = max([1, *(row["update"] for row in moving)])
    x = alt.X(
        "update:Q",
        title=f"updates after update {start}" if start else "updates",
        scale=alt.Scale(type="symlog", constant=1, domain=[0, last], nice=False),
        axis=alt.Axis(values=[tick for tick in TICKS if tick <= last], format=",d"),
    )
    y = alt.Y("mean:Q", title=title, scale=alt.Scale(zero=True))
    trained = alt.Chart(alt.InlineData(moving))
    untrained = alt.Chart(alt.InlineData(still))
    band = trained.mark_area(opacity=0.15).encode(
        x, alt.Y("low:Q", title=title), y2="high:Q", color=colour
    )
    line = trained.mark_line(strokeWidth=2).encode(x, y, color=colour)
    rule = untrained.mark_rule(strokeDash=[5, 3], strokeWidth=2)
    layers = [band, line] if moving else []
    layers += [rule.encode(y=y, color=colour)] if still else []
    chart: Any = alt.layer(*layers)
    panel: alt.LayerChart = chart.properties(title=arm, width=width, height=150)
    return panel
