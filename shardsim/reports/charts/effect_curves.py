"""Effects over training: what a verdict would have been when V was further from V*."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np

from shardsim.evaluation.results import EffectCurve, PredictionResult
from shardsim.reports.charts import theme

NARROW = 500
"""Pixels of a chart below which its panels are under each other."""


def effects(
    curves: Mapping[str, EffectCurve],
    predictions: Mapping[str, PredictionResult],
    goal: float | None,
    width: int = 780,
) -> alt.ConcatChart:
    """Effect in units of the margin against the error of V, a panel for a prediction.

    Training leads from the right, where V is far from V*, to the left.

    Args:
      curves: by prediction.
      predictions: of the same names; their margins and directions.
      goal: largest error of V at which a claim stands, in sd of V*; None: any.
      width: of the whole chart, in pixels.
    """
    columns = 2 if len(curves) > 1 and width > NARROW else 1
    charts = [
        _panel(name, rows(curve, predictions[name]), goal, width // columns - 90)
        for name, curve in curves.items()
    ]
    return alt.concat(*charts, columns=columns, spacing={"column": 24, "row": 14})


def rows(curve: EffectCurve, entry: PredictionResult) -> list[dict[str, Any]]:
    """One row per snapshot: `error`, `update`, and the effect in units of the margin.

    Snapshots without a number, or without a margin, have no row.
    """
    sign = 1 if entry.rule.direction == "greater" else -1
    margin = entry.size_of_margin
    drawn = []
    for update, effect, error in zip(
        curve.update, curve.effect, curve.value_error, strict=True
    ):
        if not margin or error is None or effect.estimate is None or error <= 0:
            continue
        ends = [
            None if x is None else sign * x / margin
            for x in (effect.low, effect.estimate, effect.high)
        ]
        names = ("low", "effect", "high")
        drawn.append(
            {
                "error": error,
                "update": update,
                **dict(zip(names, ends, strict=True)),
            }
        )
    return drawn


def _panel(
    name: str, rows: list[dict[str, Any]], goal: float | None, width: int
) -> alt.LayerChart:
    errors = [row["error"] for row in rows] + ([goal] if goal else [])
    low, high = (min(errors), max(errors)) if errors else (0.1, 1.0)
    x = alt.X(
        "error:Q",
        title="error of V / SD of V*",
        scale=alt.Scale(
            type="log", domain=[0.9 * low, 1.1 * high], reverse=True, nice=False
        ),
        axis=alt.Axis(
            values=[t for t in (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10) if low <= t <= high],
            format="~g",
        ),
    )
    reach = max(
        [2.0] + [1.1 * abs(row["effect"]) for row in rows if np.isfinite(row["effect"])]
    )
    y = alt.Y(
        "effect:Q",
        title="effect / margin",
        scale=alt.Scale(type="symlog", constant=2, domain=[-reach, reach], nice=False),
        axis=alt.Axis(
            values=[t for t in (-10, -3, -1, 0, 1, 3, 10) if abs(t) <= reach]
        ),
    )
    data = alt.Chart(alt.InlineData(rows))
    band = (
        alt.Chart(alt.InlineData([{"low": -1, "high": 1}]))
        .mark_rect(color=theme.colour("band"))
        .encode(alt.Y("low:Q"), y2="high:Q")
    )
    zero = (
        alt.Chart(alt.InlineData([{"effect": 0}]))
        .mark_rule(color=theme.colour("soft"))
        .encode(y)
    )
    colour = theme.colour("arm-0")
    interval = data.mark_rule(clip=True, color=colour).encode(
        x, alt.Y("low:Q"), y2="high:Q"
    )
    path = data.mark_line(color=colour, strokeWidth=1, opacity=0.6).encode(
        x, y, order="update:Q"
    )
    dots = data.mark_point(filled=True, size=40, opacity=1, color=colour).encode(x, y)
    layers: list[alt.Chart] = [band, zero, interval, path, dots]
    if goal is not None:
        layers.append(
            alt.Chart(alt.InlineData([{"error": goal}]))
            .mark_rule(color=theme.colour("soft"), strokeDash=[1, 3])
            .encode(x)
        )
    chart: Any = alt.layer(*layers)
    sized: alt.LayerChart = chart.properties(title=name, width=width, height=150)
    return sized
