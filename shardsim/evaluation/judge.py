"""From per-seed statistics to verdicts, by rules fixed before training.

The contrast of a prediction is the difference, seed by seed, between two arms that
share everything but the head. Its axis falls into three regions: beyond the margin to
SHARD's side, beyond it to the other side, and between. A verdict claims a region, or
none. Symbols: N seeds.
"""

import dataclasses
from collections.abc import Collection

import numpy as np
from jaxtyping import Float

from shardsim.core import statistics
from shardsim.evaluation import results, rules, sentences
from shardsim.evaluation.measures import base
from shardsim.storage import records

Values = dict[str, dict[str, Float[np.ndarray, " N"]]]
"""Prediction -> arm -> one number a seed."""


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the numbers say of one prediction; see `results.PredictionResult`."""

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


@dataclasses.dataclass(frozen=True)
class _Claim:
    verdict: results.Verdict
    p: float


def judge(
    values: Values,
    asked: dict[str, rules.Rule],
    level: float = 0.95,
    missed: Collection[str] = (),
) -> dict[str, Judgement]:
    """Judge all predictions as one family.

    Within a prediction the three regions exclude each other, so that at most one claim
    can be true and each is tested at its own one-sided level (partitioning principle);
    twice the smallest p bounds the chance of a false claim. Over the predictions these
    p are adjusted by Holm's method. What is not rejected then is undecided.

    Args:
      missed: arms that have not learnt their task. No claim about them stands: what
        two arms have alike may be that.

    Raises:
      ValueError: an arm that a rule names has no values.
    """
    for name, rule in asked.items():
        for arm in rules.named(rule).values():
            if arm not in values[name]:
                raise ValueError(
                    f"{name}: got no values of arm {arm!r}; allowed: "
                    f"{', '.join(values[name])}"
                )
    unlearnt = {
        name: tuple(sorted({rule.contrast.arm, rule.contrast.baseline} & set(missed)))
        for name, rule in asked.items()
    }
    cases = {name: _case(values[name], rule) for name, rule in asked.items()}
    claims = {name: _claim(case.values, case.rule) for name, case in cases.items()}
    adjusted = statistics.holm([claim.p for claim in claims.values()])
    return {
        name: _judgement(cases[name], claim, float(p), level, unlearnt[name])
        for (name, claim), p in zip(claims.items(), adjusted, strict=True)
    }


def omnibus(
    features: dict[str, Float[np.ndarray, "N d"]], pairs: tuple[rules.Contrast, ...]
) -> tuple[results.EnergyResult, ...]:
    """Energy distance and permutation test for each pair of arms."""
    return tuple(_energy(features, pair.arm, pair.baseline) for pair in pairs)


def _energy(
    features: dict[str, Float[np.ndarray, "N d"]], arm: str, baseline: str
) -> results.EnergyResult:
    test = statistics.paired_permutation_energy(features[arm], features[baseline])
    return results.EnergyResult(
        arm=arm,
        baseline=baseline,
        distance=records.number(test.distance),
        ratio=records.number(test.ratio),
        p_value=records.number(test.p),
        num_seeds=test.n,
    )


def _case(values: dict[str, np.ndarray], rule: rules.Rule) -> sentences.Case:
    """The numbers of the seeds that the rule is about."""
    everyone = np.arange(max(len(x) for x in values.values()))  # V* is one number
    if rule.seeds_where is None:
        return sentences.Case(values, rule, everyone, len(everyone))
    x = values[rule.seeds_where.arm]
    if rule.seeds_where.baseline is not None:
        x = x - values[rule.seeds_where.baseline]
    low, high = rule.seeds_where.region
    chosen = ~((x < low) | (high < x))  # no number: its seed is named, not left out
    exact = {arm for arm in values if arm.partition("/")[0] == base.EXACT}
    picked = {arm: x if arm in exact else x[chosen] for arm, x in values.items()}
    return sentences.Case(picked, rule, everyone[chosen], len(everyone))


def _difference(values: dict[str, np.ndarray], rule: rules.Rule) -> np.ndarray:
    return values[rule.contrast.arm] - values[rule.contrast.baseline]


def _claim(values: dict[str, np.ndarray], rule: rules.Rule) -> _Claim:
    """The claim with the smallest p, before the family is looked at."""
    difference = _difference(values, rule)
    if not len(difference) or not np.isfinite(difference).all():
        return _Claim("undecided", 1.0)
    toward, away = ("greater", "less"), ("less", "greater")
    sides = toward if rule.direction == "greater" else away
    edge = {"greater": rule.margin, "less": -rule.margin}
    tested: dict[results.Verdict, float] = {
        "shard": statistics.mean_test(difference, edge[sides[0]], sides[0]),
        "network": statistics.mean_test(difference, edge[sides[1]], sides[1]),
        "no difference": statistics.equivalence_test(difference, rule.margin),
    }
    best = min(tested, key=lambda verdict: tested[verdict])
    p = min(1.0, 2 * tested[best])
    if best == "no difference" and _is_unitary(values, rule):
        best = "unitary"
    return _Claim(best, p)


def _is_unitary(values: dict[str, np.ndarray], rule: rules.Rule) -> bool:
    if rule.unitary is None:
        return False
    low, high = rule.unitary
    arms = (rule.contrast.arm, rule.contrast.baseline)
    intervals = [statistics.mean_interval(values[arm]) for arm in arms]
    return all(low <= i.low and i.high <= high for i in intervals)


def _judgement(
    case: sentences.Case,
    claim: _Claim,
    p: float,
    level: float,
    unlearnt: tuple[str, ...],
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
        is_valid=all(c.passed == "passed" for c in controls) and not unlearnt,
        arms_below_min_return=unlearnt,
        sensitivity=_sensitivity(values, rule, level),
        judged_seeds=None if rule.seeds_where is None else tuple(case.seeds.tolist()),
    )


def _sensitivity(
    values: dict[str, np.ndarray], rule: rules.Rule, level: float
) -> results.SensitivityResult | None:
    """The rule, applied to an arm whose shards are known to be there."""
    if rule.positive_control is None:
        return None
    contrast = rules.Contrast(rule.positive_control, rule.contrast.baseline)
    made = dataclasses.replace(rule, contrast=contrast, positive_control=None)
    claim = _claim(values, made)
    effect = _interval(_difference(values, made), level)
    verdict: results.Verdict = claim.verdict if claim.p < 1 - level else "undecided"
    seen = verdict == "shard"
    found = (
        "shards made by hand are seen."
        if seen
        else f"shards made by hand are not seen ({verdict}), so that not to see any "
        "elsewhere is no evidence against them."
    )
    told = sentences.describe_interval(effect)
    sentence = f"{contrast.arm} less {contrast.baseline} is {told}: {found}"
    return results.SensitivityResult(
        contrast.arm, results.interval(effect), verdict, claim.p, seen, sentence
    )


def _interval(x: np.ndarray, level: float) -> statistics.Interval:
    if len(x) and np.isfinite(x).all():
        return statistics.mean_interval(x, level)
    nan = float("nan")
    return statistics.Interval(nan, nan, nan, level, len(x))


def _check(
    values: dict[str, np.ndarray], control: rules.Requirement, level: float
) -> results.ControlResult:
    x = values[control.arm]
    if control.baseline is not None:
        x = x - values[control.baseline]
    low, high = control.region
    found = _interval(x, level)
    # an exact value has no interval: it is where it is; one seed has none either, and
    # shows nothing
    exact = control.baseline is None and control.arm.partition("/")[0] == base.EXACT
    ends = (found.estimate,) * 2 if exact else (found.low, found.high)
    passed: results.Outcome = "undecided"
    if low <= ends[0] and ends[1] <= high:
        passed = "passed"
    elif ends[1] < low or ends[0] > high:
        passed = "failed"
    told = f"{found.estimate:+.3f}" if exact else sentences.describe_interval(found)
    sentence = f"{control.who} is {told}; it must be {control.describe()}: {passed}."
    return results.ControlResult(control, results.interval(found), passed, sentence)
