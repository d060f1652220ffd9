"""What was asked before training, and what was added or changed afterwards.

`preregistration.json` is written when training starts. It holds the questions of the
run: everything that judges, with its digest, the time and the revision of the source.
Results compare themselves with it, row by row. A run folder without the file does not
say when its questions were asked, and neither do its results.
"""

import dataclasses
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shardsim.core import config as configs
from shardsim.core import fields
from shardsim.core.statistics import spending
from shardsim.evaluation import results
from shardsim.evaluation.battery import EvaluationConfig
from shardsim.evaluation.experiment import Experiment, OmnibusConfig
from shardsim.evaluation.prediction import Prediction
from shardsim.storage import provenance, records
from shardsim.training import metric_records

FILE = "preregistration.json"
BEGUN = ("snapshots", "weights", results.FILE)
"""Files and folders that are there once a run has been trained."""
LONGEST = 60
"""Letters of a value that are shown."""


@fields.record(kw_only=True)
class Questions:
    """Everything that judges a run."""

    predictions: dict[fields.Label, Prediction]
    omnibus: OmnibusConfig
    evaluation: EvaluationConfig
    min_return: fields.Fraction | None
    min_return_phase: str | None
    max_value_error: float | None = None
    looks: tuple[int, ...] = ()


@fields.record(kw_only=True)
class Look:
    """Verdicts that were there before more seeds were trained."""

    num_seeds: int
    """Seeds of these verdicts."""
    time: str
    """When the first seed after them was asked for, in UTC."""


@fields.record(kw_only=True)
class Preregistration:
    """The questions of a run when its training started."""

    digest: str
    """Digest of the questions."""
    time: str
    """When, in UTC."""
    revision: str | None
    """Git revision of the source; None outside of Git."""
    version: str
    """Version of shardsim."""
    questions: Questions
    looks: tuple[Look, ...] = ()
    """Earlier verdicts of the same run, on fewer seeds, in the order of time."""
    has_about: bool = False
    """Whether the questions could say what they are about (`about`). Files of earlier
    versions hold none of it; there two rows of one arm were about a tool."""

    @fields.rule("digest", "questions")
    def _unchanged(self) -> Iterator[str]:
        digest = configs.digest(self.questions)
        if digest != self.digest:
            yield f"digest: got {self.digest!r}; allowed: that of questions, {digest!r}"


def questions(experiment: Experiment) -> Questions:
    """The questions of an experiment."""
    return Questions(
        predictions=experiment.predictions,
        omnibus=experiment.omnibus,
        evaluation=experiment.evaluation,
        min_return=experiment.min_return,
        min_return_phase=experiment.min_return_phase,
        max_value_error=experiment.max_value_error,
        looks=experiment.looks,
    )


def register(experiment: Experiment, folder: Path) -> Preregistration | None:
    """Keep the questions of a run that is about to be trained.

    Once training has begun, the questions are those of its beginning.

    Returns:
      What is kept; None where training began without it.

    Raises:
      RunError: the file is damaged.
    """
    metrics = folder / metric_records.FILE
    has_metrics = metrics.exists() and metrics.stat().st_size > 0
    if has_metrics or any((folder / name).exists() for name in BEGUN):
        return read(folder)
    asked = questions(experiment)
    source = provenance.collect()
    registered = Preregistration(
        digest=configs.digest(asked),
        time=_now(),
        revision=source.revision,
        version=source.versions["shardsim"],
        questions=asked,
        has_about=True,
    )
    records.write(folder / FILE, registered)
    return registered


def extend(folder: Path, longer: Path, num_seeds: int) -> None:
    """Keep, for a longer run, what was asked for the run that it extends.

    Where that was not kept, it is not kept for the longer run either.

    Args:
      folder: the run, whose verdicts on `num_seeds` seeds could be seen.
      longer: folder of the longer run, whose training has not begun.

    Raises:
      RunError: the file is damaged.
    """
    registered = read(folder)
    if registered is not None:
        look = Look(num_seeds=num_seeds, time=_now())
        looks = (*registered.looks, look)
        records.write(longer / FILE, dataclasses.replace(registered, looks=looks))


def _now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(sep=" ", timespec="seconds")


def read(folder: Path) -> Preregistration | None:
    """The questions of a run when its training started; None if they were not kept.

    Raises:
      RunError: the file is damaged.
    """
    path = folder / FILE
    return records.read(path, Preregistration) if path.exists() else None


def asked(
    experiment: Experiment, registered: Preregistration | None
) -> dict[str, results.Asked]:
    """When each prediction was asked.

    A change of the evaluation, of a goal or of the looks concerns every prediction. So
    does a prediction that is left out: p is adjusted for all of them.
    """
    if registered is None:
        return dict.fromkeys(experiment.predictions, results.NOT_RECORDED)
    before = registered.questions
    shared = _changes_of_all(questions(experiment), before)
    shared += [f"predictions.{name}: left out" for name in removed(experiment, before)]
    rows = {}
    for name, prediction in experiment.predictions.items():
        place = f"predictions.{name}"
        own = [f"{place}: added"]
        if name in before.predictions:
            own = _changes_of_question(
                registered, before.predictions[name], prediction, place
            )
        rows[name] = _asked([*own, *shared])
    return rows


def omnibus_asked(
    experiment: Experiment, registered: Preregistration | None
) -> results.Asked:
    """When the comparison of whole architectures was asked."""
    if registered is None:
        return results.NOT_RECORDED
    before = registered.questions
    own = _changes(before.omnibus, experiment.omnibus, "omnibus")
    return _asked(
        [*own, *_changes(before.evaluation, experiment.evaluation, "evaluation")]
    )


def look(
    experiment: Experiment, registered: Preregistration | None, alpha: float = 0.05
) -> results.Look:
    """Which look at the run this is, and the level that it may spend.

    The plan of looks is that of before training; without a record of it there is none.

    Args:
      alpha: of all looks together.
    """
    if registered is None:
        return results.Look(alpha=alpha)
    seen = tuple(look.num_seeds for look in registered.looks)
    planned = registered.questions.looks
    return look_at(planned, seen, experiment.train.num_seeds, alpha)


def look_at(
    planned: tuple[int, ...], seen: tuple[int, ...], now: int, alpha: float = 0.05
) -> results.Look:
    """The look at `now` seeds, after those that were seen.

    Args:
      planned: numbers of seeds of all planned looks.
      seen: those of the looks before.
      now: number of seeds.
      alpha: of all looks together.
    """
    own = spending.look_alpha(planned, seen, now, alpha)
    protected = own is not None
    return results.Look(len(seen) + 1, protected, alpha if own is None else own)


def removed(experiment: Experiment, before: Questions) -> tuple[str, ...]:
    """Predictions that were asked before training and are not any more."""
    return tuple(n for n in before.predictions if n not in experiment.predictions)


def _changes_of_all(now: Questions, before: Questions) -> list[str]:
    goals = ("min_return", "min_return_phase", "max_value_error")
    names = ("evaluation", *goals, "looks")
    return [
        line
        for name in names
        for line in _changes(getattr(before, name), getattr(now, name), name)
    ]


def _changes_of_question(
    registered: Preregistration, before: Prediction, now: Prediction, place: str
) -> list[str]:
    pair = before.rule.contrast
    arm, baseline = (row.partition("/")[0] for row in (pair.arm, pair.baseline))
    if not registered.has_about and arm == baseline:
        # it was about a tool when no question could say so
        now = dataclasses.replace(now, about=before.about)
    return _changes(before, now, place)


def _changes(before: Any, now: Any, place: str) -> list[str]:
    return [
        f"{field}: {_text(old)}, now {_text(new)}"
        for field, (old, new) in configs.diff(before, now, place).items()
    ]


def _text(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _asked(changes: list[str]) -> results.Asked:
    return results.Asked("afterwards" if changes else "before training", tuple(changes))
