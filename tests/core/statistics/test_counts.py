"""What counts something is whole, in every function of statistics."""

import numpy as np
import pytest

from shardsim.core.statistics import aggregates, energy, intervals, significance

HALF = np.asarray(1.5)
"""A number that is not whole, as an array."""
COUNTS = {
    "count": lambda n: intervals.share_interval(n, 3),
    "n": lambda n: intervals.share_interval(1, n),
    "n of none": intervals.max_unseen_fraction,
    "resamples": lambda n: intervals.mean_interval([1.0, 2.0], resamples=n),
    "seed": lambda n: intervals.mean_interval([1.0, 2.0], resamples=9, seed=n),
    "resamples of a test": lambda n: significance.mean_test([1.0, 2.0], 0.0, "less", n),
    "resamples of a margin": lambda n: significance.equivalence_test(
        [1.0, 2.0], 1.0, n
    ),
    "resamples of the middle": lambda n: aggregates.interquartile_mean(
        [1.0, 2.0], resamples=n
    ),
    "resamples of wins": lambda n: aggregates.probability_of_improvement(
        [1.0, 2.0], [1.0, 2.0], resamples=n
    ),
    "permutations": lambda n: energy.paired_permutation_energy(
        np.zeros((2, 1)), np.ones((2, 1)), permutations=n
    ),
    "seed of patterns": lambda n: energy.paired_permutation_energy(
        np.zeros((2, 1)), np.ones((2, 1)), seed=n
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_whole(name):
    """1.5 successes of 3 had an interval, and 2.9 resamples were two."""
    call, field = COUNTS[name], name.split()[0]
    with pytest.raises(
        ValueError, match=rf"{field}: got .*1\.5.*; allowed: an integer"
    ):
        call(HALF)
    with pytest.raises(ValueError, match=f"{field}: got -1; allowed: "):
        call(np.asarray(-1))
    np.testing.assert_equal(call(np.asarray(3)), call(3))
