"""Tools for the hidden units of V: what each contributes, and what without it.

Symbols: n states, U units, C contexts.
"""

import functools
from typing import Annotated, ClassVar, Literal

import numpy as np
from jaxtyping import Array, Float, Key
from pydantic import Field, PositiveInt

from shardsim.core import fields
from shardsim.core.jit import jit
from shardsim.evaluation.tools import base
from shardsim.inspection.shards import ablation, clusters, removal


@fields.record(kw_only=True)
class UnitClusters:
    """Do the contributions of units rise and fall in as many groups as contexts?"""

    OF: ClassVar[base.Of] = "weights"
    TITLE: ClassVar[str] = "spread of units between C clusters, less shuffled"
    UNIT: ClassVar[str] = "share of spread"
    ROWS: ClassVar[tuple[str, ...]] = ("own", "shuffled")
    kind: Literal["unit_clusters"] = "unit_clusters"
    restarts: PositiveInt = 4
    """Starts of the search for clusters."""

    def measure(self, subject: base.Subject, key: Key[Array, ""]) -> dict[str, float]:
        """`explained` - `null`, the two rows; NaN if all units do the same."""
        clusters = _clusters(
            subject.output.units, key, subject.num_contexts, self.restarts, 1
        )
        return {
            base.STATISTIC: float(clusters.explained - clusters.null),
            "own": float(clusters.explained),
            "shuffled": float(clusters.null),
        }


@fields.record(kw_only=True)
class AblationSelectivity:
    """Does the ablation of a cluster of units harm one context alone?"""

    OF: ClassVar[base.Of] = "weights"
    TITLE: ClassVar[str] = "ablation selectivity of C clusters of units, less random"
    UNIT: ClassVar[str] = "selectivity"
    ROWS: ClassVar[tuple[str, ...]] = ("own", "random")
    kind: Literal["ablation"] = "ablation"
    restarts: PositiveInt = 4
    """Starts of the search for clusters."""
    draws: PositiveInt = 100
    """Random places of the drops, for the null."""

    def measure(self, subject: base.Subject, key: Key[Array, ""]) -> dict[str, float]:
        """`score` - `null`, the two rows, of clusters that are replaced by their mean.

        The clusters are those of the units of every head alike. What a head is built of
        is not told.
        """
        units = _units(subject)
        clusters = _clusters(
            subject.output.units, key, subject.num_contexts, self.restarts, 0
        )
        member = np.eye(subject.num_contexts)[np.asarray(clusters.unit_cluster)]
        change = (units - units.mean(axis=0)) @ member
        value = units.sum(axis=1)
        result = ablation.fit(
            value, value[None] - change.T, subject.context, draws=self.draws
        )
        return {
            base.STATISTIC: result.score - result.null,
            "own": result.score,
            "random": result.null,
        }


@fields.record(kw_only=True)
class Removal:
    """Can a linear edit of V's hidden units remove V of one context alone?"""

    OF: ClassVar[base.Of] = "weights"
    TITLE: ClassVar[str] = "V of a context removed by edits, less from random units"
    UNIT: ClassVar[str] = "share of V of the context"
    kind: Literal["removal"] = "removal"
    ranks: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2, 4, 8)
    """Directions that an edit may read."""
    draws: PositiveInt = 2
    """Draws of random units."""

    def measure(self, subject: base.Subject, key: Key[Array, ""]) -> dict[str, float]:
        """The area between the curves of V's units and of random ones."""
        curves = removal.fit(
            _units(subject),
            subject.features,
            subject.context,
            subject.held_out,
            key,
            ranks=self.ranks,
            draws=self.draws,
        )
        return {base.STATISTIC: curves.area}


def _units(subject: base.Subject) -> Float[np.ndarray, "n U"]:
    return np.asarray(subject.output.units, np.float64)


@functools.partial(jit, static_argnums=(2, 3, 4))
def _clusters(
    units: Float[Array, "n U"],
    key: Key[Array, ""],
    number: int,
    restarts: int,
    shuffles: int,
) -> clusters.UnitClusters:
    """The clusters of units, as one program for all heads of a size."""
    return clusters.fit(units, number, key, restarts=restarts, shuffles=shuffles)
