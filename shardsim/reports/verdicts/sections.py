"""What a report says about the results of a run, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

from shardsim.agents import value
from shardsim.core import config, dynamic_programming
from shardsim.evaluation import (
    measures,
    preregistration,
    results,
    sentences,
    wording,
)
from shardsim.reports import numbers

VERDICTS = {
    "shard": "beyond the margin, in the direction that SHARD expects",
    "network": "beyond the margin, in the other direction",
    "yes": "of a tool: beyond the margin, in the direction that is asked about",
    "no": "of a tool: beyond the margin, in the other direction",
    "unitary": "no difference, and both arms are where one fixed utility would be",
    "no difference": "within the margin",
    "undecided": "the seeds are too few to say any of these",
}
"""What each verdict claims about the effect, by the word in which it is shown."""
OF_VIEWS = ("shard", "network", "unitary")
"""Verdicts that only a question about V has."""


DEVIATIONS = {
    "seed": "between seeds",
    "arm": "between trained arms that cells share",
    "baseline": "between trained baselines that cells share",
    "residual": "of the rest",
}
"""The parts of the variance of a study's effects."""
ASKED = {
    "before training": "",
    "afterwards": "asked afterwards",
    "not recorded": "not recorded when asked",
}
"""What stands beside a verdict about the time of its question."""


ORDINALS = ("first", "second", "third", "fourth", "fifth")
"""Words for the looks at a run."""


def verdict(entry: results.PredictionResult) -> str:
    """A verdict, whether its question was asked afterwards, and an unprotected look."""
    notes = [note for note in (ASKED[entry.asked.when], look(entry)) if note]
    shown = wording.of(entry)
    return f"{shown} ({'; '.join(notes)})" if notes else shown


def meanings(entries: Iterable[results.PredictionResult]) -> dict[str, str]:
    """What the verdicts mean that such questions can have, by their words."""
    are_tools = {entry.about == wording.TOOL for entry in entries}
    left_out: tuple[str, ...] = () if False in are_tools else OF_VIEWS
    if True not in are_tools:
        left_out = tuple(wording.OF_A_TOOL.values())
    return {word: text for word, text in VERDICTS.items() if word not in left_out}


def expectations(entry: results.PredictionResult) -> dict[str, str]:
    """What each view expects, by its label; of a tool, what its two answers mean."""
    expected = entry.expected
    if entry.about == wording.TOOL:
        return {"yes means": expected.shard, "no means": expected.network}
    return {
        "SHARD expects": expected.shard,
        "NN expects": expected.network,
        "UNI expects": expected.unitary,
    }


def look(entry: results.PredictionResult) -> str:
    """Which look at the run a verdict is, where its level was not planned."""
    if entry.look.protected:
        return ""
    number = entry.look.number
    known = number <= len(ORDINALS)
    which = f"{ORDINALS[number - 1]} look" if known else f"look {number}"
    return f"{which}, not protected"


def beside(entry: results.PredictionResult) -> str:
    """Over what the interval of an effect is."""
    if not entry.num_levels:
        return "over seeds"
    return f"over seeds and {entry.num_levels} levels"


def of_v_star(entry: results.PredictionResult) -> str:
    """The statistic of V*, one fixed utility; empty where it has no number.

    Where it is on the side of the shards too, a verdict *shard* does not exclude one
    utility.
    """
    row = entry.rule.contrast.arm.partition("/")[2]
    exact = entry.means.get(f"{measures.EXACT}/{row}" if row else measures.EXACT)
    if exact is None or exact.estimate is None:
        return ""
    return f"V* itself: {numbers.signed(exact.estimate)}"


def subject(entry: results.PredictionResult) -> str:
    """What the verdict is about, and the same effect of what V does."""
    what = f"about {entry.about if entry.about == 'V' else 'the ' + entry.about}"
    others = [
        f"{name} {numbers.interval(effect, 'signed')}"
        for name, effect in entry.beside.items()
    ]
    return "; ".join([what, *others])


def margin(entry: results.PredictionResult) -> str:
    """The margin, and what share of the planted effect it is."""
    size = numbers.digits(entry.size_of_margin)
    share = entry.margin_of_planted
    return size if share is None else f"{size} ({sentences.of_planted(share)})"


def asked(
    result: results.RunResult, registered: preregistration.Preregistration | None
) -> list[str]:
    """When the questions were asked, and what was changed after that."""
    if not result.predictions:
        return []
    rows = {name: entry.asked for name, entry in result.predictions.items()}
    rows["The comparison of architectures"] = result.omnibus.asked
    late = {name: one for name, one in rows.items() if one.when == "afterwards"}
    if any(one.when == "not recorded" for one in rows.values()):
        return ["It is not recorded whether the questions were fixed before training."]
    since, looks = "before training", []
    if registered is not None:
        source = registered.revision or f"version {registered.version}"
        since = f"before training started ({registered.time}, {source})"
        protected = next(iter(result.predictions.values())).look.protected
        looks = looks_of(registered, protected)
        looks += _planned_looks(result, registered.questions.looks)
    if not late:
        return [f"All questions were fixed {since}.", *looks]
    lines = [
        f"{name}: asked afterwards ({'; '.join(one.changes)})."
        for name, one in late.items()
    ]
    if result.removed_questions:
        lines += [f"Asked before and left out: {', '.join(result.removed_questions)}."]
    others = [name for name in rows if name not in late]
    return [*lines, f"Fixed {since}: {', '.join(others) or 'none'}.", *looks]


def looks_of(
    registered: preregistration.Preregistration, protected: bool = False
) -> list[str]:
    """That seeds were added to a run whose verdicts could be seen, if they were.

    Args:
      protected: whether the looks were planned and share the level.
    """
    if not registered.looks:
        return []
    looks = [f"{look.num_seeds} seeds ({look.time})" for look in registered.looks]
    counted = "count" if protected else "do not count"
    return [
        f"Seeds were added when verdicts on {', then on '.join(looks)} could be seen: "
        f"the p-values {counted} these looks."
    ]


def _planned_looks(result: results.RunResult, planned: tuple[int, ...]) -> list[str]:
    """What the plan of looks spends here, if there is one."""
    if not planned:
        return []
    look = next(iter(result.predictions.values())).look
    spent = (
        f"this one spends {numbers.digits(look.alpha)} of the level"
        if look.protected
        else f"this one, at {result.num_seeds}, is not among them or follows one that "
        "is not"
    )
    return [f"Looks were planned at {', '.join(map(str, planned))} seeds; {spent}."]


def no_claim(result: results.RunResult) -> str:
    """For which predictions no claim stands, in a sentence."""
    names = [name for name, entry in result.predictions.items() if not entry.is_valid]
    if len(names) == len(result.predictions):
        return "No claim stands."
    return f"No claim stands for {', '.join(names)}."


def standing(entry: results.PredictionResult) -> str:
    """That no claim stands for a row, and why; empty where one does."""
    if entry.is_valid:
        return ""
    reasons = []
    if any(control.passed != "passed" for control in entry.controls):
        reasons.append("a control did not pass")
    for arms, what in (
        (entry.arms_below_min_return, "return of {} too low"),
        (entry.arms_above_max_value_error, "V of {} too far from V*"),
    ):
        if arms:
            reasons.append(what.format(", ".join(arms)))
    why = f": {'; '.join(reasons)}" if reasons else ""
    return f"no claim stands{why}"


def warnings(result: results.RunResult) -> list[str]:
    """What invalidates claims: failed controls, and arms that did not learn."""
    lines = [
        f"{name}: {control.sentence}"
        for name, entry in result.predictions.items()
        for control in entry.controls
        if control.passed != "passed"
    ]
    entries = result.predictions
    lines += _missed(
        {name: entry.arms_below_min_return for name, entry in entries.items()},
        "{} did not reach the minimum return",
    )
    lines += _missed(
        {name: entry.arms_above_max_value_error for name, entry in entries.items()},
        "V of {} is too far from V*",
    )
    lines += [
        _above_max_value_error(name, arm, result)
        for name, arm in result.arms.items()
        if arm.trained and not arm.reached_max_value_error
    ]
    lines += [
        _below_min_return(name, arm.mean_return_fraction, result)
        for name, arm in result.arms.items()
        if arm.trained and not arm.reached_min_return
    ]
    return lines


def _missed(arms_of: Mapping[str, tuple[str, ...]], why: str) -> list[str]:
    """For which predictions no claim stands: a line for each set of arms."""
    names: dict[tuple[str, ...], list[str]] = {}
    for name, arms in arms_of.items():
        if arms:
            names.setdefault(arms, []).append(name)
    return [
        f"{', '.join(own)}: no claim, because {why.format(_and(arms))}."
        for arms, own in names.items()
    ]


def _and(words: tuple[str, ...]) -> str:
    """a; a and b; a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def deadline(result: results.RunResult) -> str:
    """By when arms have to reach the minimum return, where that is not the end."""
    phase = result.min_return_phase
    return "" if phase is None else f" by the end of phase {phase}"


def _below_min_return(
    name: str, fraction: float | None, result: results.RunResult
) -> str:
    if fraction is None or result.min_return is None:
        return (
            f"{name} has no return fraction, because the optimal return is not above 0."
        )
    return (
        f"{name} reached {fraction:.1%} of the optimal return{deadline(result)}, less "
        f"than {result.min_return:.0%}: see its curve."
    )


def _above_max_value_error(
    name: str, arm: results.ArmResult, result: results.RunResult
) -> str:
    if arm.mean_value_error is None or result.max_value_error is None:
        return f"{name} has no error of V, because V* is the same in all states."
    errors = [x for x in arm.value_error if x is not None]
    far = sum(x > result.max_value_error for x in errors)
    return (
        f"V of {name} is {arm.mean_value_error:.2f} sd of V* from V*"
        f"{deadline(result)}, more than {result.max_value_error:g}; {far} of "
        f"{len(errors)} seeds are further off."
    )


def outcome(entry: results.PredictionResult) -> str:
    """The worst outcome among the controls and the goals of a prediction."""
    outcomes: set[str] = {control.passed for control in entry.controls}
    if entry.arms_below_min_return:
        outcomes.add("return too low")
    if entry.arms_above_max_value_error:
        outcomes.add("V too far")
    order = ("failed", "return too low", "V too far", "undecided", "passed")
    return next((word for word in order if word in outcomes), "none")


def of_seeds(entry: results.PredictionResult) -> str:
    """How many seeds are judged, where not all are."""
    if entry.judged_seeds is None:
        return ""
    return f", {len(entry.judged_seeds)} of {entry.num_seeds} seeds"


def contrast(entry: results.PredictionResult) -> str:
    """The arm and its baseline, and the number of seeds where not all are judged."""
    pair = entry.rule.contrast
    return f"{pair.arm} - {pair.baseline}{of_seeds(entry)}"


def unusual(head: value.HeadConfig) -> dict[str, str]:
    """Fields of a head that are not at the defaults of its kind, with their values.

    Shards that labels formed must not pass for shards that formed by themselves.
    """
    try:
        usual: Any = type(head)()
    except TypeError:  # a kind without defaults
        usual = {"kind": head.kind}
    return {
        name: numbers.nested(own) for name, (own, _) in config.diff(head, usual).items()
    }


def head(head: value.HeadConfig) -> str:
    """The kind of a head and its unusual fields, in one line."""
    other = [f"{name} {own}" for name, own in unusual(head).items()]
    return f"{head.kind} ({'; '.join(other)})" if other else head.kind


def acting(result: results.RunResult) -> str:
    """Which acting rule the returns and the rest are of, and how much V steers it."""
    acting = result.acting
    sentences = []
    if not result.is_exact:
        sentences.append(f"Agents act by {acting.evaluation}.")
    elif acting.training != acting.evaluation:
        returns = ", ".join(
            f"{name} {numbers.percent(arm.mean_evaluation_return_fraction)}"
            for name, arm in result.arms.items()
        )
        sentences.append(
            f"Returns are those of the acting rule of training: {acting.training}. "
            f"Everything else is measured under {acting.evaluation}, which returns "
            f"{returns}."
        )
    if acting.temperature is None:
        sentences.append("V does not act.")
    elif result.is_exact:
        gap = numbers.digits(acting.exact_action_gap)
        sentences.append(
            f"The temperature of acting is tau = {acting.temperature:g}, the mean "
            f"action gap under V* is {gap}: V steers only where tau is small compared "
            "with the gap."
        )
    return " ".join(sentences)


def without_exact_values(result: results.RunResult) -> str:
    """Why a report has no exact values, and what it leaves out; for such worlds."""
    why = dynamic_programming.why_not_enumerable(result.env)
    return (
        f"The states of {result.env.kind} are not listed ({why}), so no exact values "
        "are known. Agents are judged by episodes. Left out: return and V against the "
        "optimum, their curves, shards in use, action gaps, and maps of levels."
    )


def detail(one: measures.Detail) -> str:
    """A further number of a measure: arm, name, unit and interval."""
    who = "" if one.arm is None else f"{one.arm}: "
    text = f"{who}{one.name}: {numbers.digits(one.value)} ({one.unit})"
    if one.low is None:
        return text
    low, high = numbers.digits(one.low), numbers.digits(one.high)
    return f"{text}, 95 % interval {low} to {high}"


def measure(entry: results.PredictionResult) -> str:
    """The formula of a measure with the values of its fields."""
    fields = config.to_dict(entry.measure)
    values = ", ".join(f"{key} {numbers.nested(own)}" for key, own in fields.items())
    return f"{entry.formula} ({values})"
