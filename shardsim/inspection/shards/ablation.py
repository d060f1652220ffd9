"""Ablate each part: does each context lose what belongs to it, and only that?

Symbols: J parts, C contexts, n samples.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from shardsim.inspection import arrays, validation


class AblationSelectivity(NamedTuple):
    """The best pairing of parts with contexts, and how much it stands out."""

    drop: Float[np.ndarray, "J C"]
    """Root mean squared change of V in context c when part j is ablated, over the
    standard deviation of V there: 0 for a context in which V is constant."""
    part: Int[np.ndarray, " C"]
    """The part that each context is paired with; -1 if there are fewer parts."""
    score: float
    """(mean drop of pairs - mean of all others) / mean drop of pairs: 1 if every part
    serves its context alone, 0 if all serve all alike, NaN if nothing drops, or if
    there is nothing but pairs."""

    def summary(self) -> str:
        return (
            f"ablation selectivity {self.score:.3f} over {self.drop.shape[0]} parts "
            f"and {self.drop.shape[1]} contexts, paired with parts {self.part.tolist()}"
        )


def fit(
    base: Float[np.ndarray, " n"],
    ablated: Float[np.ndarray, "J n"],
    context: Int[np.ndarray, " n"],
) -> AblationSelectivity:
    """The ablation matrix A[j, c] and its score after matching.

    Args:
      base: V of each sample.
      ablated: V of each sample with part j mean- or resample-ablated (`value` of an
        `interventions.Effect`). Zero ablation leaves what is ever seen.
      context: of each sample.

    Raises:
      ValueError: a wrong shape, NaN, no sample.

    Reference: Bena & Goodman, Dynamics of specialization in neural modules under
    resource constraints, arXiv 2106.02626.
    """
    validation.shaped("base", base, None)
    validation.at_least("samples", len(base), 1)
    validation.shaped("ablated", ablated, None, len(base))
    validation.shaped("context", context, len(base))
    validation.finite("base", base)
    validation.finite("ablated", ablated)
    v, without = np.asarray(base, np.float64), np.asarray(ablated, np.float64)
    kinds, where = np.unique(np.asarray(context), return_inverse=True)
    drop = np.zeros((len(without), len(kinds)))
    for c in range(len(kinds)):
        mine = where == c
        room = v[mine].std()
        lost = np.sqrt(((without[:, mine] - v[mine]) ** 2).mean(axis=1))
        if room > 1e-6 * np.abs(v).max(initial=0):
            drop[:, c] = lost / room
    rows, columns = arrays.best_pairs(drop)
    part = np.full(len(kinds), -1)
    part[columns] = rows
    own = drop[rows, columns].mean()
    rest = drop.size - len(rows)
    others = (drop.sum() - drop[rows, columns].sum()) / rest if rest else np.nan
    score = float((own - others) / own) if own > 0 else float("nan")
    return AblationSelectivity(drop, part, score)
