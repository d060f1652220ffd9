"""P19: how often D's best action is V's best action, and where they part."""

import dataclasses
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float

from shardsim.evaluation import battery
from shardsim.evaluation.measures import base


@dataclasses.dataclass(frozen=True)
class AgreementShift:
    """Agreement of policy and value in one condition less that in another."""

    METRIC: ClassVar[str] = (
        "agreement of policy and value, less that in the shifted condition"
    )
    UNIT: ClassVar[str] = "share of states"
    kind: Literal["agreement"] = "agreement"
    condition: str = "in_distribution"
    shifted: str = "conflict"
    tie: float = 0.005
    """Actions whose Q is within this of the best count as best; a tenth of the usual
    action gap."""

    def __post_init__(self) -> None:
        if not 0 <= self.tie < 1:
            raise ValueError(f"tie: got {self.tie}; allowed: 0 to less than 1")
        base.check_different("shifted", self.conditions)

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition, self.shifted)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """P(argmax D in argmax Q_V | condition) - P(the same | shifted)."""
        values, details = {}, []
        for arm, readings in evidence.readings.items():
            rate = {}
            for name in self.conditions:
                condition = evidence.conditions[name]
                reading = readings[name]
                if arm == base.EXACT:
                    # one utility whose policy is its own: D is the greedy policy
                    reading = reading._replace(
                        policy_logits=_greedy(reading, condition, evidence)
                    )
                agrees = agree(reading, condition, evidence.acting.discount, self.tie)
                rate[name] = base.masked_mean(agrees, condition.reachable)
                details.append(
                    base.detail(
                        arm, f"agreement in {name}", "share of states", rate[name]
                    )
                )
            values[arm] = rate[self.condition] - rate[self.shifted]
        return base.Measured(values, tuple(details))


def agree(
    reading: battery.Reading,
    condition: battery.Condition,
    discount: float,
    tie: float,
) -> Bool[np.ndarray, "N L S"]:
    """Whether D's best action is among the best by Q_V."""
    q = battery.q_values(reading.value, condition, discount)
    best = q >= q.max(axis=-1, keepdims=True) - tie
    chosen = reading.policy_logits.argmax(axis=-1)
    return np.take_along_axis(best, chosen[..., None], axis=-1)[..., 0]


def _greedy(
    reading: battery.Reading, condition: battery.Condition, evidence: base.Evidence
) -> Float[np.ndarray, "N L S A"]:
    return battery.q_values(reading.value, condition, evidence.acting.discount)
