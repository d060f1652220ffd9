"""Does the agent go where the clamped features say that the goal is?"""

import altair as alt

from shardsim.reports.charts import base, theme


def reach() -> alt.LayerChart:
    """Probability to reach the marked cell over the strength of the clamp.

    Rows: `rows` (times, probability, kind: clamped or control, text), `bounds`
    (probability, text). Parameter: `side` (colour).
    """
    x = alt.X("times:Q", title="strength of the clamp", axis=alt.Axis(tickCount=5))
    y = alt.Y(
        "probability:Q",
        title=None,
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(tickCount=4, format=".0%"),
    )
    bounds = base.rule("bounds").encode(y, tooltip="text:N")
    layers = [bounds]
    for kind, colour in (
        ("control", theme.colour("soft")),
        ("clamped", alt.ExprRef("side")),
    ):
        own = base.rows().transform_filter(f"datum.kind == '{kind}'")
        layers += [
            own.mark_line(color=colour, strokeWidth=2).encode(x, y),
            own.mark_point(color=colour, filled=True, size=30, opacity=1).encode(
                x, y, **base.HOVER
            ),
        ]
    return base.layered(*layers, params=[base.side_colour()])
