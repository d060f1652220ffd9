"""Intervals cover."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from shardsim.core.statistics import (
    aggregates,
    energy,
    intervals,
    resampling,
    significance,
)

FEW = 2_000


def test_interval_by_hand():
    actual = intervals.mean_interval(np.array([1.0, 2.0, 3.0, 6.0]))
    assert actual.estimate == 3.0
    assert actual.n == 4
    assert actual.low < 3.0 < actual.high


def test_equal_numbers_and_one_number():
    same = intervals.mean_interval(np.full(5, 2.5))
    assert (same.low, same.high) == (2.5, 2.5)
    alone = intervals.mean_interval(np.array([2.5]))
    assert alone.estimate == 2.5
    assert np.isnan(alone.low)
    assert significance.mean_test(np.array([9.0]), 0.0, "greater") == 1.0
    # their spread says nothing: the sign test
    assert significance.mean_test(np.full(5, 2.5), 2.4, "greater") == 1 / 32
    assert significance.mean_test(np.full(5, 2.5), 2.6, "less") == 1 / 32
    for threshold in (2.5, 2.6):
        assert significance.mean_test(np.full(5, 2.5), threshold, "greater") == 1


def test_the_interval_is_about_as_wide_as_student_s():
    x = np.random.default_rng(0).normal(size=8)
    actual = intervals.mean_interval(x)
    half = scipy.stats.t.ppf(0.975, 7) * x.std(ddof=1) / np.sqrt(8)
    assert actual.high - actual.low == pytest.approx(2 * half, rel=0.12)


@pytest.mark.parametrize(("draw", "least"), [("normal", 0.93), ("exponential", 0.87)])
def test_the_interval_covers_the_mean_of_eight_seeds(draw, least):
    """The level is .95; long tails cost coverage, as for any interval of a mean."""
    rng = np.random.default_rng(1)
    samples = getattr(rng, draw)(size=(1500, 8))
    true = {"normal": 0.0, "exponential": 1.0}[draw]
    hit = [
        i.low <= true <= i.high
        for i in (intervals.mean_interval(x, resamples=FEW) for x in samples)
    ]
    assert least < np.mean(hit) < 0.975


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_the_interval_of_very_few_seeds_covers_the_mean(n):
    """A bootstrap alone would cover .51, .77, .88, .92 and .94 of the time."""
    rng = np.random.default_rng(10 + n)
    result = [
        intervals.mean_interval(x, resamples=FEW) for x in rng.normal(size=(1000, n))
    ]
    assert np.mean([i.low <= 0 <= i.high for i in result]) > 0.93


def test_a_plain_percentile_interval_would_not_cover():
    """Negative control: the reason for expanding the percentile interval."""
    rng = np.random.default_rng(2)
    hit = []
    for x in rng.normal(size=(800, 8)):
        low, high = np.quantile(resampling.resampled_means(x, FEW, 0), [0.025, 0.975])
        hit.append(low <= 0 <= high)
    assert np.mean(hit) < 0.92


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_index(bad):
    x = np.array([1.0, bad, 2.0])
    with pytest.raises(ValueError, match="at 1; allowed: finite"):
        intervals.mean_interval(x)
    with pytest.raises(ValueError, match=f"threshold: got {bad}; allowed: a finite"):
        significance.mean_test(x[:1], bad, "less")
    for kind in (np.array(["1", "2"]), np.array([1j, 2]), np.array([None, 1.0])):
        with pytest.raises(ValueError, match=r"x: got .*; allowed: real numbers"):
            intervals.mean_interval(kind)
    with pytest.raises(ValueError, match="allowed: one number per seed"):
        significance.mean_test(np.zeros((2, 2)), 0.0, "less")
    with pytest.raises(ValueError, match="allowed: the shape of x"):
        energy.paired_permutation_energy(np.zeros((2, 2)), np.zeros((3, 2)))


def test_invalid_levels_sides_and_features_are_refused():
    x = np.arange(5.0)
    for level in (0.0, 1.0, 95):
        with pytest.raises(ValueError, match=f"level: got {level}; allowed: between 0"):
            intervals.mean_interval(x, level)
    with pytest.raises(ValueError, match="side: got 'up'; allowed: greater, less"):
        significance.mean_test(x, 1.0, "up")
    for shape in ((0, 2), (3,)):
        with pytest.raises(ValueError, match=r"x: got shape .*; allowed: features of"):
            energy.paired_permutation_energy(np.zeros(shape), np.zeros(shape))


def test_share_interval_by_hand_and_against_scipy():
    """The upper end for 0 of 8 is 1 - .025^(1/8); other cases agree with SciPy."""
    assert intervals.share_interval(0, 8) == (0.0, pytest.approx(1 - 0.025 ** (1 / 8)))
    assert intervals.share_interval(8, 8) == (pytest.approx(0.025 ** (1 / 8)), 1.0)
    for count, n, level in ((9, 20, 0.95), (1, 3, 0.9), (0, 1, 0.95), (7, 7, 0.8)):
        its = scipy.stats.binomtest(count, n).proportion_ci(level, "exact")
        actual = intervals.share_interval(count, n, level)
        assert actual == pytest.approx((its.low, its.high))
    for count in (-1, 5):
        with pytest.raises(ValueError, match=f"count: got {count}; allowed: 0 to 4"):
            intervals.share_interval(count, 4)
    with pytest.raises(ValueError, match="n: got 0; allowed: at least 1"):
        intervals.share_interval(0, 0)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9])
def test_share_interval_covers(share):
    """Summed exactly over all outcomes: at least 95 % for every probability."""
    ends = [intervals.share_interval(count, 20) for count in range(21)]
    held = [low <= share <= high for low, high in ends]
    chance = scipy.stats.binom.pmf(np.arange(21), 20, share)
    assert chance[held].sum() >= 0.95


def test_max_unseen_fraction_by_hand():
    """A behaviour of 31.2 % of the seeds is absent from 8 seeds 5 % of the time."""
    assert intervals.max_unseen_fraction(8) == pytest.approx(0.3123, abs=1e-4)
    assert intervals.max_unseen_fraction(20) == pytest.approx(0.1391, abs=1e-4)
    assert (1 - intervals.max_unseen_fraction(13, 0.9)) ** 13 == pytest.approx(0.1)
    assert intervals.max_unseen_fraction(1) == pytest.approx(0.95)


@pytest.mark.parametrize("of", [list, tuple, np.float32, np.int64, jnp.asarray])
def test_numbers_of_every_library_are_taken(of):
    x, y = of([1, 2, 4, 9]), of([0, 2, 2, 3])
    assert aggregates.interquartile_mean(x).estimate == 3
    assert aggregates.probability_of_improvement(x, y).estimate == 11 / 16
    assert intervals.mean_interval(x).estimate == 4
    assert significance.mean_test(x, np.float64(-1e9), "greater") < 1e-9


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: intervals.max_unseen_fraction(0), "n: got 0; allowed: at least 1"),
        (lambda: intervals.max_unseen_fraction(3, 2), "level: got 2; allowed"),
        (lambda: intervals.share_interval(1, 3, 1.5), "level: got 1.5; allowed"),
        (lambda: significance.equivalence_test([1, 2], -1), "margin: got -1; allowed"),
        (lambda: significance.equivalence_test([1, 2], np.nan), "margin: got nan"),
        (lambda: significance.holm([np.nan, 0.2]), "p: got nan; allowed: 0 to 1"),
        (lambda: significance.holm([0.2, 1.2]), "p: got 1.2; allowed: 0 to 1"),
        (lambda: intervals.mean_interval([1, 2], resamples=0), "resamples: got 0"),
        (lambda: significance.mean_test([1, 2], 0, "less", 1), "resamples: got 1"),
        (lambda: aggregates.interquartile_mean([1, 2], resamples=0), "resamples: got"),
        (
            lambda: aggregates.probability_of_improvement([1, 2], [1, 2], resamples=0),
            "resamples: got 0",
        ),
    ],
)
def test_arguments_out_of_range_are_named(call, error):
    with pytest.raises(ValueError, match=error):
        call()
