"""Singular values of the weights that read E's features."""

import altair as alt

from shardsim.reports.charts import base, theme


def spectrum() -> alt.LayerChart:
    """Singular values of V's and of D's first weights, with near-ties joined.

    Rows: `rows` (network, k, value, text), `ties` (k, k2, value, value2). Parameter:
    `side` (colour).
    """
    x = alt.X(
        "k:Q",
        title="singular direction",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(tickMinStep=1, tickCount=5),
    )
    y = alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=4))
    side = alt.ExprRef("side")
    ties = (
        base.rows("ties")
        .mark_rule(color=theme.colour("ring"), strokeWidth=5, opacity=0.45)
        .encode(x, y, x2="k2:Q", y2="value2:Q")
    )
    dash = alt.StrokeDash(
        "network:N",
        legend=None,
        scale=alt.Scale(domain=["V", "D"], range=[[1, 0], [4, 3]]),
    )
    line = (
        base.rows().mark_line(color=side, strokeWidth=2).encode(x, y, strokeDash=dash)
    )
    dots = (
        base.rows(name="values")
        .mark_point(color=side, filled=True, size=16, opacity=1)
        .encode(x, y, detail="network:N", **base.HOVER)
    )
    return base.layered(line, ties, dots, params=[base.side_colour()])
