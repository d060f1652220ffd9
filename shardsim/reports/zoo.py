"""The tables and the figure of a zoo, from its results."""

from collections.abc import Iterator
from typing import Any

import altair as alt
import numpy as np

from shardsim.evaluation.zoo.calibration import MetricResult, ZooResult
from shardsim.reports import numbers, text_tables
from shardsim.reports.charts import render, theme

PANEL = 250
"""Width of a panel of the figure, in pixels."""
ROLES = {
    "yes": "good",
    "no": "bad",
    "graded": "soft",
    "function": "accent",
    "asked": "ink",
}
"""Colour of a member by whether it has shards; of ordinary agents, that is asked."""


def _members(result: ZooResult) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """What each member is: a heading, and a row for each."""
    head = ("member", "shards", "parameters", "seeds", "return / optimum", "error of V")
    rows = []
    for name, member in result.members.items():
        kept = np.array(member.selected)
        means = [
            numbers.percent(_mean(member.return_fraction, kept)),
            numbers.digits(_mean(member.value_error, kept)),
        ]
        if member.shards in ("yes", "no") and not member.reached_min_return:
            means[0] += " (missed)"
        seeds = f"{kept.sum()} of {len(kept)}"
        rows.append((name, member.shards, f"{member.parameters:,}", seeds, *means))
    return head, rows


def _mean(values: tuple[float | None, ...], kept: np.ndarray) -> float | None:
    chosen = [v for v, k in zip(values, kept, strict=True) if k and v is not None]
    return float(np.mean(chosen)) if chosen else None


def _metrics(result: ZooResult) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """What each metric separates."""
    head = (
        *("metric", "reads", "AUROC", "order in lambda"),
        *("rotation", "retest", "function alone", "expected", "stands"),
    )
    rows: list[tuple[str, ...]] = [
        (
            name,
            metric.of,
            numbers.interval(metric.auroc),
            numbers.padded(metric.order.estimate),
            "-" if metric.rotation is None else f"{metric.rotation:.1g}",
            numbers.padded(metric.retest),
            numbers.padded(metric.function),
            metric.expected,
            _stands(metric),
        )
        for name, metric in result.metrics.items()
    ]
    return head, rows


def _stands(metric: MetricResult) -> str:
    if metric.stands:
        return "yes"
    return "no" if metric.is_reliable else "no, not reliable"


def _against(result: ZooResult) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """AUROC of the members with shards against each other one."""
    others = next(iter(result.metrics.values())).against
    rows = [
        (name, *(numbers.padded(x) for x in metric.against.values()))
        for name, metric in result.metrics.items()
    ]
    return ("members with shards against", *others), rows


def _agents(result: ZooResult) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """What ordinary agents are, and where each metric that stands places them."""
    standing = [name for name, metric in result.metrics.items() if metric.stands]
    head = (
        *("agents", "parameters", "seeds", "return / optimum", "error of V"),
        *(f"{name}: against no / yes" for name in standing),
    )
    rows = []
    for name, agents in result.agents.items():
        every = np.full(len(agents.value_error), True)
        places = [
            f"{numbers.padded(at.above_no.estimate)} / "
            f"{numbers.padded(at.above_yes.estimate)}"
            for at in (result.metrics[metric].agents[name] for metric in standing)
        ]
        facts = (
            f"{agents.parameters:,}",
            str(len(every)),
            numbers.percent(_mean(agents.return_fraction, every)),
            numbers.digits(_mean(agents.value_error, every)),
        )
        rows.append((name, *facts, *places))
    return head, rows


def _tables(
    result: ZooResult,
) -> Iterator[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    yield _members(result)
    yield _metrics(result)
    yield _against(result)
    if result.agents:
        yield _agents(result)


def _answer(result: ZooResult) -> str:
    """Which metrics may be quoted."""
    standing = [name for name, metric in result.metrics.items() if metric.stands]
    said = ", ".join(standing) or "none"
    missed = [of for of, met in result.goals.items() if not met]
    goal = f" No metric of the {' or of the '.join(missed)} stands." if missed else ""
    return f"{result.num_seeds} seeds. Metrics that may be quoted: {said}.{goal}"


def table(result: ZooResult) -> str:
    """The tables for a terminal."""
    tables = [text_tables.table(head, rows) for head, rows in _tables(result)]
    return f"{text_tables.terminal(tables)}\n\n{_answer(result)}"


def markdown(result: ZooResult) -> str:
    """The tables as Markdown, for a page."""
    tables = [text_tables.markdown(head, rows) for head, rows in _tables(result)]
    return "\n\n".join([_answer(result), *tables]) + "\n"


def figure(result: ZooResult) -> str:
    """All members on one axis for each metric, a dot for each seed, as SVG text."""
    return render.adaptive_svg(chart(result))


def chart(result: ZooResult) -> alt.ConcatChart:
    """The figure as a chart."""
    members = [*result.members, *result.agents]
    panels = [_panel(result, name, members) for name in result.metrics]
    return alt.concat(*panels, columns=3)


def _panel(result: ZooResult, name: str, members: list[str]) -> Any:
    metric = result.metrics[name]
    rows = [
        {"member": member, "score": score, "shards": result.members[member].shards}
        for member, (first, _) in metric.scores.items()
        for score in first
        if score is not None
    ]
    rows += [
        {"member": name, "score": score, "shards": "asked"}
        for name, agents in metric.agents.items()
        for score in agents.scores[0]
        if score is not None
    ]
    title = f"{name}: AUROC {numbers.padded(metric.auroc.estimate)}"
    y = alt.Y("member:N", sort=members, title=None, scale=alt.Scale(domain=members))
    shown = [
        role
        for role in ROLES
        if role in {member.shards for member in result.members.values()}
        or (role == "asked" and result.agents)
    ]
    colours = alt.Color(
        "shards:N",
        scale=alt.Scale(domain=shown, range=[theme.colour(ROLES[r]) for r in shown]),
        legend=alt.Legend(title="shards", orient="bottom"),
    )
    base: Any = alt.Chart(alt.Data(values=rows), title=title)
    dots = base.mark_circle(size=28, opacity=0.7).encode(
        x=alt.X("score:Q", title=metric.title, scale=alt.Scale(zero=False)),
        y=y,
        color=colours,
    )
    means = base.mark_tick(thickness=2, size=14, color=theme.colour("ink")).encode(
        x="mean(score):Q", y=y
    )
    return alt.layer(dots, means).properties(width=PANEL, height=16 * len(members))
