"""Ablation selectivity: does ablating a shard harm its own context and no other?

Symbols: J ablated shards, C contexts, n samples.
"""

import itertools
from collections import Counter
from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from shardsim.inspection import arrays, validation
from shardsim.inspection.validation import Integer, Numbers

MAX_TABLE = 6
"""Entries of `drop` up to which all of their orders are tried: 720."""


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
    null: float
    """Mean score of the same drops in random places: what the choice of the best
    pairing gives where no shard belongs to a context. NaN where `score` is."""
    p: float
    """Share of the places in which the score is at least as high; NaN where `score`
    is."""
    least_p: float
    """The lowest p that a table of this size can have. At .05 or more the score cannot
    show selectivity: compare seeds."""

    def summary(self) -> str:
        speaks = "" if self.least_p < 0.05 else ", which so small a table cannot show"
        return (
            f"ablation selectivity {self.score:.3f} over {self.drop.shape[0]} shards "
            f"and {self.drop.shape[1]} contexts, paired with shards "
            f"{self.shard.tolist()}; {self.null:.3f} for the same drops in random "
            f"places (p = {self.p:.2g}{speaks})"
        )


def fit(
    base: Annotated[Numbers, "n"],
    ablated: Annotated[Numbers, "J n"],
    context: Annotated[Numbers, "n"],
    *,
    draws: int = 2_000,
    seed: Integer = 0,
) -> AblationSelectivity:
    """Measure the drop of every shard in every context, and match shards to contexts.

      drop[j, c] = rms over context c of (V without shard j - V) / sd over c of V

    The pairing that scores best is chosen, so that drops of random size have a high
    score too: compare it with `null`.

    Args:
      base: V of each sample.
      ablated: V of each sample with shard j mean- or resample-ablated, e.g. the
        patched `value` of an `effects.InterventionResult`. Do not use zero ablation:
        it moves activations to values that never occur.
      context: a label of each sample's context: integers or texts.
      draws: random orders of the drops for the null, at least 1, if the table has more
        than `MAX_TABLE` entries. A smaller one is put into every order.
      seed: of these orders.

    Raises:
      ValueError: shapes differ, a number is not finite, no sample.

    Reference: Bena & Goodman, Dynamics of specialization in neural modules under
    resource constraints, arXiv 2106.02626.
    """
    validation.shaped("base", base, None)
    validation.at_least("samples", len(base), 1)
    validation.shaped("ablated", ablated, None, len(base))
    validation.finite("base", base)
    validation.finite("ablated", ablated)
    contexts = validation.labels("context", context, len(base))
    draws = validation.integer("draws", draws, 1)
    seed = validation.integer("seed", seed, 0)
    v, without = np.asarray(base, np.float64), np.asarray(ablated, np.float64)
    drop = np.zeros((len(without), contexts.count))
    for c in range(contexts.count):
        in_context = contexts.index == c
        sd = v[in_context].std()
        rms = np.sqrt(((without[:, in_context] - v[in_context]) ** 2).mean(axis=1))
        if sd > 1e-6 * np.abs(v).max(initial=0):
            drop[:, c] = rms / sd
    rows, columns = arrays.best_pairs(drop)
    shard = np.full(contexts.count, -1)
    shard[columns] = rows
    score = _score(drop)
    if np.isnan(score):
        return AblationSelectivity(drop, shard, score, score, score, 1.0)
    others = _scores_elsewhere(drop, draws, seed)
    # the observed order is one of the draws
    is_exact = drop.size <= MAX_TABLE
    p = (others >= score - 1e-12).mean()
    p = p if is_exact else (1 + len(others) * p) / (1 + len(others))
    # all drops alike can be placed in one way, and any other table in more
    ideal = np.zeros_like(drop)
    ideal[rows, columns] = 1.0
    best = _scores_elsewhere(ideal, draws, seed)
    least_p = max(float((best >= 1 - 1e-12).mean()), 1 / (1 + len(others)))
    return AblationSelectivity(
        drop, shard, score, float(others.mean()), float(p), least_p
    )


def _score(drop: Float[np.ndarray, "J C"]) -> float:
    """`AblationSelectivity.score` of the best pairing."""
    rows, columns = arrays.best_pairs(drop)
    paired = drop[rows, columns].mean()
    num_others = drop.size - len(rows)
    if not num_others or not paired > 0:
        return float("nan")
    others = (drop.sum() - drop[rows, columns].sum()) / num_others
    return float((paired - others) / paired)


def _scores_elsewhere(
    drop: Float[np.ndarray, "J C"], draws: int, seed: int
) -> Float[np.ndarray, " draws"]:
    """Scores of the same drops in other places: all orders, or random ones."""
    entries = drop.ravel()
    if drop.size <= MAX_TABLE:
        # equal drops need no second order
        counts = Counter(itertools.permutations(entries.tolist()))
        orders = np.array(list(counts)), np.array(list(counts.values()))
    else:
        rng = np.random.default_rng(seed)
        orders = (
            np.stack([rng.permutation(entries) for _ in range(draws)]),
            np.ones(draws, int),
        )
    scores = [_score(order.reshape(drop.shape)) for order in orders[0]]
    return np.repeat(scores, orders[1])
