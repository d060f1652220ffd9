"""P11: how much a cue that was never rewarded changes V."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np

from shardsim.core import fields
from shardsim.evaluation.measures import base


@fields.record
class CueEffect:
    """P11: change of V between two conditions that differ in one thing."""

    ROWS: ClassVar[tuple[str, ...]] = ("reference",)

    ABOUT: ClassVar[str] = "V"
    METRIC: ClassVar[str] = "change of V by the cue"
    UNIT: ClassVar[str] = "mean V*"
    kind: Literal["cue_effect"] = "cue_effect"
    present: str = "with_cue"
    """Condition with the thing."""
    absent: str = "without_cue"
    """Condition without the thing."""
    reference: tuple[str, str] = ("only_0", "only_1")
    """Two conditions that are known to differ in value: the row `ARM/reference`, a
    positive control of the statistic."""

    @fields.rule("present", "absent", "reference")
    def _different_conditions(self) -> Iterator[str]:
        yield from base.repeated("absent", (self.present, self.absent))
        yield from base.repeated("reference", self.reference)

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.present, self.absent, *self.reference)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """mean |V(present) - V(absent)| / mean V*, over states reachable in both.

        The row `ARM/reference` is the same for the two `reference` conditions. No
        number if the mean of V* is not above 0.
        """
        rows = {}
        weights = base.level_weights(evidence)
        for arm, readings in evidence.readings.items():
            pairs = {
                arm: (self.present, self.absent),
                f"{arm}/reference": self.reference,
            }
            for row, (one, other) in pairs.items():
                first, second = evidence.conditions[one], evidence.conditions[other]
                mask = first.reachable & second.reachable
                change = np.abs(readings[one].value - readings[other].value)
                scale = base.level_mean(first.optimal[None], mask, weights)
                mean = base.level_mean(change, mask, weights)
                rows[row] = mean / np.where(scale > 0, scale, np.nan)
        return base.resampled(rows, weights.shape[1])
