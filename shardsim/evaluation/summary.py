"""The learning curves of a run, and its answer in one sentence."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from shardsim.evaluation import results
from shardsim.storage import records
from shardsim.training import metric_records


def curves(folder: Path, arms: Iterable[str]) -> dict[str, results.CurveResult]:
    """Learning curves of the arms, from the snapshot metrics in a run folder."""
    rows: dict[str, dict[int, metric_records.SnapshotMetrics]] = {}
    for line in metric_records.snapshots(folder):
        rows.setdefault(line.arm, {}).setdefault(line.update, line)
    return {arm: _curve(tuple(rows[arm].values())) for arm in arms}


def _curve(rows: tuple[metric_records.SnapshotMetrics, ...]) -> results.CurveResult:
    def column(name: str) -> tuple[records.SeedNumbers, ...]:
        return tuple(getattr(row, name) for row in rows)

    return results.CurveResult(
        update=tuple(row.update for row in rows),
        return_fraction=column("return_fraction"),
        value_error=column("value_error"),
        shards_in_use=column("shards_in_use"),
    )


def answer(predictions: Mapping[str, results.PredictionResult]) -> str:
    """The answer to the question in a sentence, put together from the verdicts.

    Predictions whose claims do not stand are named first; the rest is about the others.
    """
    if not predictions:
        return "Nothing was asked: the config has no prediction."
    valid = {name: entry for name, entry in predictions.items() if entry.is_valid}
    if not valid:
        return f"No claim stands: {_reasons(predictions)}."
    if len(valid) == len(predictions):
        return _of_valid(valid)
    invalid = ", ".join(name for name in predictions if name not in valid)
    return (
        f"No claim stands for {invalid}: {_reasons(predictions)}. For the others: "
        f"{_of_valid(valid)}"
    )


def _reasons(predictions: Mapping[str, results.PredictionResult]) -> str:
    """Why some claims do not stand."""
    invalid = [name for name, entry in predictions.items() if not entry.is_valid]
    missed = [n for n in invalid if predictions[n].arms_below_min_return]
    failed = [n for n in invalid if n not in missed]
    reasons = {
        "controls did not pass": failed,
        "an arm of the contrast missed its minimum return": missed,
    }
    return "; ".join(f"{why} in {', '.join(n)}" for why, n in reasons.items() if n)


def _of_valid(predictions: Mapping[str, results.PredictionResult]) -> str:
    """The answer of predictions whose claims stand."""
    verdicts = {name: entry.verdict for name, entry in predictions.items()}
    if "shard" in verdicts.values():
        claim = "Yes, in part."
    elif "undecided" in verdicts.values():
        claim = "Not shown."
    else:
        claim = "No, in nothing that was asked."
    kinds = ("shard", "network", "unitary", "no difference", "undecided")
    by_kind = {kind: [n for n, v in verdicts.items() if v == kind] for kind in kinds}
    listed = [f"{kind}: {', '.join(names)}" for kind, names in by_kind.items() if names]
    insensitive = [
        name
        for name, entry in predictions.items()
        if entry.sensitivity and not entry.sensitivity.detected
    ]
    caveat = (
        " Even where shards are built in, the test does not detect them in "
        f"{', '.join(insensitive)}: there it cannot count against shards."
        if insensitive
        else ""
    )
    late = _asked_afterwards(predictions)
    return f"{claim} Verdicts: {'; '.join(listed)}.{late}{caveat}"


def _asked_afterwards(predictions: Mapping[str, results.PredictionResult]) -> str:
    """A sentence on the questions that are younger than the training, if any."""
    late = [n for n, e in predictions.items() if e.asked.when == "afterwards"]
    if len(late) == len(predictions):
        return " All were asked after training had started."
    return f" Asked after training had started: {', '.join(late)}." if late else ""
