"""P19: in how many states D and V prefer the same action, and where that changes."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float

from shardsim.core import fields
from shardsim.evaluation import battery, exact_policies, state_readings
from shardsim.evaluation.measures import base


@fields.record
class AgreementShift:
    """Agreement of policy and value in one condition minus that in another."""

    ABOUT: ClassVar[str] = "policy and V"
    METRIC: ClassVar[str] = (
        "agreement of policy and value, less that in the shifted condition"
    )
    UNIT: ClassVar[str] = "share of states"
    kind: Literal["agreement"] = "agreement"
    condition: str = "in_distribution"
    """The first condition."""
    shifted: str = "conflict"
    """The condition that is subtracted."""
    tie: fields.Decay = 0.005
    """Actions whose Q is within this distance of the best count as best, in units of
    return; a tenth of a usual gap between actions."""

    @fields.rule("condition", "shifted")
    def _different_conditions(self) -> Iterator[str]:
        yield from base.repeated("shifted", self.conditions)

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition, self.shifted)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """P(argmax_a D in argmax_a Q_V | condition) - P(the same | shifted).

        P is the share of reachable states. All actions whose Q_V is within `tie` of the
        best count as argmax Q_V. The arm `exact` acts greedily on V*.
        """
        rows, details = {}, []
        weights = base.level_weights(evidence)
        for arm, readings in evidence.readings.items():
            rate = {}
            for name in self.conditions:
                condition = evidence.conditions[name]
                reading = readings[name]
                if arm == base.EXACT:
                    # a fixed utility has no D of its own: it acts greedily on V*
                    reading = reading._replace(
                        policy_logits=_greedy(reading, condition, evidence)
                    )
                same = agree(reading, condition, evidence.acting.discount, self.tie)
                rate[name] = base.level_mean(same, condition.reachable, weights)
                details.append(
                    base.detail(
                        arm, f"agreement in {name}", "share of states", rate[name][0]
                    )
                )
            rows[arm] = rate[self.condition] - rate[self.shifted]
        return base.resampled(rows, weights.shape[1], details)


def agree(
    reading: state_readings.Reading,
    condition: battery.Condition,
    discount: float,
    tie: float,
) -> Bool[np.ndarray, "N L S"]:
    """Whether the best action of D is one of the best actions of Q_V, in every state.

    Args:
      discount: gamma in [0, 1).
      tie: largest distance to the best Q that counts as best, in units of the return.
    """
    q = exact_policies.q_values(reading.value, condition, discount)
    best = q >= q.max(axis=-1, keepdims=True) - tie
    preferred = reading.policy_logits.argmax(axis=-1)
    return np.take_along_axis(best, preferred[..., None], axis=-1)[..., 0]


def _greedy(
    reading: state_readings.Reading,
    condition: battery.Condition,
    evidence: base.Evidence,
) -> Float[np.ndarray, "N L S A"]:
    return exact_policies.q_values(reading.value, condition, evidence.acting.discount)
