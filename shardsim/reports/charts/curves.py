"""Curves of training: mean and range over seeds, for the page and for the report."""

import itertools
from collections.abc import Mapping
from typing import Any, Literal

import altair as alt
import numpy as np

from shardsim.evaluation.results import CurveResult
from shardsim.reports.charts import base, theme

TICKS = (0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Updates that are labelled on the logarithmic axis."""
NARROW = 500
"""Pixels of a chart below which its panels are under each other."""
SHARDS_SHOWN = 1.01
"""Effective number of shards from which an arm has a curve of its own."""


def metric() -> alt.LayerChart:
    """One metric of sides A and B; a click on a checkpoint is for the page to answer.

    Rows: `rows` (step, side, mean, low, high), `steps` (step, text). Parameters: `step`
    (the checkpoint shown), `updates` (label of each step).
    """
    x = alt.X(
        "step:Q",
        title=None,
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(labelExpr="updates[datum.value]", tickMinStep=1, tickCount=6),
    )
    side = alt.Color(
        "side:N",
        legend=None,
        scale=alt.Scale(
            domain=["A", "B"], range=[theme.colour("a"), theme.colour("b")]
        ),
    )
    y = alt.Y("low:Q", title=None, axis=alt.Axis(tickCount=4))
    band = base.rows().mark_area(opacity=0.14).encode(x, y, y2="high:Q", color=side)
    line = (
        base.rows()
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=22, opacity=1))
        .encode(x, alt.Y("mean:Q"), color=side)
    )
    now = (
        base.rule("steps")
        .transform_filter("datum.step == step")
        .encode(alt.X("step:Q"))
    )
    zone = (
        base.rows("steps", name="zone")
        .transform_calculate(left="datum.step - 0.5", right="datum.step + 0.5")
        .mark_rect(color=theme.colour("soft"), opacity=0, cursor="pointer", clip=True)
        .encode(alt.X("left:Q"), x2="right:Q", **base.HOVER)
    )
    params = (alt.param(name="step", value=0), alt.param(name="updates", value=[]))
    return base.layered(band, line, now, zone, params=params)


def training(
    curves: Mapping[str, CurveResult],
    min_return: float | None,
    phases: Mapping[str, int],
    width: int = 780,
    max_value_error: float | None = None,
) -> alt.VConcatChart:
    """Return and error of V over training by arm, with the number of shards in use.

    The last panel has one line per seed: where some seeds use one shard and others
    two, the mean is neither.

    Args:
      curves: by arm. An arm with one checkpoint was never trained.
      min_return: fraction of the optimal return that an arm has to reach; None: any.
      phases: last update of each phase; a line marks where the next one begins.
      width: of the whole chart, in pixels.
      max_value_error: largest error of V that an arm may have; None: any.
    """
    start = min(min(curve.update) for curve in curves.values())
    borders = [
        {"update": phases[before] - start, "phase": after}
        for before, after in itertools.pairwise(phases)
        if phases[before] > start
    ]
    last = max(max(curve.update) for curve in curves.values()) - start
    is_narrow = width < NARROW
    axis = _Updates(start, max(last, 1), borders, list(curves), is_narrow)
    half = width - 80 if is_narrow else (width - 150) // 2
    returns = axis.mean_and_range(
        curves, "return_fraction", "return / optimal return", half, [0, 1.05]
    )
    errors = axis.mean_and_range(
        curves, "value_error", "RMS error of V / SD of V*", half, None
    )
    pair: list[Any] = [
        returns if min_return is None else alt.layer(returns, _goal(min_return)),
        errors
        if max_value_error is None
        else alt.layer(errors, _goal(max_value_error)),
    ]
    rows = pair if is_narrow else [alt.hconcat(*pair)]
    if any(has_shards(curve) for curve in curves.values()):
        rows.append(axis.shards_in_use(curves, width - 80))
    return alt.vconcat(*rows)


def _goal(level: float) -> alt.Chart:
    """A dotted line at the level of a goal."""
    return (
        alt.Chart(alt.InlineData([{"goal": level}]))
        .mark_rule(color=theme.colour("soft"), strokeDash=[1, 3])
        .encode(y="goal:Q")
    )


def has_shards(curve: CurveResult) -> bool:
    """Whether several shards are in use in some seed, at more than one checkpoint."""
    counts = curve.shards_in_use
    if len(counts) < 2:
        return False
    return any(n is not None and n > SHARDS_SHOWN for row in counts for n in row)


class _Updates:
    """The axis of updates that all panels share."""

    def __init__(
        self,
        start: int,
        last: int,
        borders: list[dict[str, Any]],
        arms: list[str],
        is_narrow: bool,
    ) -> None:
        self.borders, self.arms, self.start = borders, arms, start
        self.x = alt.X(
            "update:Q",
            title=f"updates after update {start}" if start else "updates",
            scale=alt.Scale(type="symlog", constant=1, domain=[0, last], nice=False),
            axis=alt.Axis(values=[tick for tick in TICKS if tick <= last], format=",d"),
        )
        self.colour = alt.Color(
            "arm:N",
            title=None,
            scale=alt.Scale(
                domain=arms, range=[theme.arm_colour(arm, arms) for arm in arms]
            ),
            legend=alt.Legend(
                symbolType="stroke",
                symbolStrokeWidth=2,
                symbolOpacity=1,
                orient="top",
                columns=3 if is_narrow else 0,
            ),
        )

    def mean_and_range(
        self,
        curves: Mapping[str, CurveResult],
        name: Literal["return_fraction", "value_error"],
        title: str,
        width: int,
        domain: list[float] | None,
    ) -> alt.LayerChart:
        by_arm = {
            arm: np.asarray(getattr(curve, name), float)
            for arm, curve in curves.items()
        }
        low = min(0.0, *(float(np.nanmin(y, initial=0.0)) for y in by_arm.values()))
        scale = (
            alt.Scale(zero=True)
            if domain is None
            else alt.Scale(domain=[min(domain[0], low), domain[1]])
        )
        y = alt.Y("mean:Q", title=title, scale=scale)
        trained, still = [], []
        for arm, own in by_arm.items():
            if len(own) == 1:
                still.append({"arm": arm, "mean": _number(own.mean())})
                continue
            for update, row in zip(curves[arm].update, own, strict=True):
                trained.append(
                    {
                        "arm": arm,
                        "update": update - self.start,
                        "mean": _number(row.mean()),
                        "low": _number(row.min()),
                        "high": _number(row.max()),
                    }
                )
        chart = alt.Chart(alt.InlineData(trained))
        layers = [
            chart.mark_area(opacity=0.15).encode(
                self.x, alt.Y("low:Q", title=title), y2="high:Q", color=self.colour
            ),
            chart.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=24)).encode(
                self.x, y, color=self.colour
            ),
        ]
        if still:
            layers.append(
                alt.Chart(alt.InlineData(still))
                .mark_rule(strokeDash=[5, 3], strokeWidth=2)
                .encode(y=y, color=self.colour)
            )
        return self._bordered(layers).properties(width=width, height=190)

    def shards_in_use(
        self, curves: Mapping[str, CurveResult], width: int
    ) -> alt.LayerChart:
        rows = [
            {
                "arm": arm,
                "seed": f"{arm} {seed}",
                "update": update - self.start,
                "shards": count,
            }
            for arm, curve in curves.items()
            if has_shards(curve)
            for update, counts in zip(curve.update, curve.shards_in_use, strict=True)
            for seed, count in enumerate(counts)
        ]
        most = max(4.2, *(row["shards"] or 0 for row in rows))
        y = alt.Y(
            "shards:Q",
            title="shards in use",
            scale=alt.Scale(type="log", base=2, domain=[0.95, most], nice=False),
            axis=alt.Axis(values=[1, 2, 4, 8, 16, 32, 64], format="d"),
        )
        lines = (
            alt.Chart(alt.InlineData(rows))
            .mark_line(strokeWidth=1, opacity=0.7)
            .encode(self.x, y, color=self.colour, detail="seed:N")
        )
        return self._bordered([lines]).properties(width=width, height=150)

    def _bordered(self, layers: list[alt.Chart]) -> alt.LayerChart:
        """With a line where each phase begins; names are alternately low and high."""
        for turn, border in enumerate(self.borders):
            chart = alt.Chart(alt.InlineData([border]))
            rule = chart.mark_rule(color=theme.colour("soft"))
            name = chart.mark_text(
                angle=270,
                dx=4 if turn % 2 == 0 else -4,
                dy=-5,
                fontSize=9,
                align="left" if turn % 2 == 0 else "right",
                color=theme.colour("soft"),
            )
            edge = alt.value("height") if turn % 2 == 0 else alt.value(0)
            layers += [rule.encode(self.x), name.encode(self.x, y=edge, text="phase:N")]
        whole: Any = alt.layer(*layers)
        bordered: alt.LayerChart = whole
        return bordered


def _number(x: float) -> float | None:
    """JSON has no NaN: a missing number is null, and is not drawn."""
    return float(x) if np.isfinite(x) else None
