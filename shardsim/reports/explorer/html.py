"""One HTML file and one JSON file from the records of a page.

Arrays go into the page as base64 of little-endian numbers and into the JSON file as
lists; NaN is null there. Everything is inside the page: style, scripts, data, and the
library that draws its charts. Its content security policy forbids any request.
"""

import base64
import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import markupsafe
import numpy as np

from shardsim.core import files
from shardsim.reports import templates
from shardsim.reports.charts import render
from shardsim.reports.explorer import schema
from shardsim.reports.explorer.panels import PANELS, base

MOST_BYTES = 10_000_000
"""Largest page; a larger one is written with fewer checkpoints."""

BEFORE_PANELS = ("core", "charts", "model", "state", "boards", "cell", "controls")
AFTER_PANELS = ("downloads", "main")
"""Scripts of the page; each panel has one of its own."""

KINDS = {"f": "<f4", "i": "<i4", "b": "|u1", "u": "|u1"}
"""How arrays are stored, by the kind of their numbers."""


def write(page: schema.PageData, path: Path, results: Path) -> int:
    """Write the page, and its numbers as JSON.

    Returns:
      Size of the page, in bytes.
    """
    text = html(page)
    files.write_text(path, text)
    numbers = json.dumps(plain(page), allow_nan=False, separators=(",", ":"))
    files.write_text(results, numbers + "\n")
    return len(text.encode())


def html(page: schema.PageData) -> str:
    """The page as text."""
    assets = templates.environment("shardsim.reports.explorer")
    applies = {
        panel.name: any(side.panels[panel.name] is not None for side in page.sides)
        for panel in PANELS
    }
    scripts = (*BEFORE_PANELS, *(panel.name for panel in PANELS), *AFTER_PANELS)
    charts = {
        name: render.compiled(chart())
        for panel in PANELS
        if applies[panel.name]
        for name, chart in panel.charts.items()
    }
    return assets.get_template("page.html").render(
        page=page,
        panels=[panel.name for panel in PANELS if applies[panel.name]],
        unconverged={panel.name: _unconverged(page, panel.name) for panel in PANELS},
        scripts=[f"{name}.js" for name in scripts],
        data=_json(packed(page)),
        charts=_json(charts),
        library=markupsafe.Markup(render.library()),
    )


def _unconverged(page: schema.PageData, name: str) -> list[tuple[int, str]]:
    """The fits behind a panel that have not converged: side, and how many in words."""
    return [
        (number, f"{fits.num_stopped} of {fits.num_fits}: {fits.name} ({_seeds(fits)})")
        for number, side in enumerate(page.sides)
        for fits in getattr(side.panels[name], "fits", ())
        if fits.num_stopped
    ]


def _seeds(fits: base.Fits) -> str:
    word = "seed" if len(fits.seeds) == 1 else "seeds"
    return f"{word} {', '.join(map(str, fits.seeds))}"


def _json(tree: Any) -> markupsafe.Markup:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(tree, allow_nan=False, separators=(",", ":"))
    return markupsafe.Markup(text.replace("<", "\\u003c"))


def packed(tree: Any) -> Any:
    """The tree for the page: arrays as {"$": type, "shape", "data": base64}."""
    if dataclasses.is_dataclass(tree):
        tree = vars(tree)
    if isinstance(tree, Mapping):
        return {str(key): packed(inner) for key, inner in tree.items()}
    if isinstance(tree, list | tuple):
        return [packed(inner) for inner in tree]
    if isinstance(tree, np.ndarray):
        kind = KINDS[tree.dtype.kind]
        data = base64.b64encode(tree.astype(kind).tobytes()).decode()
        return {"$": kind[1:], "shape": list(tree.shape), "data": data}
    return _number(tree)


def plain(tree: Any) -> Any:
    """The tree for the JSON file: arrays as lists."""
    if dataclasses.is_dataclass(tree):
        tree = vars(tree)
    if isinstance(tree, Mapping):
        return {str(key): plain(inner) for key, inner in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(inner) for inner in tree]
    if isinstance(tree, np.ndarray):
        stored = tree.astype(KINDS[tree.dtype.kind])
        if stored.dtype.kind == "f":
            return _rounded(stored.astype(np.float64).tolist())
        return stored.tolist()
    return _number(tree)


def _rounded(numbers: Any) -> Any:
    """To nine digits, which are enough to distinguish any two float32."""
    if isinstance(numbers, list):
        return [_rounded(inner) for inner in numbers]
    return float(f"{numbers:.9g}") if math.isfinite(numbers) else None


def _number(leaf: Any) -> Any:
    """A Python number; null if it is not finite."""
    if isinstance(leaf, np.generic):
        leaf = leaf.item()
    if isinstance(leaf, float) and not math.isfinite(leaf):
        return None
    return leaf
