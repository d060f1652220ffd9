"""results.json of a study: the verdicts of all cells, and what moves the effects.

p is adjusted by Holm for every claim of the study: a verdict for each cell and
prediction, and a test for each axis and prediction.

The effect of a prediction in cell c and seed s is y_cs, the contrast of its rule. Over
all cells whose claims stand,

  y_cs = m + sum_a e_a(level of a in c) + u_s + v_s(arm) + w_s(baseline) + r_cs

with fixed effects e_a of each axis, which add up to 0, and random effects of the seed,
and of the trained agents that several cells of a seed share. So two cells of one seed
are no two seeds, and an arm that was trained once does not count twice.
"""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from shardsim.core import config as configs
from shardsim.core import fields
from shardsim.core.statistics import factorial, mixed_model, significance
from shardsim.evaluation import results, wording
from shardsim.evaluation import study as studies
from shardsim.evaluation.experiment import Experiment
from shardsim.storage import records, run_files

FILE, TABLE = results.FILE, "table.csv"
LEVEL = 0.95
"""Confidence level of intervals; claims are made at p < 1 - LEVEL."""


@fields.record(kw_only=True, float64=True)
class CellResult:
    """One cell: its levels, and its predictions judged with all others."""

    experiment: str
    """Name of the base experiment."""
    levels: dict[str, str]
    """Axis -> level."""
    label: str
    """The levels in words."""
    digest: str
    """Digest of the config."""
    num_seeds: int
    predictions: dict[fields.Label, results.PredictionResult]
    """As in results.json of the cell, but for verdict, p and reason, which are those of
    the whole study."""


@fields.record(float64=True)
class LevelResult:
    """The mean effect at one level of an axis, all levels of the others alike."""

    mean: results.Interval | None
    """In the unit of the prediction; None where the cells cannot tell it."""
    num_cells: int
    """Cells at this level."""


@fields.record(kw_only=True, float64=True)
class AxisResult:
    """Whether the effect of a prediction depends on an axis."""

    levels: dict[str, LevelResult]
    statistic: records.Number
    """F; None where the cells cannot tell."""
    numerator: float
    """Degrees of freedom: levels less 1."""
    denominator: float
    """Degrees of freedom of the error, by Satterthwaite."""
    p_value: float
    """p that the axis has no effect, adjusted for all claims of the study (Holm)."""
    depends: bool
    """Whether p is below 0.05."""


@fields.record(kw_only=True, float64=True)
class PredictionModel:
    """The mixed model of one prediction over the cells whose claims stand."""

    unit: str
    metric: str
    contrast: str
    """The arm and its baseline."""
    num_cells: int
    """Cells in the model."""
    num_seeds: int
    """Seeds in the model: the levels of the random effect."""
    left_out: dict[str, str]
    """Cell -> why it is not in the model."""
    mean: results.Interval | None
    """The mean effect, all levels alike; None where there is no model."""
    axes: dict[str, AxisResult]
    deviations: dict[str, float]
    """Standard deviation between seeds, between trained agents that cells share, and of
    the rest (`residual`), in `unit`."""


@fields.record(kw_only=True, float64=True)
class StudyResult:
    """All results of a study."""

    kind: Literal["study"] = "study"
    name: str
    question: str
    answer: str
    """The answer in a sentence, put together from the verdicts."""
    digest: str
    """Digest of the config."""
    axes: dict[str, tuple[str, ...]]
    """Axis -> levels."""
    design: str
    """Which combinations were run, in words."""
    num_claims: int
    """Claims for which p is adjusted."""
    cells: dict[str, CellResult]
    models: dict[fields.Label, PredictionModel]
    """Prediction -> its model."""


def table(result: StudyResult) -> str:
    """A row for each cell and prediction, as CSV."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    ends = ("effect", "low", "high", "margin", "direction", "verdict", "p_value")
    own = ("num_seeds", "prediction", "contrast", "metric", "unit", *ends)
    writer.writerow(
        ["cell", "experiment", *result.axes, *own, "claim_stands", "oracle_gated"]
    )
    for name, cell in result.cells.items():
        levels = [cell.levels[axis] for axis in result.axes]
        for label, entry in cell.predictions.items():
            rule, effect = entry.rule, entry.effect
            contrast = f"{rule.contrast.arm} - {rule.contrast.baseline}"
            what = (cell.num_seeds, label, contrast, entry.metric, entry.effect_unit)
            interval = (effect.estimate, effect.low, effect.high)
            numbers = (*interval, entry.size_of_margin)
            shown = wording.of(entry)
            verdict = (rule.direction, shown, entry.p_value, entry.is_valid)
            oracle = wording.of_planted(entry) or ""
            writer.writerow(
                [name, cell.experiment, *levels, *what, *numbers, *verdict, oracle]
            )
    return file.getvalue()


def is_there(folder: Path) -> bool:
    """Whether a folder has the results of a study.

    Raises:
      RunError: results.json is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return False
    data = run_files.read_json(path)
    return isinstance(data, dict) and data.get("kind") == "study"


def read(folder: Path) -> StudyResult:
    """The results of a study.

    Raises:
      RunError: the study is not finished, or results.json is damaged.
    """
    path = folder / FILE
    if not path.exists():
        raise run_files.RunError(
            f"{folder}: got a study without {FILE}, which is not finished; allowed: a "
            "finished one (shardsim resume goes on with it)"
        )
    return records.read(path, StudyResult)


class JudgedCell(NamedTuple):
    """A cell with its own results."""

    cell: studies.Cell
    experiment: Experiment
    result: results.RunResult


def judge(study: studies.Study, cells: Sequence[JudgedCell]) -> StudyResult:
    """Judge all predictions of all cells as one family.

    Args:
      cells: all cells of the study, in order.
    """
    labels = dict.fromkeys(name for each in cells for name in each.result.predictions)
    fitted = {label: _model(study, label, cells) for label in labels}
    claims = {
        (each.cell.name, name): entry.claim.p_value if entry.claim else entry.p_value
        for each in cells
        for name, entry in each.result.predictions.items()
    }
    tests = {
        (label, axis): result.p_value
        for label, model in fitted.items()
        for axis, result in model.axes.items()
        if result.statistic is not None
    }
    adjusted = significance.holm([*claims.values(), *tests.values()]).tolist()
    of_claims = dict(zip(claims, adjusted, strict=False))
    of_tests = dict(zip(tests, adjusted[len(claims) :], strict=True))
    judged = {
        each.cell.name: CellResult(
            experiment=each.cell.experiment,
            levels=each.cell.levels,
            label=each.cell.label,
            digest=each.result.digest,
            num_seeds=each.result.num_seeds,
            predictions={
                name: _in_study(entry, of_claims[each.cell.name, name])
                for name, entry in each.result.predictions.items()
            },
        )
        for each in cells
    }
    models = {
        label: dataclasses.replace(
            model,
            axes={
                axis: _adjusted(result, of_tests.get((label, axis), 1.0))
                for axis, result in model.axes.items()
            },
        )
        for label, model in fitted.items()
    }
    return StudyResult(
        name=study.name,
        question=study.question,
        answer=_answer(judged, models),
        digest=configs.digest(study),
        axes=study.levels,
        design=_design(study, len(cells)),
        num_claims=len(adjusted),
        cells=judged,
        models=models,
    )


def _in_study(entry: results.PredictionResult, p: float) -> results.PredictionResult:
    """A prediction with the verdict that it has among all claims of the study."""
    claim = entry.claim or results.Claim(entry.verdict, entry.p_value)
    verdict: results.Verdict = claim.verdict if p < 1 - LEVEL else "undecided"
    reason = entry.reason
    if verdict != entry.verdict:
        shown = wording.word(verdict, entry.about)
        reason += f" Among all claims of the study it is {shown} (p = {p:.3g})."
    return dataclasses.replace(entry, verdict=verdict, p_value=p, reason=reason)


def _adjusted(result: AxisResult, p: float) -> AxisResult:
    return dataclasses.replace(result, p_value=p, depends=p < 1 - LEVEL)


def _design(study: studies.Study, num_cells: int) -> str:
    total = int(np.prod([len(levels) for levels in study.levels.values()]))
    if num_cells == total:
        return f"all {total} combinations"
    if isinstance(study.design, studies.Fractional):
        return f"{num_cells} of {total} combinations, balanced (D-optimal)"
    return f"{num_cells} of {total} combinations; the others are excluded"


class _Observation(NamedTuple):
    """The contrast of one seed in one cell."""

    effect: float
    levels: tuple[int, ...]
    """Index of the level of each axis of the model."""
    seed: str
    arm: str
    """The trained agent of the contrast, and that of the baseline."""
    baseline: str


def _model(
    study: studies.Study, label: str, cells: Sequence[JudgedCell]
) -> PredictionModel:
    """The model of a prediction; p is not adjusted yet."""
    having = [each for each in cells if label in each.result.predictions]
    left_out: dict[str, str] = {}
    used: list[JudgedCell] = []
    for each in having:
        reason = _why_not(each, having, label)
        if reason:
            left_out[each.cell.name] = reason
        else:
            used.append(each)
    axes = {
        axis: levels
        for axis, all_levels in study.levels.items()
        if len(levels := _present(all_levels, axis, used)) > 1
        and not _is_seeds(study, axis)
    }
    rows = [row for each in used for row in _observations(each, label, axes)]
    entry = having[0].result.predictions[label]
    pair = entry.rule.contrast
    model = PredictionModel(
        unit=entry.unit,
        metric=entry.metric,
        contrast=f"{pair.arm} - {pair.baseline}",
        num_cells=len(used),
        num_seeds=len({row.seed for row in rows}),
        left_out=left_out,
        mean=None,
        axes={},
        deviations={},
    )
    return _fitted(model, axes, rows, used)


def _present(
    levels: Sequence[str], axis: str, cells: Sequence[JudgedCell]
) -> tuple[str, ...]:
    """The levels of an axis that some cells have."""
    there = {each.cell.levels[axis] for each in cells}
    return tuple(level for level in levels if level in there)


def _is_seeds(study: studies.Study, axis: str) -> bool:
    """Whether an axis is the number of seeds alone, which changes no effect."""
    if axis not in study.axes:
        return False
    changed = [changes for _, changes in study.axes[axis].changes()]
    return all(set(each) == {studies.SEEDS} for each in changed)


def _why_not(each: JudgedCell, others: Sequence[JudgedCell], label: str) -> str:
    """Why a cell is not in the model of a prediction; empty if it is."""
    entry = each.result.predictions[label]
    if not entry.is_valid:
        return "no claim stands there"
    if not any(np.isfinite(x) for x in _contrast(entry)):
        return "no seed gave a number"
    longer = [
        other.cell.name
        for other in others
        if other.experiment.train.num_seeds > each.experiment.train.num_seeds
        and _without_seeds(other.experiment) == _without_seeds(each.experiment)
    ]
    return f"its seeds are among those of {longer[0]}" if longer else ""


def _without_seeds(experiment: Experiment) -> str:
    train = dataclasses.replace(experiment.train, num_seeds=1, devices=1)
    return configs.digest(dataclasses.replace(experiment, train=train))


def _contrast(entry: results.PredictionResult) -> Float[np.ndarray, " N"]:
    """The contrast of every judged seed; NaN for one that is not judged."""
    pair = entry.rule.contrast
    arm, baseline = (
        np.asarray(entry.values[row], float) for row in (pair.arm, pair.baseline)
    )
    difference = arm - baseline
    if entry.judged_seeds is not None:
        judged = np.isin(np.arange(len(difference)), entry.judged_seeds)
        difference = np.where(judged, difference, np.nan)
    return difference


def _observations(
    each: JudgedCell, label: str, axes: Mapping[str, Sequence[str]]
) -> list[_Observation]:
    entry, train = each.result.predictions[label], each.experiment.train
    levels = tuple(axes[axis].index(each.cell.levels[axis]) for axis in axes)
    agents = [
        configs.digest(
            [
                each.experiment.env,
                each.experiment.agent,
                dataclasses.replace(train, num_seeds=1, devices=1),
                each.experiment.arms.get(row.partition("/")[0]),
            ]
        )
        for row in (entry.rule.contrast.arm, entry.rule.contrast.baseline)
    ]
    return [
        _Observation(
            float(effect),
            levels,
            f"{train.seed}/{seed}",
            *(f"{train.seed}/{seed}/{agent}" for agent in agents),
        )
        for seed, effect in enumerate(_contrast(entry))
        if np.isfinite(effect)
    ]


def _fitted(
    model: PredictionModel,
    axes: Mapping[str, Sequence[str]],
    rows: Sequence[_Observation],
    used: Sequence[JudgedCell],
) -> PredictionModel:
    """The model with its numbers, as far as the observations give any."""
    sizes = [len(levels) for levels in axes.values()]
    coded = np.asarray([row.levels for row in rows], int).reshape(len(rows), len(axes))
    x = factorial.main_effects(coded, sizes)
    if len(rows) <= x.shape[1] or model.num_seeds < 2:
        return model
    factors = {
        "seed": np.asarray([row.seed for row in rows]),
        "arm": np.asarray([row.arm for row in rows]),
        "baseline": np.asarray([row.baseline for row in rows]),
    }
    fit = _Fit.of(np.asarray([row.effect for row in rows]), x, _repeated(factors))
    unit, first, tested = np.eye(x.shape[1]), 1, {}
    for axis, levels in axes.items():
        own = unit[first : first + len(levels) - 1]
        first += len(own)
        test = fit.test(own)
        # effects add up to 0, so that the last one is the others', negated
        of_level = {
            level: unit[0] + row for level, row in zip(levels, own, strict=False)
        }
        of_level[levels[-1]] = unit[0] - own.sum(0)
        tested[axis] = AxisResult(
            levels={
                level: LevelResult(
                    fit.interval(weights),
                    sum(each.cell.levels[axis] == level for each in used),
                )
                for level, weights in of_level.items()
            },
            statistic=None if test is None else records.number(test.statistic),
            numerator=float(len(own)),
            denominator=0.0 if test is None else test.denominator,
            p_value=1.0 if test is None else test.p,
            depends=False,
        )
    deviations = {n or "residual": own for n, own in fit.model.deviations.items()}
    return dataclasses.replace(
        model, mean=fit.interval(unit[0]), axes=tested, deviations=deviations
    )


def _repeated(factors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The factors whose levels repeat, each partition of the observations once."""
    kept: dict[str, np.ndarray] = {}
    for name, labels in factors.items():
        _, index = np.unique(labels, return_inverse=True)
        repeats = 0 < index.max() < len(index) - 1
        same = (np.unique(other, return_inverse=True)[1] for other in kept.values())
        if repeats and not any(np.array_equal(index, other) for other in same):
            kept[name] = labels
    return kept


class _Fit(NamedTuple):
    """A fitted model, also where the cells do not tell all axes from each other."""

    model: mixed_model.MixedModel
    """Over as many combinations of the columns as the cells tell apart."""
    basis: Float[np.ndarray, "r p"]
    """These combinations, with orthonormal rows."""

    @classmethod
    def of(
        cls,
        y: Float[np.ndarray, " n"],
        x: Float[np.ndarray, "n p"],
        factors: Mapping[str, np.ndarray],
    ) -> "_Fit":
        _, singular, right = np.linalg.svd(x, full_matrices=False)
        basis = right[singular > 1e-9 * singular[0]]
        return cls(mixed_model.fit(y, x @ basis.T, factors), basis)

    def _told(self, weights: Float[np.ndarray, "... p"]) -> bool:
        """Whether the cells tell the combinations from all others."""
        return bool(np.allclose(weights @ self.basis.T @ self.basis, weights))

    def interval(self, weights: Float[np.ndarray, " p"]) -> results.Interval | None:
        if not self._told(weights):
            return None
        return results.interval(self.model.interval(self.basis @ weights, LEVEL))

    def test(self, weights: Float[np.ndarray, "m p"]) -> mixed_model.Test | None:
        return self.model.test(weights @ self.basis.T) if self._told(weights) else None


def _answer(
    cells: Mapping[str, CellResult], models: Mapping[str, PredictionModel]
) -> str:
    """The answer in a sentence for each prediction."""
    sentences = []
    for label, model in models.items():
        entries = [
            cell.predictions[label]
            for cell in cells.values()
            if label in cell.predictions
        ]
        counts: dict[str, int] = {}
        for entry in entries:
            verdict = wording.of(entry) if entry.is_valid else "no claim"
            counts[verdict] = counts.get(verdict, 0) + 1
        listed = ", ".join(f"{verdict} in {n}" for verdict, n in counts.items())
        moved = [axis for axis, result in model.axes.items() if result.depends]
        depends = f" It depends on {', '.join(moved)}." if moved else ""
        sentences.append(f"{label}: {listed} of {len(entries)} cells.{depends}")
    return " ".join(sentences)
