"""P16, P23: how likely an agent takes what began to pay, before and after it did."""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from shardsim.core import fields
from shardsim.evaluation import exact_policies
from shardsim.evaluation.measures import base


@fields.record
class EventProbability:
    """P16, P23: the probability of an event in an episode, and how it has changed.

    Its rows besides `ARM`, which is the probability after `after_phase`: `ARM/before`
    is that after `before_phase`, `ARM/change` the first less the second.
    """

    ROWS: ClassVar[tuple[str, ...]] = ("before", "change")

    ABOUT: ClassVar[str] = "policy"
    METRIC: ClassVar[str] = "probability of the event in an episode"
    UNIT: ClassVar[str] = "probability"
    kind: Literal["event_probability"] = "event_probability"
    before_phase: str = "before"
    """Phase after which the agent does not know that the event pays."""
    after_phase: str = "after"
    """Phase in which it paid."""
    condition: str = "in_distribution"
    """Condition in which the agent acts."""
    counted: str = "event_alone"
    """The same world with a reward of 1 for the event, which happens once in an episode
    at most, and no other reward."""

    @fields.rule("condition", "counted")
    def _different_conditions(self) -> Iterator[str]:
        yield from base.repeated("counted", self.conditions)

    @fields.rule("before_phase", "after_phase")
    def _different_phases(self) -> Iterator[str]:
        yield from base.same_phase(self.before_phase, self.after_phase)

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition, self.counted)

    @property
    def stages(self) -> tuple[str, ...]:
        return (self.before_phase, self.after_phase)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """P = mean over levels of the probability of the event within the time limit.

        It is the exact expected number of events of an episode from the start of the
        level: the undiscounted return of the policy where the event alone pays 1. The
        policy is that of the acting rule in `condition`, so a lookahead sees what the
        next step pays there.
        """
        rows: dict[str, np.ndarray] = {}
        weights = base.level_weights(evidence)
        for arm in evidence.readings:
            before, after = (
                self._probability(evidence, arm, phase, weights)
                for phase in self.stages
            )
            rows |= {
                arm: after,
                f"{arm}/before": before,
                f"{arm}/change": after - before,
            }
        details = [
            base.detail(arm, f"P(event) after {phase}", self.UNIT, rows[row][0])
            for arm in evidence.readings
            for phase, row in zip(self.stages, (f"{arm}/before", arm), strict=True)
        ]
        return base.resampled(rows, weights.shape[1], details)

    def _probability(
        self,
        evidence: base.Evidence,
        arm: str,
        phase: str,
        weights: Float[np.ndarray, "rows L"],
    ) -> Float[np.ndarray, "rows N"]:
        """Mean over levels, by row of weights and seed."""
        reading = evidence.stages[phase][arm][self.condition]
        policy = exact_policies.policy(
            reading.value,
            reading.policy_logits,
            evidence.conditions[self.condition],
            evidence.acting,
        )
        counted = evidence.conditions[self.counted]
        each = exact_policies.expected_return(
            policy, counted, 1.0, evidence.acting.max_steps
        )
        # a matrix product adds up in an order that depends on the shapes
        total: np.ndarray = np.einsum("rl,nl->rn", weights, each.astype(np.float64))
        return total / weights.shape[1]
