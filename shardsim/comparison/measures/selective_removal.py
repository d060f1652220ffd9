"""P6: switch one part of V off; does only its own behaviour go?"""

import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Float

from shardsim.comparison import battery
from shardsim.comparison.measures import base


@dataclasses.dataclass(frozen=True)
class SelectiveRemoval:
    """Remove the part that serves one context; see what the others lose."""

    kind: Literal["selective_removal"] = "selective_removal"
    condition: str = "in_distribution"
    parts: int = 4
    """A head without shards of its own loses the same share of its units, 1/parts of
    them: those that count most for the context."""
    replace: Literal["zero", "mean"] = "zero"
    """What stands in for a removed unit: nothing, or its mean over the states by which
    the part was chosen."""
    least: float = 0.1
    """A drop of the target below this is no removal: selectivity is then 0."""

    def __post_init__(self) -> None:
        if self.parts < 2:
            raise ValueError(f"parts: got {self.parts}; allowed: at least 2")

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """S = (drop of target - drop of others) / (their sum), mean over contexts.

        A drop is (R - R without the part) / (R - R of D alone), clipped to [0, 1], R
        the exact expected return in levels of one context. The part is chosen on one
        half of the levels and the drop is taken on the other.
        """
        condition = evidence.conditions[self.condition]
        context = condition.context[:, 0].argmax(axis=-1)
        choosing = np.arange(len(context)) % 2 == 0
        values, details = {}, {}
        for arm, readings in evidence.readings.items():
            reading = readings[self.condition]
            drops = self._drops(reading, condition, context, choosing, evidence.how)
            values[arm] = selectivity(drops, self.least)
            target = np.einsum("ncc->nc", drops).mean()
            count = drops.shape[1]
            others = (drops.sum() - drops.trace(axis1=1, axis2=2).sum()) / (
                len(drops) * count * max(count - 1, 1)
            )
            details[f"{arm}: drop of target, of others"] = [
                float(target),
                float(others),
            ]
        return base.Measured(values, details)

    def _drops(
        self,
        reading: battery.Reading,
        condition: battery.Condition,
        context: np.ndarray,
        choosing: np.ndarray,
        how: battery.Judged,
    ) -> Float[np.ndarray, "N C C"]:
        """drops[n, c, d]: what context d loses when c's part is removed."""
        contexts = np.unique(context)
        removed = self._chosen(reading, condition, context, choosing, contexts)
        fill = np.zeros_like(reading.units[:, :1, :1])
        if self.replace == "mean":
            mask = condition.reachable & choosing[:, None]
            fill = reading.units[:, mask].mean(axis=1)[:, None, None]
        gone = np.einsum("nlsu,ncu->ncls", reading.units - fill, removed)
        ablated = reading.value[:, None] - gone
        whole = _returns(reading.value, reading.prior, condition, how)
        alone = _returns(np.zeros_like(reading.value), reading.prior, condition, how)
        drops = np.zeros((len(reading.value), len(contexts), len(contexts)))
        for c in range(len(contexts)):
            left = _returns(ablated[:, c], reading.prior, condition, how)
            for d, name in enumerate(contexts):
                test = (context == name) & ~choosing
                lost = (whole - left)[:, test].mean(axis=1)
                room = (whole - alone)[:, test].mean(axis=1)
                fine = room > 1e-6
                ratio = np.where(fine, lost / np.where(fine, room, 1.0), 0.0)
                drops[:, c, d] = np.clip(ratio, 0.0, 1.0)
        return drops

    def _chosen(
        self,
        reading: battery.Reading,
        condition: battery.Condition,
        context: np.ndarray,
        choosing: np.ndarray,
        contexts: np.ndarray,
    ) -> Float[np.ndarray, "N C U"]:
        """1 where a unit belongs to the part that serves the context most.

        Score: mean |contribution| in the context less the mean in the others.
        """
        share = np.abs(reading.units)
        weight = condition.reachable & choosing[:, None]
        means = []
        for name in contexts:
            mask = weight & (context == name)[:, None]
            means.append(share[:, mask].mean(axis=1))
        mean = np.stack(means, axis=1)
        count = len(contexts)
        score = mean - (mean.sum(axis=1, keepdims=True) - mean) / max(count - 1, 1)
        parts = int(reading.owners.max()) + 1
        if parts > 1:
            member = np.eye(parts)[reading.owners]
            best = (score @ member).argmax(axis=-1)
            return np.moveaxis(member[:, best], 0, -1)
        size = max(1, round(score.shape[-1] / self.parts))
        rank = np.argsort(np.argsort(-score, axis=-1, kind="stable"), axis=-1)
        return (rank < size).astype(np.float64)


def selectivity(
    drops: Float[np.ndarray, "N C C"], least: float
) -> Float[np.ndarray, " N"]:
    """Mean over contexts of (target - others) / (target + others), in [-1, 1]."""
    count = drops.shape[1]
    target = np.einsum("ncc->nc", drops)
    others = (drops.sum(axis=2) - target) / max(count - 1, 1)
    total = np.where(target + others > 0, target + others, 1.0)
    each = np.where(target < least, 0.0, (target - others) / total)
    return each.mean(axis=1)


def _returns(
    value: np.ndarray,
    prior: np.ndarray,
    condition: battery.Condition,
    how: battery.Judged,
) -> Float[np.ndarray, "N L"]:
    chosen = battery.policy(value, prior, condition, how)
    return battery.expected_return(chosen, condition, how.discount, how.max_steps)
