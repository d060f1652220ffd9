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

    ABOUT: ClassVar[str] = "V"
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
        weights = base.level_weights(evidence)
        rows = {
            arm: _relative_errors(readings[self.condition].value, condition, weights)
            for arm, readings in evidence.readings.items()
        }
        details = (base.detail(None, "standard deviation of V*", "return", spread),)
        return base.resampled(rows, weights.shape[1], details)


def relative_error(
    value: Float[np.ndarray, "N L S"], condition: battery.Condition
) -> Float[np.ndarray, " N"]:
    """sqrt(mean (V - V*)^2) / sd(V*) over reachable states.

    Returns:
      The error of each seed, in sd of V*; NaN if V* is the same in all states.
    """
    return _relative_errors(value, condition, np.ones((1, value.shape[1])))[0]


def _relative_errors(
    value: Float[np.ndarray, "N L S"],
    condition: battery.Condition,
    weights: Float[np.ndarray, "rows L"],
) -> Float[np.ndarray, "rows N"]:
    """`relative_error` for each row of weights of the levels."""
    mask, optimal = condition.reachable, condition.optimal[None].astype(np.float64)
    mean = base.level_mean(optimal, mask, weights)
    # around the mean of the battery: small numbers square without loss
    centre = optimal - mean[0]
    moments = (base.level_mean(centre**k, mask, weights) for k in (1, 2))
    first, second = moments
    variance = np.maximum(second - first**2, 0.0)
    squared = np.square(value.astype(np.float64) - optimal)
    error = np.sqrt(base.level_mean(squared, mask, weights))
    return error / np.sqrt(np.where(variance > 1e-24, variance, np.nan))
