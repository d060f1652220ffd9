"""Ablation selectivity: does ablating a shard harm its own context and no other?

Symbols: J ablated shards, C contexts, n samples.
"""

from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from shardsim.inspection import arrays, validation
from shardsim.inspection.validation import Input


class AblationSelectivity(NamedTuple):
    """The best pairing of shards with contexts, and how selective it is."""

    drop: Float[np.ndarray, "J C"]
    """Root mean squared change of V in context c when shard j is ablated, divided by
    the standard deviation of V in c. 0 in a context where V is constant."""
    shard: Int[np.ndarray, " C"]
    """The shard paired with each context; -1 where there are too few shards."""
    score: float
    """(mean drop of pairs - mean drop of all others) / mean drop of pairs. 1 if every
    shard serves only its own context, 0 if all shards serve all contexts alike. NaN if
    nothing drops or if all entries are pairs."""

    def summary(self) -> str:
        return (
            f"ablation selectivity {self.score:.3f} over {self.drop.shape[0]} shards "
            f"and {self.drop.shape[1]} contexts, paired with shards "
            f"{self.shard.tolist()}"
        )


def fit(
    base: Annotated[Input, "n"],
    ablated: Annotated[Input, "J n"],
    context: Annotated[Input, "n"],
) -> AblationSelectivity:
    """Measure the drop of every shard in every context, and match shards to contexts.

      drop[j, c] = rms over context c of (V without shard j - V) / sd over c of V

    Args:
      base: V of each sample.
      ablated: V of each sample with shard j mean- or resample-ablated, e.g. the
        patched `value` of an `effects.InterventionResult`. Do not use zero ablation:
        it moves activations to values that never occur.
      context: an integer label of each sample's context.

    Raises:
      ValueError: shapes differ, a number is not finite, no sample.

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
    labels, label_index = np.unique(np.asarray(context), return_inverse=True)
    drop = np.zeros((len(without), len(labels)))
    for c in range(len(labels)):
        in_context = label_index == c
        sd = v[in_context].std()
        rms = np.sqrt(((without[:, in_context] - v[in_context]) ** 2).mean(axis=1))
        if sd > 1e-6 * np.abs(v).max(initial=0):
            drop[:, c] = rms / sd
    rows, columns = arrays.best_pairs(drop)
    shard = np.full(len(labels), -1)
    shard[columns] = rows
    paired = drop[rows, columns].mean()
    num_others = drop.size - len(rows)
    total_others = drop.sum() - drop[rows, columns].sum()
    others = total_others / num_others if num_others else np.nan
    score = float((paired - others) / paired) if paired > 0 else float("nan")
    return AblationSelectivity(drop, shard, score)
