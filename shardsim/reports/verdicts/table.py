"""The collected verdicts as text: for a terminal, as Markdown, JSON and CSV."""

import csv
import io
import json
from collections.abc import Sequence

from shardsim.evaluation import wording
from shardsim.reports import numbers, text_tables
from shardsim.reports.verdicts import counting
from shardsim.reports.verdicts.collection import Row
from shardsim.storage import run_files

BEGIN, END = "<!-- verdicts -->", "<!-- end of verdicts -->"
"""Lines of a Markdown file between which a table is replaced."""
SHORT = {
    "a control": "a control",
    "return of": "return too low",
    "V of": "V too far",
    "gates": "gates",
}
"""Why no claim stands, by how the sentence begins."""
READING = """\
*Of planted*: the effect as a share of that of the positive control. *Seen*: whether the
rule says *shard* of the positive control, or *yes* of a tool's; where it does not,
shards could not have been seen. *Claim*: whether one stands, or why not. *Minutes* are
wall time of the last process of the run.

A verdict counts only if its claim stands. *shard* counts for shards and against a
network, *network* the other way round. *No difference* counts for a network, and
*unitary* for one utility; both count against shards where these would have been seen.
Against one utility counts what lies elsewhere than a rule puts it; where an agent is
compared with V\\* (`exact`), nothing counts for or against a network. A question about
a tool is answered by *yes* or *no*, and counts for nobody. In a contest a verdict
counts for a view that forecasts better, and against the one that is beaten."""
"""How the table and the counts are to be read."""


def terminal(rows: Sequence[Row]) -> str:
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
    for row in rows:
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
    for view, number in counts(rows).items():
        summary.add_row(view, str(number["for"]), str(number["against"]))
    text = text_tables.terminal([table, summary])
    return f"{text}\n\n{_silent_sentence(rows)}"


def markdown(rows: Sequence[Row]) -> str:
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
            _question(row),
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
        for row in rows
    ]
    views = [
        (view, str(number["for"]), str(number["against"]))
        for view, number in counts(rows).items()
    ]
    parts = (
        text_tables.markdown(head, [[_escaped(cell) for cell in row] for row in cells]),
        READING,
        text_tables.markdown(("view", "for", "against"), views),
        _silent_sentence(rows),
    )
    return "\n\n".join(parts)


def as_json(rows: Sequence[Row]) -> str:
    """All columns of all rows, and the counts."""
    data = {
        "verdicts": [row._asdict() for row in rows],
        "counts": counts(rows),
        "says_nothing": says_nothing(rows),
    }
    return json.dumps(data, indent=1, ensure_ascii=False)


def as_csv(rows: Sequence[Row]) -> str:
    """All columns of all rows."""
    file = io.StringIO()
    writer = csv.DictWriter(file, Row._fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row._asdict() for row in rows)
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


def counts(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """By view, for how many verdicts count for and against it."""

    def number(view: str, side: str) -> int:
        return sum(view in side_of.split(", ") for side_of in sides_of[side])

    sides_of = {
        "for": [row.counts_for for row in rows],
        "against": [row.counts_against for row in rows],
    }
    return {
        view: {side: number(view, side) for side in sides_of}
        for view in counting.VIEWS.values()
    }


def says_nothing(rows: Sequence[Row]) -> dict[str, int]:
    """How many verdicts count for or against no view, by the reason."""
    silent = [row for row in rows if not (row.counts_for or row.counts_against)]
    reasons = [_silence(row) for row in silent]
    return {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}


def _silence(row: Row) -> str:
    """Why a verdict counts for and against nothing."""
    if not row.is_valid:
        return "no claim stands"
    if row.verdict in ("undecided", "not asked"):
        return row.verdict
    if row.about == wording.TOOL:
        return "about a tool"
    if row.would_have_been_seen is not True:
        return "shards would not have been seen"
    return "no view is told from another"


def _silent_sentence(rows: Sequence[Row]) -> str:
    silent = says_nothing(rows)
    total = sum(silent.values())
    why = ", ".join(f"{number} {reason}" for reason, number in silent.items())
    return (
        f"{len(rows)} verdicts, {total} of which count for no view and against none"
        f"{f' ({why})' if why else ''}."
    )


def _escaped(cell: str) -> str:
    """A cell whose stars are stars: V* is no emphasis."""
    return cell.replace("*", r"\*")


def _question(row: Row) -> str:
    """The question; of a tool with what its answers mean, which no view expects."""
    if row.about != wording.TOOL:
        return row.question
    return f"{row.question} Yes: {row.yes_means} No: {row.no_means}"


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
