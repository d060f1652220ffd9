"""One table of the verdicts of any number of runs, studies and contests.

A row says what was asked, what each view expected, what came out, and whether it says
anything: a claim needs controls that passed, arms that learned, and a test that sees
shards where shards are.
"""

import csv
import io
import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from shardsim.contest import config as contests
from shardsim.contest import folder as contest_folder
from shardsim.contest import results as contest_results
from shardsim.contest import verdicts as contest_verdicts
from shardsim.core import config as configs
from shardsim.core import config_files
from shardsim.evaluation import measures, results, study_results
from shardsim.evaluation.experiment import Experiment
from shardsim.evaluation.zoo import folder as zoo_folder
from shardsim.reports import numbers, text_tables
from shardsim.reports.verdicts import sections
from shardsim.storage import records, run_files, run_folder, run_layout
from shardsim.training.results import Timing, TrainingResult

TIMING = "timing.json"
MOST_FLAGS = 8
"""Flags of a command; a config that differs more is named itself."""
CONFIGS = {"run": Experiment, "contest": contests.Contest}
"""What the config of a folder describes; one of a study has all its files in it."""
BEGIN, END = "<!-- verdicts -->", "<!-- end of verdicts -->"
"""Lines of a Markdown file between which a table is replaced."""
VIEWS = {"shard": "shards", "network": "network", "unitary": "one utility"}
"""The three views, and how they are called in tables."""
Side: TypeAlias = Literal["for", "against"]
OF_CONTEST: dict[str, dict[str, Side]] = {
    "NN": {"shard": "against", "network": "for"},
    "UNI": {"shard": "against", "unitary": "for"},
    "LPG": {"shard": "against"},
    "FILM": {"shard": "against"},
    "renewal": {"shard": "for", "unitary": "against"},
    "the opposite of renewal": {"shard": "against"},
    "order matters": {"shard": "for", "network": "for", "unitary": "against"},
    "orders agree more than seeds": {},
    "it grows": {},
    "it shrinks": {},
}
"""For and against which views the answers of a contest count. Where shards forecast
better, that hangs on whom they beat: `BEATEN`."""
BEATEN: dict[str, dict[str, Side]] = {
    "NN - SHARD": {"network": "against"},
    "UNI - SHARD": {"unitary": "against"},
    "P5": {"unitary": "against"},
    "P12": {"network": "against", "unitary": "against"},
}
"""Against whom a question counts in which SHARD forecasts better."""


class Row(NamedTuple):
    """One verdict. What a contest does not have is None."""

    run: str
    """Name of the experiment, study or contest."""
    prediction: str
    question: str
    shards_expect: str | None
    network_expects: str | None
    one_utility_expects: str | None
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
    p_value: float | None
    would_have_been_seen: bool | None
    """Whether the rule says `shard` of the positive control; None without one."""
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

    found: list[Source]
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
    found = [each for each in below if isinstance(each, Source)]
    if not found:
        raise run_files.RunError(
            f"{folder}: got no verdicts in it; allowed: a finished run, study or "
            "contest, or a folder of them"
        )
    return Sources(found, [each for each in below if isinstance(each, str)])


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
            found = _source(path)
        except run_files.RunError as error:
            yield str(error)
            continue
        if found is None:
            yield from _below(path)
        else:
            yield found


def rows(found: Sequence[Source], shipped: Path | None = None) -> list[Row]:
    """A row for every prediction.

    Args:
      shipped: folder of config files that commands may name; None: a command names the
        config in the folder of the run.

    Raises:
      RunError: results are damaged.
    """
    known = {} if shipped is None else _configs(shipped)
    return [row for source in found for row in _rows(source, known)]


def _rows(source: Source, known: dict[str, Path]) -> Iterator[Row]:
    folder = source.folder
    command = _command(source, known)
    minutes = _minutes(folder)
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
    views = sides(entry)
    return Row(
        run=run,
        prediction=name,
        question=entry.question,
        shards_expect=entry.expected.shard,
        network_expects=entry.expected.network,
        one_utility_expects=entry.expected.unitary,
        contrast=sections.contrast(entry),
        effect=entry.effect.estimate,
        low=entry.effect.low,
        high=entry.effect.high,
        unit=entry.effect_unit,
        margin=entry.size_of_margin,
        share_of_planted=share_of_planted(entry),
        verdict=entry.verdict,
        p_value=entry.p_value,
        would_have_been_seen=seen,
        is_valid=entry.is_valid,
        why_not=sections.standing(entry).removeprefix("no claim stands").lstrip(": "),
        counts_for=_with(views, "for"),
        counts_against=_with(views, "against"),
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
    effect, views = verdict.effect, sides_of_contest(name, contest, verdict.verdict)
    failed = [n for n, gate in contest.gates.items() if gate.passed != "passed"]
    # whether orders or contexts matter is asked without forecasters
    forecasts = verdict.unit.startswith(contest_verdicts.NATS)
    gated = contest.gates.get("gated") if forecasts else None
    return Row(
        run=contest.name,
        prediction=name,
        question=verdict.statement,
        shards_expect=None,
        network_expects=None,
        one_utility_expects=None,
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
        counts_for=_with(views, "for"),
        counts_against=_with(views, "against"),
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


def sides(entry: results.PredictionResult) -> dict[str, Side]:
    """For and against which views a verdict counts.

    | verdict | shards | network | one utility |
    |---|---|---|---|
    | shard | for | against | against, if the rule says where it is |
    | network | against | for | against, if the rule says where it is |
    | no difference, seen | against | for | against, if the rule says where it is |
    | unitary, seen | against | | for |

    Seen: the rule says `shard` of its positive control. Nothing else counts: without a
    claim that stands, undecided, or where shards would not have been seen. Where an arm
    is contrasted with V*, one utility is the rival, and nothing is said of a network.
    Two rows of one arm say something about a tool, and nothing about what V is.
    """
    pair = entry.rule.contrast
    if _is_of_one_arm(pair.arm, pair.baseline):
        return {}
    sides_of = _sides(entry)
    if pair.baseline.partition("/")[0] != measures.EXACT:
        return sides_of
    if sides_of and entry.verdict in ("shard", "network"):
        sides_of = {**sides_of, "unitary": "against"}
    return {view: side for view, side in sides_of.items() if view != "network"}


def _is_of_one_arm(row: str, other: str) -> bool:
    return row.partition("/")[0] == other.partition("/")[0]


def _sides(entry: results.PredictionResult) -> dict[str, Side]:
    """The table of `sides`."""
    seen = entry.sensitivity is not None and entry.sensitivity.detected
    if not entry.is_valid:
        return {}
    # a rule without this interval does not tell one utility from another view
    utility: dict[str, Side] = (
        {} if entry.rule.unitary is None else {"unitary": "against"}
    )
    match entry.verdict:
        case "shard":
            return {"shard": "for", "network": "against", **utility}
        case "network":
            return {"shard": "against", "network": "for", **utility}
        case "no difference" if seen:
            return {"shard": "against", "network": "for", **utility}
        case "unitary" if seen:
            return {"shard": "against", "unitary": "for"}
        case _:
            return {}


def sides_of_contest(
    name: str, contest: contest_results.ContestResult, verdict: str
) -> dict[str, Side]:
    """For and against which views an answer of a contest counts.

    Args:
      name: of the question, e.g. "NN - SHARD" or "P13".
    """
    if not contest.stands:
        return {}
    if verdict == "SHARD":
        return {"shard": "for", **BEATEN.get(name, {})}
    return OF_CONTEST.get(verdict, {})


def _with(views: dict[str, Side], side: Side) -> str:
    return ", ".join(VIEWS[view] for view, own in views.items() if own == side)


def counts(found: Sequence[Row]) -> dict[str, dict[str, int]]:
    """By view, for how many verdicts count for and against it."""

    def number(view: str, side: str) -> int:
        return sum(view in side_of.split(", ") for side_of in sides_of[side])

    sides_of = {
        "for": [row.counts_for for row in found],
        "against": [row.counts_against for row in found],
    }
    return {
        view: {side: number(view, side) for side in sides_of} for view in VIEWS.values()
    }


def says_nothing(found: Sequence[Row]) -> dict[str, int]:
    """How many verdicts count for or against no view, by the reason."""
    silent = [row for row in found if not (row.counts_for or row.counts_against)]
    reasons = [_silence(row) for row in silent]
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def _silence(row: Row) -> str:
    """Why a verdict counts for and against nothing."""
    if not row.is_valid:
        return "no claim stands"
    if row.verdict in ("undecided", "not asked"):
        return row.verdict
    if row.contrast is not None and _is_of_one_arm(*row.contrast.split(" - ")):
        return "about a tool"
    if row.would_have_been_seen is not True:
        return "shards would not have been seen"
    return "no view is told from another"


def terminal(found: Sequence[Row]) -> str:
    """The table for a terminal, without what each view expected."""
    table = text_tables.table(
        [
            "",
            "run",
            "effect\n[95 % interval]",
            "of planted",
            "verdict",
            "seen",
            "claim",
            "seeds",
            "minutes",
        ]
    )
    for row in found:
        table.add_row(
            row.prediction,
            row.run,
            f"{_effect(row)}\n{row.unit}",
            _percent(row.share_of_planted),
            row.verdict,
            _seen(row),
            _short_claim(row),
            str(row.seeds),
            _rounded(row.minutes),
        )
    summary = text_tables.table(["view", "for", "against"])
    for view, number in counts(found).items():
        summary.add_row(view, str(number["for"]), str(number["against"]))
    text = text_tables.terminal([table, summary])
    return f"{text}\n\n{_silent_sentence(found)}"


def markdown(found: Sequence[Row]) -> str:
    """The table as Markdown, with all columns, the counts and the reading of both."""
    head = (
        *("", "run", "question", "shards expect", "a network expects"),
        *(
            "one utility expects",
            "effect [95 % interval], unit",
            "margin",
            "of planted",
        ),
        *("verdict", "seen", "claim", "seeds", "minutes", "command"),
    )
    cells = [
        (
            row.prediction,
            row.run,
            row.question,
            row.shards_expect or numbers.DASH,
            row.network_expects or numbers.DASH,
            row.one_utility_expects or numbers.DASH,
            f"{_effect(row)}, {row.unit}",
            numbers.digits(row.margin),
            _percent(row.share_of_planted),
            row.verdict,
            _seen(row),
            _claim(row),
            str(row.seeds),
            _rounded(row.minutes),
            f"`{row.command}`",
        )
        for row in found
    ]
    views = [
        (view, str(number["for"]), str(number["against"]))
        for view, number in counts(found).items()
    ]
    parts = (
        text_tables.markdown(head, [[_escaped(cell) for cell in row] for row in cells]),
        READING,
        text_tables.markdown(("view", "for", "against"), views),
        _silent_sentence(found),
    )
    return "\n\n".join(parts)


SHORT = {
    "a control": "a control",
    "return of": "return too low",
    "V of": "V too far",
    "gates": "gates",
}
"""Why no claim stands, by how the sentence begins."""
READING = """\
*Of planted*: the effect as a share of that of the positive control. *Seen*: whether the
rule says *shard* of the positive control; where it does not, shards could not have been
seen. *Claim*: whether one stands, or why not. *Minutes* are wall time of the last
process of the run.

A verdict counts only if its claim stands. *shard* counts for shards and against a
network, *network* the other way round. *No difference* counts for a network, and
*unitary* for one utility; both count against shards where these would have been seen.
Against one utility counts what lies elsewhere than a rule puts it; where an agent is
compared with V\\* (`exact`), nothing counts for or against a network. Two rows of one
arm are about a tool, and count for nobody. In a contest a verdict counts for a view
that forecasts better, and against the one that is beaten."""
"""How the table and the counts are to be read."""


def _silent_sentence(found: Sequence[Row]) -> str:
    silent = says_nothing(found)
    total = sum(silent.values())
    why = ", ".join(f"{number} {reason}" for reason, number in silent.items())
    return (
        f"{len(found)} verdicts, {total} of which count for no view and against none"
        f"{f' ({why})' if why else ''}."
    )


def as_json(found: Sequence[Row]) -> str:
    """All columns of all rows, and the counts."""
    data = {
        "verdicts": [row._asdict() for row in found],
        "counts": counts(found),
        "says_nothing": says_nothing(found),
    }
    return json.dumps(data, indent=1, ensure_ascii=False)


def as_csv(found: Sequence[Row]) -> str:
    """All columns of all rows."""
    file = io.StringIO()
    writer = csv.DictWriter(file, Row._fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row._asdict() for row in found)
    return file.getvalue().rstrip("\n")


def placed(text: str, page: str) -> str:
    """A page with a text between its two marks, or the text where it has none.

    Raises:
      RunError: the page has one mark and not the other, or several.
    """
    marks = [page.count(BEGIN), page.count(END)]
    if marks == [0, 0]:
        return text
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if marks != [1, 1] or not end:
        raise run_files.RunError(
            f"out: got a page with marks of a table that do not pair; allowed: "
            f"{BEGIN} once, and {END} after it, or none"
        )
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"


def _escaped(cell: str) -> str:
    """A cell whose stars are stars: V* is no emphasis."""
    return cell.replace("*", r"\*")


def _effect(row: Row) -> str:
    interval = f" [{numbers.signed(row.low)}, {numbers.signed(row.high)}]"
    has_interval = row.low is not None or row.high is not None
    return numbers.signed(row.effect) + (interval if has_interval else "")


def _percent(x: float | None) -> str:
    return numbers.DASH if x is None else f"{x:.0%}"


def _rounded(minutes: float | None) -> str:
    return numbers.DASH if minutes is None else f"{minutes:.0f}"


def _seen(row: Row) -> str:
    seen = row.would_have_been_seen
    return "no positive control" if seen is None else ("yes" if seen else "no")


def _claim(row: Row) -> str:
    if not row.is_valid:
        return f"none: {row.why_not}" if row.why_not else "none"
    return "stands" if row.asked != "afterwards" else "stands, asked afterwards"


def _short_claim(row: Row) -> str:
    """Without the names of the arms."""
    if row.is_valid:
        return _claim(row)
    parts = row.why_not.split("; ")
    words = [
        next((short for start, short in SHORT.items() if part.startswith(start)), part)
        for part in parts
    ]
    return f"none: {', '.join(words)}" if row.why_not else "none"


def _minutes(folder: Path) -> float | None:
    """Wall time of the last process of a run; None if it is not recorded."""
    if not (folder / TIMING).is_file():
        return None
    timing = records.read(folder / TIMING, Timing)
    return (timing.training_seconds + (timing.evaluation_seconds or 0.0)) / 60


def _configs(folder: Path) -> dict[str, Path]:
    """Config files by the name that stands in them."""
    found = {}
    for path in sorted(folder.rglob("*.yaml")):
        data = config_files.read_yaml(path)
        if isinstance(data, dict) and isinstance(data.get("name"), str):
            found[data["name"]] = path
    return found


def _command(source: Source, known: dict[str, Path]) -> str:
    """The command that makes the folder again.

    It names the file with the same name if few fields differ from it, and else the
    resolved config of the run.
    """
    own_path = source.folder / run_layout.CONFIG_FILE
    own = config_files.read_yaml(own_path)
    path, cls = known.get(str(own.get("name"))), CONFIGS.get(source.kind)
    flags = None if path is None or cls is None else _flags(cls, own, path)
    if flags is None:
        return f"shardsim {source.kind} {shlex.quote(str(own_path))}"
    return " ".join((f"shardsim {source.kind} {shlex.quote(str(path))}", *flags))


def _flags(cls: Any, own: dict[str, Any], path: Path) -> list[str] | None:
    """The flags that make one config of a file; None if there are none, or many."""
    try:
        data = config_files.read_yaml(path)
        mine, shipped = configs.build(cls, own), configs.build(cls, data)
        without_effect = getattr(cls, "WITHOUT_EFFECT", ())
        flags = [
            f"--{field}={json.dumps(value)}"
            for field, (value, _) in configs.diff(mine, shipped).items()
            if field.partition(".")[0] not in without_effect
        ]
        again = configs.build(cls, config_files.override(data, flags, cls))
    except configs.ConfigError:  # of another version, or no such config
        return None
    left = {field.partition(".")[0] for field in configs.diff(mine, again)}
    if len(flags) > MOST_FLAGS or not left <= {*without_effect}:
        return None
    return [shlex.quote(flag) for flag in flags]
