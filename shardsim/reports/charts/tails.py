"""How V is distributed over states, beside a normal and a Laplace distribution."""

import altair as alt

from shardsim.reports.charts import base, theme

LIMIT = 4.0
"""Of the axis, in standard deviations."""
LOWEST = -3.2
"""Of the logarithm of the density, to base 10."""
QUANTILE = 3.5
"""Of the axes of quantiles, in standard deviations."""
WIDTH, HEIGHT = 230, 170


def _family() -> tuple[alt.Color, alt.StrokeDash]:
    names = ["normal", "Laplace"]
    colours = alt.Scale(domain=names, range=[theme.colour("a"), theme.colour("b")])
    dashes = alt.Scale(domain=names, range=[[1, 0], [5, 2]])
    return (
        alt.Color("family:N", legend=None, scale=colours),
        alt.StrokeDash("family:N", legend=None, scale=dashes),
    )


def _values() -> alt.X:
    return alt.X(
        "x:Q",
        title="(V - mean) / SD",
        scale=alt.Scale(domain=[-LIMIT, LIMIT]),
        axis=alt.Axis(tickCount=5),
    )


def density() -> alt.LayerChart:
    """Histogram of V with both fits.

    Rows: `rows` (x, x2, density, text), `fits` (x, density, family).
    """
    colour, dash = _family()
    y = alt.Y("density:Q", title="density", axis=alt.Axis(tickCount=4))
    bars = (
        base.rows()
        .mark_rect(color=theme.colour("soft"), opacity=0.45)
        .encode(_values(), y, x2="x2:Q", y2=alt.datum(0), **base.HOVER)
    )
    fits = (
        base.rows("fits")
        .mark_line(strokeWidth=1.8, clip=True)
        .encode(_values(), y, color=colour, strokeDash=dash)
    )
    return base.layered(bars, fits, height=HEIGHT, width=WIDTH)


def log_density() -> alt.LayerChart:
    """The same on a logarithmic axis, where the tails differ.

    Rows: `rows` (x, log, text), `fits` (x, log, family).
    """
    colour, dash = _family()
    y = alt.Y(
        "log:Q",
        title="log10 density",
        scale=alt.Scale(domain=[LOWEST, 0.3]),
        axis=alt.Axis(tickCount=4),
    )
    fits = (
        base.rows("fits")
        .mark_line(strokeWidth=1.8, clip=True)
        .encode(_values(), y, color=colour, strokeDash=dash)
    )
    dots = (
        base.rows()
        .mark_point(color=theme.colour("soft"), filled=True, size=24, clip=True)
        .encode(_values(), y, **base.HOVER)
    )
    return base.layered(fits, dots, height=HEIGHT, width=WIDTH)


def quantiles() -> alt.LayerChart:
    """Quantiles of V over those of both fits; on the diagonal the fit is perfect.

    Rows: `rows` (fitted, observed, family).
    """
    colour, dash = _family()
    ends = alt.Scale(domain=[-QUANTILE, QUANTILE])
    x = alt.X(
        "fitted:Q",
        title="quantile of the fit",
        scale=ends,
        axis=alt.Axis(tickCount=4),
    )
    y = alt.Y(
        "observed:Q",
        title="quantile of V",
        scale=ends,
        axis=alt.Axis(tickCount=4),
    )
    corners = [{"fitted": end, "observed": end} for end in (-QUANTILE, QUANTILE)]
    diagonal = (
        alt.Chart(alt.InlineData(corners))
        .mark_line(color=theme.colour("line"), strokeWidth=1)
        .encode(x, y)
    )
    lines = (
        base.rows()
        .mark_line(strokeWidth=1.8, clip=True)
        .encode(x, y, color=colour, strokeDash=dash)
    )
    return base.layered(diagonal, lines, height=HEIGHT, width=WIDTH)
