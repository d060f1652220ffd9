"""The sections of a report, as HTML, from results.json."""

from collections.abc import Mapping
from typing import Any

from shardsim.core import config
from shardsim.reports.verdicts import html
from shardsim.training.arms import ArmConfig

SIDES = {
    "shard": "as SHARD expects, beyond the margin",
    "network": "beyond the margin, against what SHARD expects",
    "unitary": "no difference, and both arms lie where one fixed utility does",
    "no difference": "shown to lie within the margin",
    "undecided": "neither a difference nor its absence is shown",
}


def alarm(results: Mapping[str, Any]) -> str:
    """What stands against every claim, before any claim."""
    lines = [
        f"{name}: {control['sentence']}"
        for name, entry in results["predictions"].items()
        for control in entry["controls"]
        if control["passed"] != "passed"
    ]
    lines += [
        f"{name}: no claim stands of {' and '.join(entry['unlearnt'])}, which missed "
        "the goal."
        for name, entry in results["predictions"].items()
        if entry.get("unlearnt")
    ]
    lines += [
        _short_of(name, arm["mean return fraction"], results)
        for name, arm in results["arms"].items()
        if arm["trained"] and not arm["reached goal"]
    ]
    if not lines:
        return ""
    head = (
        "" if results["controls stand"] else "<p><strong>No claim stands.</strong></p>"
    )
    return f'<div class="alarm" role="alert">{head}{html.items(lines)}</div>'


def _by_then(results: Mapping[str, Any]) -> str:
    """Until when the goal is to be reached, where that is not the end."""
    phase = results.get("goal after")
    return "" if phase is None else f" by the end of {phase}"


def _short_of(name: str, share: float | None, results: Mapping[str, Any]) -> str:
    if share is None:
        return (
            f"{name} can't be held to the goal: the exact optimum is not above 0, so "
            "that returns are no share of it."
        )
    return (
        f"{name} reached {share:.1%} of the exact optimum{_by_then(results)}, less "
        f"than {results['goal']:.0%}: see its curve."
    )


def outcome(entry: Mapping[str, Any]) -> str:
    """How the controls of a prediction came out, the goal of its arms among them."""
    found = {control["passed"] for control in entry["controls"]}
    if entry.get("unlearnt"):
        found.add("goal missed")
    words = ("failed", "goal missed", "undecided", "passed")
    return next((word for word in words if word in found), "none")


def of_seeds(entry: Mapping[str, Any]) -> str:
    """How many seeds are judged, where not all are."""
    among = entry.get("among")
    if among is None:
        return ""
    total = max(map(len, entry["values"].values()))  # V* is one number
    return f", {len(among)} of {total} seeds"


def contrast(entry: Mapping[str, Any]) -> str:
    """What is set against what, and of how many seeds."""
    pair = entry["rule"]["contrast"]
    return f"{pair['arm']} less {pair['against']}{of_seeds(entry)}"


def verdicts(results: Mapping[str, Any]) -> str:
    """The table of verdicts; nothing where nothing was asked."""
    if not results["predictions"]:
        return ""
    rows = []
    for name, entry in results["predictions"].items():
        effect, controls = entry["effect"], outcome(entry)
        made = entry.get("sensitivity")
        rows.append(
            [
                f"<td>{html.text(name)}</td>",
                f"<td>{html.text(entry['question'])}</td>",
                html.cell(contrast(entry)),
                html.number(html.signed(effect["estimate"])),
                html.number(
                    f"{html.signed(effect['low'])} to {html.signed(effect['high'])}"
                ),
                html.number(f"{entry['rule']['margin']:g}"),
                html.number(f"{entry['p']:.2g}"),
                f'<td class="verdict" title="{html.text(SIDES[entry["verdict"]])}">'
                f"{html.text(entry['verdict'])}</td>",
                f'<td class="{controls.split()[-1]}">{controls}</td>',
                html.cell("-" if made is None else made["verdict"]),
            ]
        )
    count = results["seeds"]
    seeds = f"{count} seed{'' if count == 1 else 's'}, {results['data']} data"
    return (
        "<h2>Verdicts</h2>"
        + html.table(
            (
                "",
                "question",
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


def omnibus(results: Mapping[str, Any]) -> str:
    """Energy distances and their tests."""
    rows = []
    for kind, tests in results["omnibus"].items():
        for test in tests:
            rows.append(
                [
                    html.cell(kind),
                    html.cell(f"{test['arm']} v. {test['against']}"),
                    html.number(html.plain(test["distance"])),
                    html.number(html.plain(test["ratio"])),
                    html.number(html.plain(test["p"])),
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


def unusual(found: Mapping[str, Any]) -> dict[str, str]:
    """The fields in which a head is not as its kind is by default, with what they hold.

    Shards that labels made must not pass for shards that were left to themselves.
    """
    try:
        arm = config.build(ArmConfig, {"head": {"kind": found["kind"]}})
        usual = config.to_dict(arm)["head"]
    except config.ConfigError:  # no such kind any more, or one without defaults
        usual = {"kind": found["kind"]}
    return {
        name: html.shown(own)
        for name, (own, _) in config.diff(found, usual).items()
        if name.partition(".")[0] in found
    }


def head(found: Mapping[str, Any]) -> str:
    """The kind of a head and what is unusual about it, in a line."""
    other = [f"{name} {own}" for name, own in unusual(found).items()]
    return f"{found['kind']} ({'; '.join(other)})" if other else str(found["kind"])


def arms(results: Mapping[str, Any]) -> str:
    """Sizes and returns of the arms, and tau beside the action gap."""
    gaps = results["action gap"]
    rows = []
    for name, arm in results["arms"].items():
        fractions = [x for x in arm["return fraction"] if x is not None]
        below = arm["trained"] and not arm["reached goal"] and fractions
        told, share = head(arm["head"]), html.share(arm["mean return fraction"])
        ends = [html.share(end(fractions, default=None)) for end in (min, max)]
        flag = f' <span class="failed">below {results["goal"]:.0%}</span>'
        rows.append(
            [
                html.cell(name),
                html.cell(told + ("" if arm["trained"] else ", untrained")),
                html.number(f"{arm['parameters of V']:,}"),
                html.number(str(arm["width"])),
                f'<td class="number">{share}{flag if below else ""}</td>',
                html.number(" to ".join(ends)),
                html.number(html.plain(arm["parts in use"])),
                html.number(html.plain(gaps[name])),
            ]
        )
    tau = gaps["temperature"]
    steered = (
        f"tau = {tau:g}, beside an action gap of {html.plain(gaps['exact'])} under "
        "V*: acting follows V only where tau is small against the gap."
        if tau is not None
        else "V takes no part in acting."
    )
    steered = describe_acting(results) + steered
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
                "parts in use",
                "action gap",
            ),
            rows,
            (2, 3, 4, 5, 6, 7),
        )
        + f'<p class="note">{html.text(steered)} Returns are exact expectations, '
        "and parts in use is the exponential of the entropy of the mean gates, over "
        "the first condition of the battery"
        f"{html.text(_by_then(results))}, not samples.</p>"
    )


def details(results: Mapping[str, Any]) -> str:
    """What lies behind each verdict, folded away; nothing where nothing was asked."""
    if not results["predictions"]:
        return ""
    blocks = [_detail(name, entry) for name, entry in results["predictions"].items()]
    return "<h2>What each side predicts, and what came out</h2>" + "".join(blocks)


def _detail(name: str, entry: Mapping[str, Any]) -> str:
    sides = {"SHARD": "shard", "NN": "network", "UNI": "unitary"}
    expected = (f"{word} expects: {entry[key]}" for word, key in sides.items())
    made = entry.get("sensitivity")
    controls = "".join(
        f'<li class="{c["passed"]}">{html.text(c["sentence"])}</li>'
        for c in entry["controls"]
    )
    measure = ", ".join(f"{k} {v}" for k, v in entry["measure"].items())
    more = (f"{key}: {html.shown(v)}" for key, v in entry["details"].items())
    return (
        f"<details><summary>{html.text(name)}: "
        f"{html.text(entry['question'])}</summary>"
        + html.items(expected)
        + f"<p>{html.text(entry['reason'])}</p>"
        + ("" if made is None else f"<p>{html.text(made['sentence'])}</p>")
        + f'<p class="note">Measure: {html.text(entry["formula"])} '
        f"({html.text(measure)})</p><p>Controls:</p><ul>{controls}</ul>"
        + ("<p>More numbers, means over all seeds:</p>" if entry["details"] else "")
        + html.items(more)
        + "</details>"
    )


def origin(
    results: Mapping[str, Any], config: str, provenance: Mapping[str, Any]
) -> str:
    """Config, versions and revision."""
    versions = ", ".join(f"{k} {v}" for k, v in provenance["versions"].items())
    facts = [
        f"config {results['digest']}",
        f"revision {provenance['revision']}",
        versions,
        f"Python {provenance['python']}",
        ", ".join(provenance["devices"]),
    ]
    return (
        "<h2>Where this comes from</h2>"
        f'<p class="note">{html.text("; ".join(facts))}</p>'
        f"<details><summary>config.yaml</summary><pre>{html.text(config)}</pre></details>"
    )


def describe_acting(results: Mapping[str, Any]) -> str:
    """By whose acting arms are looked at, where it is not that of training."""
    acts = results.get("acting", {})  # none in runs of before
    if len(set(acts.values())) < 2:
        return ""
    got = ", ".join(
        f"{name} {html.share(arm['mean return fraction looked at'])}"
        for name, arm in results["arms"].items()
    )
    return (
        f"Returns are of the acting of training: {acts['training']}. All else is "
        f"looked at with {acts['looked at']}, which returns {got}. "
    )
