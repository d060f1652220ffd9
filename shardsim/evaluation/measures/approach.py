"""P14, P20: does V still bid for what paid, where that looks or is different?"""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from shardsim.core import fields
from shardsim.evaluation import exact_policies, state_readings
from shardsim.evaluation.measures import base


@fields.record
class Approach:
    """P14, P20: approach in a changed condition, in units of the best approach.

    Its rows besides `ARM`: `ARM/known` is the approach in the condition that is not
    changed, for a control which shows that it was learned. `ARM/reference` is the
    approach after another change, see `reference`. `ARM/value` is the mean of V in the
    changed condition, in units of mean V* where nothing is changed.
    """

    ROWS: ClassVar[tuple[str, ...]] = ("known", "reference", "value")
    BESIDE: ClassVar[tuple[str, ...]] = ("value",)

    ABOUT: ClassVar[str] = "policy"
    METRIC: ClassVar[str] = "approach in the changed condition"
    UNIT: ClassVar[str] = "best approach"
    kind: Literal["approach"] = "approach"
    known: str = "in_distribution"
    """The condition in which the approach was learned and pays."""
    changed: str = "changed"
    """The same levels, of which the agent sees something else, as hunger or a skin."""
    reference: tuple[str, str] = ("in_distribution", "reference")
    """Another pair of such conditions: the row `ARM/reference`."""
    phase: str | None = None
    """The phase at whose end the agent is asked; null: the end of training."""

    @fields.rule("known", "changed", "reference")
    def _different_conditions(self) -> Iterator[str]:
        yield from base.repeated("changed", (self.known, self.changed))
        yield from base.repeated("reference", self.reference)

    @property
    def conditions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((self.known, self.changed, *self.reference)))

    @property
    def stages(self) -> tuple[str, ...]:
        return () if self.phase is None else (self.phase,)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """A = sum_s [E_pi' Q*(s, a) - mean_a Q*] / sum_s [max_a Q* - mean_a Q*].

        pi' is the policy of the agent in the changed condition, and Q* the exact value
        of an action where nothing is changed: what the agent went for there. Sums are
        over reachable states in which no action ends the episode, so that no step shows
        what it pays now. 1 means that the agent goes for the same things as well as can
        be, 0 that it goes for them as random steps do, and below 0 it avoids them.

        Raises:
          ValueError: the levels of both conditions do not have the same moves.
        """
        readings = (
            evidence.readings if self.phase is None else evidence.stages[self.phase]
        )
        weights = base.level_weights(evidence)
        for known, changed in ((self.known, self.changed), self.reference):
            _check_same_moves(evidence, known, changed)
        rows: dict[str, np.ndarray] = {}
        details: list[base.Detail] = []
        for arm, own in readings.items():
            first, second = (
                evidence.conditions[name] for name in (self.known, self.changed)
            )
            mean = base.level_mean(own[self.changed].value, second.reachable, weights)
            scale = base.level_mean(first.optimal[None], first.reachable, weights)
            rows |= {
                arm: _approach(evidence, own, self.known, self.changed, weights),
                f"{arm}/known": _approach(
                    evidence, own, self.known, self.known, weights
                ),
                f"{arm}/reference": _approach(evidence, own, *self.reference, weights),
                f"{arm}/value": mean / np.where(scale > 0, scale, np.nan),
            }
            details += [
                base.detail(arm, f"approach in {name}", self.UNIT, rows[row][0])
                for name, row in (
                    (self.known, f"{arm}/known"),
                    (self.reference[1], f"{arm}/reference"),
                )
            ]
        return base.resampled(rows, weights.shape[1], details)


def _check_same_moves(evidence: base.Evidence, known: str, changed: str) -> None:
    """Refuse two conditions in which the same actions lead elsewhere."""
    one, other = (evidence.conditions[name].table for name in (known, changed))
    for field in ("successor", "terminated", "start"):
        if not np.array_equal(getattr(one, field), getattr(other, field)):
            raise ValueError(
                f"measure: got conditions {known} and {changed}, whose levels differ "
                f"in {field}; allowed: conditions with the same moves"
            )


def _approach(
    evidence: base.Evidence,
    readings: dict[str, state_readings.Reading],
    known: str,
    changed: str,
    weights: Float[np.ndarray, "rows L"],
) -> Float[np.ndarray, "rows N"]:
    """What the policy in `changed` gains of Q* in `known`, by row of weights."""
    acting, condition = evidence.acting, evidence.conditions[known]
    policy = exact_policies.policy(
        readings[changed].value,
        readings[changed].policy_logits,
        evidence.conditions[changed],
        acting,
    )
    q = exact_policies.q_values(condition.optimal, condition, acting.discount)
    # of actions that differ by little, in float64
    gain = q.astype(np.float64) - q.mean(axis=-1, keepdims=True, dtype=np.float64)
    goes_on = ~np.asarray(condition.table.terminated).any(axis=-1)
    where = condition.reachable & goes_on
    of_policy = base.level_mean((policy * gain).sum(axis=-1), where, weights)
    of_best = base.level_mean(gain.max(axis=-1)[None], where, weights)
    return of_policy / np.where(of_best > 1e-9, of_best, np.nan)
