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
        return figures.svg(figure)


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
