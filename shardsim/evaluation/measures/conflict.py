"""P12: what happens when two contexts that were trained apart are met together."""

from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from shardsim.core import fields
from shardsim.evaluation import battery
from shardsim.evaluation.measures import base


@fields.record
class Conflict:
    """P2: do the values of two goals add up in a conflict, or does the better count?"""

    METRIC: ClassVar[str] = "R^2 of the sum less R^2 of the maximum"
    UNIT: ClassVar[str] = "share of variance"
    kind: Literal["conflict"] = "conflict"
    together: str = "conflict"
    """Condition in which both goals are present."""
    alone: tuple[str, str] = ("only_0", "only_1")
    """Conditions in which only one of the goals is."""

    def __post_init__(self) -> None:
        base.check_different("alone", self.conditions)

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.together, *self.alone)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """R^2 of the sum less R^2 of the maximum, as accounts of the conflict.

        B(s, a) = gamma V(s') less its mean over actions, in states where no action
        ends the episode in any of the three conditions. The sum explains B_ab by
        x B_a + y B_b, as bids that add up would have it; the maximum by x B_max, with
        V_max = max(V_a, V_b), as the better of two outcomes would. x and y are fitted
        for each seed. Above 0 bids add up; below 0 one outcome is picked.
        """
        names = self.conditions
        tables = [evidence.conditions[name].table for name in names]
        ends = [np.asarray(table.terminated).any(axis=-1) for table in tables]
        mask = evidence.conditions[self.together].reachable & ~np.any(ends, axis=0)
        values: dict[str, np.ndarray] = {}
        details: list[base.Detail] = []
        for arm, readings in evidence.readings.items():
            whole, a, b = (readings[name].value for name in names)
            condition = evidence.conditions[self.together]
            bids = [
                _bids(value, condition, evidence, mask)
                for value in (whole, a, b, np.maximum(a, b))
            ]
            seeds = range(len(whole))
            added = [_fit(bids[0][n], [bids[1][n], bids[2][n]]) for n in seeds]
            picked = [_fit(bids[0][n], [bids[3][n]]) for n in seeds]
            sums = np.array([fit[0] for fit in added])
            values[arm] = sums - np.array([fit[0] for fit in picked])
            best = [fit[0] for fit in picked]
            weights = np.mean([fit[1] for fit in added], axis=0)
            details += [
                base.detail(arm, "R^2 of the sum", "share of variance", sums),
                base.detail(arm, "R^2 of the maximum", "share of variance", best),
                *(
                    base.detail(arm, f"weight of {name} in the sum", "1", weight)
                    for name, weight in zip(self.alone, weights, strict=True)
                ),
            ]
        return base.Measured(values, tuple(details))


def _bids(
    value: np.ndarray,
    condition: battery.Condition,
    evidence: base.Evidence,
    mask: np.ndarray,
) -> Float[np.ndarray, "N M"]:
    q = battery.q_values(value, condition, evidence.acting.discount)
    q = q - np.asarray(condition.table.reward)
    q = q - q.mean(axis=-1, keepdims=True)
    return q[:, mask].reshape(len(q), -1).astype(np.float64)


def _fit(y: np.ndarray, causes: list[np.ndarray]) -> tuple[float, np.ndarray]:
    """R^2 about zero (all are centred) and the weights, by least squares.

    0, with weights of 0, where y does not vary.
    """
    total = float(y @ y)
    if total == 0.0:
        return 0.0, np.zeros(len(causes))
    design = np.stack(causes, axis=1)
    weights, *_ = np.linalg.lstsq(design, y, rcond=None)
    left = y - design @ weights
    return 1.0 - float(left @ left) / total, weights
