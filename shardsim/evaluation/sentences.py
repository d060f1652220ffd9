"""What is found, in sentences: estimates with their intervals, and why a verdict."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from shardsim.core import statistics
from shardsim.evaluation import rules


class Case(NamedTuple):
    """The numbers that one prediction is judged by. Symbols: n seeds of N."""

    values: dict[str, Float[np.ndarray, " n"]]
    rule: rules.Rule
    seeds: Int[np.ndarray, " n"]
    """Which they are: all, or those that the rule is about."""
    total: int
    """N."""


def describe_interval(found: statistics.Interval) -> str:
    """The estimate and its interval, as far as there are any."""
    if not found.n:
        return "no number, for no seed is judged"
    if not np.isfinite(found.estimate):
        return "no number in some seed"
    if not np.isfinite(found.low):
        return f"{found.estimate:+.3f} (one seed has no interval)"
    if found.low == found.high:
        unseen = statistics.max_unseen_fraction(found.n, found.level)
        return (
            f"{found.estimate:+.3f} in each of {found.n} seeds (what fewer than "
            f"{unseen:.0%} of seeds do may go unseen)"
        )
    return f"{found.estimate:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def reason(case: Case, effect: statistics.Interval, verdict: str, p: float) -> str:
    """What the contrast is, and what that says beside the margin."""
    rule, pair = case.rule, case.rule.contrast
    for arm in (pair.arm, pair.baseline):
        bad = np.flatnonzero(~np.isfinite(case.values[arm]))
        if len(bad):
            seed = case.seeds[bad[0]]
            return f"Arm {arm}, seed {seed} gave no number, so nothing is claimed."
    got = f"{pair.arm} less {pair.baseline} is {describe_interval(effect)}"
    if rule.seeds_where is not None:
        where = f"{rule.seeds_where.who} is {rule.seeds_where.describe()}"
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
