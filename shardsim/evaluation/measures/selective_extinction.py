"""P13: one context is no longer rewarded. Does V fall in that context alone?"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from shardsim.core import fields
from shardsim.evaluation import exact_policies, state_readings
from shardsim.evaluation.measures import base

Quantity: TypeAlias = Callable[
    [base.Evidence, str, str, str, np.ndarray], Float[np.ndarray, "rows N"]
]
"""(evidence, arm, condition, phase, weights of the levels) -> [rows, N]."""
SHARE, OPTIMUM = "share of V before", "fraction of the optimal return"
"""Units of the details."""


@fields.record
class SelectiveExtinction:
    """P13: extinguish V of one context; what does V lose in a context not shown?

    Its rows besides `ARM`: `ARM/drop` is the drop in the extinguished condition, for a
    control which shows that V was extinguished at all. `ARM/same_context`: see the
    field. `ARM/gate_distance` is the distance of the mean gates of both conditions
    before the extinction (total variation, 0 to 1; 0 for a head with one shard).
    `ARM/bid` and `ARM/return` are S of what V does: see `measure`.
    """

    ROWS: ClassVar[tuple[str, ...]] = (
        *("same_context", "drop", "gate_distance"),
        *("bid", "return"),
    )
    ABOUT: ClassVar[str] = "V"
    BESIDE: ClassVar[tuple[str, ...]] = ("bid", "return")

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

    @fields.rule("extinguished", "retained", "same_context")
    def _different_conditions(self) -> Iterator[str]:
        yield from base.repeated("retained", self.conditions)

    @fields.rule("before_phase", "after_phase")
    def _different_phases(self) -> Iterator[str]:
        yield from base.same_phase(self.before_phase, self.after_phase)

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.extinguished, self.retained, self.same_context)

    @property
    def stages(self) -> tuple[str, ...]:
        return (self.before_phase, self.after_phase)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """S = (drop of `extinguished` - drop of `retained`) / (their sum).

        The drop of a condition is 1 - (mean V after `after_phase`) / (mean V after
        `before_phase`), clipped to [0, 1], over reachable states. It is 0 if mean V was
        not above 0. S is 0 if `extinguished` drops by less than `min_drop`.

        A mean of V is no bid: V can fall and still say which way is better. So the same
        S stands beside it of the bid and of the return. The bid is the mean of
        Q(s, a*) - mean_a Q(s, a), with Q = gamma V(s') and a* the best action under V*,
        over states in which no action ends the episode. The return is the exact
        expected return under the condition's own rewards, as before the extinction.
        """
        rows: dict[str, np.ndarray] = {}
        weights = base.level_weights(evidence)
        details: list[base.Detail] = []
        for arm, readings in evidence.readings.items():
            drops = {
                name: self._drop(evidence, arm, name, weights)
                for name in self.conditions
            }
            target, others = drops[self.extinguished], drops[self.retained]
            same = base.selectivity(target, drops[self.same_context], self.min_drop)
            gate_distance = self._gate_distance(evidence, arm)
            rows |= {
                arm: base.selectivity(target, others, self.min_drop),
                f"{arm}/same_context": same,
                f"{arm}/drop": target,
                # it selects seeds, by what they are in the levels of the battery
                f"{arm}/gate_distance": np.repeat(
                    gate_distance[None], len(weights), axis=0
                ),
            }
            for row, of in (("bid", self._bid), ("return", self._return)):
                lost = [
                    self._lost(of, evidence, arm, name, weights)
                    for name in (self.extinguished, self.retained)
                ]
                rows[f"{arm}/{row}"] = base.selectivity(lost[0], lost[1], self.min_drop)
                details += [
                    base.detail(arm, f"drop of the {row} in {name}", "share", x[0])
                    for name, x in zip(
                        (self.extinguished, self.retained), lost, strict=True
                    )
                ]
            target, others = target[0], others[0]
            details += [
                base.detail(arm, f"drop of V in {self.extinguished}", SHARE, target),
                base.detail(arm, f"drop of V in {self.retained}", SHARE, others),
            ]
            for phase in self.stages:
                mean = self._mean_value(evidence, arm, self.retained, phase, weights)
                fraction = self._return_fraction(evidence, arm, phase)
                where = f"in {self.retained} after {phase}"
                details += [
                    base.detail(arm, f"mean V {where}", "return", mean[0]),
                    base.detail(arm, f"return {where}", OPTIMUM, fraction),
                ]
            if readings[self.retained].gates.shape[-1] > 1:
                after = self._return_fraction(evidence, arm, self.after_phase)
                details += _by_gate_distance(
                    arm,
                    gate_distance,
                    (
                        ("S", self.UNIT, rows[arm][0]),
                        (f"V that is left in {self.retained}", SHARE, 1 - others),
                        (f"return in {self.retained} after it", OPTIMUM, after),
                    ),
                )
        return base.resampled(rows, weights.shape[1], details)

    def _return_fraction(
        self, evidence: base.Evidence, arm: str, phase: str
    ) -> Float[np.ndarray, " N"]:
        """Return in `retained`: V can fall without a change of behaviour."""
        reading = evidence.stages[phase][arm][self.retained]
        condition = evidence.conditions[self.retained]
        return exact_policies.return_fraction(reading, condition, evidence.acting)

    def _gate_distance(
        self, evidence: base.Evidence, arm: str
    ) -> Float[np.ndarray, " N"]:
        """Total variation of the mean gates of both conditions, 0 to 1.

        If it is small, no shard belongs to one condition more than to the other.
        """
        readings = evidence.stages[self.before_phase][arm]
        one, other = (
            state_readings.gate_shares(readings[name], evidence.conditions[name])
            for name in (self.extinguished, self.retained)
        )
        return 0.5 * np.abs(one - other).sum(axis=-1)

    def _drop(
        self, evidence: base.Evidence, arm: str, name: str, weights: np.ndarray
    ) -> Float[np.ndarray, "rows N"]:
        """1 - (mean V after) / (mean V before), clipped to [0, 1]."""
        return self._lost(self._mean_value, evidence, arm, name, weights)

    def _lost(
        self,
        quantity: Quantity,
        evidence: base.Evidence,
        arm: str,
        name: str,
        weights: np.ndarray,
    ) -> Float[np.ndarray, "rows N"]:
        """1 - (quantity after) / (quantity before), clipped to [0, 1]."""
        before, after = (
            quantity(evidence, arm, name, phase, weights) for phase in self.stages
        )
        is_positive = before > 1e-6
        ratio = np.where(is_positive, after / np.where(is_positive, before, 1.0), 1.0)
        return np.clip(1 - ratio, 0.0, 1.0)

    def _bid(
        self,
        evidence: base.Evidence,
        arm: str,
        name: str,
        phase: str,
        weights: Float[np.ndarray, "rows L"],
    ) -> Float[np.ndarray, "rows N"]:
        """Mean of Q(s, a*) - mean_a Q(s, a), with Q = gamma V(s')."""
        condition = evidence.conditions[name]
        discount, table = evidence.acting.discount, condition.table
        best = exact_policies.q_values(condition.optimal, condition, discount)
        q = exact_policies.q_values(
            evidence.stages[phase][arm][name].value, condition, discount
        )
        q = q - np.asarray(table.reward)
        preferred = np.broadcast_to(best.argmax(axis=-1)[..., None], (*q.shape[:-1], 1))
        bid = np.take_along_axis(q, preferred, axis=-1)[..., 0] - q.mean(axis=-1)
        goes_on = ~np.asarray(table.terminated).any(axis=-1)
        return base.level_mean(bid, condition.reachable & goes_on, weights)

    def _return(
        self,
        evidence: base.Evidence,
        arm: str,
        name: str,
        phase: str,
        weights: Float[np.ndarray, "rows L"],
    ) -> Float[np.ndarray, "rows N"]:
        """Exact expected return, mean over levels."""
        reading, acting = evidence.stages[phase][arm][name], evidence.acting
        condition = evidence.conditions[name]
        policy = exact_policies.policy(
            reading.value, reading.policy_logits, condition, acting
        )
        of_levels = exact_policies.expected_return(
            policy, condition, acting.discount, acting.max_steps
        )
        return weights @ of_levels.T.astype(np.float64) / weights.shape[1]

    def _mean_value(
        self,
        evidence: base.Evidence,
        arm: str,
        name: str,
        phase: str,
        weights: Float[np.ndarray, "rows L"],
    ) -> Float[np.ndarray, "rows N"]:
        """Mean V over reachable states of a condition, at the end of a phase."""
        reading = evidence.stages[phase][arm][name]
        mask = evidence.conditions[name].reachable
        return base.level_mean(reading.value, mask, weights)


def _by_gate_distance(
    arm: str,
    gate_distance: Float[np.ndarray, " N"],
    numbers: Sequence[tuple[str, str, Float[np.ndarray, " N"]]],
) -> list[base.Detail]:
    """Means over the seeds with a gate distance above 1/2, and over the others.

    Args:
      numbers: name, unit and the number of each seed.
    """
    far = gate_distance > 0.5
    distance = "distance of the gates of both conditions before it"
    details = [
        base.detail(arm, distance, "total variation, 0 to 1", gate_distance),
        base.share(arm, "seeds in which that distance is > 1/2", far),
    ]
    for name, unit, x in numbers:
        for these, seeds in ((far, "those seeds"), (~far, "the other seeds")):
            mean = float(x[these].mean()) if these.any() else float("nan")
            details.append(base.detail(arm, f"{name}, in {seeds}", unit, mean))
    return details
