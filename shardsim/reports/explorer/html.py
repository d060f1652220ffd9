"""One HTML file and one JSON file out of the tree of numbers.

Arrays go into the page as base64 of little-endian numbers and into results.json as
lists; NaN is null there. The page asks nobody for anything: style, program and data
are inside.
"""

import base64
import importlib.resources
import json
import math
import string
from pathlib import Path
from typing import Any

import numpy as np

from shardsim.reports.verdicts import html as markup
from shardsim.storage import run_folder

MOST_BYTES = 10_000_000
"""Of a page; fewer checkpoints are shown where it would be more."""

SCRIPTS = (
    "core",
    "model",
    "state",
    "boards",
    "cell",
    "shards",
    "charts",
    "header",
    "interventions",
    "directions",
    "tails",
    "attribution",
    "main",
)
KINDS = {"f": "<f4", "i": "<i4", "b": "|u1", "u": "|u1"}
"""How arrays are stored, by numpy's kind of number."""


def page(book: dict[str, Any], path: Path, results: Path) -> int:
    """Write the page, and its numbers beside it.

    Returns:
      Bytes of the page.
    """
    text = html(book)
    run_folder.write_text(path, text)
    told = json.dumps(plain(book), allow_nan=False, separators=(",", ":"))
    run_folder.write_text(results, told + "\n")
    return len(text.encode())


def html(book: dict[str, Any]) -> str:
    """The page as text."""
    here = importlib.resources.files("shardsim.reports.explorer") / "assets"
    name = book["about"]["runs"][0]["name"]
    arms = " and ".join(side["arm"] for side in book["sides"])
    data = json.dumps(packed(book), allow_nan=False, separators=(",", ":"))
    return string.Template((here / "page.html").read_text()).substitute(
        title=markup.text(f"{name}: {arms}"),
        style=(here / "page.css").read_text(),
        # inside of a script only this could end it
        data=data.replace("<", "\\u003c"),
        script="\n".join((here / f"{name}.js").read_text() for name in SCRIPTS),
    )


def packed(tree: Any) -> Any:
    """The tree with arrays as {"$": type, "shape", "data": base64}."""
    if isinstance(tree, dict):
        return {str(key): packed(inner) for key, inner in tree.items()}
    if isinstance(tree, list | tuple):
        return [packed(inner) for inner in tree]
    if isinstance(tree, np.ndarray):
        kind = KINDS[tree.dtype.kind]
        data = base64.b64encode(tree.astype(kind).tobytes()).decode()
        return {"$": kind[1:], "shape": list(tree.shape), "data": data}
    return _number(tree)


def plain(tree: Any) -> Any:
    """The tree with arrays as lists."""
    if isinstance(tree, dict):
        return {str(key): plain(inner) for key, inner in tree.items()}
    if isinstance(tree, list | tuple):
        return [plain(inner) for inner in tree]
    if isinstance(tree, np.ndarray):
        kept = tree.astype(KINDS[tree.dtype.kind])
        if kept.dtype.kind == "f":
            # as many digits as tell one float32 from the next
            return _rounded(kept.astype(np.float64).tolist())
        return kept.tolist()
    return _number(tree)


def _rounded(numbers: Any) -> Any:
    if isinstance(numbers, list):
        return [_rounded(inner) for inner in numbers]
    return float(f"{numbers:.9g}") if math.isfinite(numbers) else None


def _number(leaf: Any) -> Any:
    """Python's own numbers; null for what is not finite."""
    if isinstance(leaf, np.generic):
        leaf = leaf.item()
    if isinstance(leaf, float) and not math.isfinite(leaf):
        return None
    return leaf
