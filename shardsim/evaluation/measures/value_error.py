"""The error of a learned V against the exact value V*."""

from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from shardsim.core import fields
from shardsim.evaluation import battery
from shardsim.evaluation.measures import base


@fields.record
class ValueAccuracy:
    """Root mean squared error of V over reachable states, divided by the sd of V*."""

    METRIC: ClassVar[str] = "error of V"
    UNIT: ClassVar[str] = "sd of V*"
    kind: Literal["value_error"] = "value_error"
    condition: str = "in_distribution"
    """Condition that is measured."""

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """sqrt(mean (V - V*)^2) / sd(V*), over reachable states.

        0 is exact, 1 is about as good as a constant. No number if V* is the same in all
        states.
        """
        condition = evidence.conditions[self.condition]
        spread = float(condition.optimal[condition.reachable].std())
        values = {
            arm: relative_error(readings[self.condition].value, condition)
            for arm, readings in evidence.readings.items()
        }
        return base.Measured(
            values, (base.detail(None, "standard deviation of V*", "return", spread),)
        )


def relative_error(
    value: Float[np.ndarray, "N L S"], condition: battery.Condition
) -> Float[np.ndarray, " N"]:
    """sqrt(mean (V - V*)^2) / sd(V*) over reachable states.

    Returns:
      The error of each seed, in sd of V*; NaN if V* is the same in all states.
    """
    mask = condition.reachable
    spread = float(condition.optimal[mask].std())
    squared = np.square(value.astype(np.float64) - condition.optimal)
    return np.sqrt(base.masked_mean(squared, mask)) / (spread or np.nan)
