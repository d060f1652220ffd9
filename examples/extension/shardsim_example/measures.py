"""The mean of V. Symbols: N seeds, L levels, S states."""

from typing import ClassVar, Literal

import shardsim
from shardsim.evaluation.measures import base


@shardsim.record
class MeanValue:
    """Mean of V over reachable states."""

    METRIC: ClassVar[str] = "mean of V"
    UNIT: ClassVar[str] = "return"
    kind: Literal["mean_value"] = "mean_value"
    condition: str = "in_distribution"
    """Condition that is measured."""

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """mean V, over reachable states."""
        mask = evidence.conditions[self.condition].reachable
        weights = base.level_weights(evidence)  # of the battery, then of resamples
        rows = {
            arm: base.level_mean(readings[self.condition].value, mask, weights)
            for arm, readings in evidence.readings.items()
        }
        return base.resampled(rows, weights.shape[1])
