"""The sections of a report, as HTML, from the results of a run."""

from typing import Any

from shardsim.agents import value
from shardsim.core import config
from shardsim.evaluation import measures, results
from shardsim.reports.verdicts import html
from shardsim.storage import provenance

SIDES = {
    "shard": "as SHARD expects, beyond the margin",
    "network": "beyond the margin, against what SHARD expects",
    "unitary": "no difference, and both arms lie where one fixed utility does",
    "no difference": "shown to lie within the margin",
    "undecided": "neither a difference nor its absence is shown",
}


def alarm(result: results.RunResult) -> str:
    """What stands against every claim, before any claim."""
    lines = [
        f"{name}: {control.sentence}"
        for name, entry in result.predictions.items()
        for control in entry.controls
        if control.passed != "passed"
    ]
    lines += [
        f"{name}: no claim stands of {' and '.join(entry.arms_below_min_return)}, "
        "which missed the goal."
        for name, entry in result.predictions.items()
        if entry.arms_below_min_return
    ]
    lines += [
        _short_of(name, arm.mean_return_fraction, result)
        for name, arm in result.arms.items()
        if arm.trained and not arm.reached_min_return
    ]
    if not lines:
        return ""
    head = "" if result.all_valid else "<p><strong>No claim stands.</strong></p>"
    return f'<div class="alarm" role="alert">{head}{html.items(lines)}</div>'


def _by_then(result: results.RunResult) -> str:
    """Until when the goal is to be reached, where that is not the end."""
    phase = result.min_return_phase
    return "" if phase is None else f" by the end of {phase}"


def _short_of(name: str, share: float | None, result: results.RunResult) -> str:
    if share is None:
        return (
            f"{name} can't be held to the goal: the exact optimum is not above 0, so "
            "that returns are no share of it."
        )
    return (
        f"{name} reached {share:.1%} of the exact optimum{_by_then(result)}, less "
        f"than {result.min_return:.0%}: see its curve."
    )


def outcome(entry: results.PredictionResult) -> str:
    """How the controls of a prediction came out, the goal of its arms among them."""
    found: set[str] = {control.passed for control in entry.controls}
    if entry.arms_below_min_return:
        found.add("goal missed")
    words = ("failed", "goal missed", "undecided", "passed")
    return next((word for word in words if word in found), "none")


def of_seeds(entry: results.PredictionResult) -> str:
    """How many seeds are judged, where not all are."""
    if entry.judged_seeds is None:
        return ""
    return f", {len(entry.judged_seeds)} of {entry.num_seeds} seeds"


def contrast(entry: results.PredictionResult) -> str:
    """What is set against what, and of how many seeds."""
    pair = entry.rule.contrast
    return f"{pair.arm} less {pair.baseline}{of_seeds(entry)}"


def verdicts(result: results.RunResult) -> str:
    """The table of verdicts; nothing where nothing was asked."""
    if not result.predictions:
        return ""
    rows = []
    for name, entry in result.predictions.items():
        effect, controls = entry.effect, outcome(entry)
        made = entry.sensitivity
        rows.append(
            [
                f"<td>{html.text(name)}</td>",
                f"<td>{html.text(entry.question)}<br><small>"
                f"{html.text(entry.metric)}, {html.text(entry.unit)}</small></td>",
                html.cell(contrast(entry)),
                html.number(html.signed(effect.estimate)),
                html.number(f"{html.signed(effect.low)} to {html.signed(effect.high)}"),
                html.number(f"{entry.rule.margin:g}"),
                html.number(f"{entry.p_value:.2g}"),
                f'<td class="verdict" title="{html.text(SIDES[entry.verdict])}">'
                f"{html.text(entry.verdict)}</td>",
                f'<td class="{controls.split()[-1]}">{controls}</td>',
                html.cell("-" if made is None else made.verdict),
            ]
        )
    count = result.num_seeds
    seeds = f"{count} seed{'' if count == 1 else 's'}, {result.data} data"
    return (
        "<h2>Verdicts</h2>"
        + html.table(
            (
                "",
                "question; metric, unit",
                "contrast",
                "effect",
                "95 % interval",
                "margin",
                "p (Holm)",
                "verdict",
                "controls",
                "hand-made shards",
            ),
            rows,
            numbers=(3, 4, 5, 6),
        )
        + f'<p class="note">{html.text(seeds)}. A seed is the unit. A verdict '
        "claims a region: "
        + "; ".join(f"<em>{k}</em>: {v}" for k, v in SIDES.items())
        + ". Hand-made shards: the verdict where the contrast is of an arm that has "
        "shards by construction. Where it is not <em>shard</em>, that the contrast "
        "shows none is no evidence against them.</p>"
    )


def omnibus(result: results.RunResult) -> str:
    """Energy distances and their tests."""
    rows = []
    kinds = {"value": result.omnibus.value, "policy": result.omnibus.policy}
    for kind, tests in kinds.items():
        for test in tests:
            rows.append(
                [
                    html.cell(kind),
                    html.cell(f"{test.arm} v. {test.baseline}"),
                    html.number(html.plain(test.distance)),
                    html.number(html.plain(test.ratio)),
                    html.number(html.plain(test.p_value)),
                ]
            )
    return (
        "<h2>Do architectures differ more than two seeds of one?</h2>"
        + html.table(
            ("of", "arms", "energy distance", "between / within", "p"), rows, (2, 3, 4)
        )
        + '<p class="note">Energy distance over the states of the battery; labels '
        "permuted within seeds. Between / within: mean distance of two seeds of "
        "different architectures over that of two seeds of one; 1 is no difference."
        "</p>"
    )


def unusual(head: value.Head) -> dict[str, str]:
    """The fields in which a head is not as its kind is by default, with what they hold.

    Shards that labels made must not pass for shards that were left to themselves.
    """
    try:
        usual: Any = type(head)()
    except TypeError:  # a kind without defaults
        usual = {"kind": head.kind}
    return {
        name: html.shown(own) for name, (own, _) in config.diff(head, usual).items()
    }


def head(config: value.Head) -> str:
    """The kind of a head and what is unusual about it, in a line."""
    other = [f"{name} {own}" for name, own in unusual(config).items()]
    return f"{config.kind} ({'; '.join(other)})" if other else config.kind


def arms(result: results.RunResult) -> str:
    """Sizes and returns of the arms, and tau beside the action gap."""
    rows = []
    for name, arm in result.arms.items():
        fractions = [x for x in arm.return_fraction if x is not None]
        below = arm.trained and not arm.reached_min_return and fractions
        told, share = head(arm.head), html.share(arm.mean_return_fraction)
        ends = [html.share(end(fractions, default=None)) for end in (min, max)]
        flag = f' <span class="failed">below {result.min_return:.0%}</span>'
        rows.append(
            [
                html.cell(name),
                html.cell(told + ("" if arm.trained else ", untrained")),
                html.number(f"{arm.value_params:,}"),
                html.number(str(arm.width)),
                f'<td class="number">{share}{flag if below else ""}</td>',
                html.number(" to ".join(ends)),
                html.number(html.plain(arm.mean_value_error)),
                html.number(html.plain(arm.shards_in_use)),
                html.number(html.plain(arm.action_gap)),
            ]
        )
    tau, gap = result.acting.temperature, result.acting.exact_action_gap
    steered = (
        f"tau = {tau:g}, beside an action gap of {html.plain(gap)} under "
        "V*: acting follows V only where tau is small against the gap."
        if tau is not None
        else "V takes no part in acting."
    )
    steered = describe_acting(result) + steered
    return (
        "<h2>Arms</h2>"
        + html.table(
            (
                "arm",
                "head",
                "parameters of V",
                "width",
                "return / optimum",
                "range over seeds",
                "error of V (sd of V*)",
                "shards in use",
                "action gap",
            ),
            rows,
            (2, 3, 4, 5, 6, 7, 8),
        )
        + f'<p class="note">{html.text(steered)} Returns are exact expectations, '
        "the error of V is its root mean square in standard deviations of V*, and "
        "shards in use is the exponential of the entropy of the mean gates, over "
        "the first condition of the battery"
        f"{html.text(_by_then(result))}, not samples.</p>"
    )


def details(result: results.RunResult) -> str:
    """What lies behind each verdict, folded away; nothing where nothing was asked."""
    if not result.predictions:
        return ""
    blocks = [_detail(name, entry) for name, entry in result.predictions.items()]
    return "<h2>What each side predicts, and what came out</h2>" + "".join(blocks)


def _detail(name: str, entry: results.PredictionResult) -> str:
    sides = {
        "SHARD": entry.expected.shard,
        "NN": entry.expected.network,
        "UNI": entry.expected.unitary,
    }
    expected = (f"{word} expects: {text}" for word, text in sides.items())
    made = entry.sensitivity
    controls = "".join(
        f'<li class="{c.passed}">{html.text(c.sentence)}</li>' for c in entry.controls
    )
    fields = config.to_dict(entry.measure)
    measure = ", ".join(f"{k} {html.shown(v)}" for k, v in fields.items())
    more = map(_number, entry.details)
    return (
        f"<details><summary>{html.text(name)}: "
        f"{html.text(entry.question)}</summary>"
        + html.items(expected)
        + f"<p>{html.text(entry.reason)}</p>"
        + ("" if made is None else f"<p>{html.text(made.sentence)}</p>")
        + f'<p class="note">Measure: {html.text(entry.formula)} '
        f"({html.text(measure)})</p><p>Controls:</p><ul>{controls}</ul>"
        + ("<p>More numbers, means over all seeds:</p>" if entry.details else "")
        + html.items(more)
        + "</details>"
    )


def _number(detail: measures.Detail) -> str:
    """A number of a measure: whose it is, what it is, its unit and its interval."""
    who = "" if detail.arm is None else f"{detail.arm}: "
    told = f"{who}{detail.name}: {html.plain(detail.value)} ({detail.unit})"
    if detail.low is None:
        return told
    return f"{told}, 95 % interval {detail.low:.3g} to {html.plain(detail.high)}"


def provenance_of(
    result: results.RunResult, config: str, origin: provenance.Provenance
) -> str:
    """Config, versions and revision."""
    versions = ", ".join(f"{k} {v}" for k, v in origin.versions.items())
    facts = [
        f"config {result.digest}",
        f"revision {origin.revision}",
        versions,
        f"Python {origin.python}",
        ", ".join(origin.devices),
    ]
    return (
        "<h2>Where this comes from</h2>"
        f'<p class="note">{html.text("; ".join(facts))}</p>'
        f"<details><summary>config.yaml</summary><pre>{html.text(config)}</pre></details>"
    )


def describe_acting(result: results.RunResult) -> str:
    """By whose acting arms are looked at, where it is not that of training."""
    acting = result.acting
    if acting.training == acting.evaluation:
        return ""
    got = ", ".join(
        f"{name} {html.share(arm.mean_evaluation_return_fraction)}"
        for name, arm in result.arms.items()
    )
    return (
        f"Returns are of the acting of training: {acting.training}. All else is "
        f"looked at with {acting.evaluation}, which returns {got}. "
    )
