"""P13: what paid in one context pays no more; does only V of that context go?"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from shardsim.core import fields
from shardsim.evaluation import battery
from shardsim.evaluation.measures import base

SHARE, OPTIMUM = "share of V before", "fraction of the optimal return"
"""Units of details."""


@fields.record
class SelectiveExtinction:
    """P13: extinguish V of one context; see what V of an unseen context loses."""

    ROWS: ClassVar[tuple[str, ...]] = ("same_context", "drop", "gate_distance")
    """`arm/drop`: the drop of what is extinguished, by which a control shows that there
    was an extinction; `arm/same_context` below; `arm/gate_distance`: how far the gates of both contexts
    were apart before it, 0 to 1 (total variation of their means; 0 for one part)."""

    METRIC: ClassVar[str] = "selectivity of the extinction"
    UNIT: ClassVar[str] = "index from -1 to 1"
    kind: Literal["selective_extinction"] = "selective_extinction"
    before_phase: str = "acquisition"
    """Phase after which V is fully learned."""
    after_phase: str = "extinction"
    """Phase after which V of the extinguished context is gone."""
    extinguished: str = "only_0"
    """Condition that is rewarded in the first phase and not in the second."""
    retained: str = "only_1"
    """Condition that the second phase does not show, so that its V could stay."""
    same_context: str = "only_0_with_cue"
    """Another condition of the extinguished context: the row `ARM/same_context`, a
    control in which the selectivity should be 0."""
    min_drop: fields.Fraction = 0.1
    """Smallest drop that counts as extinction; below it the selectivity is 0."""

    def __post_init__(self) -> None:
        base.check_different("retained", self.conditions)
        if self.before_phase == self.after_phase:
            raise ValueError(
                f"after_phase: got {self.after_phase!r}; allowed: another than "
                "before_phase"
            )

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.extinguished, self.retained, self.same_context)

    @property
    def stages(self) -> tuple[str, ...]:
        return (self.before_phase, self.after_phase)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """S = (drop of extinguished - drop of kept) / (their sum).

        A drop is 1 - (mean V after the phase `unlearnt`) / (mean V after `learnt`),
        clipped to [0, 1], over the states that can be reached; 0 where V was not more
        than 0. S is 0 where what should be extinguished drops by less than `least`.
        """
        values: dict[str, np.ndarray] = {}
        details: list[base.Detail] = []
        for arm, readings in evidence.readings.items():
            drops = {name: self._drop(evidence, arm, name) for name in self.conditions}
            target, others = drops[self.extinguished], drops[self.retained]
            values[arm] = base.selectivity(target, others, self.min_drop)
            same = base.selectivity(target, drops[self.same_context], self.min_drop)
            apart = self._apart(evidence, arm)
            values |= {
                f"{arm}/same_context": same,
                f"{arm}/drop": target,
                f"{arm}/gate_distance": apart,
            }
            details += [
                base.detail(arm, f"drop of V in {self.extinguished}", SHARE, target),
                base.detail(arm, f"drop of V in {self.retained}", SHARE, others),
            ]
            for phase in self.stages:
                level = self._level(evidence, arm, self.retained, phase)
                earned = self._earned(evidence, arm, phase)
                details += [
                    base.detail(
                        arm, f"mean V in {self.retained} after {phase}", "return", level
                    ),
                    base.detail(
                        arm, f"return in {self.retained} after {phase}", OPTIMUM, earned
                    ),
                ]
            if readings[self.retained].gates.shape[-1] > 1:
                after = self._earned(evidence, arm, self.after_phase)
                details += _parted(
                    arm,
                    apart,
                    (
                        ("S", self.UNIT, values[arm]),
                        (f"V that is left in {self.retained}", SHARE, 1 - others),
                        (f"return in {self.retained} after it", OPTIMUM, after),
                    ),
                )
        return base.Measured(values, tuple(details))

    def _earned(
        self, evidence: base.Evidence, arm: str, phase: str
    ) -> Float[np.ndarray, " N"]:
        """V is not behaviour: what the agent would earn in the kept condition."""
        reading = evidence.stages[phase][arm][self.retained]
        condition = evidence.conditions[self.retained]
        return battery.return_fraction(reading, condition, evidence.acting)

    def _apart(self, evidence: base.Evidence, arm: str) -> Float[np.ndarray, " N"]:
        """Total variation of the mean gates of both conditions, 0 to 1.

        Where it is small no part is of one condition more than of the other.
        """
        found = evidence.stages[self.before_phase][arm]
        one, other = (
            battery.gate_shares(found[name], evidence.conditions[name])
            for name in (self.extinguished, self.retained)
        )
        return 0.5 * np.abs(one - other).sum(axis=-1)

    def _drop(
        self, evidence: base.Evidence, arm: str, name: str
    ) -> Float[np.ndarray, " N"]:
        before, after = (self._level(evidence, arm, name, s) for s in self.stages)
        there = before > 1e-6
        left = np.where(there, after / np.where(there, before, 1.0), 1.0)
        return np.clip(1 - left, 0.0, 1.0)

    def _level(
        self, evidence: base.Evidence, arm: str, name: str, phase: str
    ) -> Float[np.ndarray, " N"]:
        """Mean V; a V that rises is no drop, and not what it was either."""
        reading = evidence.stages[phase][arm][name]
        return base.masked_mean(reading.value, evidence.conditions[name].reachable)


def _parted(
    arm: str,
    apart: Float[np.ndarray, " N"],
    numbers: Sequence[tuple[str, str, Float[np.ndarray, " N"]]],
) -> list[base.Detail]:
    """What the seeds whose gates are apart do, beside what the others do.

    Args:
      numbers: name, unit and the number of each seed.
    """
    far = apart > 0.5
    distance = "distance of the gates of both conditions before it"
    details = [
        base.detail(arm, distance, "total variation, 0 to 1", apart),
        base.share(arm, "seeds in which that distance is > 1/2", far),
    ]
    for name, unit, x in numbers:
        for these, seeds in ((far, "those seeds"), (~far, "the other seeds")):
            mean = float(x[these].mean()) if these.any() else float("nan")
            details.append(base.detail(arm, f"{name}, in {seeds}", unit, mean))
    return details
