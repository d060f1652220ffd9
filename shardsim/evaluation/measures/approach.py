"""P14, P20: does an agent still go for what paid, where that looks or is different?"""

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float

from shardsim.core import fields
from shardsim.evaluation import battery, exact_policies, state_readings
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

    ABOUT: ClassVar[str] = "return"
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
        """A = (G(pi') - G(uniform)) / (G* - G(uniform)).

        pi' is the policy of the agent in the changed condition. G(pi) is the mean over
        levels of the exact expected return that a policy would earn in the condition
        that is not changed, from the start of the level: what it goes for there. G* is
        the largest such return, and uniform takes all actions equally often. 1 means
        that the agent goes for the same things as well as can be, 0 that it goes for
        them as random steps do. No number where no policy is better than random steps.

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
            condition = evidence.conditions[self.changed]
            mean = base.level_mean(
                own[self.changed].value, condition.reachable, weights
            )
            known = evidence.conditions[self.known]
            scale = base.level_mean(known.optimal[None], known.reachable, weights)
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
    """(G(pi') - G(uniform)) / (G* - G(uniform)), by row of weights and seed."""
    acting, condition = evidence.acting, evidence.conditions[known]
    policy = exact_policies.policy(
        readings[changed].value,
        readings[changed].policy_logits,
        evidence.conditions[changed],
        acting,
    )
    uniform = np.full_like(policy[:1], 1 / policy.shape[-1])
    of_policy = _mean_return(policy, condition, acting, weights)
    of_chance = _mean_return(uniform, condition, acting, weights)
    best = weights @ condition.best.astype(np.float64) / weights.shape[1]
    room = best[:, None] - of_chance
    return (of_policy - of_chance) / np.where(room > 1e-6, room, np.nan)


def _mean_return(
    policies: Float[np.ndarray, "M L S A"],
    condition: battery.Condition,
    acting: exact_policies.ActingRule,
    weights: Float[np.ndarray, "rows L"],
) -> Float[np.ndarray, "rows M"]:
    """Mean over levels of the exact expected return, by row of weights."""
    each = exact_policies.expected_return(
        policies, condition, acting.discount, acting.max_steps
    )
    # a matrix product adds up in an order that depends on the shapes
    total: np.ndarray = np.einsum("rl,ml->rm", weights, each.astype(np.float64))
    return total / weights.shape[1]
