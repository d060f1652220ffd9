"""From scores to gates and verdicts, by the rule that experiments have.

The effect of a question is the loss of a rival less that of SHARD, in nats per
decision. Its margin divides the line: SHARD forecasts better, the rival does, or
neither. A claim is tested at its own one-sided level over seeds and levels, and p is
adjusted for all questions of the contest. If a gate is not passed, no claim stands.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field, PositiveFloat, PositiveInt

from shardsim.contest import questions, scores
from shardsim.contest.evidence import Evidence
from shardsim.contest.results import GateResult, VerdictResult
from shardsim.contest.scores import Scores
from shardsim.core import fields
from shardsim.core.statistics import crossed, intervals
from shardsim.evaluation import judge, results, rules, sentences

SHARD, NETWORK, UTILITY = "shards", "network", "utility"
FILM, LATENT = "film", "latent_preferences"
TITLES = {
    SHARD: "SHARD",
    NETWORK: "NN",
    UTILITY: "UNI",
    FILM: "FILM",
    LATENT: "LPG",
    "constant": "CONSTANT",
    "oracle": "ORACLE",
    "others": "OTHERS",
}
"""How a kind of forecaster is called in tables and sentences."""


def called(name: str, kind: str) -> str:
    """A forecaster by what it is, and its name where that is another one."""
    title = TITLES.get(kind, kind)
    return title if name == kind else f"{title} ({name})"


@fields.record
class Gates:
    """Arms whose best forecaster is known. Without all three, nothing is claimed."""

    gated: fields.Name | None = "oracle_gated"
    """Agents whose V has shards by construction: SHARD has to beat NN and UNI."""
    exact: fields.Name | None = "exact"
    """Agents that act by the exact values of one utility: UNI has to beat SHARD and
    NN."""
    random: fields.Name | None = "random"
    """Agents whose V is random: SHARD must not beat both NN and CONSTANT by the
    margin."""


@fields.record
class Judging:
    """Which agents the question is about, and what has to hold first."""

    arm: fields.Name = "mlp"
    """The arm of the question."""
    gates: Gates = Gates()
    """Controls."""
    margin: PositiveFloat = 0.02
    """Differences up to this size count as none, in nats per decision; also in takes
    per decision (P13) and in total variation (P15)."""
    levels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (8, 16)
    """Levels of the evidence at which the learning curve has its points, besides all;
    also the ends of the blocks of the code length."""
    trend: dict[fields.Name, PositiveFloat] = dataclasses.field(default_factory=dict)
    """Capability of arms that differ in nothing else, such as the width of their V: P25
    asks whether the advantage of SHARD over UNI grows with each doubling of it."""

    @fields.rule("trend")
    def _different_capabilities(self) -> Iterator[str]:
        if len(self.trend) == 1 or len(set(self.trend.values())) < len(self.trend):
            yield (
                f"trend: got {sorted(self.trend.values())}; allowed: none, or two and "
                "more different numbers"
            )


class Judged(NamedTuple):
    """Scores with what is needed to compare them."""

    scores: Scores
    champions: Mapping[str, str]
    """Kind -> the forecaster of this kind with the lowest loss on the evidence."""

    def loss(self, kind: str) -> Float[np.ndarray, "N D L"]:
        """Of the best forecaster of a kind."""
        return self.scores.loss[self.champions[kind]]

    def difference(
        self,
        one: str,
        two: str,
        rows: Int[np.ndarray, " m"] | None = None,
        columns: Sequence[int] | None = None,
    ) -> crossed.Sample:
        """Loss of one kind less that of another, by seed."""
        chosen = slice(None) if rows is None else rows
        values = (self.loss(one) - self.loss(two))[chosen]
        return scores.sample(values, self.scores.seeds[chosen], columns)


def gates(config: Judging, by_arm: Mapping[str, Judged]) -> dict[str, GateResult]:
    """Whether the controls are forecast as they must be."""
    return {
        "gated": _wins(
            config.gates.gated, by_arm, SHARD, (NETWORK, UTILITY), "shards built in"
        ),
        "exact": _wins(
            config.gates.exact, by_arm, UTILITY, (SHARD, NETWORK), "one exact utility"
        ),
        "random": _no_shards(config, by_arm),
    }


def _wins(
    arm: str | None,
    by_arm: Mapping[str, Judged],
    winner: str,
    rivals: Sequence[str],
    what: str,
) -> GateResult:
    """Whether a kind of forecaster beats others on an arm."""
    names = " and ".join(TITLES[rival] for rival in rivals)
    statement = f"{TITLES[winner]} beats {names} on agents with {what}"
    judged = by_arm.get(arm or "")
    missing = judged is None or any(
        k not in judged.champions for k in (winner, *rivals)
    )
    if judged is None or missing:
        return _absent(arm, statement)
    found = {
        f"{TITLES[rival]} - {TITLES[winner]}": crossed.mean_interval(
            judged.difference(rival, winner)
        )
        for rival in rivals
    }
    if all(each.low > 0 for each in found.values()):
        passed: results.Outcome = "passed"
    elif any(each.high < 0 for each in found.values()):
        passed = "failed"
    else:
        passed = "undecided"
    return _gate(arm, statement, found, passed)


def _no_shards(config: Judging, by_arm: Mapping[str, Judged]) -> GateResult:
    """Whether SHARD beats neither NN nor CONSTANT by the margin, on a random V."""
    arm = config.gates.random
    statement = "SHARD does not beat both NN and CONSTANT on agents with a random V"
    judged = by_arm.get(arm or "")
    kinds = (NETWORK, "constant", SHARD)
    if judged is None or any(kind not in judged.champions for kind in kinds):
        return _absent(arm, statement)
    found = {
        f"{TITLES[rival]} - SHARD": crossed.mean_interval(
            judged.difference(rival, SHARD)
        )
        for rival in (NETWORK, "constant")
    }
    if any(each.high < config.margin for each in found.values()):
        passed: results.Outcome = "passed"
    elif all(each.low > config.margin for each in found.values()):
        passed = "failed"
    else:
        passed = "undecided"
    return _gate(arm, statement, found, passed)


def _gate(
    arm: str | None,
    statement: str,
    found: Mapping[str, intervals.Interval],
    passed: results.Outcome,
) -> GateResult:
    shown = ", ".join(
        f"{name} is {sentences.describe_interval(each)}" for name, each in found.items()
    )
    return GateResult(
        arm=arm,
        statement=statement,
        differences={name: results.interval(each) for name, each in found.items()},
        passed=passed,
        sentence=f"{statement}: {passed}. {shown} nats per decision.",
    )


def _absent(arm: str | None, statement: str) -> GateResult:
    return GateResult(
        arm=arm,
        statement=statement,
        differences={},
        passed="undecided",
        sentence=f"{statement}: not asked, because the contest has no such agents.",
    )


class _Question(NamedTuple):
    title: str
    statement: str
    rows: dict[str, crossed.Sample]
    """Numbers by the name of the row; more is better for the first one."""
    rule: rules.Rule
    winners: Mapping[str, str]
    """Verdict of the rule -> how it is called here."""
    unit: str = "nats per decision"
    more: str = ""
    """What else there is to say."""


NATS = "nats per decision"


def verdicts(
    config: Judging,
    by_arm: Mapping[str, Judged],
    everything: Evidence,
    held_out: Sequence[str],
    held_out_conditions: Sequence[str],
) -> dict[str, VerdictResult]:
    """Answer all questions as one family.

    Args:
      by_arm: scores of every arm; that of the question is among them.
      everything: all agents of that arm in all conditions.
      held_out: names of the histories that are held out.
      held_out_conditions: names of the conditions that are held out.
    """
    judged = by_arm[config.arm]
    asked: dict[str, _Question | VerdictResult] = {}
    for rival in (NETWORK, LATENT, UTILITY, FILM):
        title = f"{TITLES[rival]} - SHARD"
        statement = (
            f"Loss of {TITLES[rival]} less that of SHARD on all that is asked: "
            "held-out histories in all conditions, held-out conditions after all "
            "histories."
        )
        asked[title] = _forecasts(config, judged, title, statement, (rival,))
    is_held_out = np.array(
        [agent.history.name in set(held_out) for agent in judged.scores.agents]
    )
    known = [
        i
        for i, name in enumerate(judged.scores.conditions)
        if name not in set(held_out_conditions)
    ]
    asked["P5"] = _forecasts(
        config,
        judged,
        "P5, no single goal",
        "Loss of UNI less that of SHARD on held-out histories, in the conditions of "
        "the evidence. SHARD expects more than the margin; one utility expects none.",
        (UTILITY,),
        np.flatnonzero(is_held_out),
        known,
    )
    conflict = [
        i
        for i, name in enumerate(judged.scores.conditions)
        if (everything.situations[name].shown.sum(axis=1) > 1).all()
    ]
    asked["P12"] = _forecasts(
        config,
        judged,
        "P12, conflict of contexts",
        "Loss of NN less that of SHARD where every level shows several contexts. "
        "SHARD, which adds the bids of both, has to beat UNI and FILM there too.",
        (NETWORK, UTILITY, FILM),
        None,
        conflict,
    )
    asked["P13"] = _renewal(config, everything)
    asked["P15"] = _order(config, everything)
    asked["P25"] = _trend(config, by_arm)
    open_questions = {n: q for n, q in asked.items() if isinstance(q, _Question)}
    judgements = judge.judge(
        {name: question.rows for name, question in open_questions.items()},
        {name: question.rule for name, question in open_questions.items()},
    )
    return {
        name: _verdict(config, question, judgements[name])
        if isinstance(question, _Question)
        else question
        for name, question in asked.items()
    }


def _forecasts(
    config: Judging,
    judged: Judged,
    title: str,
    statement: str,
    rivals: Sequence[str],
    rows: Int[np.ndarray, " m"] | None = None,
    columns: Sequence[int] | None = None,
) -> _Question | VerdictResult:
    """SHARD against rivals; the first one is contrasted, all have to be beaten."""
    known = [rival for rival in rivals if rival in judged.champions]
    if SHARD not in judged.champions or rivals[0] not in known:
        missing = TITLES[SHARD if SHARD not in judged.champions else rivals[0]]
        return _not_asked(
            config, title, statement, NATS, f"nobody forecasts as {missing}"
        )
    if columns is not None and len(columns) == 0:
        return _not_asked(config, title, statement, NATS, "there is no such condition")
    if rows is not None and len(rows) == 0:
        return _not_asked(config, title, statement, NATS, "there is no such history")
    chosen = slice(None) if rows is None else rows
    seeds = judged.scores.seeds[chosen]
    samples = {
        TITLES[kind]: scores.sample(-judged.loss(kind)[chosen], seeds, columns)
        for kind in (SHARD, *known)
    }
    first = TITLES[rivals[0]]
    rule = rules.Rule(
        rules.Contrast("SHARD", first),
        "greater",
        config.margin,
        beats=tuple(TITLES[kind] for kind in known[1:]),
    )
    winners = {"shard": "SHARD", "network": first}
    return _Question(title, statement, samples, rule, winners)


def _renewal(config: Judging, everything: Evidence) -> _Question | VerdictResult:
    title = "P13, renewal"
    statement = (
        "Takes of a source per decision that one context paid for and then no longer: "
        "extinguished in another context and asked in the first (ABA), less "
        "extinguished in the first and asked in the other (AAB). SHARD expects more; "
        "one utility expects no difference."
    )
    unit = "takes per decision"
    found = questions.renewal(everything)
    if found is None:
        return _not_asked(
            config,
            title,
            statement,
            unit,
            "no history extinguishes in another context what it has acquired, with a "
            "condition that shows each context alone",
        )
    rows = {"ABA": scores.of_levels(found.first), "AAB": scores.of_levels(found.second)}
    rule = rules.Rule(rules.Contrast("ABA", "AAB"), "greater", config.margin)
    winners = {"shard": "renewal", "network": "the opposite of renewal"}
    return _Question(title, statement, rows, rule, winners, unit, _of_pairs(found))


def _order(config: Judging, everything: Evidence) -> _Question | VerdictResult:
    title = "P15, order of events"
    statement = (
        "Total variation between agents of the same events in reverse order, less that "
        "between seeds of one order. SHARD and NN expect that order matters; one "
        "utility expects the same end."
    )
    unit = "total variation"
    found = questions.order(everything)
    if found is None:
        return _not_asked(
            config,
            title,
            statement,
            unit,
            "no history has its reverse, or there are fewer than three seeds",
        )
    contrast, test = found
    rows = {
        "between": scores.of_levels(contrast.first),
        "within": scores.of_levels(contrast.second),
    }
    rule = rules.Rule(rules.Contrast("between", "within"), "greater", config.margin)
    winners = {"shard": "order matters", "network": "orders agree more than seeds"}
    more = (
        f"{_of_pairs(contrast)} The energy distance between the orders is "
        f"{test.distance:.3g}, p = {test.p:.3g} by swaps within seeds."
    )
    return _Question(title, statement, rows, rule, winners, unit, more)


def _trend(config: Judging, by_arm: Mapping[str, Judged]) -> _Question | VerdictResult:
    title = "P25, trend in capability"
    statement = (
        "Slope of the loss of UNI less that of SHARD on the logarithm of capability, "
        "over arms that differ in nothing else. Two forecasts oppose each other: that "
        "shards give way to one utility as capability grows, and that they do not."
    )
    unit = "nats per decision for each doubling"
    arms = [name for name in config.trend if name in by_arm]
    known = all({SHARD, UTILITY} <= by_arm[arm].champions.keys() for arm in arms)
    if len(arms) < 2 or not known:
        reason = "the contest has no arms of different capability"
        return _not_asked(config, title, statement, unit, reason)
    size = np.log2([config.trend[arm] for arm in arms])
    weights = (size - size.mean()) / np.square(size - size.mean()).sum()
    slope = None
    for weight, arm in zip(weights, arms, strict=True):
        own = by_arm[arm].difference(UTILITY, SHARD).scaled(float(weight))
        slope = own if slope is None else slope.minus(own.scaled(-1.0))
    assert slope is not None
    rows = {"slope": slope, "none": slope.scaled(0.0)}
    rule = rules.Rule(rules.Contrast("slope", "none"), "greater", config.margin)
    winners = {"shard": "it grows", "network": "it shrinks"}
    more = f"Arms: {', '.join(arms)}."
    return _Question(title, statement, rows, rule, winners, unit, more)


def _of_pairs(found: questions.Contrast) -> str:
    count = len(found.pairs)
    first = " and ".join(found.pairs[0])
    return f"Mean over {count} pairs of histories, such as {first}."


def _verdict(
    config: Judging, question: _Question, judged: judge.Judgement
) -> VerdictResult:
    verdict = question.winners.get(judged.verdict, str(judged.verdict))
    contrast = question.rule.contrast
    effect = judged.effect
    shown = "no number" if effect.estimate is None else f"{effect.estimate:+.3f}"
    if effect.estimate is not None and effect.low is not None:
        shown += f" [{effect.low:+.3f}, {effect.high:+.3f}]"
    what = f"{contrast.arm} less {contrast.baseline} is {shown}"
    if question.unit == NATS:
        what = f"{contrast.baseline} loses {shown} more than {contrast.arm}"
    elif contrast.baseline == "none":
        what = f"The {contrast.arm} is {shown}"
    sentence = (
        f"{what} ({question.unit}, margin {config.margin:g}): {verdict}, "
        f"p = {judged.p_value:.3g}. {question.more}"
    )
    return VerdictResult(
        title=question.title,
        statement=question.statement,
        unit=question.unit,
        effect=effect,
        against=judged.against,
        margin=config.margin,
        verdict=verdict,
        p_value=judged.p_value,
        sentence=sentence.strip(),
    )


def _not_asked(
    config: Judging, title: str, statement: str, unit: str, reason: str
) -> VerdictResult:
    return VerdictResult(
        title=title,
        statement=statement,
        unit=unit,
        effect=None,
        against={},
        margin=config.margin,
        verdict="not asked",
        p_value=None,
        sentence=f"Not asked: {reason}.",
    )
