"""P6: switch one part of V off; does only its own behaviour go?"""

from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from shardsim.core import fields
from shardsim.evaluation import battery
from shardsim.evaluation.measures import base

DRAWS = 4
"""Random orders of the groups, by whose mean S by chance is told."""


@fields.record
class SelectiveAblation:
    """Ablate the units that serve one context; see what the other contexts lose."""

    ROWS: ClassVar[tuple[str, ...]] = ("random",)
    VALUE_ACTS: ClassVar[bool] = True  # else nothing that is removed is missed
    METRIC: ClassVar[str] = "selectivity of an ablation"
    UNIT: ClassVar[str] = "index from -1 to 1"
    kind: Literal["selective_ablation"] = "selective_ablation"
    condition: str = "in_distribution"
    """Condition that is measured."""
    num_groups: Annotated[int, Field(ge=2)] = 8
    """Groups into which the units of a head without shards are divided, by their
    contribution to the context."""
    replacement: Literal["zero", "mean"] = "zero"
    """What replaces an ablated unit: zero, or its mean over the states by which the
    group was chosen."""
    min_drop: fields.Fraction = 0.1
    """Smallest drop of the target that counts; below it the selectivity is 0."""

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """S = (drop of target - drop of others) / (their sum), mean over contexts.

        A drop is (R - R without the part) / (R - R under V = 0), clipped to [0, 1], R
        the exact expected return in levels of one context. The groups of an arm are its
        shards, or its units in `parts` groups; the part is the first n of them, by how
        much more they count in the context than in the others. Every arm gets the n
        that is best for it: with it S is largest on one half of the levels, and taken
        on the other. No number where a half lacks a context, or there is but one.
        `arm/random`: the same with groups in random order, mean of 4 draws: what S is
        by chance.
        """
        condition = evidence.conditions[self.condition]
        context = condition.context[:, 0].argmax(axis=-1)
        choosing = np.arange(len(context)) % 2 == 0
        values: dict[str, np.ndarray] = {}
        details: list[base.Detail] = []
        for arm, readings in evidence.readings.items():
            reading = readings[self.condition]
            if _lacking(context, choosing):
                nothing = np.full(len(reading.value), np.nan)
                values |= {arm: nothing, f"{arm}/random": nothing}
                continue
            scores = _scores(reading, condition, context, choosing)
            here = (reading, condition, context, choosing, evidence.acting)
            drops = self._drops(*here, scores)
            values[arm] = selective(drops, self.min_drop).mean(axis=-1)
            draws = np.random.default_rng(0).random((DRAWS, *scores.shape))
            by_chance = [selective(self._drops(*here, d), self.min_drop) for d in draws]
            values[f"{arm}/random"] = np.mean(by_chance, axis=(0, -1))
            own = np.eye(drops.shape[-1], dtype=bool)
            unit = "share of what V gives"
            details += [
                base.detail(arm, "drop of the target", unit, drops[:, own]),
                base.detail(arm, "drop of the others", unit, drops[:, ~own]),
                # a mean hides what is all in some seeds and nothing in others
                base.share(arm, "seeds in which S > 1/2", values[arm] > 0.5),
            ]
        return base.Measured(values, tuple(details))

    def _drops(
        self,
        reading: battery.Reading,
        condition: battery.Condition,
        context: np.ndarray,
        choosing: np.ndarray,
        how: battery.ActingRule,
        scores: Float[np.ndarray, "N C G"],
    ) -> Float[np.ndarray, "N C C"]:
        """drops[n, c, d]: what context d loses when c's part is removed."""
        contexts = np.unique(context)
        places, groups = self._places(scores, reading.unit_shard)
        fill = np.zeros_like(reading.units[:, :1, :1])
        if self.replacement == "mean":
            mask = condition.reachable & choosing[:, None]
            fill = reading.units[:, mask].mean(axis=1)[:, None, None]
        units = reading.units - fill
        whole = _returns(reading.value, reading.policy_logits, condition, how)
        alone = _returns(
            np.zeros_like(reading.value), reading.policy_logits, condition, how
        )
        halves = [
            [(context == name) & half for name in contexts]
            for half in (choosing, ~choosing)
        ]
        sizes = max(groups - 1, 1)  # a lone group can only go as a whole
        drops = np.zeros((2, sizes, len(whole), len(contexts), len(contexts)))
        for size, c in np.ndindex(sizes, len(contexts)):
            part = (places[:, c] <= size).astype(units.dtype)
            gone = np.einsum("nlsu,nu->nls", units, part)
            left = _returns(reading.value - gone, reading.policy_logits, condition, how)
            for half, d in np.ndindex(2, len(contexts)):
                drops[half, size, :, c, d] = _drop(whole, left, alone, halves[half][d])
        chosen, tested = drops
        best = selective(chosen, self.min_drop).argmax(axis=0)
        return np.take_along_axis(tested, best[None, ..., None], axis=0)[0]

    def _places(
        self, scores: Float[np.ndarray, "N C G"], owners: np.ndarray
    ) -> tuple[Int[np.ndarray, "N C U"], int]:
        """When each unit is removed, 0 with the first group; and how many groups."""
        order, pieces = _descending(scores), scores.shape[-1]
        if owners.max() > 0:  # shards
            return order[:, :, owners], pieces
        groups = min(self.num_groups, pieces)
        return order * groups // pieces, groups


def _scores(
    reading: battery.Reading,
    condition: battery.Condition,
    context: np.ndarray,
    choosing: np.ndarray,
) -> Float[np.ndarray, "N C G"]:
    """How much more a shard (of a head without shards, a unit) counts in a context.

    Mean |contribution| in the context less the mean in the others.
    """
    share = np.abs(reading.units)
    weight = condition.reachable & choosing[:, None]
    means = [
        share[:, weight & (context == name)[:, None]].mean(axis=1)
        for name in np.unique(context)
    ]
    mean = np.stack(means, axis=1)
    score = mean - (mean.sum(axis=1, keepdims=True) - mean) / (len(means) - 1)
    shards = int(reading.unit_shard.max()) + 1
    return score @ np.eye(shards)[reading.unit_shard] if shards > 1 else score


def _descending(score: np.ndarray) -> Int[np.ndarray, "..."]:
    """The place of each in the order from the largest down."""
    return np.argsort(np.argsort(-score, axis=-1, kind="stable"), axis=-1)


def _lacking(context: np.ndarray, choosing: np.ndarray) -> bool:
    """Whether there is but one context, or a half of the levels lacks one."""
    contexts = set(context)
    halves = set(context[choosing]), set(context[~choosing])
    return len(contexts) < 2 or any(half != contexts for half in halves)


def selective(
    drops: Float[np.ndarray, "... C C"], least: float
) -> Float[np.ndarray, "... C"]:
    """`base.selectivity` of each context's part.

    Args:
      drops: [..., c, d]: what context d loses without the part of c.
    """
    target = np.einsum("...cc->...c", drops)
    others = (drops.sum(axis=-1) - target) / (drops.shape[-1] - 1)
    return base.selectivity(target, others, least)


def _drop(
    whole: np.ndarray, left: np.ndarray, alone: np.ndarray, levels: np.ndarray
) -> Float[np.ndarray, " N"]:
    """The share of what V gives in some levels that is lost."""
    lost = (whole - left)[:, levels].mean(axis=1)
    room = (whole - alone)[:, levels].mean(axis=1)
    fine = room > 1e-6
    return np.clip(np.where(fine, lost / np.where(fine, room, 1.0), 0.0), 0.0, 1.0)


def _returns(
    value: np.ndarray,
    prior: np.ndarray,
    condition: battery.Condition,
    how: battery.ActingRule,
) -> Float[np.ndarray, "N L"]:
    chosen = battery.policy(value, prior, condition, how)
    return battery.expected_return(chosen, condition, how.discount, how.max_steps)
