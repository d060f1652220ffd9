"""The boards of a report: V, the policy, gates and parts, cell by cell, as SVG text.

Symbols: K parts, A actions, H, W the board.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from shardsim.comparison import figures

PANEL = 1.25
"""Inches a side of a board."""


def values(
    maps: Mapping[str, np.ndarray], levels: Sequence[Any], arms: list[str]
) -> str:
    """V and the policy on a few boards: a row for V*, then one for each arm."""
    with matplotlib.rc_context(figures.STYLE):
        figure, panels, bars = _panels(len(arms) + 1, len(levels), lines=2, bars=1)
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
        figure.colorbar(image, cax=bars[0], label="V")
        return figures.svg(figure)


def shards(maps: Mapping[str, np.ndarray], levels: Sequence[Any], arm: str) -> str:
    """Gate and contribution of every part on a few boards."""
    with matplotlib.rc_context(figures.STYLE):
        gates = {
            level["place"]: maps[f"{arm}/{level['place']}/gates"] for level in levels
        }
        bids = {
            place: gate * maps[f"{arm}/{place}/parts"] for place, gate in gates.items()
        }
        count = next(iter(gates.values())).shape[-1]
        figure, panels, bars = _panels(count, 2 * len(levels), lines=3, bars=2)
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
        labels = ("gate", "contribution")
        for image, bar, label in zip(images, bars, labels, strict=True):
            figure.colorbar(image, cax=bar, label=label)
        return figures.svg(figure)


def _panels(
    rows: int, columns: int, lines: int, bars: int
) -> tuple[Figure, np.ndarray, list[Axes]]:
    """A figure of boards under titles of some lines, with places for colour bars.

    All stand where they are put: to have matplotlib look for room takes as long as to
    draw everything.
    """
    left, top, bottom, right = 0.35, 0.1 + 0.16 * lines, 0.08, 0.15 + 0.85 * bars
    width, height = left + PANEL * columns + right, top + PANEL * rows + bottom
    figure = Figure(figsize=(width, height))
    room = {
        "left": left / width,
        "right": 1 - right / width,
        "bottom": bottom / height,
        "top": 1 - top / height,
        "wspace": 0.08,
        "hspace": 0.08,
    }
    panels = figure.subplots(rows, columns, squeeze=False, gridspec_kw=room)
    middle, tall = bottom + PANEL * rows / 2, min(PANEL * rows, 2.0)
    places = [
        (
            (width - right + 0.15 + 0.85 * bar) / width,
            (middle - tall / 2) / height,
            0.12 / width,
            tall / height,
        )
        for bar in range(bars)
    ]
    return figure, panels, [figure.add_axes(place) for place in places]


def _title(level: Mapping[str, Any]) -> str:
    shown = ", ".join(map(str, level["context"]))
    name = figures.plain(str(level["condition"]).replace("_", " "))
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
