"""Results in sentences: estimates with their intervals, and the reason of a verdict."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from shardsim.core.statistics import crossed, intervals, shares
from shardsim.evaluation import results, rules, wording


class Case(NamedTuple):
    """A rule and the numbers that it judges. Symbols: n judged seeds of N."""

    rows: Mapping[str, crossed.Sample]
    """Row -> numbers of n seeds; rows of V* hold one number."""
    rule: rules.Rule
    seeds: Int[np.ndarray, " n"]
    """Numbers of the judged seeds: all, or those that `seeds_where` selects."""
    total: int
    """N."""
    about: str | None = None
    """What the question is about, as in `results.PredictionResult`."""


class Shown(NamedTuple):
    """In how many seeds an arm shows a behaviour."""

    row: str
    showing: int
    n: int

    def describe(self) -> str:
        """The count and the exact interval of its share."""
        low, high = intervals.share_interval(self.showing, self.n)
        return f"{self.row} {self.showing} of {self.n} ({low:.0%} to {high:.0%})"


class Details(NamedTuple):
    """What a reason says besides the effect."""

    margin: float
    """NaN: a share of a planted effect that is not there."""
    of_planted: float
    """The margin as a share of the planted effect; NaN: nothing is planted."""
    against: Mapping[str, intervals.Interval]
    """The arm less each further arm that it has to beat."""
    shown: tuple[Shown, ...] = ()
    """For shares of seeds: the arm, its baseline and the further arms."""


def describe_margin(details: Details) -> str:
    """The margin, and what share of the planted effect it is."""
    if not np.isfinite(details.margin):
        return f"{details.of_planted:.0%} of the planted effect, which is not above 0"
    if not np.isfinite(details.of_planted):
        return f"{details.margin:g}"
    return f"{details.margin:.3g} ({of_planted(details.of_planted)})"


def of_planted(share: float) -> str:
    """A margin as a share of the planted effect."""
    if share > 1:
        return "more than the planted effect"
    return f"{share:.0%} of the planted effect"


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
    contrast: rules.Contrast,
    effect: intervals.Interval,
    verdict: results.Verdict,
    about: str | None = None,
) -> str:
    """Whether the rule detects the shards, or the yes, of the positive control.

    Args:
      contrast: the positive control and the baseline.
      effect: their difference.
      verdict: of the rule on this contrast.
      about: what the question is about.
    """
    is_tool = about == wording.TOOL
    shown = wording.word(verdict, about)
    if verdict == "shard":
        detection = (
            "the test says yes where this is known to be the answer."
            if is_tool
            else "the test detects shards where they are built in."
        )
    elif is_tool:
        detection = (
            "the test does not say yes where this is known to be the answer "
            f"({shown}), so it cannot count against a yes."
        )
    else:
        detection = (
            f"the test does not detect shards where they are built in ({shown}), so "
            "it cannot count against shards."
        )
    estimate = describe_interval(effect)
    return f"{contrast.arm} less {contrast.baseline} is {estimate}: {detection}"


def reason(
    case: Case,
    effect: intervals.Interval,
    verdict: results.Verdict,
    p: float,
    details: Details,
) -> str:
    """The effect, the margin, and why they lead to the verdict.

    Args:
      effect: the contrast, over the judged seeds.
      p: of the claim, adjusted for all predictions.
      details: the margin, and the effect against other arms.
    """
    rule, pair = case.rule, case.rule.contrast
    for arm in (pair.arm, pair.baseline, *rule.beats):
        bad = np.flatnonzero(~np.isfinite(case.rows[arm].values))
        if len(bad):
            seed = case.seeds[bad[0]]
            return f"Arm {arm}, seed {seed} gave no number, so nothing is claimed."
    result = f"{pair.arm} less {pair.baseline} is {describe_interval(effect)}"
    if details.shown:
        result += f" in share of seeds ({_describe_shares(rule, details.shown)})"
    if rule.seeds_where is not None:
        where = f"{rule.seeds_where.subject} is {rule.seeds_where.describe()}"
        result = f"In {len(case.seeds)} of {case.total} seeds, where {where}, {result}"
    side, margin = rule.direction, describe_margin(details)
    rivals = ", ".join(
        f"{pair.arm} less {rival} is {describe_interval(one)}"
        for rival, one in details.against.items()
    )
    too = f" It has to beat {' and '.join(details.against)} too: {rivals}." * bool(
        rivals
    )
    is_tool = case.about == wording.TOOL
    on_side = "so the answer is yes" if is_tool else "as SHARD expects"
    beyond = (
        "on the other side, so the answer is no"
        if is_tool
        else "against what SHARD expects"
    )
    sentence = {
        "shard": f"{result}, {side} than the margin {margin}, {on_side} (p = {p:.3g}).",
        "network": f"{result}, beyond the margin {margin} {beyond} (p = {p:.3g}).",
        "no difference": f"{result}, within the margin {margin} (p = {p:.3g}).",
        "unitary": f"{result}, within the margin {margin}, and both arms lie "
        f"where one fixed utility does, {rule.unitary} (p = {p:.3g}).",
        "undecided": f"{result}; this number of seeds shows neither a difference "
        f"beyond the margin {margin} nor its absence (p = {p:.3g}).",
    }[verdict]
    return sentence + too


def _describe_shares(rule: rules.Rule, shown: tuple[Shown, ...]) -> str:
    """How many seeds show the behaviour, and Boschloo's test of equal shares."""
    assert isinstance(rule.estimand, rules.ShareOfSeeds)
    arm, baseline = shown[:2]
    p = shares.equality_test(arm.showing, baseline.showing, arm.n)
    counts = ", ".join(one.describe() for one in shown)
    return f"{rule.estimand.describe()}: {counts}; Boschloo's p = {p:.3g}"
