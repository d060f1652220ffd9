"""Exact tests of shares keep their level for every pair of shares."""

import numpy as np
import pytest
import scipy.stats

from shardsim.core.statistics import shares


def rejection(n, threshold, level, first, second):
    """Exact probability that the test rejects, for given true shares."""
    reject = [
        [shares.difference_test(x, y, n, threshold, "greater") <= level]
        for x in range(n + 1)
        for y in range(n + 1)
    ]
    table = np.reshape(reject, (n + 1, n + 1))
    counts = np.arange(n + 1)
    rows, columns = (scipy.stats.binom.pmf(counts, n, p) for p in (first, second))
    return float(rows @ table @ columns)


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("threshold", [0.0, 0.2])
def test_the_size_is_at_most_the_level_everywhere(n, threshold):
    """Exact, over a grid of all shares whose difference is up to the threshold."""
    reject = np.array(
        [
            [
                shares.difference_test(x, y, n, threshold, "greater") <= 0.05
                for y in range(n + 1)
            ]
            for x in range(n + 1)
        ]
    )
    grid, counts = np.linspace(0, 1, 61), np.arange(n + 1)
    pmf = scipy.stats.binom.pmf(counts[:, None], n, grid)
    size = pmf.T @ reject @ pmf
    null = grid[:, None] - grid[None] <= threshold + 1e-12
    assert size[null].max() <= 0.05
    assert size[-1, 0] == 1.0  # all of one arm and none of the other


def test_nine_of_twenty_against_none():
    """The mean over seeds leaves this undecided; the shares do not."""
    assert shares.difference_test(9, 0, 20, 0.0, "greater") < 0.001
    assert shares.difference_test(9, 0, 20, 0.2, "greater") < 0.02
    boschloo = scipy.stats.boschloo_exact([[9, 0], [11, 20]]).pvalue
    assert shares.equality_test(9, 0, 20) == pytest.approx(boschloo, rel=0.02)
    assert shares.equality_test(4, 4, 20) == 1.0
    interval = shares.difference_interval(9, 0, 20)
    assert interval.estimate == 0.45
    assert 0.2 < interval.low < 0.27
    assert 0.6 < interval.high < 0.72


@pytest.mark.parametrize(("x", "y"), [(3, 0), (5, 2), (8, 0), (1, 7), (4, 4)])
def test_without_a_margin_it_agrees_with_barnard(x, y):
    """Another order of the tables, the same question: p within a factor of two."""
    table = [[x, y], [8 - x, 8 - y]]
    barnard = scipy.stats.barnard_exact(table, alternative="greater", pooled=False)
    ours = shares.difference_test(x, y, 8, 0.0, "greater")
    assert ours == pytest.approx(barnard.pvalue, rel=1.0, abs=0.02)


def test_sides_are_mirrors():
    for x, y, threshold in ((6, 1, 0.1), (2, 5, -0.3), (0, 0, 0.5)):
        greater = shares.difference_test(x, y, 9, threshold, "greater")
        assert shares.difference_test(y, x, 9, -threshold, "less") == greater


def test_the_interval_covers_the_difference():
    """Exact coverage for all counts of 6 seeds, on a grid of shares."""
    n, counts = 6, np.arange(7)
    ends = np.array(
        [[shares.difference_interval(x, y, n)[1:3] for y in counts] for x in counts]
    )
    for first in np.linspace(0, 1, 9):
        for second in np.linspace(0, 1, 9):
            inside = (ends[..., 0] <= first - second + 1e-3) & (
                first - second - 1e-3 <= ends[..., 1]
            )
            rows, columns = (
                scipy.stats.binom.pmf(counts, n, p) for p in (first, second)
            )
            assert rows @ inside @ columns >= 0.95 - 1e-9


def test_a_share_has_the_interval_of_clopper_and_pearson():
    interval = shares.share(9, 20)
    exact = scipy.stats.binomtest(9, 20).proportion_ci(0.95, "exact")
    assert interval[:3] == pytest.approx((0.45, exact.low, exact.high))
    assert shares.share(0, 20).low == 0.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shares.difference_test(9, 0, 8, 0.0, "less"), "x: got 9"),
        (lambda: shares.difference_test(1, 0, 8, 1.0, "less"), "threshold: got 1.0"),
        (lambda: shares.difference_test(1, 0, 8, 0.0, "up"), "side: got 'up'"),
        (lambda: shares.equality_test(1, -1, 8), "y: got -1"),
        (lambda: shares.difference_interval(1, 1, 8, 0.0), "level: got 0.0"),
    ],
)
def test_faults_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
