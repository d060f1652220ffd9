"""From per-seed statistics to verdicts, by rules of the config.

The contrast of a prediction is the difference, seed by seed, between two arms that
share everything but the head. Its margin m divides the line into three regions. If
SHARD expects "greater", they are

    shard: mean > m,    network: mean < -m,    no difference: -m < mean < m,

and the first two swap for "less". A verdict claims one region or none. "unitary" is "no
difference" with both arms where one fixed utility is. "shard" has to hold against every
arm of `beats` too. Where a measure gives its numbers on resampled levels, the mean is
over seeds and levels. Symbols: N seeds, n judged seeds.
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float

from shardsim.core.statistics import crossed, energy, intervals, shares, significance
from shardsim.evaluation import results, rules, sentences
from shardsim.evaluation.measures import base
from shardsim.storage import records

Rows: TypeAlias = Mapping[str, np.ndarray | crossed.Sample]
"""Row -> [N] one number for each seed, or those with what other levels make of them."""


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The judgement of one prediction; fields as in `results.PredictionResult`."""

    effect: results.Interval
    means: dict[str, results.Interval]
    verdict: results.Verdict
    p_value: float
    reason: str
    controls: tuple[results.ControlResult, ...]
    is_valid: bool
    arms_below_min_return: tuple[str, ...]
    sensitivity: results.SensitivityResult | None
    margin: records.Number
    margin_of_planted: records.Number
    against: dict[str, results.Interval]
    num_levels: int
    arms_above_max_value_error: tuple[str, ...] = ()
    judged_seeds: tuple[int, ...] | None = None
    claim: results.Claim | None = None
    look: results.Look = results.FIRST_LOOK
    beside: dict[str, results.Interval] = dataclasses.field(default_factory=dict)


class Missed(NamedTuple):
    """Arms that did not reach a goal of the run: no claim about them is valid."""

    min_return: Collection[str] = ()
    """They act too badly: two arms may be alike only because neither learned."""
    max_value_error: Collection[str] = ()
    """Their V is too far from V*: a claim about V is one about a V of learning."""


NONE_MISSED = Missed()


@dataclasses.dataclass(frozen=True)
class _Claim:
    verdict: results.Verdict
    p: float


def judge(
    values: Mapping[str, Rows],
    rule_of: Mapping[str, rules.Rule],
    level: float = 0.95,
    missed: Missed = NONE_MISSED,
    look: results.Look = results.FIRST_LOOK,
    beside: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    about: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Judgement]:
    """Judge all predictions as one family.

    Within a prediction the three regions exclude each other. At most one claim can be
    true, so each is tested at its own one-sided level (partitioning principle), and
    twice the smallest p bounds the probability of a false claim. Holm's method adjusts
    these p over the predictions, and the part of the level that this look may spend
    adjusts them again. A claim that is not significant then is undecided.

    Args:
      values: prediction -> row -> the numbers of the seeds.
      rule_of: prediction -> its rule.
      level: confidence level of intervals; claims are made at p < 1 - level.
      missed: arms that missed a goal of the run.
      look: which look at the run this is, and how much of 1 - level it may spend.
      beside: prediction -> extra rows whose effect stands beside that of the contrast.
      about: prediction -> what its question is about, for the sentences.

    Raises:
      ValueError: a row that a rule names has no values.
    """
    for name, rule in rule_of.items():
        for arm in rules.rows_by_field(rule).values():
            if arm not in values[name]:
                raise ValueError(
                    f"{name}: got no values of arm {arm!r}; allowed: "
                    f"{', '.join(values[name])}"
                )
    cases = {
        name: _case(values[name], rule)._replace(about=about.get(name))
        for name, rule in rule_of.items()
    }
    claims = {
        name: _at_look(_claim(case.rows, case.rule), look, level)
        for name, case in cases.items()
    }
    p_values = significance.holm([claim.p for claim in claims.values()])
    return {
        name: dataclasses.replace(
            _judgement(cases[name], claim, float(p), level, missed, look),
            beside=_beside(cases[name], beside.get(name, ()), level),
        )
        for (name, claim), p in zip(claims.items(), p_values, strict=True)
    }


def omnibus(
    features: dict[str, Float[np.ndarray, "N d"]], pairs: tuple[rules.Contrast, ...]
) -> tuple[results.EnergyResult, ...]:
    """Energy distance and permutation test of each pair of arms.

    Args:
      features: arm -> d features of each seed, in the same unit for all arms.
    """
    return tuple(_energy(features, pair.arm, pair.baseline) for pair in pairs)


def _energy(
    features: dict[str, Float[np.ndarray, "N d"]], arm: str, baseline: str
) -> results.EnergyResult:
    test = energy.paired_permutation_energy(features[arm], features[baseline])
    return results.EnergyResult(
        arm=arm,
        baseline=baseline,
        distance=records.number(test.distance),
        ratio=records.number(test.ratio),
        p_value=records.number(test.p),
        num_seeds=test.n,
    )


def _at_look(claim: _Claim, look: results.Look, level: float) -> _Claim:
    """The claim with p in units of what this look spends of the level."""
    if look.alpha >= 1 - level - 1e-12:  # it spends everything
        return claim
    p = min(1.0, claim.p * (1 - level) / look.alpha)
    return dataclasses.replace(claim, p=p)


def _case(values: Rows, rule: rules.Rule) -> sentences.Case:
    """The rule with the numbers of the seeds that it judges."""
    rows = {
        row: x if isinstance(x, crossed.Sample) else crossed.Sample(np.asarray(x))
        for row, x in values.items()
    }
    # V* is one number
    all_seeds = np.arange(max(len(x.values) for x in rows.values()))
    if rule.seeds_where is None:
        return sentences.Case(rows, rule, all_seeds, len(all_seeds))
    sample = rows[rule.seeds_where.arm]
    if rule.seeds_where.baseline is not None:
        sample = sample.minus(rows[rule.seeds_where.baseline])
    low, high = rule.seeds_where.region
    # a NaN stays in, so that the reason names its seed
    chosen = ~((sample.values < low) | (high < sample.values))
    exact = {row for row in rows if row.partition("/")[0] == base.EXACT}
    judged = {row: x if row in exact else x.of_seeds(chosen) for row, x in rows.items()}
    return sentences.Case(judged, rule, all_seeds[chosen], len(all_seeds))


def _toward_shard(
    rows: Mapping[str, crossed.Sample], rule: rules.Rule, baseline: str
) -> crossed.Sample:
    """The arm less a baseline; what SHARD expects is above 0."""
    sign = 1.0 if rule.direction == "greater" else -1.0
    return rows[rule.contrast.arm].minus(rows[baseline]).scaled(sign)


def _planted(
    rows: Mapping[str, crossed.Sample], rule: rules.Rule
) -> crossed.Sample | None:
    """The positive control less the baseline; what SHARD expects is above 0."""
    if rule.positive_control is None:
        return None
    sign = 1.0 if rule.direction == "greater" else -1.0
    effect = rows[rule.positive_control].minus(rows[rule.contrast.baseline])
    return effect.scaled(sign)


def _claim(
    rows: Mapping[str, crossed.Sample],
    rule: rules.Rule,
    planted: crossed.Sample | None = None,
) -> _Claim:
    """The claim with the smallest p, before the adjustment over predictions.

    Args:
      planted: effect whose share is the margin; None: that of the rule's own positive
        control.
    """
    rivals = (rule.contrast.baseline, *rule.beats)
    effects = [_toward_shard(rows, rule, rival) for rival in rivals]
    if not all(_is_number(effect) for effect in effects):
        return _Claim("undecided", 1.0)
    if isinstance(rule.estimand, rules.ShareOfSeeds):
        p_values = _p_of_shares(rows, rule)
    elif rule.share_of_planted is None:
        p_values = _p_of_means(effects, _margin(rule))
    else:
        planted = _planted(rows, rule) if planted is None else planted
        if planted is None or not _is_number(planted) or not _is_shown(planted):
            return _Claim("undecided", 1.0)
        p_values = _p_of_planted(effects, planted.scaled(rule.share_of_planted))
    best = min(p_values, key=lambda verdict: p_values[verdict])
    p = min(1.0, 2 * p_values[best])
    if best == "no difference" and _is_unitary(rows, rule):
        best = "unitary"
    return _Claim(best, p)


def _margin(rule: rules.Rule) -> float:
    """The margin of a rule that states it."""
    assert rule.margin is not None  # a rule has one of the two
    return rule.margin


def _p_of_means(
    effects: list[crossed.Sample], margin: float
) -> dict[results.Verdict, float]:
    """p of each region: every effect is toward what SHARD expects."""
    return {
        "shard": max(crossed.mean_test(x, margin, "greater") for x in effects),
        "network": crossed.mean_test(effects[0], -margin, "less"),
        "no difference": crossed.equivalence_test(effects[0], margin),
    }


def _p_of_planted(
    effects: list[crossed.Sample], margin: crossed.Sample
) -> dict[results.Verdict, float]:
    """The same where the margin is a share of the planted effect, seed by seed.

    The mean of `effect - share * planted` is tested against 0, so that the error of the
    planted effect counts.
    """
    below = [x.minus(margin) for x in effects]
    above = effects[0].minus(margin.scaled(-1.0))
    return {
        "shard": max(crossed.mean_test(x, 0.0, "greater") for x in below),
        "network": crossed.mean_test(above, 0.0, "less"),
        "no difference": max(
            crossed.mean_test(below[0], 0.0, "less"),
            crossed.mean_test(above, 0.0, "greater"),
        ),
    }


def _p_of_shares(
    rows: Mapping[str, crossed.Sample], rule: rules.Rule
) -> dict[results.Verdict, float]:
    """The same for shares of seeds, by exact tests."""
    margin = _margin(rule)
    arm, n = _count(rows, rule, rule.contrast.arm)
    rivals = [_count(rows, rule, x)[0] for x in (rule.contrast.baseline, *rule.beats)]

    def p(rival: int, threshold: float, side: str) -> float:
        first, second = (arm, rival) if rule.direction == "greater" else (rival, arm)
        return shares.difference_test(first, second, n, threshold, side)

    return {
        "shard": max(p(rival, margin, "greater") for rival in rivals),
        "network": p(rivals[0], -margin, "less"),
        "no difference": max(
            p(rivals[0], margin, "less"), p(rivals[0], -margin, "greater")
        ),
    }


def _count(
    rows: Mapping[str, crossed.Sample], rule: rules.Rule, row: str
) -> tuple[int, int]:
    """In how many of the judged seeds a row shows the behaviour, and of how many."""
    assert isinstance(rule.estimand, rules.ShareOfSeeds)
    shown = rule.estimand.shown(rows[row].values)
    pair = rule.contrast
    n = max(len(rows[name].values) for name in (pair.arm, pair.baseline, row))
    return int(np.broadcast_to(shown, n).sum()), n


def _is_number(sample: crossed.Sample) -> bool:
    return bool(len(sample.values) and np.isfinite(sample.values).all())


def _is_shown(planted: crossed.Sample) -> bool:
    """Whether the planted effect is above 0: a share of nothing is no margin."""
    return crossed.mean_test(planted, 0.0, "greater") < 0.025


def _is_unitary(rows: Mapping[str, crossed.Sample], rule: rules.Rule) -> bool:
    """Whether the intervals of both arms lie within `rule.unitary`."""
    if rule.unitary is None:
        return False
    low, high = rule.unitary
    arms = (rule.contrast.arm, rule.contrast.baseline)
    means = [crossed.mean_interval(rows[arm]) for arm in arms]
    return all(low <= mean.low and mean.high <= high for mean in means)


def _judgement(
    case: sentences.Case,
    claim: _Claim,
    p: float,
    level: float,
    missed: Missed,
    look: results.Look,
) -> Judgement:
    rows, rule = case.rows, case.rule
    pair = rule.contrast
    effect = _effect(rows, rule, pair.arm, pair.baseline, level)
    verdict: results.Verdict = claim.verdict if p < 1 - level else "undecided"
    controls = tuple(_check(rows, control, level) for control in rule.controls)
    compared = {pair.arm, pair.baseline, *rule.beats}
    compared = {row.partition("/")[0] for row in compared}
    low, far = (tuple(sorted(compared & set(arms))) for arms in missed)
    margin, of_planted = _sizes(rows, rule, level)
    against = {
        rival: _effect(rows, rule, pair.arm, rival, level) for rival in rule.beats
    }
    details = sentences.Details(margin, of_planted, against, _shown(rows, rule))
    passed = all(c.passed == "passed" for c in controls)
    return Judgement(
        effect=results.interval(effect),
        means={row: results.interval(_interval(x, level)) for row, x in rows.items()},
        verdict=verdict,
        p_value=p,
        reason=sentences.reason(case, effect, verdict, p, details),
        controls=controls,
        is_valid=passed and not low and not far,
        arms_below_min_return=low,
        arms_above_max_value_error=far,
        sensitivity=_sensitivity(case, level),
        margin=records.number(margin),
        margin_of_planted=records.number(of_planted),
        against={rival: results.interval(x) for rival, x in against.items()},
        num_levels=rows[pair.arm].minus(rows[pair.baseline]).num_levels,
        judged_seeds=None if rule.seeds_where is None else tuple(case.seeds.tolist()),
        claim=results.Claim(claim.verdict, claim.p),
        look=look,
    )


def _beside(
    case: sentences.Case, extra: tuple[str, ...], level: float
) -> dict[str, results.Interval]:
    """The contrast in other rows of the same arms, as means over seeds."""
    arm, baseline = (
        row.partition("/")[0]
        for row in (case.rule.contrast.arm, case.rule.contrast.baseline)
    )
    return {
        name: results.interval(
            _interval(
                case.rows[f"{arm}/{name}"].minus(case.rows[f"{baseline}/{name}"]), level
            )
        )
        for name in extra
    }


def _shown(
    rows: Mapping[str, crossed.Sample], rule: rules.Rule
) -> tuple[sentences.Shown, ...]:
    """How many seeds of the arm and its rivals show the behaviour, for shares."""

    def each() -> Iterator[sentences.Shown]:
        for row in (rule.contrast.arm, rule.contrast.baseline, *rule.beats):
            yield sentences.Shown(row, *_count(rows, rule, row))

    pair = (rule.contrast.arm, rule.contrast.baseline)
    whole = all(_is_number(rows[row]) for row in (*pair, *rule.beats))
    is_share = isinstance(rule.estimand, rules.ShareOfSeeds)
    return tuple(each()) if is_share and whole else ()


def _effect(
    rows: Mapping[str, crossed.Sample],
    rule: rules.Rule,
    arm: str,
    baseline: str,
    level: float,
) -> intervals.Interval:
    """The arm less a baseline, in the estimand of the rule."""
    difference = rows[arm].minus(rows[baseline])
    if not isinstance(rule.estimand, rules.ShareOfSeeds) or not _is_number(difference):
        return _interval(difference, level)
    (x, n), (y, _) = (_count(rows, rule, row) for row in (arm, baseline))
    return shares.difference_interval(x, y, n, level)


def _sizes(
    rows: Mapping[str, crossed.Sample], rule: rules.Rule, level: float
) -> tuple[float, float]:
    """The margin, in the unit of the effect, and as a share of the planted effect.

    NaN where there is none: without a positive control, or if its effect is not above
    0 as SHARD expects.
    """
    nan = float("nan")
    planted = nan
    if rule.positive_control is not None:
        sign = 1.0 if rule.direction == "greater" else -1.0
        baseline = rule.contrast.baseline
        one = _effect(rows, rule, rule.positive_control, baseline, level)
        planted = sign * one.estimate if sign * one.estimate > 0 else nan
    if rule.share_of_planted is not None:
        return rule.share_of_planted * planted, rule.share_of_planted
    margin = _margin(rule)
    return margin, margin / planted


def _sensitivity(
    case: sentences.Case, level: float
) -> results.SensitivityResult | None:
    """The verdict of the rule on an arm that has shards by construction."""
    rows, rule = case.rows, case.rule
    planted = _planted(rows, rule)
    if planted is None or rule.positive_control is None:
        return None
    contrast = rules.Contrast(rule.positive_control, rule.contrast.baseline)
    # the planted arm in the place of `arm`; it stays the measure of the margin
    control = dataclasses.replace(
        rule, contrast=contrast, positive_control=rule.contrast.arm
    )
    claim = _claim(rows, control, planted)
    effect = _effect(rows, control, contrast.arm, contrast.baseline, level)
    verdict: results.Verdict = claim.verdict if claim.p < 1 - level else "undecided"
    detected = verdict == "shard"
    sentence = sentences.describe_sensitivity(contrast, effect, verdict, case.about)
    return results.SensitivityResult(
        contrast.arm, results.interval(effect), verdict, claim.p, detected, sentence
    )


def _interval(sample: crossed.Sample, level: float) -> intervals.Interval:
    """The interval of the mean; NaN if there are no seeds or one has no number."""
    if _is_number(sample):
        return crossed.mean_interval(sample, level)
    nan = float("nan")
    return intervals.Interval(nan, nan, nan, level, len(sample.values))


def _check(
    rows: Mapping[str, crossed.Sample], control: rules.Requirement, level: float
) -> results.ControlResult:
    """Passed if the whole interval meets the requirement, failed if none of it does."""
    x = rows[control.arm]
    if control.baseline is not None:
        x = x.minus(rows[control.baseline])
    low, high = control.region
    interval = _interval(x, level)
    # V* is exact and needs no interval. One seed has no interval and decides nothing
    exact = control.baseline is None and control.arm.partition("/")[0] == base.EXACT
    ends = (interval.estimate,) * 2 if exact else (interval.low, interval.high)
    passed: results.Outcome = "undecided"
    if low <= ends[0] and ends[1] <= high:
        passed = "passed"
    elif ends[1] < low or ends[0] > high:
        passed = "failed"
    estimate = (
        f"{interval.estimate:+.3f}" if exact else sentences.describe_interval(interval)
    )
    required = control.describe()
    sentence = f"{control.subject} is {estimate}; it must be {required}: {passed}."
    return results.ControlResult(control, results.interval(interval), passed, sentence)
