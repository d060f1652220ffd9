"""What a contest says in words and tables: for a terminal, a page, and a file."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from shardsim.contest.results import ArmScores, ContestResult, VerdictResult
from shardsim.contest.verdicts import called
from shardsim.reports import numbers, text_tables

MARK = "sees the answers"
"""What is said of ORACLE and OTHERS."""


class Table(NamedTuple):
    """A table of text."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def answer(result: ContestResult) -> str:
    """What the contest answers, in a few sentences."""
    own = result.arms.get(result.arm)
    if own is None:
        return f"There are no agents of the arm {result.arm}, so nothing is answered."
    ordered = by_loss(own)
    best = next(n for n in ordered if not own.forecasters[n].is_reference)
    winner = own.forecasters[best]
    sentence = (
        f"{called(best, winner.kind)} forecasts the agents of {result.arm} best: "
        f"{numbers.interval(winner.score.excess, 'signed')} nats per decision above "
        "ORACLE."
    )
    if result.stands:
        said = "; ".join(f"{n}: {v.verdict}" for n, v in result.verdicts.items())
        return f"{sentence} All gates passed. {said}."
    missed = [n for n, gate in result.gates.items() if gate.passed != "passed"]
    return (
        f"{sentence} No claim stands, because not every control passed: "
        f"{', '.join(missed)}."
    )


def by_loss(arm: ArmScores) -> list[str]:
    """Names of all forecasters, from the lowest loss to the highest."""

    def loss(name: str) -> float:
        estimate = arm.forecasters[name].score.loss.estimate
        return float("inf") if estimate is None else estimate

    return sorted(arm.forecasters, key=loss)


def tables(result: ContestResult) -> Iterator[Table]:
    """All tables of a contest, most important first."""
    own = result.arms.get(result.arm)
    if own is not None:
        yield leaderboard(own)
        yield conditions(own, result)
    yield verdicts(result)
    yield gates(result)
    if len(result.arms) > 1:
        yield arms(result)
    if own is not None:
        yield surprising(own)


def leaderboard(arm: ArmScores) -> Table:
    """What every forecaster pays on all that is asked."""
    head = ("forecaster", "loss", "above ORACLE", "parameters", "code length")
    rows = []
    for name in by_loss(arm):
        one = arm.forecasters[name]
        rows.append(
            (
                called(name, one.kind),
                _nats(one.score.loss.estimate),
                numbers.interval(one.score.excess, "signed"),
                MARK if one.is_reference else f"{one.parameters:,}",
                numbers.DASH if one.code_length is None else f"{one.code_length:.2f}",
            )
        )
    note = (
        "Loss in nats per decision, exact, weighted by the agent's own occupancy, with "
        "95 % intervals over seeds and levels. Code length: nats for one decision in "
        "each level of the evidence, each block of levels forecast from those before."
    )
    return Table("Leaderboard", head, rows, note)


def _nats(loss: float | None) -> str:
    return numbers.DASH if loss is None else f"{loss:.3f}"


def conditions(arm: ArmScores, result: ContestResult) -> Table:
    """Loss above ORACLE in each condition."""
    names = list(result.conditions)
    head = ("above ORACLE", *(_held_out(n, result.conditions[n]) for n in names))
    rows = []
    for name in by_loss(arm):
        one = arm.forecasters[name]
        if one.kind == "oracle":
            continue
        each = [one.by_condition.get(condition) for condition in names]
        shown = [
            numbers.interval(score.excess, "signed") if score else numbers.DASH
            for score in each
        ]
        rows.append((called(name, one.kind), *shown))
    note = "* held out: no forecaster has seen any agent in it."
    return Table("By condition", head, rows, note)


def _held_out(name: str, held_out: bool) -> str:
    return f"{name} *" if held_out else name


def claimed(result: ContestResult, entry: VerdictResult) -> str:
    """A verdict, or that there is none."""
    if result.stands or entry.effect is None:
        return entry.verdict
    return f"no claim ({entry.verdict})"


def verdicts(result: ContestResult) -> Table:
    """The answers."""
    head = ("question", "verdict", "effect", "unit", "p")
    rows = [
        (
            entry.title,
            claimed(result, entry),
            numbers.interval(entry.effect, "signed"),
            entry.unit,
            numbers.digits(entry.p_value),
        )
        for entry in result.verdicts.values()
    ]
    note = "p is adjusted for all questions of the contest (Holm)."
    if not result.stands:
        note += " No claim stands, because not every control passed."
    return Table("Verdicts", head, rows, note)


def gates(result: ContestResult) -> Table:
    """The controls."""
    head = ("control", "agents", "what must hold", "result", "differences")
    rows = [
        (
            name,
            gate.arm or "-",
            gate.statement,
            gate.passed if gate.differences else "not asked",
            "; ".join(
                f"{pair} {numbers.interval(each, 'signed')}"
                for pair, each in gate.differences.items()
            )
            or "-",
        )
        for name, gate in result.gates.items()
    ]
    return Table("Controls", head, rows)


def arms(result: ContestResult) -> Table:
    """Loss above ORACLE of every forecaster on the agents of every arm."""
    names = list(
        dict.fromkeys(
            name
            for arm in result.arms.values()
            for name in by_loss(arm)
            if arm.forecasters[name].kind != "oracle"
        )
    )
    rows = []
    for arm, own in result.arms.items():
        each = [own.forecasters.get(name) for name in names]
        rows.append(
            (
                arm,
                *(numbers.padded(f.score.excess.estimate if f else None) for f in each),
            )
        )
    return Table("All arms, above ORACLE", ("agents", *names), rows)


def surprising(arm: ArmScores) -> Table:
    """The agents on which every forecaster failed."""
    head = ("history", "condition", "seed", "above ORACLE", "open it by")
    rows = [
        (
            one.history,
            one.condition,
            str(one.seed),
            numbers.signed(one.excess),
            one.opens or numbers.DASH,
        )
        for one in arm.surprising
    ]
    note = "Loss above ORACLE of the best forecaster that does not see the answers."
    return Table("Most surprising agents", head, rows, note)


def terminal(result: ContestResult) -> str:
    """The tables for a terminal, without the surprising agents."""
    own = result.arms.get(result.arm)
    shown = [*([leaderboard(own)] if own else []), verdicts(result), gates(result)]
    text = text_tables.terminal(
        [text_tables.table(each.head, each.rows, each.title) for each in shown]
    )
    return f"{text}\n\n{answer(result)}"


def markdown(result: ContestResult) -> str:
    """All tables as Markdown."""
    parts = [f"# {result.question}", answer(result)]
    for table in tables(result):
        parts.append(f"## {table.title}")
        parts.append(text_tables.markdown(table.head, table.rows))
        if table.note:
            parts.append(table.note)
    return "\n\n".join(parts) + "\n"
