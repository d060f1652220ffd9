"""Do methods find one direction for a concept, in every seed?"""

import altair as alt

from shardsim.reports.charts import base, theme

ROW = 24
"""Height of a method, in pixels."""


def _cosine(field: str = "cosine:Q") -> alt.Color:
    return alt.Color(
        field,
        legend=None,
        scale=alt.Scale(domain=[0, 1], range=list(theme.SEQUENTIAL)),
    )


def agreement() -> alt.LayerChart:
    """|cosine| between the directions of all methods and samples of states.

    Rows: `rows` (x, x2, y, y2, cosine, text). Parameters: `methods` (names), `centres`
    (middle of each method on the axis), `span` (samples per method).
    """
    y = alt.Y(
        "y:Q",
        title=None,
        scale=alt.Scale(reverse=True, nice=False, zero=False),
        axis=alt.Axis(
            grid=False,
            values=alt.ExprRef("centres"),
            labelExpr="methods[floor(datum.value / span)]",
        ),
    )
    cells = (
        base.rows()
        .mark_rect()
        .encode(
            alt.X("x:Q", axis=None, scale=alt.Scale(nice=False, zero=False)),
            y,
            x2="x2:Q",
            y2="y2:Q",
            color=_cosine(),
            **base.HOVER,
        )
    )
    params = (
        alt.param(name="methods", value=[]),
        alt.param(name="centres", value=[]),
        alt.param(name="span", value=1),
    )
    return base.layered(cells, params=params, height=250)


def by_seed() -> alt.HConcatChart:
    """How much each method agrees with itself: cells by seed, then the mean over seeds.

    Rows: `rows` (seed, method, cosine, text), `means` (method, mean, low, high, text),
    `chance` (cosine). Parameter: `seed`. A click on a cell is for the page to answer.
    """
    method = alt.Y("method:N", sort=None, title=None, axis=alt.Axis(grid=False))
    seed = alt.X(
        "seed:O",
        title="seed",
        axis=alt.Axis(labelAngle=0, labelOverlap=True, orient="bottom"),
        scale=alt.Scale(paddingInner=0.06),
    )
    cells = (
        base.rows(name="own")
        .mark_rect(cursor="pointer")
        .encode(seed, method, color=_cosine(), **base.HOVER)
    )
    chosen = (
        base.rows()
        .transform_filter("datum.seed == seed")
        .transform_aggregate(methods="count()", groupby=["seed"])
        .mark_rect(filled=False, stroke=theme.colour("ring"), strokeWidth=1.5)
        .encode(seed)
    )

    def x(field: str) -> alt.X:
        return alt.X(
            field,
            title="mean |cos|",
            scale=alt.Scale(domain=[0, 1], nice=False),
            axis=alt.Axis(values=[0, 0.5, 1], format=".1f"),
        )

    blank = alt.Y("method:N", sort=None, axis=None)
    accent = theme.colour("accent")
    means = base.rows("means")
    interval = means.mark_rule(color=accent, strokeWidth=2).encode(
        x("low:Q"), blank, x2="high:Q"
    )
    dot = means.mark_point(color=accent, filled=True, size=40, opacity=1).encode(
        x("mean:Q"), blank, **base.HOVER
    )
    chance = base.rule("chance").encode(x("cosine:Q"), tooltip="text:N")
    height = alt.Step(ROW)
    return alt.hconcat(
        alt.layer(cells, chosen).properties(width=120, height=height),
        alt.layer(chance, interval, dot).properties(width=120, height=height),
        spacing=14,
        bounds="flush",
    ).add_params(base.chosen_seed())


def convergence() -> alt.LayerChart:
    """|cosine| of RLACE's direction to its optimum, one dot per seed.

    Rows: `rows` (seed, cosine, converged, text), `threshold` (cosine). Parameters:
    `seed`, `low` (left end of the axis).
    """
    x = alt.X(
        "cosine:Q",
        title=None,
        scale=alt.Scale(
            zero=False, nice=False, domainMin=alt.ExprRef("low"), domainMax=1
        ),
        axis=alt.Axis(tickCount=3, domain=True, domainColor=theme.colour("line")),
    )
    threshold = base.rule("threshold").encode(x)
    dots = (
        base.rows(name="gauge")
        .mark_point(filled=True, shape="circle")
        .encode(
            x,
            color=alt.condition(
                "datum.converged",
                alt.value(theme.colour("good")),
                alt.value(theme.colour("bad")),
            ),
            size=base.by_seed(90, 36),
            opacity=base.by_seed(1, 0.45),
            **base.HOVER,
        )
    )
    params = (base.chosen_seed(), alt.param(name="low", value=0.95))
    return base.layered(threshold, dots, params=params, height=60)
