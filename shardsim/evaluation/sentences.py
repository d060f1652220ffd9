"""Results in sentences: estimates with their intervals, and the reason of a verdict."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from shardsim.core.statistics import intervals
from shardsim.evaluation import rules


class Case(NamedTuple):
    """A rule and the numbers that it judges. Symbols: n judged seeds of N."""

    values: dict[str, np.ndarray]
    """Row -> [n]; rows of V* hold one number."""
    rule: rules.Rule
    seeds: Int[np.ndarray, " n"]
    """Numbers of the judged seeds: all, or those that `seeds_where` selects."""
    total: int
    """N."""


def describe_interval(interval: intervals.Interval) -> str:
    """The estimate and its interval, e.g. "+0.300 [+0.200, +0.400]"."""
    if not interval.n:
        return "no number, because no seed is judged"
    if not np.isfinite(interval.estimate):
        return "no number in some seed"
    if not np.isfinite(interval.low):
        return f"{interval.estimate:+.3f} (one seed has no interval)"
    if interval.low == interval.high:
        unseen = intervals.max_unseen_fraction(interval.n, interval.level)
        return (
            f"{interval.estimate:+.3f} in each of {interval.n} seeds (what fewer than "
            f"{unseen:.0%} of seeds do may go unseen)"
        )
    return f"{interval.estimate:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def describe_sensitivity(
    contrast: rules.Contrast, effect: intervals.Interval, verdict: str
) -> str:
    """Whether the rule detects the shards of the positive control.

    Args:
      contrast: the positive control and the baseline.
      effect: their difference.
      verdict: of the rule on this contrast.
    """
    if verdict == "shard":
        detection = "the test detects shards where they are built in."
    else:
        detection = (
            f"the test does not detect shards where they are built in ({verdict}), so "
            "it cannot count against shards."
        )
    estimate = describe_interval(effect)
    return f"{contrast.arm} less {contrast.baseline} is {estimate}: {detection}"


def reason(case: Case, effect: intervals.Interval, verdict: str, p: float) -> str:
    """The effect, the margin, and why they lead to the verdict.

    Args:
      effect: the contrast, as a mean over the judged seeds.
      verdict: "shard", "network", "unitary", "no difference" or "undecided".
      p: of the claim, adjusted for all predictions.
    """
    rule, pair = case.rule, case.rule.contrast
    for arm in (pair.arm, pair.baseline):
        bad = np.flatnonzero(~np.isfinite(case.values[arm]))
        if len(bad):
            seed = case.seeds[bad[0]]
            return f"Arm {arm}, seed {seed} gave no number, so nothing is claimed."
    result = f"{pair.arm} less {pair.baseline} is {describe_interval(effect)}"
    if rule.seeds_where is not None:
        where = f"{rule.seeds_where.subject} is {rule.seeds_where.describe()}"
        result = f"In {len(case.seeds)} of {case.total} seeds, where {where}, {result}"
    side = rule.direction
    return {
        "shard": f"{result}, {side} than the margin {rule.margin:g}, as SHARD expects "
        f"(p = {p:.3g}).",
        "network": f"{result}, beyond the margin {rule.margin:g} against what SHARD "
        f"expects (p = {p:.3g}).",
        "no difference": f"{result}, within the margin {rule.margin:g} (p = {p:.3g}).",
        "unitary": f"{result}, within the margin {rule.margin:g}, and both arms lie "
        f"where one fixed utility does, {rule.unitary} (p = {p:.3g}).",
        "undecided": f"{result}; this number of seeds shows neither a difference "
        f"beyond the margin {rule.margin:g} nor its absence (p = {p:.3g}).",
    }[verdict]
