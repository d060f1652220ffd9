"""The pictures of a report, as SVG text that is the same for the same numbers.

Symbols: N seeds, T snapshots.
"""

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import matplotlib
import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from shardsim.evaluation import results, rules
from shardsim.storage import records

Predictions: TypeAlias = Mapping[str, results.PredictionResult]

COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#332288", "#882255", "#999933", "#44AA99", "#DDCC77"),
)
"""Okabe and Ito's palette, then what Tol's muted one adds: told apart by colour-blind
people too."""

GREY = "#666666"

BY_HAND: Any = {"color": COLOURS[1], "marker": "D", "mfc": "white", "ms": 5}
"""Shards that are there by construction, beside those that were learned."""

STYLE: Any = {
    "svg.hashsalt": "shardsim",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "image.interpolation": "none",
}


def svg(figure: Figure) -> str:
    """The figure as SVG without the day it was made."""
    file = io.StringIO()
    with matplotlib.rc_context(STYLE):
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    return file.getvalue()


def forest(panels: Mapping[str, Predictions], columns: int = 1) -> str:
    """Every effect in units of its margin, SHARD's side to the right.

    Below each, where an arm has shards by construction, what the contrast makes of it.

    Args:
      panels: predictions with their results, by title.
    """
    counts = [len(predictions) for predictions in panels.values()]
    rows = [max(counts[i : i + columns]) for i in range(0, len(counts), columns)]
    size = (7.4, 0.3 + 0.3 * len(rows) + 0.4 * sum(rows))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="tight")
        places = figure.subplots(
            len(rows),
            columns,
            squeeze=False,
            sharex=True,
            gridspec_kw={"height_ratios": rows},
        )
        for axes, (title, found) in zip(places.flat, panels.items(), strict=False):
            _panel(axes, title, found)
        for axes in places.flat[len(panels) :]:
            axes.set_axis_off()
        first = places[0, 0]
        reach = max(3.0, *(abs(x) for x in first.get_xlim()))
        first.set_xlim(-reach, reach)
        ticks = [t for t in (-30, -10, -3, -1, 0, 1, 3, 10, 30) if abs(t) <= reach]
        first.set_xticks(ticks, [f"{t:g}" for t in ticks])
        first.minorticks_off()
        for axes in places[-1]:
            axes.set_xlabel("effect / margin   (right: where SHARD expects it)")
        return svg(figure)


def _panel(axes: Axes, title: str, predictions: Predictions) -> None:
    axes.axvspan(-1, 1, color="#dddddd", lw=0)
    axes.axvline(0, color=GREY, lw=0.8)
    for row, entry in enumerate(predictions.values()):
        rule, made = entry.rule, entry.sensitivity
        colour = COLOURS[0] if entry.is_valid else GREY
        _effect(axes, row, entry.effect, rule, color=colour)
        if made is not None:
            _effect(axes, row + 0.28, made.effect, rule, **BY_HAND)
    axes.set_yticks(range(len(predictions)), list(map(plain, predictions)))
    axes.set_ylim(len(predictions) - 0.4, -0.5)
    axes.set_xscale("symlog", linthresh=2)
    axes.set_title(plain(title), loc="left")


def _effect(
    axes: Axes,
    row: float,
    effect: results.Interval,
    rule: rules.Rule,
    color: str,
    **marker: Any,
) -> None:
    sign = 1 if rule.direction == "greater" else -1
    low, middle, high = (
        _number(x) * sign / rule.margin
        for x in (effect.low, effect.estimate, effect.high)
    )
    axes.plot([low, high], [row, row], color=color, lw=2)
    axes.plot([middle], [row], color=color, **{"marker": "o", **marker})


def curves(
    found: Mapping[str, results.CurveResult], goal: float, phases: Mapping[str, int]
) -> str:
    """Return and error of V over training: mean and range over seeds, by arm.

    Below them, where some V has shards, how many are in use: a line a seed, for what is
    one in some seeds and two in others is neither in the mean.

    Args:
      phases: updates at the end of each; a line where one begins after another.
    """
    parted = {arm: curve for arm, curve in found.items() if _has_shards(curve)}
    start = min(min(curve.update) for curve in found.values())
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 5.2 if parted else 2.9), layout="tight")
        grid = figure.add_gridspec(2 if parted else 1, 2)
        places = [grid[0, 0], grid[0, 1], *([grid[1, :]] if parted else [])]
        panels = [figure.add_subplot(place) for place in places]
        for arm, curve in found.items():
            colour = _colour(arm, list(found))
            x = np.asarray(curve.update) - start
            _curve(panels[0], arm, x, curve.return_fraction, colour)
            _curve(panels[1], arm, x, curve.value_error, colour)
        for arm, curve in parted.items():
            x = np.asarray(curve.update) - start
            y = np.asarray(curve.shards_in_use, float)
            panels[2].plot(x, y, "-", lw=1, alpha=0.6, color=_colour(arm, list(found)))
        labels = ("return / exact optimum", "error of V / sd of V*", "shards in use")
        for axes, label in zip(panels, labels, strict=False):
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(left=0)
            axes.set_xlabel(f"updates after the first {start}" if start else "updates")
            axes.set_ylabel(label)
            for turn, (before, phase) in enumerate(itertools.pairwise(phases)):
                if phases[before] > start:
                    _border(axes, phases[before] - start, phase, turn % 2 == 0)
        for axes in panels[2:]:
            axes.set_yscale("log", base=2, nonpositive="clip")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.set_ylim(0.95, max(4.2, axes.get_ylim()[1]))  # 1, 2 and 4 are ticks
        panels[0].axhline(goal, color=GREY, lw=0.8, ls=":")
        panels[0].set_ylim(min(0.0, panels[0].dataLim.ymin), 1.05)
        panels[1].set_ylim(bottom=0)
        panels[1].legend(frameon=False, fontsize=8, loc="lower left")
        return svg(figure)


def _has_shards(curve: results.CurveResult) -> bool:
    """Whether there is anything to draw: more than one shard, in more than one row."""
    rows = curve.shards_in_use
    if len(rows) < 2:  # never trained
        return False
    return any(count is not None and count > 1.01 for row in rows for count in row)


def _border(axes: Axes, update: int, phase: str, low: bool) -> None:
    """Where a phase begins, by its name: below or above, for short ones lie close."""
    axes.axvline(update, color=GREY, lw=0.8)
    y, side = (0.02, "bottom") if low else (0.98, "top")
    place = axes.get_xaxis_transform()
    text = axes.text(update, y, plain(phase), transform=place, rotation=90)
    text.set(fontsize=7, color=GREY, ha="right", va=side)


def _curve(
    axes: Axes,
    arm: str,
    x: Int[np.ndarray, " T"],
    rows: tuple[records.SeedNumbers, ...],
    colour: str,
) -> None:
    y = np.asarray(rows, float)
    if len(y) == 1:  # an arm that was never trained stays where it is
        axes.axhline(float(y.mean()), color=colour, ls="--", label=arm)
        return
    axes.plot(x, y.mean(axis=1), "o-", ms=3, color=colour, label=arm)
    axes.fill_between(
        x, y.min(axis=1), y.max(axis=1), color=colour, alpha=0.15, linewidth=0
    )


def seeds(predictions: Predictions, arms: Sequence[str]) -> str:
    """Every seed of every arm, with means and intervals: what verdicts rest on."""
    with matplotlib.rc_context(STYLE):
        count = len(predictions)
        rows = max(len(entry.values) for entry in predictions.values())
        size = (7.4, (0.5 + 0.2 * rows) * ((count + 1) // 2))
        figure = Figure(figsize=size, layout="tight")
        panels = figure.subplots((count + 1) // 2, 2, squeeze=False).ravel()
        for axes, (name, entry) in zip(panels, predictions.items(), strict=False):
            _strip(axes, name, entry, arms)
        for axes in panels[count:]:
            axes.set_axis_off()
        return svg(figure)


def _strip(
    axes: Axes, name: str, entry: results.PredictionResult, arms: Sequence[str]
) -> None:
    for row, (arm, values) in enumerate(entry.values.items()):
        x = np.array([_number(v) for v in values])
        # the shift parts equal numbers; it carries nothing
        shift = np.linspace(-0.2, 0.2, len(x)) if len(x) > 1 else np.zeros(1)
        colour = _colour(arm.partition("/")[0], arms)
        judged = np.ones(len(x), bool)
        if entry.judged_seeds is not None and len(x) == entry.num_seeds:
            judged = np.isin(np.arange(len(x)), entry.judged_seeds)
        places = row + shift
        axes.plot(x[judged], places[judged], "o", ms=3, color=colour, alpha=0.5, mew=0)
        axes.plot(x[~judged], places[~judged], "x", ms=2.5, color=GREY, alpha=0.6)
        mean = entry.means[arm]
        ends = [_number(mean.low), _number(mean.high)]
        axes.plot(ends, [row, row], color=colour, lw=2)
        axes.plot([_number(mean.estimate)], [row], "|", ms=10, color=colour)
    axes.set_yticks(range(len(entry.values)), list(entry.values))
    axes.set_ylim(len(entry.values) - 0.5, -0.5)
    axes.set_title(plain(name), loc="left")


def _colour(arm: str, arms: Sequence[str]) -> str:
    """The same for an arm in every figure; grey for what is no arm, V* that is."""
    return COLOURS[list(arms).index(arm) % len(COLOURS)] if arm in arms else GREY


def plain(name: str) -> str:
    """A name with dollars that begin no formula."""
    return name.replace("$", r"\$")


def _number(x: float | None) -> float:
    """What JSON has no word for comes back as NaN, and is not drawn."""
    return float("nan") if x is None else float(x)
