"""Effects in units of their margins, and the seeds that they rest on."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from shardsim.evaluation import wording
from shardsim.evaluation.results import PredictionResult
from shardsim.reports.charts import theme

TICKS = (-30, -10, -3, -1, 0, 1, 3, 10, 30)
"""Effects / margin that are labelled."""
LINEAR = 2.0
"""Effects / margin up to which the axis is nearly linear."""
PLANTED = "planted"
BELOW = 0.3
"""Where the planted effect stands below the learned one, in rows."""
NARROW = 500
"""Pixels of a chart below which its panels are under each other."""
JITTER = 0.36
"""Height over which the seeds of an arm are spread, in rows; it means nothing."""


def effects(
    panels: Mapping[str, Mapping[str, PredictionResult]],
    columns: int = 1,
    width: int = 780,
) -> alt.ConcatChart:
    """Every effect with its interval; where SHARD expects it is to the right.

    So is, of a tool, where the answer is yes. A diamond below an effect is the same
    contrast of the positive control.

    Args:
      panels: predictions by name, by title of the panel.
      width: of the whole chart, in pixels.
    """
    rows = {title: effect_rows(entries) for title, entries in panels.items()}
    ends = [
        abs(row[key])
        for panel in rows.values()
        for row in panel
        for key in ("low", "effect", "high")
        if row[key] is not None
    ]
    side = wording.phrases(
        entry for entries in panels.values() for entry in entries.values()
    ).side
    reach = max([3.0, *(1.1 * end for end in ends)])
    x = alt.X(
        "effect:Q",
        title=f"effect / margin (right: {side})",
        scale=alt.Scale(
            type="symlog", constant=LINEAR, domain=[-reach, reach], nice=False
        ),
        axis=alt.Axis(
            values=[tick for tick in TICKS if abs(tick) <= reach],
            format="~g",
            domain=True,
            domainColor=theme.colour("soft"),
        ),
    )
    charts = [
        _effects(title, rows[title], list(entries), x, (width - 60) // columns - 40)
        for title, entries in panels.items()
    ]
    return alt.concat(*charts, columns=columns)


def effect_rows(predictions: Mapping[str, PredictionResult]) -> list[dict[str, Any]]:
    """One row per effect: `low`, `effect` and `high` in units of the margin."""
    rows = []
    for row, (name, entry) in enumerate(predictions.items()):
        kind = "learned" if entry.is_valid else "no claim"
        intervals = [(kind, entry.effect)]
        if entry.sensitivity is not None:
            intervals.append((PLANTED, entry.sensitivity.effect))
        sign = 1 if entry.rule.direction == "greater" else -1
        margin = entry.size_of_margin
        for kind, effect in intervals:
            low, middle, high = (
                None if x is None or margin is None else sign * x / margin
                for x in (effect.low, effect.estimate, effect.high)
            )
            below = BELOW if kind == PLANTED else 0.0
            rows.append(
                {
                    "prediction": name,
                    "kind": kind,
                    "row": row + below,
                    "low": low,
                    "effect": middle,
                    "high": high,
                }
            )
    return rows


def _effects(
    title: str, rows: list[dict[str, Any]], names: list[str], x: alt.X, width: int
) -> alt.LayerChart:
    kinds = ["learned", "no claim", PLANTED]
    colours = [theme.colour(name) for name in ("arm-0", "soft", "arm-1")]
    colour = alt.Color(
        "kind:N", legend=None, scale=alt.Scale(domain=kinds, range=colours)
    )
    shape = alt.Shape(
        "kind:N",
        legend=None,
        scale=alt.Scale(domain=kinds, range=["circle", "circle", "diamond"]),
    )
    y = _rows(names)
    band = (
        alt.Chart(alt.InlineData([{"low": -1, "high": 1}]))
        .mark_rect(color=theme.colour("band"))
        .encode(alt.X("low:Q"), x2="high:Q")
    )
    zero = (
        alt.Chart(alt.InlineData([{"effect": 0}]))
        .mark_rule(color=theme.colour("soft"))
        .encode(x)
    )
    data = alt.Chart(alt.InlineData(rows))
    interval = data.mark_rule(strokeWidth=2).encode(
        alt.X("low:Q"), y, x2="high:Q", color=colour
    )
    dots = data.mark_point(filled=True, size=46, opacity=1).encode(
        x, y, color=colour, shape=shape
    )
    chart: Any = alt.layer(band, zero, interval, dots)
    named = chart.properties(title=title) if title else chart
    sized: alt.LayerChart = named.properties(width=width, height=34 * len(names))
    return sized


def seeds(
    predictions: Mapping[str, PredictionResult], arms: Sequence[str], width: int = 780
) -> alt.ConcatChart:
    """The measure of every seed of every arm, with mean and interval.

    Args:
      predictions: by name. Seeds that a rule leaves out are crosses.
      arms: all arms of the run, in order: they choose the colours.
      width: of the whole chart, in pixels.
    """
    columns = 2 if len(predictions) > 1 and width > NARROW else 1
    charts = [
        _strip(name, entry, arms, width // columns - 130)
        for name, entry in predictions.items()
    ]
    return alt.concat(*charts, columns=columns, spacing={"column": 24, "row": 14})


def seed_rows(entry: PredictionResult) -> list[dict[str, Any]]:
    """One row per arm and seed: `arm`, `value`, `row` (height) and `judged`."""
    rows = []
    for row, (arm, values) in enumerate(entry.values.items()):
        n = len(values)
        shift = np.linspace(-0.5, 0.5, n) * JITTER if n > 1 else np.zeros(1)
        judged = entry.judged_seeds
        for seed, value in enumerate(values):
            is_judged = judged is None or n < entry.num_seeds or seed in judged
            place = row + float(shift[seed])
            rows.append({"arm": arm, "value": value, "row": place, "judged": is_judged})
    return rows


def _strip(
    name: str, entry: PredictionResult, arms: Sequence[str], width: int
) -> alt.LayerChart:
    names = list(entry.values)
    colours = {arm: theme.arm_colour(arm.partition("/")[0], arms) for arm in names}
    colour = alt.Color("colour:N", scale=None)
    x = alt.X(
        "value:Q",
        title=None,
        scale=alt.Scale(zero=False),
        axis=alt.Axis(
            tickCount=5, domain=True, domainColor=theme.colour("soft"), format="~g"
        ),
    )
    y = _rows(names)
    levels = [
        {
            "colour": colours[arm],
            "row": row,
            "low": entry.means[arm].low,
            "estimate": entry.means[arm].estimate,
            "high": entry.means[arm].high,
        }
        for row, arm in enumerate(names)
    ]
    rows = [{**row, "colour": colours[row["arm"]]} for row in seed_rows(entry)]
    data = alt.Chart(alt.InlineData(rows))
    dots = (
        data.transform_filter("datum.judged")
        .mark_point(filled=True, size=18, opacity=0.55)
        .encode(x, y, color=colour)
    )
    crosses = (
        data.transform_filter("!datum.judged")
        .mark_point(
            filled=False, shape="cross", angle=45, size=22, opacity=0.6, strokeWidth=1
        )
        .encode(x, y, color=alt.value(theme.colour("soft")))
    )
    own = alt.Chart(alt.InlineData(levels))
    interval = own.mark_rule(strokeWidth=2).encode(
        alt.X("low:Q"), y, x2="high:Q", color=colour
    )
    mean = own.mark_tick(thickness=1.5, size=10).encode(
        alt.X("estimate:Q"), y, color=colour
    )
    chart: Any = alt.layer(dots, crosses, interval, mean)
    sized: alt.LayerChart = chart.properties(
        title=name, width=width, height=18 * len(names) + 12
    )
    return sized


def _rows(names: Sequence[str]) -> alt.Y:
    """An axis that numbers rows from the top and labels each by its name."""
    return alt.Y(
        "row:Q",
        title=None,
        scale=alt.Scale(
            domain=[-0.6, len(names) - 0.4], reverse=True, nice=False, zero=False
        ),
        axis=alt.Axis(
            grid=False,
            values=list(range(len(names))),
            labelExpr=f"{json.dumps(list(names))}[datum.value]",
            labelLimit=260,
        ),
    )
