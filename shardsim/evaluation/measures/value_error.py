"""How far a learned V is from the exact value."""

import dataclasses
from typing import Literal

import numpy as np

from shardsim.evaluation.measures import base


@dataclasses.dataclass(frozen=True)
class ValueAccuracy:
    """Root mean squared error over reachable states, over the spread of V*."""

    kind: Literal["value_error"] = "value_error"
    condition: str = "in_distribution"

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """sqrt(mean (V - V*)^2) / sd(V*); 0 is exact, 1 about as good as a constant.

        No number where V* is the same everywhere.
        """
        condition = evidence.conditions[self.condition]
        mask = condition.reachable
        spread = float(condition.optimal[mask].std())
        values = {}
        for arm, readings in evidence.readings.items():
            value = readings[self.condition].value.astype(np.float64)
            wrong = np.square(value - condition.optimal)
            values[arm] = np.sqrt(base.masked_mean(wrong, mask)) / (spread or np.nan)
        return base.Measured(values, {"spread of V*": spread})
