"""Charts of a contest: who forecasts best, where, and with how much evidence."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from shardsim.contest.results import ArmScores, ForecasterResult
from shardsim.contest.verdicts import called
from shardsim.reports.charts import theme

NARROW = 500
"""Pixels of a chart below which its panels are under each other."""
CLEAR = 0.05
"""Lead over the second, in nats per decision, from which a cell has its full colour."""
FULL = 0.6
"""Share of the full colour from which text on it has the colour of the card."""
SHOWN = 0.01
"""Lead from which it is written into its cell."""
NATS = "nats per decision above ORACLE"


def names_of(arm: ArmScores) -> list[str]:
    """All forecasters but ORACLE, from the best to the worst."""
    own = {n: f for n, f in arm.forecasters.items() if f.kind != "oracle"}
    return sorted(own, key=lambda name: _estimate(own[name]))


def _called(arm: ArmScores, names: Sequence[str]) -> dict[str, str]:
    return {name: called(name, arm.forecasters[name].kind) for name in names}


def _estimate(one: ForecasterResult) -> float:
    estimate = one.score.excess.estimate
    return float("inf") if estimate is None else estimate


def _colour(
    labels: Mapping[str, str], legend: bool = True, width: int = NARROW
) -> alt.Color:
    """The same colour for a forecaster in every chart.

    Args:
      labels: of all forecasters, by name.
      width: of the chart.
    """
    ordered = sorted(labels)
    columns = 4 if width > NARROW else 2
    return alt.Color(
        "forecaster:N",
        scale=alt.Scale(
            domain=list(labels.values()),
            range=[theme.arm_colour(name, ordered) for name in labels],
        ),
        legend=alt.Legend(
            title=None,
            orient="top",
            columns=columns,
            columnPadding=16,
            labelLimit=width // columns - 30,
        )
        if legend
        else None,
    )


def leaderboard(arm: ArmScores, width: int) -> alt.LayerChart:
    """Loss above ORACLE of every forecaster on all that is asked, with intervals."""
    names = names_of(arm)
    labels = _called(arm, names)
    rows: list[dict[str, Any]] = [
        {
            "forecaster": labels[name],
            "excess": arm.forecasters[name].score.excess.estimate,
            "low": arm.forecasters[name].score.excess.low,
            "high": arm.forecasters[name].score.excess.high,
        }
        for name in names
    ]
    data = alt.Chart(alt.InlineData(rows))
    y = alt.Y("forecaster:N", sort=list(labels.values()), title=None)
    # flush labels would push that of 0 into the next one
    axis = alt.Axis(labelFlush=False, tickCount=5)
    x = alt.X("excess:Q", title=NATS, scale=alt.Scale(zero=True), axis=axis)
    colour = _colour(labels, legend=False)
    bars = data.mark_rule(strokeWidth=2).encode(alt.X("low:Q"), y, x2="high:Q")
    dots = data.mark_point(filled=True, size=60, opacity=1).encode(x, y)
    chart: Any = alt.layer(bars.encode(color=colour), dots.encode(color=colour))
    sized: alt.LayerChart = chart.properties(
        width=width - 190, height=26 * max(len(names), 1)
    )
    return sized


def learning(arm: ArmScores, width: int) -> alt.LayerChart:
    """Loss above ORACLE against the levels of the evidence."""
    names = names_of(arm)
    labels = _called(arm, names)
    rows: list[dict[str, Any]] = [
        {
            "forecaster": labels[name],
            "levels": point.levels,
            "excess": point.score.excess.estimate,
            "low": point.score.excess.low,
            "high": point.score.excess.high,
        }
        for name in names
        for point in arm.forecasters[name].learning
    ]
    ticks = sorted({row["levels"] for row in rows})
    data = alt.Chart(alt.InlineData(rows))
    x = alt.X(
        "levels:Q",
        title="levels of each condition in the evidence",
        scale=alt.Scale(type="log", base=2, nice=False),
        axis=alt.Axis(values=ticks, format="d"),
    )
    colour = _colour(labels, width=width)
    y = alt.Y("excess:Q", title=NATS, scale=alt.Scale(zero=True))
    lines = data.mark_line(strokeWidth=2, point=True).encode(x, y, color=colour)
    chart: Any = alt.layer(lines)
    sized: alt.LayerChart = chart.properties(width=width - 90, height=240)
    return sized


def calibration(arm: ArmScores, width: int) -> alt.ConcatChart:
    """How often actions are taken, against the probability that was forecast.

    A panel for each forecaster.
    """
    names = names_of(arm)
    labels = _called(arm, names)
    columns = 4 if width > NARROW else 2
    side = width // columns - 56
    ordered = sorted(names)
    panels = [
        _calibration(arm.forecasters[name], theme.arm_colour(name, ordered)).properties(
            title=labels[name], width=side, height=side
        )
        for name in names
    ]
    return alt.concat(*panels, columns=columns)


def _calibration(one: ForecasterResult, colour: str) -> Any:
    rows: list[dict[str, Any]] = [
        {"forecast": each.forecast, "taken": each.taken, "weight": each.weight}
        for each in one.calibration
        if each.forecast is not None and each.taken is not None
    ]
    unit = alt.Scale(domain=[0, 1], nice=False)
    ticks = alt.Axis(values=[0, 0.5, 1], format="~g")
    x = alt.X("forecast:Q", title="forecast", scale=unit, axis=ticks)
    y = alt.Y("taken:Q", title="done", scale=unit, axis=ticks)
    data = alt.Chart(alt.InlineData(rows))
    lines = data.mark_line(strokeWidth=1.5, color=colour).encode(x, y)
    dots = data.mark_point(filled=True, opacity=0.9, color=colour).encode(
        x,
        y,
        size=alt.Size("weight:Q", legend=None, scale=alt.Scale(range=[12, 160])),
    )
    ends = [{"forecast": 0, "taken": 0}, {"forecast": 1, "taken": 1}]
    diagonal = (
        alt.Chart(alt.InlineData(ends))
        .mark_line(strokeDash=[4, 4], color=theme.colour("soft"))
        .encode(x, y)
    )
    return alt.layer(diagonal, lines, dots)


def winners(
    arm: ArmScores, conditions: Mapping[str, bool], width: int
) -> alt.LayerChart:
    """Who forecasts each history in each condition best; paler where the lead is small.

    Held-out histories, which are asked about in all conditions, come first.

    Args:
      conditions: by name, whether they are held out.
    """
    labels = _called(arm, names_of(arm))
    cells = sorted(arm.cells, key=lambda cell: not cell.is_held_out)
    rows: list[dict[str, Any]] = [
        {
            "history": cell.history,
            "condition": _marked(cell.condition, conditions[cell.condition]),
            "forecaster": labels[cell.winner],
            "lead": min(cell.lead or 0.0, CLEAR) / CLEAR,
            "text": f"{cell.lead:.2f}" if (cell.lead or 0.0) >= SHOWN else "",
        }
        for cell in cells
    ]
    histories = list(dict.fromkeys(row["history"] for row in rows))
    order = [_marked(name, held_out) for name, held_out in conditions.items()]
    longest = max((len(cell.history) for cell in cells), default=1)
    data = alt.Chart(alt.InlineData(rows))
    x = alt.X(
        "condition:N",
        sort=order,
        title=None,
        axis=alt.Axis(orient="top", labelAngle=-40, labelLimit=200),
    )
    y = alt.Y(
        "history:N", sort=histories, title=None, axis=alt.Axis(labelLimit=width // 3)
    )
    boxes = data.mark_rect(stroke=theme.colour("card"), strokeWidth=1).encode(
        x,
        y,
        color=_colour(labels, width=width),
        opacity=alt.Opacity(
            "lead:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0.2, 1])
        ),
    )
    marks = data.mark_text(fontSize=9).encode(
        x,
        y,
        text="text:N",
        color=alt.condition(
            f"datum.lead > {FULL}",
            alt.value(theme.colour("card")),
            alt.value(theme.colour("ink")),
        ),
    )
    chart: Any = alt.layer(boxes, marks)
    room = min(7 * longest + 30, width // 3)
    sized: alt.LayerChart = chart.properties(
        width=width - room - 60, height=max(18 * len(histories), 18)
    )
    return sized


def _marked(condition: str, held_out: bool) -> str:
    return f"{condition} *" if held_out else condition
