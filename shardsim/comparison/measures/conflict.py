"""P12: what happens when two contexts that were trained apart are met together."""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float

from shardsim.comparison import battery
from shardsim.comparison.measures import base


@dataclasses.dataclass(frozen=True)
class Conflict:
    """How far bids in the conflict are a sum of the bids in each context alone."""

    kind: Literal["conflict"] = "conflict"
    together: str = "conflict"
    alone: tuple[str, str] = ("only_0", "only_1")

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.together, *self.alone)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """R^2 of B_ab(s, a) = x B_a(s, a) + y B_b(s, a), x and y fitted for each seed.

        B(s, a) = gamma V(s') less its mean over actions, in states where no action
        ends the episode in any of the three conditions. 0 where B_ab does not vary.
        """
        names = self.conditions
        table = {name: evidence.conditions[name].table for name in names}
        ends = [np.asarray(table[name].terminated).any(axis=-1) for name in names]
        mask = evidence.conditions[self.together].reachable & ~np.any(ends, axis=0)
        values, details = {}, {}
        for arm, readings in evidence.readings.items():
            bids = [
                _bids(readings[name].value, evidence.conditions[name], evidence, mask)
                for name in names
            ]
            fits = [_fit(*(bid[seed] for bid in bids)) for seed in range(len(bids[0]))]
            values[arm] = np.array([fit[0] for fit in fits])
            weights = np.mean([fit[1] for fit in fits], axis=0)
            details[f"{arm}: weights"] = [float(w) for w in weights]
        return base.Measured(values, details)


def _bids(
    value: np.ndarray,
    condition: battery.Condition,
    evidence: base.Evidence,
    mask: np.ndarray,
) -> Float[np.ndarray, "N M"]:
    discount = evidence.how.discount
    q = battery.q_values(value, condition, discount) - np.asarray(
        condition.table.reward
    )
    q = q - q.mean(axis=-1, keepdims=True)
    return q[:, mask].reshape(len(q), -1)


def _fit(
    y: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[float, tuple[float, float]]:
    """R^2 about zero (all are centred) and the two weights, by least squares."""
    y, a, b = (x.astype(np.float64) for x in (y, a, b))
    total = float(y @ y)
    if total == 0.0:
        return 0.0, (0.0, 0.0)
    design = np.stack([a, b], axis=1)
    weights, *_ = np.linalg.lstsq(design, y, rcond=None)
    left = y - design @ weights
    return 1.0 - float(left @ left) / total, (float(weights[0]), float(weights[1]))
