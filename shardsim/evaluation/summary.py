"""The learning curves of a run, and its answer in one sentence."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from shardsim.core.statistics import intervals
from shardsim.evaluation import results, wording
from shardsim.storage import records
from shardsim.training import metric_records

WORDS = ("shard", "yes", "network", "no", "unitary", "no difference", "undecided")
"""Verdicts as they are shown, in the order of the answer."""


def curves(folder: Path, arms: Iterable[str]) -> dict[str, results.CurveResult]:
    """Learning curves of the arms, from the snapshot metrics in a run folder.

    There are none where snapshots are not evaluated, as without exact values.
    """
    rows: dict[str, dict[int, metric_records.SnapshotMetrics]] = {}
    for line in metric_records.snapshots(folder):
        if line.return_fraction is not None:
            rows.setdefault(line.arm, {}).setdefault(line.update, line)
    return {arm: _curve(tuple(rows[arm].values())) for arm in arms if arm in rows}


def _curve(rows: tuple[metric_records.SnapshotMetrics, ...]) -> results.CurveResult:
    def column(name: str) -> tuple[records.SeedNumbers, ...]:
        return tuple(getattr(row, name) for row in rows)

    return results.CurveResult(
        update=tuple(row.update for row in rows),
        return_fraction=column("return_fraction"),
        value_error=column("value_error"),
        shards_in_use=column("shards_in_use"),
    )


def effect_curves(
    folder: Path, predictions: Mapping[str, results.PredictionResult]
) -> dict[str, results.EffectCurve]:
    """The effect of each prediction over training, from the snapshot metrics.

    Only predictions whose arms were both trained and measured at the same snapshots
    have one.
    """
    rows: dict[tuple[str, int], metric_records.SnapshotMetrics] = {}
    for line in metric_records.snapshots(folder):
        rows.setdefault((line.arm, line.update), line)
    drawn = {}
    for name, entry in predictions.items():
        pair = entry.rule.contrast
        both = [
            (update, rows[pair.arm, update], rows[pair.baseline, update])
            for arm, update in rows
            if arm == pair.arm and (pair.baseline, update) in rows
        ]
        points = [
            (update, arm, baseline)
            for update, arm, baseline in both
            if name in arm.statistics and name in baseline.statistics
        ]
        if len(points) > 1:
            drawn[name] = _effect_curve(name, entry, points)
    return drawn


def _effect_curve(
    name: str,
    entry: results.PredictionResult,
    points: Sequence[
        tuple[int, metric_records.SnapshotMetrics, metric_records.SnapshotMetrics]
    ],
) -> results.EffectCurve:
    def array(x: records.SeedNumbers | None) -> np.ndarray:
        return np.asarray(x if x is not None else (), float)

    every = np.arange(entry.num_seeds)
    seeds = every if entry.judged_seeds is None else np.asarray(entry.judged_seeds, int)
    effects, errors = [], []
    for _, arm, baseline in points:
        x = array(arm.statistics[name])[seeds] - array(baseline.statistics[name])[seeds]
        finite = bool(len(x)) and bool(np.isfinite(x).all())
        nan = float("nan")
        effects.append(
            intervals.mean_interval(x)
            if finite
            else intervals.Interval(nan, nan, nan, 0.95, len(x))
        )
        both = [array(one.value_error) for one in (arm, baseline)]
        errors.append(max(float(e.mean()) if len(e) else nan for e in both))
    return results.EffectCurve(
        update=tuple(update for update, _, _ in points),
        effect=tuple(map(results.interval, effects)),
        value_error=records.numbers(errors),
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
    low = [n for n in invalid if predictions[n].arms_below_min_return]
    far = [n for n in invalid if predictions[n].arms_above_max_value_error]
    failed = [
        n
        for n in invalid
        if any(control.passed != "passed" for control in predictions[n].controls)
        or n not in {*low, *far}
    ]
    reasons = {
        "controls did not pass": failed,
        "an arm of the contrast missed its minimum return": low,
        "V of a compared arm is too far from V*": far,
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
    words = {name: wording.of(entry) for name, entry in predictions.items()}
    by_word = {word: [n for n, own in words.items() if own == word] for word in WORDS}
    listed = [f"{word}: {', '.join(names)}" for word, names in by_word.items() if names]
    caveat = _insensitive(predictions)
    late = _asked_afterwards(predictions) + _not_protected(predictions)
    return f"{claim} Verdicts: {'; '.join(listed)}.{late}{caveat}"


def _insensitive(predictions: Mapping[str, results.PredictionResult]) -> str:
    """Sentences on the tests that do not see what is planted, if any."""
    blind = {
        name: entry.about == wording.TOOL
        for name, entry in predictions.items()
        if entry.sensitivity and not entry.sensitivity.detected
    }
    of_views = ", ".join(name for name, is_tool in blind.items() if not is_tool)
    of_tools = ", ".join(name for name, is_tool in blind.items() if is_tool)
    caveat = ""
    if of_views:
        caveat = (
            " Even where shards are built in, the test does not detect them in "
            f"{of_views}: there it cannot count against shards."
        )
    if of_tools:
        caveat += (
            " Even where the answer is known to be yes, the test does not say so in "
            f"{of_tools}: there it cannot count against a yes."
        )
    return caveat


def _asked_afterwards(predictions: Mapping[str, results.PredictionResult]) -> str:
    """A sentence on the questions that are younger than the training, if any."""
    late = [n for n, e in predictions.items() if e.asked.when == "afterwards"]
    if len(late) == len(predictions):
        return " All were asked after training had started."
    return f" Asked after training had started: {', '.join(late)}." if late else ""


def _not_protected(predictions: Mapping[str, results.PredictionResult]) -> str:
    """A sentence on a look at the run that no plan protects, if it is one."""
    looks = [
        entry.look.number for entry in predictions.values() if not entry.look.protected
    ]
    if not looks:
        return ""
    return f" Look {max(looks)} at this run, not protected: its level was spent before."
