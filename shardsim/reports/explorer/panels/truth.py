"""Truth-like directions: what CCS finds in pairs of states, restart by restart.

A pair is two states of one level in an order that knows nothing; the true side is the
one of higher exact V. CCS sees no label. Its sign is free, so that accuracies are
those of the better sign, for random probes too. Every seed, last checkpoint.

Symbols: N seeds, R restarts, n pairs to learn from, m held out, D features.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import jit
from shardsim.inspection.truth import baselines, ccs, comparison, counting
from shardsim.reports.explorer.activations import Inside, Sample

RESTARTS = 12
STEPS = 200
RANDOM = 100
"""Random probes, for the band."""
MOST_PAIRS = 192
FEWEST = 8
TIE = 1e-6
"""Exact values nearer than that are no pair."""


def card(inner: Inside, sample: Sample) -> dict[str, Any]:
    """Loss and accuracy of every restart; {} where there are too few pairs."""
    learnt, held = pairs(sample)
    if min(len(learnt), len(held)) < FEWEST:
        return {}
    sides = [jnp.asarray(sample.x[:, which.T]) for which in (learnt, held)]
    labels = [
        jnp.asarray(sample.optimal[which[:, 0]] > sample.optimal[which[:, 1]])
        for which in (learnt, held)
    ]
    if len(np.unique(np.asarray(labels[1]))) < 2:
        return {}
    keys = jax.random.split(jax.random.key(0), len(sample.x))
    losses, directions, differences, right, chance, told = map(
        np.asarray, _searched(*sides, *labels, keys)
    )
    fine = inner.finite
    band = np.stack(
        [
            chance.mean(axis=1) - 2 * chance.std(axis=1),
            chance.mean(axis=1) + 2 * chance.std(axis=1),
        ],
        axis=1,
    )
    return {
        "pairs": len(learnt),
        "held out": len(held),
        "restarts": RESTARTS,
        "constant": ccs.BEST_CONSTANT,
        "losses": np.where(fine[:, None], losses, np.nan),
        "accuracy": np.where(fine[:, None], right, np.nan),
        "random": np.where(fine[:, None], band, np.nan),
        "labelled": np.where(fine, told, np.nan),
        "answers": [
            _counted(*one) if ok else {}
            for ok, *one in zip(fine, directions, losses, differences, strict=True)
        ],
    }


def pairs(sample: Sample) -> tuple[Int[np.ndarray, "n 2"], Int[np.ndarray, "m 2"]]:
    """Places of two states of one level each; levels of one half, then of the other."""
    rng = np.random.default_rng(4)
    names = np.unique(sample.level)
    halves = []
    for chosen in (names[0::2], names[1::2]):
        rows = []
        for name in chosen:
            own = rng.permutation(np.flatnonzero(sample.level == name))
            both = [np.stack([own, np.roll(own, by)], axis=1) for by in (1, 2)]
            rows.append(np.concatenate(both))
        found = np.concatenate(rows) if rows else np.zeros((0, 2), int)
        gap = sample.optimal[found[:, 0]] - sample.optimal[found[:, 1]]
        found = rng.permutation(found[np.abs(gap) > TIE])[:MOST_PAIRS]
        turned = rng.random(len(found)) < 0.5
        halves.append(np.where(turned[:, None], found[:, ::-1], found))
    return halves[0], halves[1]


@jit.jit
def _searched(
    learnt: Float[Array, "N 2 n D"],
    held: Float[Array, "N 2 m D"],
    label: Bool[Array, " n"],
    held_label: Bool[Array, " m"],
    keys: Array,
) -> tuple[Array, ...]:
    """Losses and directions of all restarts, differences of the pairs held out, and
    accuracies there: of restarts, of random probes, of what labels find."""

    def seed(one: tuple[Array, Array, Array]) -> tuple[Array, ...]:
        learnt, held, key = one
        search, draw = jax.random.split(key)
        found = ccs.fit(learnt[0], learnt[1], search, restarts=RESTARTS, steps=STEPS)
        differences = found.sides.differences(*held)
        random = baselines.random_directions(draw, RANDOM, learnt.shape[-1])
        labelled = comparison.mean_difference(found.sides.differences(*learnt), label)
        probes = jnp.concatenate(
            [found.directions, random.astype(learnt.dtype), labelled[None]]
        )
        right = comparison.accuracies(probes, differences, held_label)
        either = jnp.maximum(right, 1 - right)
        return (
            found.losses,
            found.directions,
            differences,
            either[:RESTARTS],
            either[RESTARTS:-1],
            right[-1],
        )

    return jax.lax.map(seed, (learnt, held, keys))


def _counted(
    directions: Float[np.ndarray, "R D"],
    losses: Float[np.ndarray, " R"],
    differences: Float[np.ndarray, "m D"],
) -> dict[str, Any]:
    """How many different answers the good restarts of a seed ended at."""
    if not (np.isfinite(directions).all() and np.isfinite(losses).all()):
        return {}
    found = counting.estimate(directions, losses, differences)
    return {
        "seen": found.seen,
        "kept": found.num_good,
        "at least": float(found.chao1),
        "coverage": float(found.coverage),
    }
