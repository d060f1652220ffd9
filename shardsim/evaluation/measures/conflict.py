"""P2: V in a state that shows two contexts which training showed one at a time."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from shardsim.core import fields
from shardsim.evaluation import battery, exact_policies
from shardsim.evaluation.measures import base


@fields.record
class Conflict:
    """P2: in a conflict of two goals, do their values add up or does the better win?"""

    METRIC: ClassVar[str] = "R^2 of the sum less R^2 of the maximum"
    UNIT: ClassVar[str] = "share of variance"
    kind: Literal["conflict"] = "conflict"
    together: str = "conflict"
    """Condition in which both goals are present."""
    alone: tuple[str, str] = ("only_0", "only_1")
    """Conditions in which only one of the goals is."""

    @fields.rule("together", "alone")
    def _different_conditions(self) -> Iterator[str]:
        yield from base.repeated("alone", self.conditions)

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.together, *self.alone)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """R^2 of the sum - R^2 of the maximum, as models of the conflict.

        The bid of an action is B(s, a) = gamma V(s') minus its mean over actions, in
        states where no action ends the episode in any of the three conditions. Both
        models explain B_ab, the bids with both goals present:

          sum:     B_ab = x B_a + y B_b     bids of the two goals add up
          maximum: B_ab = x B_max           with V_max = max(V_a, V_b)

        x and y are fitted by least squares for each seed. Above 0 the bids add up;
        below 0 the agent picks the better goal.
        """
        names = self.conditions
        tables = [evidence.conditions[name].table for name in names]
        ends = [np.asarray(table.terminated).any(axis=-1) for table in tables]
        mask = evidence.conditions[self.together].reachable & ~np.any(ends, axis=0)
        values: dict[str, np.ndarray] = {}
        details: list[base.Detail] = []
        for arm, readings in evidence.readings.items():
            both, a, b = (readings[name].value for name in names)
            condition = evidence.conditions[self.together]
            bids = [
                _bids(value, condition, evidence, mask)
                for value in (both, a, b, np.maximum(a, b))
            ]
            seeds = range(len(both))
            sum_fits = [_fit(bids[0][n], [bids[1][n], bids[2][n]]) for n in seeds]
            max_fits = [_fit(bids[0][n], [bids[3][n]]) for n in seeds]
            sum_r2 = np.array([fit[0] for fit in sum_fits])
            max_r2 = np.array([fit[0] for fit in max_fits])
            values[arm] = sum_r2 - max_r2
            weights = np.mean([fit[1] for fit in sum_fits], axis=0)
            details += [
                base.detail(arm, "R^2 of the sum", "share of variance", sum_r2),
                base.detail(arm, "R^2 of the maximum", "share of variance", max_r2),
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
    """B(s, a) in the states of the mask: Q without reward, centred over actions."""
    q = exact_policies.q_values(value, condition, evidence.acting.discount)
    q = q - np.asarray(condition.table.reward)
    q = q - q.mean(axis=-1, keepdims=True)
    return q[:, mask].reshape(len(q), -1).astype(np.float64)


def _fit(
    y: Float[np.ndarray, " M"], regressors: list[np.ndarray]
) -> tuple[float, np.ndarray]:
    """R^2 and weights of a least-squares fit without intercept.

    y and the regressors are centred, so R^2 is taken about 0. If y is 0 everywhere, R^2
    and all weights are 0.
    """
    total = float(y @ y)
    if total == 0.0:
        return 0.0, np.zeros(len(regressors))
    design = np.stack(regressors, axis=1)
    weights, *_ = np.linalg.lstsq(design, y, rcond=None)
    residual = y - design @ weights
    return 1.0 - float(residual @ residual) / total, weights
