"""Curves and the answer in one sentence, from what a run left on disk."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from shardsim.storage import run_folder

CURVES = ("return fraction", "value error", "parts in use")
"""What is told of each seed at every snapshot."""


def curves(folder: Path, arms: Iterable[str]) -> dict[str, Any]:
    """Learning curves by arm from the metrics: what each snapshot showed."""
    out: dict[str, Any] = {}
    for row in run_folder.read_lines(folder / "metrics.jsonl"):
        if "snapshot" not in row:
            continue
        curve = out.setdefault(row["arm"], {"update": [], **{n: [] for n in CURVES}})
        if row["snapshot"] in curve["update"]:
            continue
        curve["update"].append(row["snapshot"])
        for what in CURVES:  # a run of before may lack one
            curve[what].append(row.get(what))
    return {arm: out[arm] for arm in arms}


def metrics_to_arrays(folder: Path) -> None:
    """metrics.npz: the lines of metrics.jsonl as arrays, by arm and name."""
    gathered: dict[str, list[Any]] = {}
    for row in run_folder.read_lines(folder / "metrics.jsonl"):
        kind = "snapshot" if "snapshot" in row else "chunk"
        for name, item in row.items():
            if name not in ("arm", "phase"):
                rows = gathered.setdefault(f"{row['arm']}/{kind}/{name}", [])
                rows.append(_numbers(item))
    arrays = {name: _ragged(items) for name, items in gathered.items()}
    run_folder.write_arrays(folder / "metrics.npz", arrays)


def _numbers(item: Any) -> Any:
    """The same with NaN where a seed has no number."""
    if isinstance(item, list):
        return [np.nan if x is None else x for x in item]
    return item


def _ragged(items: list[Any]) -> np.ndarray:
    """An array of rows; rows of different widths are filled up with NaN."""
    shapes = {np.shape(item) for item in items}
    if len(shapes) == 1:
        return np.asarray(items)
    width = max(int(np.size(item)) for item in items)
    flat = [np.ravel(np.asarray(item, float)) for item in items]
    return np.stack(
        [np.pad(f, (0, width - f.size), constant_values=np.nan) for f in flat]
    )


def answer(results: dict[str, Any]) -> str:
    """The question's answer in a sentence, put together from the verdicts."""
    verdicts = {n: p["verdict"] for n, p in results["predictions"].items()}
    if not verdicts:
        return "Nothing was asked: the config holds no prediction."
    if not results["controls stand"]:
        entries = results["predictions"].items()
        missed = [n for n, p in entries if p["unlearnt"]]
        fallen = [n for n, p in entries if not p["stands"] and n not in missed]
        why = [
            f"{what} in {', '.join(names)}"
            for what, names in (
                ("controls did not come out as they must", fallen),
                ("an arm of the contrast missed the goal", missed),
            )
            if names
        ]
        return f"No claim stands: {'; '.join(why)}."
    if "shard" in verdicts.values():
        claim = "Yes, in part."
    elif "undecided" in verdicts.values():
        claim = "Not shown."
    else:
        claim = "No, in nothing that was asked."
    kinds = ("shard", "network", "unitary", "no difference", "undecided")
    found = {kind: [n for n, v in verdicts.items() if v == kind] for kind in kinds}
    told = [f"{kind}: {', '.join(names)}" for kind, names in found.items() if names]
    blind = [
        name
        for name, entry in results["predictions"].items()
        if entry["sensitivity"] and not entry["sensitivity"]["seen"]
    ]
    more = (
        f" Shards made by hand are not seen in {', '.join(blind)}: what is not seen "
        "there is no evidence against shards."
        if blind
        else ""
    )
    return f"{claim} Verdicts: {'; '.join(told)}.{more}"
