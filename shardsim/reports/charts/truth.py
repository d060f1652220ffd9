"""Loss and accuracy of every restart of CCS."""

import altair as alt

from shardsim.reports.charts import base, theme

_ACCURACY = alt.Scale(domain=[0.4, 1], clamp=True)


def restarts() -> alt.LayerChart:
    """Accuracy over loss, one dot per restart, beside what chance and labels reach.

    Rows: `rows` (seed, loss, accuracy, text), `band` (low, high, text), `constant`
    (loss, text), `labelled` (accuracy, text). Parameters: `seed`, `side` (colour).
    """
    x = alt.X(
        "loss:Q",
        title="loss of a restart",
        scale=alt.Scale(zero=True, nice=False),
        axis=alt.Axis(tickCount=4),
    )
    y = alt.Y(
        "accuracy:Q",
        title="accuracy",
        scale=_ACCURACY,
        axis=alt.Axis(tickCount=4, format=".1f"),
    )
    band = (
        base.rows("band")
        .mark_rect(color=theme.colour("soft"), opacity=0.18)
        .encode(alt.Y("low:Q", scale=_ACCURACY), y2="high:Q", tooltip="text:N")
    )
    constant = base.rule("constant").encode(x, tooltip="text:N")
    labelled = base.rule("labelled", dashed=False, colour="good").encode(
        y, tooltip="text:N"
    )
    dots = (
        base.rows(name="restart")
        .mark_point(color=alt.ExprRef("side"), filled=True)
        .encode(
            x,
            y,
            size=base.by_seed(36, 14),
            opacity=base.by_seed(1, 0.2),
            **base.HOVER,
        )
    )
    params = (base.chosen_seed(), base.side_colour())
    return base.layered(band, constant, labelled, dots, params=params)
