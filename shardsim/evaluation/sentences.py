"""What is found, in sentences: estimates with their intervals, and why a verdict."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from shardsim.core import statistics
from shardsim.evaluation import rules
from shardsim.reports.verdicts import html


class Case(NamedTuple):
    """The numbers that one prediction is judged by. Symbols: n seeds of N."""

    values: dict[str, Float[np.ndarray, " n"]]
    rule: rules.Rule
    seeds: Int[np.ndarray, " n"]
    """Which they are: all, or those that the rule is about."""
    total: int
    """N."""


def told(found: statistics.Interval) -> str:
    """The estimate and its interval, as far as there are any."""
    if not found.n:
        return "no number, for no seed is judged"
    if not np.isfinite(found.estimate):
        return "no number in some seed"
    if not np.isfinite(found.low):
        return f"{found.estimate:+.3f} (one seed has no interval)"
    if found.low == found.high:
        unseen = statistics.unseen_share(found.n, found.level)
        return (
            f"{found.estimate:+.3f} in each of {found.n} seeds (what fewer than "
            f"{unseen:.0%} of seeds do may go unseen)"
        )
    return f"{found.estimate:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def reason(case: Case, effect: statistics.Interval, verdict: str, p: float) -> str:
    """What the contrast is, and what that says beside the margin."""
    rule, pair = case.rule, case.rule.contrast
    for arm in (pair.arm, pair.against):
        bad = np.flatnonzero(~np.isfinite(case.values[arm]))
        if len(bad):
            seed = case.seeds[bad[0]]
            return f"Arm {arm}, seed {seed} gave no number, so nothing is claimed."
    got = f"{pair.arm} less {pair.against} is {told(effect)}"
    if rule.among is not None:
        where = f"{rule.among.who} is {rule.among.told()}"
        got = f"In {len(case.seeds)} of {case.total} seeds, where {where}, {got}"
    side = rule.direction
    return {
        "shard": f"{got}, {side} than the margin {rule.margin:g}, as SHARD expects "
        f"(p = {p:.3g}).",
        "network": f"{got}, beyond the margin {rule.margin:g} against what SHARD "
        f"expects (p = {p:.3g}).",
        "no difference": f"{got}, within the margin {rule.margin:g} (p = {p:.3g}).",
        "unitary": f"{got}, within the margin {rule.margin:g}, and both arms lie where "
        f"one fixed utility does, {rule.unitary} (p = {p:.3g}).",
        "undecided": f"{got}; at this number of seeds neither a difference beyond the "
        f"margin {rule.margin:g} nor its absence is shown (p = {p:.3g}).",
    }[verdict]


def looked_at(results: Mapping[str, Any]) -> str:
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
