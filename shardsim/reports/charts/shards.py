"""What switching a shard off does to the expected return."""

from typing import Any

import altair as alt

from shardsim.reports.charts import base, theme

ROW = 30
"""Height of a shard, in pixels."""


def effects() -> alt.LayerChart:
    """Change of the return from one source without each shard, beside its control.

    Rows: `rows` (shard, estimate, low, high, kind: ablated or control, text, label).
    """
    shard = alt.Y("shard:N", title=None, sort=None, axis=alt.Axis(grid=False))
    offset = alt.YOffset("kind:N", sort=["ablated", "control"])
    x = alt.X(
        "estimate:Q",
        title="change of the expected return",
        axis=alt.Axis(tickCount=4, grid=True),
    )
    colour = alt.Color(
        "kind:N",
        legend=None,
        scale=alt.Scale(
            domain=["ablated", "control"],
            range=[theme.colour("accent"), theme.colour("soft")],
        ),
    )
    zero = (
        alt.Chart(alt.InlineData([{"estimate": 0}]))
        .mark_rule(color=theme.colour("soft"))
        .encode(x)
    )
    interval = (
        base.rows()
        .mark_rule(strokeWidth=2)
        .encode(alt.X("low:Q"), shard, x2="high:Q", yOffset=offset, color=colour)
    )
    dots = (
        base.rows(name="effect")
        .mark_point(filled=True, size=36, opacity=1)
        .encode(x, shard, yOffset=offset, color=colour, **base.HOVER)
    )
    chart: Any = alt.layer(zero, interval, dots)
    sized: alt.LayerChart = chart.properties(
        width=260, height=alt.Step(ROW, **{"for": "position"})
    )
    return sized
