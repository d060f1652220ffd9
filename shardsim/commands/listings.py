"""What `list` and `compare` say, as JSON or CSV for other programs."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shardsim.commands import tables
from shardsim.core import config_files
from shardsim.evaluation import results, study_results, wording
from shardsim.reports import differences
from shardsim.storage import run_layout

Row = Mapping[str, Any]
"""A row of a table: a value for each column; None where there is none."""


def text(kind: str, found: Any, rows: Sequence[Row]) -> str:
    """One text in a format.

    Args:
      kind: "json" or "csv".
      found: everything, for JSON.
      rows: the same as one table, for CSV.
    """
    if kind == "json":
        return json.dumps(found, indent=1, ensure_ascii=False)
    file = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().rstrip("\n")


def runs(root: Path) -> list[dict[str, Any]]:
    """All runs and studies below a folder: state, name, size, digest and verdicts."""
    found = []
    for folder in tables.runs_below(root):
        state, result = tables.state(folder)
        row: dict[str, Any] = {"run": str(folder), "state": state}
        if isinstance(result, study_results.StudyResult):
            row |= {
                "experiment": result.name,
                "cells": len(result.cells),
                "digest": result.digest,
                "answer": result.answer,
            }
        elif result is not None:
            row |= {
                "experiment": result.name,
                "seeds": result.num_seeds,
                "digest": result.digest,
                "verdicts": {
                    name: {"verdict": wording.of(entry), "is_valid": entry.is_valid}
                    for name, entry in _predictions(result).items()
                },
            }
        found.append(row)
    return found


def run_rows(found: Sequence[Row]) -> list[Row]:
    """The same as a table: a row for each run, its verdicts in one cell."""
    columns = ("run", "state", "experiment", "seeds", "cells", "digest", "answer")
    return [
        {
            **{name: row.get(name) for name in columns},
            "verdicts": "; ".join(
                f"{name}: {entry['verdict']}"
                + ("" if entry["is_valid"] else " (no claim stands)")
                for name, entry in row.get("verdicts", {}).items()
            ),
        }
        for row in found
    ]


def comparison(folders: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """Arms and predictions of runs, and the fields in which their configs differ."""
    arms: list[dict[str, Any]] = []
    predictions: list[dict[str, Any]] = []
    for folder in folders:
        result = results.read(folder)
        arms += [
            {"run": str(folder), "arm": name, **_arm(arm)}
            for name, arm in result.arms.items()
        ]
        predictions += [
            {"run": str(folder), "prediction": name, **_prediction(entry)}
            for name, entry in _predictions(result).items()
        ]
    configs = [config_files.read_yaml(f / run_layout.CONFIG_FILE) for f in folders]
    fields = [
        {"run": str(folder), "field": row.field, "value": value}
        for row in differences.of_configs(configs)
        for folder, value in zip(folders, row.values, strict=True)
    ]
    return {"arms": arms, "predictions": predictions, "fields": fields}


def comparison_rows(found: Mapping[str, Sequence[Row]]) -> list[Row]:
    """The same as one tidy table: a number or a text in each row."""
    keys = {"arms": "arm", "predictions": "prediction", "fields": "field"}
    return [
        {
            "table": table,
            "run": row["run"],
            "name": row[key],
            "column": column,
            "value": x,
        }
        for table, key in keys.items()
        for row in found[table]
        for column, x in row.items()
        if column not in ("run", key)
    ]


def _predictions(result: results.Result) -> dict[str, results.PredictionResult]:
    return result.predictions if isinstance(result, results.RunResult) else {}


def _arm(arm: Any) -> dict[str, Any]:
    names = ("mean_return_fraction", "mean_value_error", "mean_reward_per_episode")
    return {name: getattr(arm, name) for name in names if hasattr(arm, name)}


def _prediction(entry: results.PredictionResult) -> dict[str, Any]:
    return {
        "verdict": wording.of(entry),
        "is_valid": entry.is_valid,
        "effect": entry.effect.estimate,
        "low": entry.effect.low,
        "high": entry.effect.high,
        "unit": entry.effect_unit,
        "margin": entry.size_of_margin,
        "p_value": entry.p_value,
        "num_seeds": entry.effect.num_seeds,
    }
