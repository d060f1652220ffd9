"""P6 by edits: remove V of one context by edits of growing capacity, beside chance.

How much one context's V can be removed alone depends on what an edit may do: a free
one finds the context in almost any features. So S is a curve over the capacity of the
edit, and what counts is the area between it and the same curve for random units.

Symbols: N seeds, L levels, S states, C contexts, U units, D features, R capacities.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field, PositiveInt

from shardsim.core import fields
from shardsim.evaluation import battery, exact_policies, state_readings
from shardsim.evaluation.measures import base
from shardsim.inspection.shards import removal

Kind: TypeAlias = Literal["own", "random", "shuffled"]
"""Edits of V's units, of random units, or for contexts that were shuffled."""
DRAWS = 8
"""Orders of the contexts, and of whole units or shards, for each seed. A single order
makes the edit of a shard either the right one or the wrong one."""


@fields.record
class SelectiveRemoval:
    """P6: how much better than by chance is V of one context removed alone?"""

    ROWS: ClassVar[tuple[str, ...]] = ("own", "random", "shuffled")
    VALUE_ACTS: ClassVar[bool] = True  # otherwise an edit of V changes no behaviour
    NEEDS_FEATURES: ClassVar[bool] = True
    ABOUT: ClassVar[str] = "return"
    METRIC: ClassVar[str] = (
        "area between the selectivity of edits and that of the same edits by chance"
    )
    UNIT: ClassVar[str] = "drop of the target less drop of the others"
    kind: Literal["selective_removal"] = "selective_removal"
    condition: str = "in_distribution"
    """Condition that is measured. With fewer than 256 levels S is mostly noise."""
    family: Literal["linear", "ranked"] = "linear"
    """How an edit removes V of a context. `linear`: it subtracts a linear function of
    V's units. `ranked`: it removes whole units, or shards of a head that has some, in
    the order of how much more they contribute in the context than in the others."""
    capacities: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2, 4, 8)
    """R capacities in rising order: directions that a linear edit reads, or eighths of
    the units (or shards) that a ranked one removes."""

    @fields.rule("capacities", "family")
    def _rising(self) -> Iterator[str]:
        if list(self.capacities) != sorted(set(self.capacities)):
            yield f"capacities: got {self.capacities}; allowed: rising numbers"
        elif self.family == "ranked" and self.capacities[-1] > 8:
            yield (
                f"capacities: got {self.capacities}; allowed with family 'ranked': up "
                "to 8, which are all units"
            )

    @property
    def conditions(self) -> tuple[str, ...]:
        return (self.condition,)

    def measure(self, evidence: base.Evidence) -> base.Measured:
        """mean over capacities of S - S of random units, where S = target - others.

        target and others are drops of the exact return, as shares of it: (R - R after
        the edit) / R, mean over contexts. Half of the levels choose an edit, the other
        half measures it. Nothing is clipped and no drop is too small to count: S is 1
        if the edit takes the whole return of its context and nothing elsewhere, and 0
        for no edit and for one that harms all contexts alike. Where D alone earns much,
        even an edit that leaves no V takes little.

        A linear edit of capacity r subtracts u . b, where b is the fit of V 1[context]
        by partial least squares with r components. Random units are relu(W z + a) of
        the features z, with standard normal W / sqrt(D) and a, as many as V has; a
        ranked edit of them is one in random order. Rows: `ARM/own` and `ARM/random` are
        the two means of S, `ARM/shuffled` that of edits for contexts that were shuffled
        among the levels. Each seed has 8 orders, of contexts and of whole units. No
        number where a half of the levels lacks a context, or if nothing is earned.
        """
        condition = evidence.conditions[self.condition]
        levels = _Levels.of(condition, evidence)
        rows: dict[str, np.ndarray] = {}
        details: list[base.Detail] = []
        for arm, readings in evidence.readings.items():
            reading = readings[self.condition]
            draws = 1 if evidence.brief else DRAWS
            # many random units are as good as several draws of them
            numbers: dict[Kind, int] = {
                "own": 1,
                "random": 1 if self.family == "linear" else draws,
            }
            if not evidence.brief:
                numbers["shuffled"] = draws
            curves = {
                kind: np.mean(
                    [
                        self._curve(reading, condition, levels, evidence, kind, draw)
                        for draw in range(number)
                    ],
                    axis=0,
                )
                for kind, number in numbers.items()
            }
            rows[arm] = (curves["own"] - curves["random"]).mean(axis=0)
            rows |= {f"{arm}/{name}": x.mean(axis=0) for name, x in curves.items()}
            details += [
                base.detail(arm, f"S at capacity {r}, {name}", "S", curve[i, 0])
                for name, curve in curves.items()
                for i, r in enumerate(self.capacities)
            ]
        return base.resampled(rows, len(levels.context), details)

    def _curve(
        self,
        reading: state_readings.Reading,
        condition: battery.Condition,
        levels: "_Levels",
        evidence: base.Evidence,
        kind: Kind,
        draw: int,
    ) -> Float[np.ndarray, "R rows N"]:
        """S at every capacity, in the battery and its resamples of the levels."""
        seeds = len(reading.value)
        if not levels.is_whole:
            return np.full((len(self.capacities), len(levels.weights), seeds), np.nan)
        contexts = [
            levels.shuffled(n, draw) if kind == "shuffled" else levels.context
            for n in range(seeds)
        ]
        edits = np.stack(
            [
                self._edits(
                    _Seed.of(reading, n), condition, levels, context, kind, [n, draw]
                )
                for n, context in enumerate(contexts)
            ],
            axis=2,
        )  # [R, C, N, L, S]
        logits = reading.policy_logits

        def returns(value: np.ndarray) -> Float[np.ndarray, "N L"]:
            policy = exact_policies.policy(value, logits, condition, evidence.acting)
            acting = evidence.acting
            return exact_policies.expected_return(
                policy, condition, acting.discount, acting.max_steps
            )

        intact = returns(reading.value)
        curve = []
        for by_context in edits:
            lost = np.stack(
                [intact - returns(reading.value - edit) for edit in by_context]
            )
            curve.append(levels.selectivity(lost, intact))
        return np.stack(curve)

    def _edits(
        self,
        seed: "_Seed",
        condition: battery.Condition,
        levels: "_Levels",
        context: Int[np.ndarray, " L"],
        kind: Kind,
        order: Sequence[int],
    ) -> Float[np.ndarray, "R C L S"]:
        """What is subtracted from V of one seed, for each capacity and context.

        Args:
          order: seed of the random order of whole units or shards.
        """
        fitted = condition.reachable & levels.fitting[:, None]
        if self.family == "linear":
            units = seed.units
            if kind == "random":
                rng = np.random.default_rng(0)
                units = removal.random_units(seed.features, units.shape[-1], rng)
            return _linear(units, seed.value, fitted, context, self.capacities)
        parts = seed.parts
        means = np.stack(
            [
                np.abs(parts[fitted & (context == c)[:, None]]).mean(axis=0)
                for c in np.unique(context)
            ]
        )
        others = (means.sum(axis=0) - means) / (len(means) - 1)
        scores = means - others
        if kind == "random":
            scores = np.random.default_rng(order).random(scores.shape)
        rank = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
        removed = [
            [parts @ (one < np.ceil(r * len(one) / 8)) for one in rank]
            for r in self.capacities
        ]
        return np.asarray(removed)


class _Seed(NamedTuple):
    """One agent in all states."""

    value: Float[np.ndarray, "L S"]
    units: Float[np.ndarray, "L S U"]
    parts: Float[np.ndarray, "L S G"]
    """Contributions of shards; of units for a head without shards."""
    features: Float[np.ndarray, "L S D"]

    @classmethod
    def of(cls, reading: state_readings.Reading, seed: int) -> "_Seed":
        if reading.features is None:
            raise ValueError("selective_removal: got a reading without features")
        units = reading.units[seed].astype(np.float64)
        shards = int(reading.unit_shard.max()) + 1
        parts = units @ np.eye(shards)[reading.unit_shard] if shards > 1 else units
        value = reading.value[seed].astype(np.float64)
        return cls(value, units, parts, reading.features[seed].astype(np.float64))


class _Levels(NamedTuple):
    """The halves of the levels, and the context of each."""

    context: Int[np.ndarray, " L"]
    fitting: Bool[np.ndarray, " L"]
    weights: Float[np.ndarray, "rows L"]
    is_whole: bool
    """Whether there are several contexts, and all of them in both halves."""

    @classmethod
    def of(cls, condition: battery.Condition, evidence: base.Evidence) -> "_Levels":
        context = condition.context[:, 0].argmax(axis=-1)
        fitting = np.arange(len(context)) % 2 == 0
        halves = [set(context[half].tolist()) for half in (fitting, ~fitting)]
        is_whole = (
            halves[0] == halves[1] == set(context.tolist()) and len(halves[0]) > 1
        )
        weights = base.level_weights(evidence, 2 * context + fitting)
        return cls(context, fitting, weights, is_whole)

    def shuffled(self, seed: int, draw: int) -> Int[np.ndarray, " L"]:
        """The contexts in another order, within each half."""
        rng, shuffled = np.random.default_rng([seed, draw]), self.context.copy()
        for half in (self.fitting, ~self.fitting):
            shuffled[half] = rng.permutation(self.context[half])
        return shuffled

    def selectivity(
        self, lost: Float[np.ndarray, "C N L"], intact: Float[np.ndarray, "N L"]
    ) -> Float[np.ndarray, "rows N"]:
        """Drop of the target context less that of the others, on held-out levels."""
        names = np.unique(self.context)
        of_level = np.stack(
            [self.weights * (~self.fitting & (self.context == c)) for c in names]
        )
        share = of_level / of_level.sum(axis=-1, keepdims=True)
        earned = np.einsum("drl,nl->drn", share, intact)
        taken = np.einsum("drl,cnl->cdrn", share, lost)
        drop = taken / np.where(earned > 1e-6, earned, np.nan)
        target = np.einsum("ccrn->crn", drop)
        others = (drop.sum(axis=1) - target) / (len(names) - 1)
        selectivity: np.ndarray = (target - others).mean(axis=0)
        return selectivity


def _linear(
    units: Float[np.ndarray, "L S U"],
    value: Float[np.ndarray, "L S"],
    fitted: Bool[np.ndarray, "L S"],
    context: Int[np.ndarray, " L"],
    capacities: tuple[int, ...],
) -> Float[np.ndarray, "R C L S"]:
    """u . b for the fit of V 1[context] by partial least squares of each capacity."""
    own = context[:, None] == np.unique(context)  # [L, C]
    target = (value[..., None] * own[:, None])[fitted]
    fits = removal.partial_least_squares(units[fitted], target, capacities)
    return np.moveaxis(np.stack([units @ b for b in fits]), -1, 1)
