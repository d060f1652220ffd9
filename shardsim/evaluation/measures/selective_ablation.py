"""P6: ablate one part of V. Does only the behaviour of its own context suffer?

Symbols: N seeds, L levels, S states, A actions, C contexts, G groups, U units.
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from shardsim.core import fields
from shardsim.evaluation import battery, exact_policies, state_readings
from shardsim.evaluation.measures import base

DRAWS = 4
"""Random orders of the groups, whose mean S is the chance level."""


@fields.record
class SelectiveAblation:
    """P6: ablate the units that serve one context; what do the other contexts lose?"""

    ROWS: ClassVar[tuple[str, ...]] = ("random",)
    VALUE_ACTS: ClassVar[bool] = True  # otherwise an ablation changes no behaviour
    ABOUT: ClassVar[str] = "return"
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

        The drop of a context is (R - R without the part) / (R - R under V = 0), clipped
        to [0, 1], where R is the exact expected return in the levels of that context.
        The part belongs to the target context: it is the first n groups in the order
        of how much more they contribute in that context than in the others. Groups
        are the shards of a head, or its units in `num_groups` groups. n is chosen for
        each arm and seed: one half of the levels picks the n with the largest S, the
        other half measures S. No number with a single context, or if one half of the
        levels lacks a context. The row `ARM/random` is the same with the groups in
        random order, mean of 4 draws: S by chance.
        """
        condition = evidence.conditions[self.condition]
        context = condition.context[:, 0].argmax(axis=-1)
        selecting = np.arange(len(context)) % 2 == 0
        # a resample has as many levels of each context in either half
        weights = base.level_weights(evidence, 2 * context + selecting)
        rows: dict[str, np.ndarray] = {}
        details: list[base.Detail] = []
        for arm, readings in evidence.readings.items():
            reading = readings[self.condition]
            if _lacks_context(context, selecting):
                nan = np.full((len(weights), len(reading.value)), np.nan)
                rows |= {arm: nan, f"{arm}/random": nan}
                continue
            scores = _scores(reading, condition, context, selecting)
            inputs = (reading, condition, context, selecting, weights, evidence.acting)
            every = self._drops(*inputs, scores)
            rows[arm] = selective(every, self.min_drop).mean(axis=-1)
            if not evidence.brief:
                draws = np.random.default_rng(0).random((DRAWS, *scores.shape))
                by_chance = [
                    selective(self._drops(*inputs, draw), self.min_drop).mean(axis=-1)
                    for draw in draws
                ]
                rows[f"{arm}/random"] = np.mean(by_chance, axis=0)
            drops = every[0]
            own = np.eye(drops.shape[-1], dtype=bool)
            unit = "share of what V gives"
            details += [
                base.detail(arm, "drop of the target", unit, drops[:, own]),
                base.detail(arm, "drop of the others", unit, drops[:, ~own]),
                # a mean hides an S that is 1 in some seeds and 0 in the others
                base.share(arm, "seeds in which S > 1/2", rows[arm][0] > 0.5),
            ]
        return base.resampled(rows, len(context), details)

    def _drops(
        self,
        reading: state_readings.Reading,
        condition: battery.Condition,
        context: np.ndarray,
        selecting: np.ndarray,
        weights: Float[np.ndarray, "rows L"],
        acting: exact_policies.ActingRule,
        scores: Float[np.ndarray, "N C G"],
    ) -> Float[np.ndarray, "rows N C C"]:
        """drops[r, n, c, d]: what context d loses without the part of context c.

        Args:
          context: [L] the context of each level.
          selecting: [L] levels that choose the size of the part; the others measure.
          weights: of the levels, in the battery and in each resample, which chooses and
            measures anew.
          scores: by which groups are ordered, the largest first.
        """
        contexts = np.unique(context)
        rank, groups = self._group_rank(scores, reading.unit_shard)
        fill = np.zeros_like(reading.units[:, :1, :1])
        if self.replacement == "mean":
            mask = condition.reachable & selecting[:, None]
            fill = reading.units[:, mask].mean(axis=1)[:, None, None]
        units = reading.units - fill
        logits = reading.policy_logits
        intact = _returns(reading.value, logits, condition, acting)
        without_value = _returns(
            np.zeros_like(reading.value), logits, condition, acting
        )
        halves = [
            [(context == name) & half for name in contexts]
            for half in (selecting, ~selecting)
        ]
        sizes = max(groups - 1, 1)  # a single group can only be ablated whole
        shape = (len(weights), len(intact), len(contexts), len(contexts))
        drops = np.zeros((2, sizes, *shape))
        for size, c in np.ndindex(sizes, len(contexts)):
            part = (rank[:, c] <= size).astype(units.dtype)
            removed = np.einsum("nlsu,nu->nls", units, part)
            ablated = _returns(reading.value - removed, logits, condition, acting)
            for half, d in np.ndindex(2, len(contexts)):
                drops[half, size, :, :, c, d] = _drop(
                    intact, ablated, without_value, weights * halves[half][d]
                )
        selection, measurement = drops
        best = selective(selection, self.min_drop).argmax(axis=0)
        return np.take_along_axis(measurement, best[None, ..., None], axis=0)[0]

    def _group_rank(
        self, scores: Float[np.ndarray, "N C G"], unit_shard: Int[np.ndarray, " U"]
    ) -> tuple[Int[np.ndarray, "N C U"], int]:
        """Rank of each unit's group, 0 is ablated first; and the number of groups."""
        order, count = _descending(scores), scores.shape[-1]
        if unit_shard.max() > 0:  # shards
            return order[:, :, unit_shard], count
        groups = min(self.num_groups, count)
        return order * groups // count, groups


def _scores(
    reading: state_readings.Reading,
    condition: battery.Condition,
    context: np.ndarray,
    selecting: np.ndarray,
) -> Float[np.ndarray, "N C G"]:
    """How much more a shard contributes in one context than in the others.

    score = mean |contribution| in the context - its mean over the other contexts, over
    reachable states of the selecting levels. For a head without shards, of its units.
    """
    contribution = np.abs(reading.units)
    weight = condition.reachable & selecting[:, None]
    means = [
        contribution[:, weight & (context == name)[:, None]].mean(axis=1)
        for name in np.unique(context)
    ]
    mean = np.stack(means, axis=1)
    score = mean - (mean.sum(axis=1, keepdims=True) - mean) / (len(means) - 1)
    shards = int(reading.unit_shard.max()) + 1
    return score @ np.eye(shards)[reading.unit_shard] if shards > 1 else score


def _descending(score: np.ndarray) -> Int[np.ndarray, "..."]:
    """The rank of each entry on the last axis; 0 is the largest."""
    return np.argsort(np.argsort(-score, axis=-1, kind="stable"), axis=-1)


def _lacks_context(context: np.ndarray, selecting: np.ndarray) -> bool:
    """Whether there is a single context, or one half of the levels lacks a context."""
    contexts = set(context)
    halves = set(context[selecting]), set(context[~selecting])
    return len(contexts) < 2 or any(half != contexts for half in halves)


def selective(
    drops: Float[np.ndarray, "... C C"], min_drop: float
) -> Float[np.ndarray, "... C"]:
    """`base.selectivity` of the ablation of each context's part.

    Args:
      drops: [..., c, d] what context d loses without the part of context c, in [0, 1].
      min_drop: S is 0 if the target drops by less than this.
    """
    target = np.einsum("...cc->...c", drops)
    others = (drops.sum(axis=-1) - target) / (drops.shape[-1] - 1)
    return base.selectivity(target, others, min_drop)


def _drop(
    intact: Float[np.ndarray, "N L"],
    ablated: Float[np.ndarray, "N L"],
    without_value: Float[np.ndarray, "N L"],
    weights: Float[np.ndarray, "rows L"],
) -> Float[np.ndarray, "rows N"]:
    """(R - R ablated) / (R - R under V = 0) over weighted levels, clipped to [0, 1].

    0 if V adds nothing to the return there.
    """
    share = weights / weights.sum(axis=1, keepdims=True)
    lost = share @ (intact - ablated).T
    gain = share @ (intact - without_value).T
    has_gain = gain > 1e-6
    drop = np.where(has_gain, lost / np.where(has_gain, gain, 1.0), 0.0)
    return np.clip(drop, 0.0, 1.0)


def _returns(
    value: np.ndarray,
    policy_logits: np.ndarray,
    condition: battery.Condition,
    acting: exact_policies.ActingRule,
) -> Float[np.ndarray, "N L"]:
    """Exact expected return in every level."""
    policy = exact_policies.policy(value, policy_logits, condition, acting)
    return exact_policies.expected_return(
        policy, condition, acting.discount, acting.max_steps
    )
