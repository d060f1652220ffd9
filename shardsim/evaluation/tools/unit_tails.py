"""Tails of contributions to V: normal within a context, heavy over all of them?

Symbols: n states, P units, L levels, B rows of counts.
"""

from typing import ClassVar, Literal

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key
from pydantic import PositiveInt

from shardsim.core import fields
from shardsim.evaluation.subjects import Subject
from shardsim.evaluation.tools import base
from shardsim.inspection.tails import unit_sums


@fields.record(kw_only=True)
class UnitTails:
    """Do sums of V's units look normal within a context, and heavy over all of them?"""

    OF: ClassVar[base.Of] = "weights"
    TITLE: ClassVar[str] = "shape of sums of V's units within contexts, less pooled"
    UNIT: ClassVar[str] = "shape: 2 is normal, 1 exponential"
    ROWS: ClassVar[tuple[str, ...]] = (
        "within",
        "pooled",
        "gated",
        "k_eff",
        "variance_ratio",
        "shuffled",
        *("planted", "planted_gated"),
        *("independent", "independent_gated"),
        *("correlated", "correlated_gated"),
    )
    kind: Literal["unit_tails"] = "unit_tails"
    draws: PositiveInt = 16
    """Sums of each group of units, with other random signs."""

    def measure(self, subject: Subject, key: Key[Array, ""]) -> dict[str, float]:
        """min(2, shape of z) - min(2, shape of y), of random sums of V's units.

        Units are put together by the context in which they vary most, on half of the
        levels; x = sum_j +-c_j(s) of a group is taken on the other half. z is x less
        its mean in the context, in standard deviations of the context, and y is the
        same in standard deviations of all contexts. The shape is that of the
        generalised normal around 0, for all sums together: 2 is normal, 1 exponential
        (Laplace), and more than 2, which is lighter than normal, counts as 2.

        Rows: `within` and `pooled` are the two shapes; `gated` is 1 if within is at
        least 1.8 and pooled at most 1.3, else 0; `k_eff` is 3 / excess kurtosis of z,
        at most 1,000; `variance_ratio` is Var(V) / sum Var(c_j) within contexts.
        Controls: `shuffled` has the contexts of other levels; `planted`, `independent`
        and `correlated` have made-up units in their place: independent ones behind
        gates of contexts, without gates, and one heavy factor in all units.

        No number where a half of the levels lacks a context, or if there is only one.
        """
        ones = np.ones((1, len(subject.condition.optimal)))
        rows = self.measure_on_levels(subject, key, ones)
        return {name: float(numbers[0]) for name, numbers in rows.items()}

    def measure_on_levels(
        self, subject: Subject, key: Key[Array, ""], counts: Float[np.ndarray, "B L"]
    ) -> dict[str, Float[np.ndarray, " B"]]:
        """The same, with each level counted as often as each row of counts says."""
        names = (base.STATISTIC, *self.ROWS)
        if not _is_whole(subject):
            return {name: np.full(len(counts), np.nan) for name in names}
        sign_key, made_key, shuffle_key = jax.random.split(key, 3)

        def fit(units: np.ndarray, context: np.ndarray) -> unit_sums.UnitSums:
            return unit_sums.fit(
                units,
                context,
                subject.level,
                subject.held_out,
                sign_key,
                draws=self.draws,
                counts=counts,
            )

        units = np.asarray(subject.output.units)
        own = fit(units, subject.context)
        rows = {
            base.STATISTIC: own.difference,
            "within": own.within,
            "pooled": own.pooled,
            "gated": own.is_gated.astype(np.float64),
            "k_eff": own.k_eff,
            "variance_ratio": own.variance_ratio,
            "shuffled": fit(units, _shuffled(subject, shuffle_key)).difference,
        }
        made = unit_sums.synthetic(subject.context, units.shape[1], made_key)
        for name, contributions in made.items():
            sums = fit(contributions, subject.context)
            rows[name] = sums.difference
            rows[f"{name}_gated"] = sums.is_gated.astype(np.float64)
        return {name: rows[name] for name in names}


def _is_whole(subject: Subject) -> bool:
    """Whether there are several contexts, and all of them in both halves."""
    halves = [
        set(subject.context[half].tolist())
        for half in (subject.held_out, ~subject.held_out)
    ]
    return halves[0] == halves[1] and len(halves[0]) > 1


def _shuffled(subject: Subject, key: Key[Array, ""]) -> Int[np.ndarray, " n"]:
    """Contexts that levels of the same half have exchanged.

    A state gets the context that the other level has in its first state.
    """
    levels, first = np.unique(subject.level, return_index=True)
    own, given = subject.context[first], subject.context[first].copy()
    for half in (levels % 2 == 0, levels % 2 == 1):
        order = np.asarray(jax.random.permutation(key, int(half.sum())))
        given[half] = own[half][order]
    return given[np.searchsorted(levels, subject.level)]
