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

    ABOUT: ClassVar[str] = "bid"
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
        rows: dict[str, np.ndarray] = {}
        details: list[base.Detail] = []
        condition = evidence.conditions[self.together]
        weights = base.level_weights(evidence)
        for arm, readings in evidence.readings.items():
            both, a, b = (readings[name].value for name in names)
            bids = [
                _bids(value, condition, evidence, mask)
                for value in (both, a, b, np.maximum(a, b))
            ]
            sum_r2, parts = _fit(bids[0], bids[1:3], weights)
            max_r2, _ = _fit(bids[0], bids[3:], weights)
            rows[arm] = sum_r2 - max_r2
            details += [
                base.detail(arm, "R^2 of the sum", "share of variance", sum_r2[0]),
                base.detail(arm, "R^2 of the maximum", "share of variance", max_r2[0]),
                *(
                    base.detail(arm, f"weight of {name} in the sum", "1", weight)
                    for name, weight in zip(self.alone, parts[0].T, strict=True)
                ),
            ]
        return base.resampled(rows, weights.shape[1], details)


def _bids(
    value: np.ndarray,
    condition: battery.Condition,
    evidence: base.Evidence,
    mask: np.ndarray,
) -> Float[np.ndarray, "N L M"]:
    """B(s, a) in the states of the mask: Q without reward, centred over actions; 0 in
    all other states."""
    q = exact_policies.q_values(value, condition, evidence.acting.discount)
    q = q - np.asarray(condition.table.reward)
    q = (q - q.mean(axis=-1, keepdims=True)) * mask[..., None]
    return q.reshape(*q.shape[:2], -1).astype(np.float64)


def _fit(
    y: Float[np.ndarray, "N L M"],
    regressors: list[np.ndarray],
    weights: Float[np.ndarray, "rows L"],
) -> tuple[Float[np.ndarray, "rows N"], Float[np.ndarray, "rows N k"]]:
    """R^2 and weights of a least-squares fit without intercept, by weighted levels.

    y and the regressors are centred, so R^2 is taken about 0. If y is 0 everywhere, R^2
    and all weights are 0.
    """
    columns = np.stack([*regressors, y])
    products = np.einsum("inlm,jnlm->lnij", columns, columns)
    gram = np.tensordot(weights, products, axes=1)
    design, moment, total = gram[..., :-1, :-1], gram[..., :-1, -1], gram[..., -1, -1]
    inverse = np.linalg.pinv(design, rcond=1e-12, hermitian=True)
    fitted = np.einsum("rnij,rnj->rni", inverse, moment)
    explained = np.einsum("rni,rni->rn", fitted, moment)
    return explained / np.where(total > 0, total, 1.0), fitted
