"""The verdicts of any number of runs, studies and contests, a row each.

A row says what was asked, what each view expected, what came out, and whether it says
anything: a claim needs controls that passed, arms that learned, and a test that sees
shards where shards are.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from shardsim.contest import folder as contest_folder
from shardsim.contest import results as contest_results
from shardsim.contest import verdicts as contest_verdicts
from shardsim.evaluation import results, study_results, wording
from shardsim.evaluation.zoo import folder as zoo_folder
from shardsim.reports.verdicts import counting, provenance, sections
from shardsim.storage import run_files, run_folder, run_layout
from shardsim.training.results import TrainingResult


class Row(NamedTuple):
    """One verdict. What a contest does not have is None."""

    run: str
    """Name of the experiment, study or contest."""
    prediction: str
    question: str
    about: str | None
    """What the question is about: V, what V does, or a tool."""
    shards_expect: str | None
    """What each view expects; None of a tool."""
    network_expects: str | None
    one_utility_expects: str | None
    yes_means: str | None
    """What the two answers of a question about a tool mean; None of V."""
    no_means: str | None
    contrast: str | None
    """The arm less its baseline."""
    effect: float | None
    low: float | None
    """Lower end of its 95 % interval."""
    high: float | None
    unit: str
    margin: float | None
    """Effects up to this size count as none."""
    share_of_planted: float | None
    """The effect as a share of that of the positive control; None if there is none, or
    if that is not on the side of the shards."""
    verdict: str
    """As it is shown: `yes` or `no` of a tool."""
    p_value: float | None
    would_have_been_seen: bool | None
    """Whether the rule says `shard`, or `yes`, of the positive control; None without
    one."""
    is_valid: bool
    why_not: str
    """Why no claim stands; empty where one does."""
    counts_for: str
    """Views for which it counts, with commas; empty: none."""
    counts_against: str
    """Views against which it counts."""
    seeds: int
    """Seeds that are judged."""
    asked: str
    """When the question was asked."""
    command: str
    minutes: float | None
    """Wall time of the last process of the run; None where it is not recorded."""
    folder: str


class Source(NamedTuple):
    """A folder with verdicts."""

    folder: Path
    kind: Literal["run", "study", "contest"]


class Sources(NamedTuple):
    """What a folder holds."""

    judged: list[Source]
    left_out: list[str]
    """What is in the folder and has no verdicts, with the reason: a line each."""


def sources(folder: Path) -> Sources:
    """The finished runs, studies and contests in a folder, or the folder itself.

    Cells of a study are left out, because the study judges them as one family.

    Raises:
      RunError: the folder is not finished, has no verdicts, or is damaged.
    """
    if not folder.is_dir():
        raise run_files.RunError(
            f"{folder}: got no folder; allowed: a run, a study, a contest, or a folder "
            "of them"
        )
    own = _source(folder)
    if own is not None:
        return Sources([own], [])
    below = list(_below(folder))
    judged = [each for each in below if isinstance(each, Source)]
    if not judged:
        raise run_files.RunError(
            f"{folder}: got no verdicts in it; allowed: a finished run, study or "
            "contest, or a folder of them"
        )
    return Sources(judged, [each for each in below if isinstance(each, str)])


def _source(folder: Path) -> Source | None:
    """What a folder is; None if it is none of them.

    Raises:
      RunError: it is one, without verdicts.
    """
    if (folder / contest_folder.KIND.mark).is_file():
        if not (folder / contest_results.FILE).is_file():
            raise run_files.RunError(
                f"{folder}: got a contest that is not judged; allowed: a finished one"
            )
        return Source(folder, "contest")
    if (folder / zoo_folder.KIND.mark).is_file():
        raise run_files.RunError(
            f"{folder}: got a zoo, which judges metrics and no predictions; allowed: a "
            "run, a study or a contest"
        )
    if not (folder / run_layout.FORMAT_FILE).is_file():
        return None
    run_folder.check_format(folder)
    if study_results.is_there(folder):
        return Source(folder, "study")
    if isinstance(results.read(folder), TrainingResult):
        raise run_files.RunError(
            f"{folder}: trained but not judged; allowed: a run of `shardsim run`"
        )
    return Source(folder, "run")


def _below(folder: Path) -> Iterator[Source | str]:
    """All that is below a folder, in the order of names; why it has no verdicts."""
    for path in sorted(path for path in folder.iterdir() if path.is_dir()):
        try:
            source = _source(path)
        except run_files.RunError as error:
            yield str(error)
            continue
        if source is None:
            yield from _below(path)
        else:
            yield source


def rows(judged: Sequence[Source], shipped: Path | None = None) -> list[Row]:
    """A row for every prediction.

    Args:
      shipped: folder of config files that commands may name; None: a command names the
        config in the folder of the run.

    Raises:
      RunError: results are damaged.
    """
    known = {} if shipped is None else provenance.config_files_by_name(shipped)
    return [row for source in judged for row in _rows(source, known)]


def _rows(source: Source, known: dict[str, Path]) -> Iterator[Row]:
    folder = source.folder
    command = provenance.command(folder, source.kind, known)
    minutes = provenance.minutes(folder)
    if source.kind == "contest":
        contest = contest_results.read(folder)
        for name, verdict in contest.verdicts.items():
            yield _of_contest(contest, name, verdict, command, folder)
    elif source.kind == "study":
        study = study_results.read(folder)
        for cell in study.cells.values():
            run = f"{study.name}: {cell.label}"
            for name, entry in cell.predictions.items():
                yield _of_run(run, name, entry, command, minutes, folder)
    else:
        result = results.read_run(folder)
        for name, entry in result.predictions.items():
            yield _of_run(result.name, name, entry, command, minutes, folder)


def _of_run(
    run: str,
    name: str,
    entry: results.PredictionResult,
    command: str,
    minutes: float | None,
    folder: Path,
) -> Row:
    seen = None if entry.sensitivity is None else entry.sensitivity.detected
    views = counting.sides(entry)
    expected, is_tool = entry.expected, entry.about == wording.TOOL
    return Row(
        run=run,
        prediction=name,
        question=entry.question,
        about=entry.about,
        shards_expect=None if is_tool else expected.shard,
        network_expects=None if is_tool else expected.network,
        one_utility_expects=None if is_tool else expected.unitary,
        yes_means=expected.shard if is_tool else None,
        no_means=expected.network if is_tool else None,
        contrast=sections.contrast(entry),
        effect=entry.effect.estimate,
        low=entry.effect.low,
        high=entry.effect.high,
        unit=entry.effect_unit,
        margin=entry.size_of_margin,
        share_of_planted=share_of_planted(entry),
        verdict=wording.of(entry),
        p_value=entry.p_value,
        would_have_been_seen=seen,
        is_valid=entry.is_valid,
        why_not=sections.standing(entry).removeprefix("no claim stands").lstrip(": "),
        counts_for=counting.named(views, "for"),
        counts_against=counting.named(views, "against"),
        seeds=entry.effect.num_seeds,
        asked=entry.asked.when,
        command=command,
        minutes=minutes,
        folder=str(folder),
    )


def _of_contest(
    contest: contest_results.ContestResult,
    name: str,
    verdict: contest_results.VerdictResult,
    command: str,
    folder: Path,
) -> Row:
    effect, views = (
        verdict.effect,
        counting.sides_of_contest(name, contest, verdict.verdict),
    )
    failed = [n for n, gate in contest.gates.items() if gate.passed != "passed"]
    # whether orders or contexts matter is asked without forecasters
    forecasts = verdict.unit.startswith(contest_verdicts.NATS)
    gated = contest.gates.get("gated") if forecasts else None
    return Row(
        run=contest.name,
        prediction=name,
        question=verdict.statement,
        about=None,
        shards_expect=None,
        network_expects=None,
        one_utility_expects=None,
        yes_means=None,
        no_means=None,
        contrast=None,
        effect=None if effect is None else effect.estimate,
        low=None if effect is None else effect.low,
        high=None if effect is None else effect.high,
        unit=verdict.unit,
        margin=verdict.margin,
        share_of_planted=None,
        verdict=verdict.verdict,
        p_value=verdict.p_value,
        would_have_been_seen=None if gated is None else gated.passed == "passed",
        is_valid=contest.stands,
        why_not="" if contest.stands else f"gates not passed: {', '.join(failed)}",
        counts_for=counting.named(views, "for"),
        counts_against=counting.named(views, "against"),
        seeds=contest.seeds,
        asked="",
        command=command,
        minutes=None,
        folder=str(folder),
    )


def share_of_planted(entry: results.PredictionResult) -> float | None:
    """The effect, divided by that of the positive control.

    None if there is no positive control, or its interval does not lie on the side that
    SHARD expects: a share of such an effect means nothing.
    """
    if entry.sensitivity is None or entry.effect.estimate is None:
        return None
    planted = entry.sensitivity.effect
    ends = (planted.low, planted.estimate, planted.high)
    sign = 1.0 if entry.rule.direction == "greater" else -1.0
    if any(end is None or sign * end <= 0 for end in ends):
        return None
    assert planted.estimate is not None
    return entry.effect.estimate / planted.estimate
