"""From per-seed statistics to verdicts, by rules of the config.

The contrast of a prediction is the difference, seed by seed, between two arms that
share everything but the head. Its margin m divides the line into three regions. If
SHARD expects "greater", they are

    shard: mean > m,    network: mean < -m,    no difference: -m < mean < m,

and the first two swap for "less". A verdict claims one region or none. "unitary" is "no
difference" with both arms where one fixed utility is. Symbols: N seeds.
"""

import dataclasses
from collections.abc import Collection

import numpy as np
from jaxtyping import Float

from shardsim.core.statistics import energy, intervals, significance
from shardsim.evaluation import results, rules, sentences
from shardsim.evaluation.measures import base
from shardsim.storage import records

Values = dict[str, dict[str, Float[np.ndarray, " N"]]]
"""Prediction -> row -> [N] one number for each seed."""


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
    judged_seeds: tuple[int, ...] | None = None
    claim: results.Claim | None = None


@dataclasses.dataclass(frozen=True)
class _Claim:
    verdict: results.Verdict
    p: float


def judge(
    values: Values,
    rule_of: dict[str, rules.Rule],
    level: float = 0.95,
    below_min_return: Collection[str] = (),
) -> dict[str, Judgement]:
    """Judge all predictions as one family.

    Within a prediction the three regions exclude each other. At most one claim can be
    true, so each is tested at its own one-sided level (partitioning principle), and
    twice the smallest p bounds the probability of a false claim. Holm's method adjusts
    these p over the predictions. A claim that is not significant then is undecided.

    Args:
      values: prediction -> row -> one number for each seed.
      rule_of: prediction -> its rule.
      level: confidence level of intervals; claims are made at p < 1 - level.
      below_min_return: arms that did not learn their task. No claim about them is
        valid: two arms may be alike only because neither learned.

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
    below = {
        name: tuple(
            sorted({rule.contrast.arm, rule.contrast.baseline} & set(below_min_return))
        )
        for name, rule in rule_of.items()
    }
    cases = {name: _case(values[name], rule) for name, rule in rule_of.items()}
    claims = {name: _claim(case.values, case.rule) for name, case in cases.items()}
    adjusted = significance.holm([claim.p for claim in claims.values()])
    return {
        name: _judgement(cases[name], claim, float(p), level, below[name])
        for (name, claim), p in zip(claims.items(), adjusted, strict=True)
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


def _case(values: dict[str, np.ndarray], rule: rules.Rule) -> sentences.Case:
    """The rule with the numbers of the seeds that it judges."""
    all_seeds = np.arange(max(len(x) for x in values.values()))  # V* is one number
    if rule.seeds_where is None:
        return sentences.Case(values, rule, all_seeds, len(all_seeds))
    x = values[rule.seeds_where.arm]
    if rule.seeds_where.baseline is not None:
        x = x - values[rule.seeds_where.baseline]
    low, high = rule.seeds_where.region
    # a NaN stays in, so that the reason names its seed
    chosen = ~((x < low) | (high < x))
    exact = {row for row in values if row.partition("/")[0] == base.EXACT}
    judged = {row: x if row in exact else x[chosen] for row, x in values.items()}
    return sentences.Case(judged, rule, all_seeds[chosen], len(all_seeds))


def _difference(values: dict[str, np.ndarray], rule: rules.Rule) -> np.ndarray:
    return values[rule.contrast.arm] - values[rule.contrast.baseline]


def _claim(values: dict[str, np.ndarray], rule: rules.Rule) -> _Claim:
    """The claim with the smallest p, before the adjustment over predictions."""
    difference = _difference(values, rule)
    if not len(difference) or not np.isfinite(difference).all():
        return _Claim("undecided", 1.0)
    greater = significance.mean_test(difference, rule.margin, "greater")
    less = significance.mean_test(difference, -rule.margin, "less")
    toward_shard = rule.direction == "greater"
    p_values: dict[results.Verdict, float] = {
        "shard": greater if toward_shard else less,
        "network": less if toward_shard else greater,
        "no difference": significance.equivalence_test(difference, rule.margin),
    }
    best = min(p_values, key=lambda verdict: p_values[verdict])
    p = min(1.0, 2 * p_values[best])
    if best == "no difference" and _is_unitary(values, rule):
        best = "unitary"
    return _Claim(best, p)


def _is_unitary(values: dict[str, np.ndarray], rule: rules.Rule) -> bool:
    """Whether the intervals of both arms lie within `rule.unitary`."""
    if rule.unitary is None:
        return False
    low, high = rule.unitary
    arms = (rule.contrast.arm, rule.contrast.baseline)
    means = [intervals.mean_interval(values[arm]) for arm in arms]
    return all(low <= mean.low and mean.high <= high for mean in means)


def _judgement(
    case: sentences.Case,
    claim: _Claim,
    p: float,
    level: float,
    below_min_return: tuple[str, ...],
) -> Judgement:
    values, rule = case.values, case.rule
    difference = _difference(values, rule)
    effect = _interval(difference, level)
    verdict: results.Verdict = claim.verdict if p < 1 - level else "undecided"
    controls = tuple(_check(values, control, level) for control in rule.controls)
    return Judgement(
        effect=results.interval(effect),
        means={arm: results.interval(_interval(x, level)) for arm, x in values.items()},
        verdict=verdict,
        p_value=p,
        reason=sentences.reason(case, effect, verdict, p),
        controls=controls,
        is_valid=all(c.passed == "passed" for c in controls) and not below_min_return,
        arms_below_min_return=below_min_return,
        sensitivity=_sensitivity(values, rule, level),
        judged_seeds=None if rule.seeds_where is None else tuple(case.seeds.tolist()),
        claim=results.Claim(claim.verdict, claim.p),
    )


def _sensitivity(
    values: dict[str, np.ndarray], rule: rules.Rule, level: float
) -> results.SensitivityResult | None:
    """The verdict of the rule on an arm that has shards by construction."""
    if rule.positive_control is None:
        return None
    contrast = rules.Contrast(rule.positive_control, rule.contrast.baseline)
    control = dataclasses.replace(rule, contrast=contrast, positive_control=None)
    claim = _claim(values, control)
    effect = _interval(_difference(values, control), level)
    verdict: results.Verdict = claim.verdict if claim.p < 1 - level else "undecided"
    detected = verdict == "shard"
    sentence = sentences.describe_sensitivity(contrast, effect, verdict)
    return results.SensitivityResult(
        contrast.arm, results.interval(effect), verdict, claim.p, detected, sentence
    )


def _interval(x: np.ndarray, level: float) -> intervals.Interval:
    """The interval of the mean; NaN if there are no seeds or one has no number."""
    if len(x) and np.isfinite(x).all():
        return intervals.mean_interval(x, level)
    nan = float("nan")
    return intervals.Interval(nan, nan, nan, level, len(x))


def _check(
    values: dict[str, np.ndarray], control: rules.Requirement, level: float
) -> results.ControlResult:
    """Passed if the whole interval meets the requirement, failed if none of it does."""
    x = values[control.arm]
    if control.baseline is not None:
        x = x - values[control.baseline]
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
