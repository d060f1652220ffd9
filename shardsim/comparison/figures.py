"""The pictures of a report, as SVG text that is the same for the same numbers.

Symbols: N seeds, K parts, A actions, H, W the board.
"""

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's palette: told apart by colour-blind people too."""

GREY = "#666666"

STYLE: Any = {
    "svg.hashsalt": "shardsim",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "image.interpolation": "none",
}
PANEL = 1.25
"""Inches a side of a board."""


def svg(figure: Figure) -> str:
    """The figure as SVG without the day it was made."""
    file = io.StringIO()
    with matplotlib.rc_context(STYLE):
        FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})
    return file.getvalue()


def forest(predictions: Mapping[str, Any]) -> str:
    """Every effect in units of its margin, SHARD's side to the right."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 0.6 + 0.36 * len(predictions)), layout="tight")
        axes = figure.subplots()
        axes.axvspan(-1, 1, color="#dddddd", lw=0, label="within the margin")
        axes.axvline(0, color=GREY, lw=0.8)
        for row, entry in enumerate(predictions.values()):
            rule = entry["rule"]
            sign = 1 if rule["direction"] == "greater" else -1
            low, middle, high = (
                _number(entry["effect"][key]) * sign / rule["margin"]
                for key in ("low", "estimate", "high")
            )
            colour = COLOURS[0] if entry["stands"] else GREY
            axes.plot([low, high], [row, row], color=colour, lw=2)
            axes.plot([middle], [row], "o", color=colour)
        axes.set_yticks(range(len(predictions)), list(map(_plain, predictions)))
        axes.set_ylim(len(predictions) - 0.5, -0.5)
        axes.set_xscale("symlog", linthresh=2)
        reach = max(3.0, *(abs(x) for x in axes.get_xlim()))
        axes.set_xlim(-reach, reach)
        ticks = [t for t in (-30, -10, -3, -1, 0, 1, 3, 10, 30) if abs(t) <= reach]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.minorticks_off()
        axes.set_xlabel("effect / margin   (right: where SHARD expects it)")
        return svg(figure)


def curves(found: Mapping[str, Any], goal: float, phases: Mapping[str, int]) -> str:
    """Return and error of V over training: mean and range over seeds, by arm.

    Args:
      phases: updates at the end of each; a line where one begins after another.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.4, 2.9), layout="tight")
        panels = figure.subplots(1, 2)
        names = ("return fraction", "value error")
        labels = ("return / exact optimum", "error of V / sd of V*")
        for axes, name, label in zip(panels, names, labels, strict=True):
            start = min(min(curve["update"]) for curve in found.values())
            for arm, curve in found.items():
                _curve(axes, arm, curve, name, _colour(arm, list(found)), start)
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(left=0)
            axes.set_xlabel(f"updates after the first {start}" if start else "updates")
            axes.set_ylabel(label)
            for turn, (before, phase) in enumerate(itertools.pairwise(phases)):
                if phases[before] > start:
                    _border(axes, phases[before] - start, phase, turn % 2 == 0)
        panels[0].axhline(goal, color=GREY, lw=0.8, ls=":")
        panels[0].set_ylim(min(0.0, panels[0].dataLim.ymin), 1.05)
        panels[1].set_ylim(bottom=0)
        panels[1].legend(frameon=False, fontsize=8, loc="lower left")
        return svg(figure)


def _border(axes: Axes, update: int, phase: str, low: bool) -> None:
    """Where a phase begins, by its name: below or above, for short ones lie close."""
    axes.axvline(update, color=GREY, lw=0.8)
    y, side = (0.02, "bottom") if low else (0.98, "top")
    place = axes.get_xaxis_transform()
    text = axes.text(update, y, _plain(phase), transform=place, rotation=90)
    text.set(fontsize=7, color=GREY, ha="right", va=side)


def _curve(
    axes: Axes,
    arm: str,
    curve: Mapping[str, Any],
    name: str,
    colour: str,
    start: int,
) -> None:
    y = np.asarray(curve[name], float)
    if len(y) == 1:  # an arm that was never trained stays where it is
        axes.axhline(float(y.mean()), color=colour, ls="--", label=arm)
        return
    x = np.asarray(curve["update"]) - start
    axes.plot(x, y.mean(axis=1), "o-", ms=3, color=colour, label=arm)
    axes.fill_between(
        x, y.min(axis=1), y.max(axis=1), color=colour, alpha=0.15, linewidth=0
    )


def seeds(predictions: Mapping[str, Any], arms: Sequence[str]) -> str:
    """Every seed of every arm, with means and intervals: what verdicts rest on."""
    with matplotlib.rc_context(STYLE):
        count = len(predictions)
        rows = max(len(entry["values"]) for entry in predictions.values())
        size = (7.4, (0.5 + 0.2 * rows) * ((count + 1) // 2))
        figure = Figure(figsize=size, layout="tight")
        panels = figure.subplots((count + 1) // 2, 2, squeeze=False).ravel()
        for axes, (name, entry) in zip(panels, predictions.items(), strict=False):
            _strip(axes, name, entry, arms)
        for axes in panels[count:]:
            axes.set_axis_off()
        return svg(figure)


def _strip(
    axes: Axes, name: str, entry: Mapping[str, Any], arms: Sequence[str]
) -> None:
    for row, (arm, values) in enumerate(entry["values"].items()):
        x = np.array([_number(v) for v in values])
        # the shift parts equal numbers; it carries nothing
        shift = np.linspace(-0.2, 0.2, len(x)) if len(x) > 1 else np.zeros(1)
        colour = _colour(arm.partition("/")[0], arms)
        axes.plot(x, row + shift, "o", ms=3, color=colour, alpha=0.5, mew=0)
        level = entry["levels"][arm]
        ends = [_number(level["low"]), _number(level["high"])]
        axes.plot(ends, [row, row], color=colour, lw=2)
        axes.plot([_number(level["estimate"])], [row], "|", ms=10, color=colour)
    axes.set_yticks(range(len(entry["values"])), list(entry["values"]))
    axes.set_ylim(len(entry["values"]) - 0.5, -0.5)
    axes.set_title(_plain(name), loc="left")


def values(
    maps: Mapping[str, np.ndarray], levels: Sequence[Any], arms: list[str]
) -> str:
    """V and the policy on a few boards: a row for V*, then one for each arm."""
    with matplotlib.rc_context(STYLE):
        size = (PANEL * len(levels) + 1.6, PANEL * (len(arms) + 1) + 0.5)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(len(arms) + 1, len(levels), squeeze=False)
        whole = [maps[f"{level['place']}/optimal"] for level in levels]
        top = max(float(np.max(x)) for x in whole)
        low = min(0.0, *(float(np.min(x)) for x in whole))
        norm = Normalize(low, top if top > low else low + 1)
        image = None
        for column, level in enumerate(levels):
            place = level["place"]
            for row, arm in enumerate(["V*", *arms]):
                axes = panels[row, column]
                key = f"{place}/optimal" if row == 0 else f"{arm}/{place}/value"
                image = _board(axes, maps[key], maps, level, norm, "viridis")
                mover = "exact" if row == 0 else arm
                _arrows(axes, maps[f"{mover}/{place}/move"], maps, level)
                if column == 0:
                    axes.set_ylabel(arm)
            panels[0, column].set_title(_title(level))
        assert image is not None
        figure.colorbar(image, ax=panels, shrink=0.4, label="V")
        return svg(figure)


def shards(maps: Mapping[str, np.ndarray], levels: Sequence[Any], arm: str) -> str:
    """Gate and contribution of every part on a few boards."""
    with matplotlib.rc_context(STYLE):
        gates = {
            level["place"]: maps[f"{arm}/{level['place']}/gates"] for level in levels
        }
        bids = {
            place: gate * maps[f"{arm}/{place}/parts"] for place, gate in gates.items()
        }
        count = next(iter(gates.values())).shape[-1]
        size = (2 * PANEL * len(levels) + 1.2, PANEL * count + 0.6)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(count, 2 * len(levels), squeeze=False)
        most = max(float(np.abs(bid).max()) for bid in bids.values())
        most = most if most > 0 else 1.0
        scales = (
            Normalize(0, max(1.0, *(float(g.max()) for g in gates.values()))),
            Normalize(-most, most),
        )
        images: list[Any] = [None, None]
        for column, level in enumerate(levels):
            drawn = (gates[level["place"]], bids[level["place"]])
            for which, (what, norm, cmap) in enumerate(
                zip(drawn, scales, ("cividis", "RdBu"), strict=True)
            ):
                for k in range(count):
                    axes = panels[k, 2 * column + which]
                    images[which] = _board(axes, what[..., k], maps, level, norm, cmap)
                    if column == which == 0:
                        axes.set_ylabel(f"part {k}")
                word = "gate" if which == 0 else "contribution"
                panels[0, 2 * column + which].set_title(f"{word}\n{_title(level)}")
        for image, label in zip(images, ("gate", "contribution"), strict=True):
            figure.colorbar(image, ax=panels, shrink=0.5, label=label)
        return svg(figure)


def _colour(arm: str, arms: Sequence[str]) -> str:
    """The same for an arm in every figure; grey for what is no arm, V* that is."""
    return COLOURS[list(arms).index(arm) % len(COLOURS)] if arm in arms else GREY


def _plain(name: str) -> str:
    """A name with dollars that begin no formula."""
    return name.replace("$", r"\$")


def _title(level: Mapping[str, Any]) -> str:
    shown = ", ".join(map(str, level["context"]))
    name = _plain(str(level["condition"]).replace("_", " "))
    return f"{name}\ncontext {shown}" if shown else name


def _board(
    axes: Axes,
    what: Float[np.ndarray, "H W"],
    maps: Mapping[str, np.ndarray],
    level: Mapping[str, Any],
    norm: Normalize,
    cmap: str,
) -> Any:
    walls = maps[f"{level['place']}/walls"]
    # a cell that holds a reward ends the episode: V of it is never asked for
    seen = np.where(maps[f"{level['place']}/reachable"] & ~walls, what, np.nan)
    axes.set_facecolor("#bbbbbb")
    image = axes.imshow(seen, norm=norm, cmap=cmap)
    axes.imshow(np.where(walls, 0.0, np.nan), cmap="gray", vmin=0, vmax=1)
    for name, (row, column) in level["glyphs"].items():
        axes.text(
            column,
            row,
            _glyph(name),
            ha="center",
            va="center",
            fontsize=7,
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"},
        )
    axes.set_xticks([])
    axes.set_yticks([])
    return image


def _glyph(name: str) -> str:
    """`fruit 1` -> F1: letters that any font has."""
    first, _, rest = name.partition(" ")
    return first[0].upper() + rest


def _arrows(
    axes: Axes,
    move: Float[np.ndarray, "H W 2"],
    maps: Mapping[str, np.ndarray],
    level: Mapping[str, Any],
) -> None:
    """Mean move of the policy; short where it wavers."""
    fine = maps[f"{level['place']}/reachable"] & ~maps[f"{level['place']}/walls"]
    row, column = np.nonzero(fine)
    axes.quiver(
        column,
        row,
        move[fine][:, 1],
        -move[fine][:, 0],
        pivot="mid",
        scale=1.4,
        scale_units="xy",
        width=0.012,
        color="white",
        edgecolor="black",
        linewidth=0.3,
    )


def _number(x: float | None) -> float:
    """What JSON has no word for comes back as NaN, and is not drawn."""
    return float("nan") if x is None else float(x)
