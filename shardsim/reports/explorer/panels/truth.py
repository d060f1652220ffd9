"""What CCS finds in pairs of states without labels, restart by restart.

A pair is two states of one level in random order; the true side is the one with the
higher V*. CCS sees no label and its sign is arbitrary, so that accuracies are those of
the better sign, for random directions too. Every seed, last checkpoint.

Symbols: N seeds, R restarts, n training pairs, m test pairs, D features.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from shardsim.core import jit
from shardsim.inspection.truth import baselines, ccs, ccs_loss, comparison, counting
from shardsim.reports.explorer.activations import Activations, Sample
from shardsim.reports.explorer.panels import base

RESTARTS = 12
STEPS = 200
NORM = 5.0
"""One norm for all seeds, so that their losses can be compared."""
RANDOM = 100
"""Random directions."""
MOST_PAIRS = 192
FEWEST = 8
TIE = 1e-6
"""States whose V* differ by less make no pair."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """How many different directions the restarts of a seed end at."""

    num_distinct: int
    num_good: int
    """Restarts that reached a low loss."""
    at_least: float
    """Estimated number of directions that exist (Chao 1)."""
    coverage: float


@dataclasses.dataclass(frozen=True)
class Truth:
    """Loss and accuracy of every restart; NaN for a seed that is not finite."""

    num_pairs: int
    num_test_pairs: int
    num_restarts: int
    constant: float
    """Loss of the best constant answer."""
    losses: Float[np.ndarray, "N R"]
    accuracy: Float[np.ndarray, "N R"]
    random: Float[np.ndarray, "N 2"]
    """Accuracy of random directions: mean - 2 SD and mean + 2 SD."""
    labelled: Float[np.ndarray, " N"]
    """Accuracy of the mean difference, which uses labels."""
    answers: list[Answers | None]
    fits: list[base.Fits]


def compute(context: base.PanelContext) -> Truth | None:
    """None where there are too few pairs of states."""
    return summarise(context.activations, context.sample)


def summarise(activations: Activations, sample: Sample) -> Truth | None:
    """The same of features and a sample of states."""
    train, test = pairs(sample)
    if min(len(train), len(test)) < FEWEST:
        return None
    sides = [jnp.asarray(sample.x[:, which.T]) for which in (train, test)]
    labels = [
        jnp.asarray(sample.optimal[which[:, 0]] > sample.optimal[which[:, 1]])
        for which in (train, test)
    ]
    if len(np.unique(np.asarray(labels[1]))) < 2:
        return None
    keys = jax.random.split(jax.random.key(0), len(sample.x))
    losses, directions, differences, accuracy, random, labelled, converged = map(
        np.asarray, _search(*sides, *labels, keys)
    )
    is_finite = activations.finite
    mean, sd = random.mean(axis=1), random.std(axis=1)
    band = np.stack([mean - 2 * sd, mean + 2 * sd], axis=1)
    return Truth(
        num_pairs=len(train),
        num_test_pairs=len(test),
        num_restarts=RESTARTS,
        constant=ccs_loss.BEST_CONSTANT,
        losses=np.where(is_finite[:, None], losses, np.nan),
        accuracy=np.where(is_finite[:, None], accuracy, np.nan),
        random=np.where(is_finite[:, None], band, np.nan),
        labelled=np.where(is_finite, labelled, np.nan),
        answers=[
            _answers(*one) if ok else None
            for ok, *one in zip(is_finite, directions, losses, differences, strict=True)
        ],
        fits=[base.fits("restart of CCS", converged, is_finite)],
    )


def pairs(sample: Sample) -> tuple[Int[np.ndarray, "n 2"], Int[np.ndarray, "m 2"]]:
    """Indices of two states of one level each: training pairs, then test pairs.

    Every other level is for testing.
    """
    rng = np.random.default_rng(4)
    names = np.unique(sample.level)
    halves = []
    for chosen in (names[0::2], names[1::2]):
        rows = []
        for name in chosen:
            own = rng.permutation(np.flatnonzero(sample.level == name))
            neighbours = [np.stack([own, np.roll(own, by)], axis=1) for by in (1, 2)]
            rows.append(np.concatenate(neighbours))
        both = np.concatenate(rows) if rows else np.zeros((0, 2), int)
        gap = sample.optimal[both[:, 0]] - sample.optimal[both[:, 1]]
        both = rng.permutation(both[np.abs(gap) > TIE])[:MOST_PAIRS]
        is_swapped = rng.random(len(both)) < 0.5
        halves.append(np.where(is_swapped[:, None], both[:, ::-1], both))
    return halves[0], halves[1]


@jit.jit
def _search(
    train: Float[Array, "N 2 n D"],
    test: Float[Array, "N 2 m D"],
    label: Bool[Array, " n"],
    test_label: Bool[Array, " m"],
    keys: Array,
) -> tuple[Array, ...]:
    """Search of every seed.

    Returns:
      Losses and directions of all restarts, differences of the test pairs, and
      accuracies on them: of restarts, of random directions, of the labelled one;
      whether each restart converged.
    """

    def seed(one: tuple[Array, Array, Array]) -> tuple[Array, ...]:
        train, test, key = one
        search, draw = jax.random.split(key)
        fit = ccs.fit(
            train[0], train[1], search, restarts=RESTARTS, steps=STEPS, norm=NORM
        )
        differences = fit.sides.differences(*test)
        random = baselines.random_directions(RANDOM, train.shape[-1], draw)
        labelled = comparison.mean_difference(fit.sides.differences(*train), label)
        probes = jnp.concatenate(
            [fit.directions, random.astype(train.dtype), labelled[None]]
        )
        accuracy = comparison.accuracies(probes, differences, test_label)
        better = jnp.maximum(accuracy, 1 - accuracy)
        return (
            fit.losses,
            fit.directions,
            differences,
            better[:RESTARTS],
            better[RESTARTS:-1],
            accuracy[-1],
            fit.converged,
        )

    return jax.lax.map(seed, (train, test, keys))


def _answers(
    directions: Float[np.ndarray, "R D"],
    losses: Float[np.ndarray, " R"],
    differences: Float[np.ndarray, "m D"],
) -> Answers | None:
    if not (np.isfinite(directions).all() and np.isfinite(losses).all()):
        return None
    estimate = counting.estimate(directions, losses, differences)
    return Answers(
        num_distinct=estimate.seen,
        num_good=estimate.num_good,
        at_least=float(estimate.chao1),
        coverage=float(estimate.coverage),
    )
